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
	echo force-unsafe-io >"$2/etc/dpkg/dpkg.cfg.d/speed" # nothing in here has to outlive a crash
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

# Boots systemd in DIR, with a network of its own, and waits until it has started all that it should; $booted is its process.
# boot_run COMMAND… then runs one beside it, and boot_end takes it down with all that runs there.
chroot_boot()
{
	rm -f "$1/usr/sbin/policy-rc.d"
	echo localhost >"$1/etc/hostname"
	echo '127.0.0.1 localhost' >"$1/etc/hosts"
	unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh -ec '
		ip link set lo up
		mount --make-rprivate / && mount --bind "$1" "$1" && cd "$1"
		mount -t proc proc proc && mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup
		mount -t tmpfs -o mode=755 tmpfs run && mount -t tmpfs tmpfs tmp
		mount -t tmpfs -o mode=755 tmpfs dev && mkdir dev/pts dev/shm && mount -t devpts devpts dev/pts && ln -s pts/ptmx dev/ptmx
		for node in null zero full random urandom tty; do touch "dev/$node" && mount --bind "/dev/$node" "dev/$node"; done
		mkdir -p .outside && pivot_root . .outside && umount -l /.outside
		exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal --show-status=0' \
		sh "$1" </dev/null >"$1.boot" 2>&1 &
	unshared=$!
	trap boot_end EXIT
	n=0
	until booted=$(cat "/proc/$unshared/task/$unshared/children" 2>/dev/null) && state=$(boot_run systemctl is-system-running 2>/dev/null) ||
		[ "$state" = degraded ]; do
		n=$((n + 1))
		if [ "$n" -ge 600 ]; then
			cat "$1.boot" >&2
			return 1
		fi
		sleep 0.2
	done
}
boot_run()
{
	# shellcheck disable=SC2086 # one number, and a blank
	nsenter --target $booted --mount --pid --net --uts --ipc --cgroup -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root LC_ALL=C.UTF-8 "$@"
}
boot_end()
{
	kill -KILL "$unshared" # a gentler one it passes over
	wait "$unshared" 2>/dev/null || true
	trap - EXIT
}
