#!/bin/sh
# Runs a command whose programs were built with a sanitizer: with-sanitizer.sh COMMAND…  Every report is a file in $B/reports; one is
# enough to fail, whatever the command said.
set -u
B=${B:?}
reports=$PWD/$B/reports
rm -rf "$reports"
mkdir -p "$reports"
common="log_path=$reports/report"
# verify_asan_link_order: tests/chaos/clock.so is preloaded, and its calls go on to the sanitizer's.
export ASAN_OPTIONS="$common:detect_stack_use_after_return=1:strict_string_checks=1:verify_asan_link_order=0"
export UBSAN_OPTIONS="$common:print_stacktrace=1"
export TSAN_OPTIONS="$common:halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp"
export UNIT_TIMEOUT="${UNIT_TIMEOUT:-1800}"
# Older ThreadSanitizers do not know the wide address ranges of new kernels.
setarch -R true 2>/dev/null && set -- setarch -R "$@"
"$@"
status=$?
found=$(ls "$reports" | wc -l)
if [ "$found" -gt 0 ]; then
	echo "FAILED: $found reports in $reports; the beginning of each:"
	head -n 40 "$reports"/*
	exit 1
fi
exit "$status"
