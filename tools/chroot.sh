# Sourced by the tests that want a clean Debian: chroots below $B/chroot, from the mirror that apt uses here.  Root only.
chroots=$PWD/${B:-build}/chroot
mkdir -p "$chroots"

mirror()
{
	cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' |
		grep '/debian/*$' | head -n 1
}

# Makes DIR a new system of SUITE; the first one of a suite is kept as a tar file.  chroot_new SUITE DIR
chroot_new()
{
	base=$chroots/$1.tar
	rm -rf "$2"
	mkdir -p "$2"
	if [ ! -e "$base" ]; then
		echo "chroot: debootstrap $1" >&2
		debootstrap --variant=minbase "$1" "$2" "${MIRROR:-$(mirror)}" >"$chroots/$1.log" 2>&1 || {
			tail -n 20 "$chroots/$1.log" >&2
			return 1
		}
		tar -C "$2" -cf "$base.new" . && mv "$base.new" "$base"
	else
		tar -C "$2" -xf "$base"
	fi
	printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d" # no services in here
	chmod 755 "$2/usr/sbin/policy-rc.d"
	cp /etc/resolv.conf "$2/etc/resolv.conf"
	if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then # the way out of this machine may have an authority of its own
		cp "$NODE_EXTRA_CA_CERTS" "$2/usr/local/share/ca.pem"
	fi
}

# Runs a command in DIR with a mount and a process namespace of its own, which end with it, and all that it started with them.
# NET=own: its own network too, with nothing but the loopback.  chroot_run DIR COMMAND…
chroot_run()
{
	dir=$1
	shift
	unshare --mount --pid --fork --kill-child ${NET:+--net} sh -c '
		dir=$1
		shift
		[ -z "$NET" ] || ip link set lo up
		mount -t proc proc "$dir/proc" && mount --rbind /dev "$dir/dev" && mount --make-rslave "$dir/dev"
		exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:+/usr/local/share/ca.pem}" chroot "$dir" "$@"' sh "$dir" "$@"
}
