#!/bin/sh
# `make test`: every stage, whatever the one before said; the time of each; at the end one line "N passed, N failed".
set -u
B=${B:-build} MAKE=${MAKE:-make}
COUNTS=$PWD/$B/tests/counts
export B COUNTS
mkdir -p "$B/tests"
: >"$COUNTS"
times=
jobs=$(nproc 2>/dev/null || echo 2)

stage()
{
	name=$1
	shift
	echo "== $name"
	start=$(date +%s)
	before=$(wc -l <"$COUNTS")
	"$@"
	status=$?
	if [ "$status" -ne 0 ] && [ "$(wc -l <"$COUNTS")" -eq "$before" ]; then
		echo "$name 0 1" >>"$COUNTS" # it broke before it could count
	fi
	times="$times$(printf '%-8s %4d s' "$name" $(($(date +%s) - start)))
"
}

stage build $MAKE --no-print-directory -s -j"$jobs" all
stage unit $MAKE --no-print-directory -s -j"$jobs" unit
stage e2e $MAKE --no-print-directory -s e2e
stage lint $MAKE --no-print-directory -s lint
stage docs $MAKE --no-print-directory -s docs-check

echo "== stages"
printf '%s' "$times"
awk '{ p[$1] += $2; f[$1] += $3; P += $2; F += $3; if (!($1 in seen)) { seen[$1] = 1; order[++n] = $1 } }
	END { for (i = 1; i <= n; i++) printf "%-8s %d passed, %d failed\n", order[i], p[order[i]], f[order[i]]
	      printf "%d passed, %d failed\n", P, F; exit F > 0 || P == 0 }' "$COUNTS"
