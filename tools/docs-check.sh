#!/bin/sh
# Fails when a generated document in the repository is not what the program writes today: docs-check.sh PROGRAM
set -u
. tools/counts.sh
prog=$1
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
sh tools/docs.sh "$prog" "$fresh" || exit 1
passed=0 failed=0
for f in .env.example docs/configuration.md docs/errors.md docs/openapi.json schema.sql; do
	if diff -u "$f" "$fresh/$f" >"$fresh/diff" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED $f is stale; run \`make docs\`:"
		head -n 20 "$fresh/diff" | sed 's/^/    /'
	fi
done
count docs "$passed" "$failed"
echo "docs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
