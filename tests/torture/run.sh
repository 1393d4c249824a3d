#!/bin/sh
# Runs torture programs and prints how often each point failed and what came of it: run.sh NAME…
# MUSTER_TORTURE_POINTS and MUSTER_TORTURE_EACH as in tests/torture/torture.c; TORTURE_STAGE: what the run is counted as.
set -u
. tools/counts.sh
B=${B:-build}
stage=${TORTURE_STAGE:-torture}
MUSTER_TORTURE=1
MUSTER_TORTURE_REPORT=$PWD/$B/torture/report
export MUSTER_TORTURE MUSTER_TORTURE_REPORT
# Thousands of states are read and written back: where there is a file system in memory, there.
[ -n "${TMPDIR:-}" ] || { [ -w /dev/shm ] && TMPDIR=/dev/shm && export TMPDIR; }
: >"$MUSTER_TORTURE_REPORT"
passed=0 failed=0
for name in "$@"; do
	prog=$B/torture/$name log=$B/torture/$name.log
	if [ ! -x "$prog" ]; then
		echo "FAILED $name: it does not build"
		failed=$((failed + 1))
		continue
	fi
	start=$(date +%s)
	# A test of its own breaker finds it open after replays that failed; it has nothing left that could fail.
	case $name in
	api_accounts_oauth) skip=a_provider_that_is_away_lets_nobody_in ;;
	identity_session_end) skip=undone_work_forgets_nothing ;; # looks into a cache that replays empty
	api_campus_face) skip=a_helper_that_fails_is_no_verdict ;;
	*) skip= ;;
	esac
	MUSTER_TORTURE_SKIP=$skip CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "${TORTURE_TIMEOUT:-1800}" "$prog" >"$log" 2>&1 </dev/null
	status=$?
	ok=$(grep -c '^ok ' "$log")
	bad=$(($(grep -c '^not ok ' "$log") + $(grep -c 'VIOLATION' "$log")))
	if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$ok" -eq 0 ]; }; then
		bad=1
	fi
	if [ "$bad" -gt 0 ]; then
		echo "FAILED $name: $bad, exit status $status; from $log:"
		grep -A 12 -E 'VIOLATION|^not ok|ERROR' "$log" | tail -n 60 | cut -c1-400 | sed 's/^/    /'
	else
		echo "ok     $name: $ok tests, $(($(date +%s) - start)) s"
	fi
	passed=$((passed + ok)) failed=$((failed + bad))
done
awk -F '\t' -v stage="$stage" '
	{ for (i = 2; i <= NF; i++) { n[$1, i] += $i; all[i] += $i } if (!($1 in seen)) { seen[$1] = 1; order[++names] = $1 } }
	function line(name, a, i) { printf "%-18s", name; for (i = 2; i <= 10; i++) printf " %11s", a[i]; print "" }
	END {
		split("x,failed,as clean,503,other error,unchanged,trace only,new state,not reached,VIOLATION", head, ",")
		line("point", head)
		for (k = 1; k <= names; k++) { for (i = 2; i <= 10; i++) row[i] = n[order[k], i] + 0; line(order[k], row) }
		for (i = 2; i <= 10; i++) all[i] += 0
		line(stage, all)
	}' "$MUSTER_TORTURE_REPORT"
count "$stage" "$passed" "$failed"
echo "$stage: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
