#!/bin/sh
# The Debian packages in a clean chroot: installed, used by curl through tools/smoke.sh as the unit runs them, installed again,
# removed, purged.  deb-test.sh SUITE VERSION
#
# For the suite of this machine they are those of `make deb`; for another one they are built in a chroot of it first.  DEBS=DIR takes
# those that lie there, as they will be released.  SYSTEMD=0 leaves out what wants a kernel that lets systemd boot in a namespace.
set -eu
B=${B:-build} suite=$1 version=$2
. tools/chroot.sh
debs=$chroots/debs-$suite
dir=$chroots/deb-test-$suite
rm -rf "$debs"
mkdir -p "$debs"

apt_in()
{
	chroot_run "$1" sh -ec 'apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "$@" >/tmp/apt.log 2>&1 || {
		tail -n 30 /tmp/apt.log; exit 1; }' sh $2
}

if [ -n "${DEBS:-}" ]; then
	cp "$DEBS"/*.deb "$debs/"
elif [ "$suite" = "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" ]; then
	sh tools/deb.sh "$version"
	cp "$B"/deb/*.deb "$debs/"
else
	builder=$chroots/builder-$suite
	DEB_SOURCE_ONLY=1 sh tools/deb.sh "$version"
	chroot_new "$suite" "$builder"
	cp -a "$B/deb/muster-$version" "$builder/srv/"
	apt_in "$builder" 'build-essential git'
	chroot_run "$builder" sh -ec 'cd "$1" && apt-get build-dep -y -q --no-install-recommends ./ >/tmp/apt.log 2>&1 || { tail -n 30 /tmp/apt.log; exit 1; }
		dpkg-buildpackage -b -us -uc -j"$(nproc)" >/tmp/build.log 2>&1 || { tail -n 40 /tmp/build.log; exit 1; }' sh "/srv/muster-$version"
	cp "$builder"/srv/*.deb "$debs/"
	rm -rf "$builder"
fi

chroot_new "$suite" "$dir"
cp "$debs"/muster_*.deb "$debs"/muster-face_*.deb tools/smoke.sh "$dir/srv/"
apt_in "$dir" 'curl jq'
# shellcheck disable=SC2016
chroot_run "$dir" sh -ec '
	cd /srv
	apt-get install -y -q --no-install-recommends ./muster_*.deb ./muster-face_*.deb >/tmp/apt.log 2>&1 || { tail -n 30 /tmp/apt.log; exit 1; }
	is() { [ "$2" = "$3" ] || { echo "FAILED $1: $2 instead of $3"; exit 1; }; echo "ok  $1"; }
	is "configuration" "$(stat -c %U:%G:%a /etc/muster/muster.env)" root:muster:640
	is "data directory" "$(stat -c %U:%G:%a /var/lib/muster)" muster:muster:700
	is "link to the configuration" "$(readlink /var/lib/muster/.env)" /etc/muster/muster.env
	is "four secrets of 256 bits, all different" "$(grep -Ec "^[A-Z_]+=[0-9a-f]{64}$" /etc/muster/muster.env) $(grep -Eo "[0-9a-f]{64}$" /etc/muster/muster.env | sort -u | wc -l)" "4 4"
	is "the unit starts this program" "$(sed -n "s/^ExecStart=//p" /lib/systemd/system/muster.service /usr/lib/systemd/system/muster.service 2>/dev/null | head -n 1)" "/usr/bin/muster serve"
	is "manual page" "$(zcat /usr/share/man/man8/muster.8.gz | grep -c "^.SS muster serve")" 1
	sha256sum /etc/muster/muster.env >/srv/before'
NET=own chroot_run "$dir" sh /srv/smoke.sh env -C /var/lib/muster setpriv --reuid=muster --regid=muster --clear-groups --

# Then as the machine would run it, under systemd with all that the unit shuts off.
# shellcheck disable=SC2016
if [ "${SYSTEMD:-1}" = 1 ]; then
	apt_in "$dir" 'systemd systemd-sysv dbus sudo'
	chroot_boot "$dir"
	boot_run sh -ec '
		is() { [ "$2" = "$3" ] || { echo "FAILED $1: $2 instead of $3"; systemctl status muster; journalctl -u muster -n 20; exit 1; }; echo "ok  $1"; }
		until_ready() { n=0; until muster health >/dev/null 2>&1; do n=$((n + 1)); [ "$n" -lt 300 ] || is "ready" no yes; sleep 0.1; done; }
		muster() { sudo -u muster env -C /var/lib/muster muster "$@"; }
		until_ready
		is "systemd started it at boot" "$(systemctl is-enabled muster) $(systemctl is-active muster)" "enabled active"
		is "as its user, sandboxed, without capabilities" "$(sed -n "s/^\(NoNewPrivs\|CapBnd\|Seccomp\):\t*//p" "/proc/$(systemctl show -P MainPID muster)/status" | tr "\n" " ")$(
			stat -c %U "/proc/$(systemctl show -P MainPID muster)")" "0000000000000000 1 2 muster"
		is "Landlock, as SANDBOX=required asks" "$(journalctl -t muster -o cat | jq -r "select(.event_type == \"sandbox.on\") | .landlock > 0" | tail -n 1)" true
		before=$(systemctl show -P MainPID muster)
		kill -KILL "$before"
		n=0
		until [ "$(systemctl show -P MainPID muster)" != "$before" ]; do n=$((n + 1)); [ "$n" -lt 600 ] || break; sleep 0.1; done
		until_ready
		is "systemd starts it again after a crash" "$([ "$(systemctl show -P MainPID muster)" != "$before" ] && systemctl is-active muster)" active
		systemctl restart muster
		until_ready
		is "a backup beside it" "$(test -s "$(muster backup)" && echo made)" made
		echo "PORT=none" >>/etc/muster/muster.env
		systemctl restart muster || true
		n=0
		until systemctl is-failed -q muster; do n=$((n + 1)); [ "$n" -lt 600 ] || break; sleep 0.1; done
		is "a wrong value is named in its status" "$(journalctl -u muster -o cat | grep -c "PORT" | grep -c "^[1-9]")" 1
		sed -i /^PORT=none/d /etc/muster/muster.env
		systemctl reset-failed muster
		systemctl start muster
		until_ready
		is "and mended it runs" "$(systemctl is-active muster)" active
		systemctl stop muster
		is "stopping leaves nothing" "$(find /proc -maxdepth 1 -user muster | wc -l)" 0'
	boot_end
