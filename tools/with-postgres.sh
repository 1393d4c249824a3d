#!/bin/sh
# Runs a command beside a PostgreSQL server of its own: with-postgres.sh COMMAND…
# MUSTER_TEST_DATABASE_URL then leads to a database whose owner may make others.  The server goes with the command.
# PG_DEFAULTS=1 leaves it as durable as it is by default; PG_PRELOAD names a library for it to load first.
set -eu
initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
if [ -z "$initdb" ]; then
	echo "PostgreSQL's server programs are missing (Debian package postgresql)" >&2
	exit 1
fi
bin=${initdb%/initdb}
dir=$(mktemp -d "${TMPDIR:-/tmp}/muster-pg-XXXXXX")
as=
if [ "$(id -u)" -eq 0 ]; then # it refuses to run as root
	chown postgres "$dir"
	as="setpriv --reuid postgres --regid postgres --clear-groups"
fi
cd "$dir"
$as "$bin/initdb" -D "$dir/data" -U muster -A trust -E UTF8 --no-locale -N >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
fast='-c fsync=off -c full_page_writes=off -c autovacuum=off'
[ -z "${PG_DEFAULTS:-}" ] || fast=
# shellcheck disable=SC2086 # both are lists of words
$as ${PG_PRELOAD:+env LD_PRELOAD="$PG_PRELOAD"} "$bin/postgres" -D "$dir/data" -k "$dir" -h '' $fast -c max_connections=200 >"$dir/log" 2>&1 &
server=$!
trap 'kill -INT $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
MUSTER_TEST_DATABASE_URL="postgresql:///postgres?host=$dir&user=muster"
export MUSTER_TEST_DATABASE_URL
n=0
until "$bin/pg_isready" -q -h "$dir" -U muster; do
	n=$((n + 1))
	[ "$n" -lt 300 ] || { cat "$dir/log" >&2; exit 1; }
	sleep 0.1
done
cd "$OLDPWD"
status=0
"$@" || status=$?
exit "$status"
