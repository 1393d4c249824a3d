#!/bin/sh
# Prints the migrations of a folder (NNNN_name.up.sql with NNNN_name.down.sql) as C text: const struct migration migrations[].
# usage: embed-sql.sh DIR
set -eu
export LC_ALL=C

dir=${1:?usage: embed-sql.sh DIR}

fail() {
	echo "embed-sql: $1" >&2
	exit 1
}

# One C string literal a line; an octal escape is always three digits long, so no digit that follows can join it.
quote() {
	awk '{
		gsub(/\\/, "\\134"); gsub(/"/, "\\042"); gsub(/\?/, "\\077"); gsub(/\t/, "\\011"); gsub(/\r/, "\\015")
		print "\t\t\"" $0 "\\012\""
	} END { if (NR == 0) print "\t\t\"\"" }' "$1"
}

echo '#include "store/migrate.h"'
echo
echo 'const struct migration migrations[] = {'
last=
for up in "$dir"/*.up.sql; do
	[ -e "$up" ] || break
	base=${up##*/}
	base=${base%.up.sql}
	echo "$base" | grep -Eq '^[0-9]{4}_[a-z0-9_]+$' || fail "$up: a name is NNNN_name.up.sql"
	number=${base%%_*}
	[ "$number" != 0000 ] || fail "$up: numbers begin with 0001"
	[ "$number" != "$last" ] || fail "$up: the number $number is there twice"
	[ -e "$dir/$base.down.sql" ] || fail "$dir/$base.down.sql is missing"
	last=$number
	printf '\t{%d, "%s",\n' "$(echo "$number" | sed 's/^0*//')" "${base#*_}"
	quote "$up"
	printf '\t\t,\n'
	quote "$dir/$base.down.sql"
	printf '\t},\n'
done
for down in "$dir"/*.down.sql; do
	[ -e "$down" ] || break
	[ -e "${down%.down.sql}.up.sql" ] || fail "${down%.down.sql}.up.sql is missing"
done
printf '\t{0, NULL, NULL, NULL},\n};\n'
