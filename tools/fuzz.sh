#!/bin/sh
# `make fuzz`: each target for FUZZ_SECONDS, one after another, beginning from the corpus in the repository; a table at the end, and a
# line for each run in $B/fuzz/runs: target, executions, CPU seconds, edges covered, inputs kept, failures.  fuzz.sh [TARGET…]
#
# What a run finds new stays in $B/fuzz/corpus, and an input that fails in $B/fuzz/failures; the latter is fixed, then kept under
# tests/data/fuzz/TARGET/regressions.  FUZZ_MERGE=1 minimises what was found into the repository's corpus instead of fuzzing.
set -u
B=${B:-build-fuzz}
program=$PWD/$B/tests/fuzz-targets
home=$B/fuzz
seeds=tests/data/fuzz
mkdir -p "$home/failures"
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_stack_use_after_return=1:strict_string_checks=1"
export UBSAN_OPTIONS=print_stacktrace=1

# Every name in the routes and their records, as libFuzzer's dictionary.
dictionary()
{
	grep -oE '"[A-Za-z_/{}.-]{2,60}"' docs/openapi.json | sort -u
}

run_target()
{
	mkdir -p "$home/corpus/$1"
	log=$home/$1.log
	before=$(ls "$home/failures" | grep -c "^$1-")
	times=$TMPDIR/times
	# A server that stays open between inputs keeps some of what each one allocated, and libFuzzer would look for a leak after each;
	# there, only the sanitizer does, once, at the end.
	case $1 in dispatch | http | provider | redirect) leaks=0 ;; *) leaks=1 ;; esac
	FUZZ_TARGET=$1 TIMEFORMAT='%U %S' bash -c 'time "$@" 2>"$0"' "$log" "$program" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 \
		-detect_leaks=$leaks -rss_limit_mb=3000 -print_final_stats=1 -dict="$home/names.dict" -artifact_prefix="$home/failures/$1-" \
		"$home/corpus/$1" "$seeds/$1" 2>"$times"
	status=$?
	after=$(ls "$home/failures" | grep -c "^$1-")
	awk -v target="$1" -v status="$status" -v cpu="$(awk 'END { printf "%.0f", $1 + $2 }' "$times")" -v new=$((after - before)) '
		/cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") kept = $(i + 1) } }
		/stat::number_of_executed_units/ { n = $2 }
		END { split(kept, k, "/"); bad = new ? new : status != 0
			printf "%s %d %d %d %d %d\n", target, n, cpu, cov, k[1], bad }' "$log" >>"$home/runs"
	[ "$status" -eq 0 ] || { echo "FAILED $1: see $log and $home/failures"; tail -n 40 "$log"; }
}

# At most 60 files of at most 4 KB in the repository: the smallest set that covers what all of them cover.
merge_target()
{
	merged=$TMPDIR/merged
	rm -rf "$merged"
	mkdir -p "$merged"
	FUZZ_TARGET=$1 "$program" -merge=1 -max_len=4096 "$merged" "$seeds/$1" "$home/corpus/$1" 2>"$home/$1.merge.log" ||
		echo "FAILED merge of $1: see $home/$1.merge.log"
	for name in $(ls -S -r "$merged" | head -n "${FUZZ_KEEP:-40}"); do
		cp "$merged/$name" "$seeds/$1/"
	done
}

[ -s "$home/names.dict" ] || dictionary >"$home/names.dict"
targets=${*:-$(FUZZ_TARGET=list "$program" 2>/dev/null)}
: >"$home/runs.new"
for target in $targets; do
	if [ "${FUZZ_MERGE:-}" ]; then
		merge_target "$target"
	else
		run_target "$target"
		tail -n 1 "$home/runs" >>"$home/runs.new"
	fi
done
[ "${FUZZ_MERGE:-}" ] && exit 0
awk 'BEGIN { printf "%-12s %12s %8s %8s %8s %8s\n", "target", "executions", "CPU s", "edges", "inputs", "failures" }
	{ printf "%-12s %12d %8d %8d %8d %8d\n", $1, $2, $3, $4, $5, $6; bad += $6 }
	END { exit bad > 0 || NR == 0 }' "$home/runs.new"
