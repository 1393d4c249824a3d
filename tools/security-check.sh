#!/bin/sh
# Every test that docs/security.md names as a proof is there: `FILE: NAME, NAME` in tests/unit, and files of tests/e2e.
set -u
bad=$(tr '\n' ' ' <docs/security.md | tr -s ' ' | grep -oE '`[a-z0-9_]+: [A-Za-z0-9_, ]+`' | tr -d '`' | while IFS=: read -r file names; do
	echo "$names" | tr ',' '\n' | sed 's/^ *//' | while read -r name; do
		grep -qE "^$name\(void \*\*state\)|\"$name\"" "tests/unit/$file.c" 2>/dev/null || echo "    $file: $name"
	done
done
grep -oE 'tests/e2e/[A-Za-z0-9.-]+' docs/security.md | sort -u | while read -r file; do
	[ -e "$file" ] || echo "    $file"
done)
[ -z "$bad" ] || { echo "docs/security.md names tests that are not there:" && echo "$bad"; exit 1; }
