#!/bin/sh
# Runs unit test programs, each to its end, and adds up what they report (TAP): run-unit.sh NAME…
# UNIT_STAGE: what the run is counted as, when it is not the plain one.
# A program that is missing, crashes or reports no result is a failure; a skipped test is never a pass.
set -u
. tools/counts.sh
B=${B:-build}
stage=${UNIT_STAGE:-unit}
suffix=${UNIT_STAGE:+-pg}
passed=0 failed=0
# api_zz_coverage says which routes and errors no test of a whole run reached.
if [ $# -gt 1 ]; then
	MUSTER_COVERAGE=$PWD/$B/tests/coverage$suffix
	export MUSTER_COVERAGE
	: >"$MUSTER_COVERAGE"
fi
for name in "$@"; do
	prog=$B/tests/$name log=$B/tests/$name$suffix.log
	if [ ! -x "$prog" ]; then
		echo "FAILED $name: it does not build"
		failed=$((failed + 1))
		continue
	fi
	start=$(date +%s%N)
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "${UNIT_TIMEOUT:-300}" "$prog" >"$log" 2>&1 </dev/null
	status=$?
	ms=$((($(date +%s%N) - start) / 1000000))
	ok=$(grep -c '^ok ' "$log")
	bad=$(grep -c '^not ok ' "$log")
	skips=$(grep -ci '^ok .*# skip' "$log")
	ok=$((ok - skips)) bad=$((bad + skips))
	if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$ok" -eq 0 ]; }; then
		bad=1
	fi
	if [ "$bad" -gt 0 ]; then
		echo "FAILED $name: $ok passed, $bad failed, exit status $status, $ms ms; the end of $log:"
		tail -n 60 "$log" | sed 's/^/    /'
	else
		echo "ok     $name: $ok passed, $ms ms"
	fi
	passed=$((passed + ok)) failed=$((failed + bad))
done
count "$stage" "$passed" "$failed"
echo "$stage: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
