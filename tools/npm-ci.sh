#!/bin/sh
# Installs what a package-lock.json names, once, however many builds ask at the same time: npm-ci.sh DIR/node_modules/STAMP
set -eu
stamp=$PWD/$1
cd "${stamp%/node_modules/*}"
exec 9<package-lock.json
flock 9
if [ -e "$stamp" ] && [ ! package-lock.json -nt "$stamp" ]; then
	exit 0
fi
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
touch "$stamp"