fi
chroot_run "$dir" sh -ec '
	cd /srv
	echo "LOG_LEVEL=WARNING" >>/etc/muster/muster.env
	sha256sum /etc/muster/muster.env >/srv/before
	apt-get install -y -q --reinstall ./muster_*.deb >/tmp/apt.log 2>&1 || { tail -n 30 /tmp/apt.log; exit 1; }
	sha256sum --status -c /srv/before && echo "ok  installing again keeps configuration and secrets"
	cd /var/lib/muster && runuser -u muster -- muster admin list | grep -q chief@example.org && echo "ok  and the database"
	cd /srv
	apt-get remove -y -q muster muster-face >/tmp/apt.log 2>&1
	[ -e /var/lib/muster/muster.db ] && [ -e /etc/muster/muster.env ] && [ ! -e /usr/bin/muster ] && echo "ok  removing keeps data and configuration"
	apt-get purge -y -q muster muster-face >/tmp/apt.log 2>&1
	[ ! -e /var/lib/muster ] && [ ! -e /etc/muster ] && echo "ok  purging takes both"
	left=$(find / -xdev -iname "*muster*" ! -path "/proc/*" ! -path "/dev/*" ! -path "/srv/*" ! -path "/var/cache/*" ! -path "/var/log/*")
	[ -z "$left" ] || { echo "FAILED left behind: $left"; exit 1; }
	echo "ok  nothing is left"'
rm -rf "$dir"
echo "deb-test: $suite passed"
