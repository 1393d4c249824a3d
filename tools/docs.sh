#!/bin/sh
# Writes the generated documents below DIR, all from the program's own tables: docs.sh PROGRAM DIR
set -eu
prog=$1 dir=$2
mkdir -p "$dir/docs"
# An empty environment: what a machine has set must not end up in a document.
muster()
{
	env -i PATH="$PATH" "$prog" "$@"
}
write()
{
	out=$1
	shift
	muster "$@" >"$dir/$out.new"
	mv "$dir/$out.new" "$dir/$out"
}
write .env.example config --example
write docs/configuration.md config --docs
write docs/errors.md openapi --errors
# Laid out by line, so that a change of one route is a change of a few lines.
muster openapi | node -e 'process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0)), null, "\t") + "\n")' \
	>"$dir/docs/openapi.json.new"
mv "$dir/docs/openapi.json.new" "$dir/docs/openapi.json"
write schema.sql schema
