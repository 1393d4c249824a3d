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
	times="$times$(printf '%-18s %4d s' "$name" $(($(date +%s) - start)))
"
}

stage build $MAKE --no-print-directory -s -j"$jobs" all
stage unit $MAKE --no-print-directory -s -j"$jobs" unit
stage 'unit on postgresql' $MAKE --no-print-directory -s unit-pg
stage torture $MAKE --no-print-directory -s torture-short
stage e2e $MAKE --no-print-directory -s e2e
stage lint $MAKE --no-print-directory -s lint
stage docs $MAKE --no-print-directory -s docs-check

echo "== stages"
printf '%s' "$times"
awk '{ name = $0; sub(/ [0-9]+ [0-9]+$/, "", name); p[name] += $(NF - 1); f[name] += $NF; P += $(NF - 1); F += $NF
	if (!(name in seen)) { seen[name] = 1; order[++n] = name } }
	END { for (i = 1; i <= n; i++) printf "%-18s %d passed, %d failed\n", order[i], p[order[i]], f[order[i]]
	      printf "%d passed, %d failed\n", P, F; exit F > 0 || P == 0 }' "$COUNTS"
