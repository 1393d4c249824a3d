#!/bin/sh
# Builds the Debian packages of what git tracks into $B/deb and asks lintian: deb.sh VERSION
#
# DEB_SOURCE_ONLY=1 stops when the tree to build from is laid out, for those who build it elsewhere.
set -eu
B=${B:-build} version=$1
out=$PWD/$B/deb
tree=$out/muster-$version
rm -rf "$out"
mkdir -p "$tree"
git ls-files -z | tar -c --null -T - | tar -x -C "$tree"
# What npm installed is taken along, so that a package is built without the network.
if [ -e web/node_modules/.muster-stamp ]; then
	cp -a web/node_modules "$tree/web/"
fi
mv "$tree/deploy/debian" "$tree/debian"
cp deploy/muster.service "$tree/debian/muster.service"
cat >"$tree/debian/changelog" <<CHANGELOG
muster ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $(sed -n 's/^Maintainer: //p' deploy/debian/control)  $(date -u -R -d "@$(git log -1 --format=%ct)")
CHANGELOG
if [ -n "${DEB_SOURCE_ONLY:-}" ]; then
	exit 0
fi
log=$out/build.log
cd "$tree"
if ! dpkg-buildpackage -b -us -uc -j"$(nproc)" >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "deb: failed; the whole log is $log" >&2
	exit 1
fi
cd "$out"
rm -rf "$tree"
ls -l ./*.deb
lintian --fail-on error --tag-display-limit 0 ./*.changes
