#!/bin/sh
# Runs the end-to-end tests against the real binary, two files at a time (they mostly wait): run-e2e.sh DIR|FILE…
set -u
. tools/counts.sh
B=${B:-build}
if [ -d "$1" ]; then
	set -- "$1"/*.test.js
fi
tap=$B/tests/e2e.tap
mkdir -p "$B/tests"
MUSTER=${MUSTER:-$PWD/$B/muster} node --test --test-concurrency=2 --test-reporter=spec --test-reporter-destination=stdout \
	--test-reporter=tap --test-reporter-destination="$tap" "$@" </dev/null
status=$?
passed=$(sed -n 's/^# pass //p' "$tap")
total=$(sed -n 's/^# tests //p' "$tap")
passed=${passed:-0}
failed=$((${total:-0} - passed)) # failed, cancelled, skipped, todo: none of them is a pass
if [ "$failed" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$passed" -eq 0 ]; }; then
	failed=1
fi
count e2e "$passed" "$failed"
echo "e2e: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
