#!/bin/sh
# `make lint`: each check prints what it found; the last line counts them.
set -u
. tools/counts.sh
B=${B:-build} MAKE=${MAKE:-make}
passed=0 failed=0

check()
{
	what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED lint: $what"
	fi
}

# Prints and fails when a pattern occurs in the C sources; comments and texts do not count.
none_of()
{
	pattern=$1
	shift
	found=$(for f in "$@"; do
		sed -e 's|/\*.*\*/||' -e 's|//.*||' -e 's|"\([^"\\]\|\\.\)*"|""|g' -e '/^[ \t]*\*/d' -e '/^\/\*/d' "$f" |
			grep -nE "$pattern" | sed "s|^|$f: |"
	done)
	[ -z "$found" ] || { echo "$found"; return 1; }
}
banned()
{
	none_of '(^|[^A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|strtok|gmtime|localtime|atoi|atol|system|popen|rand|gets|alloca|goto)([ \t]*\(|[ \t]+[a-z_]+;)' \
		$(find src tests -name node_modules -prune -o -name '*.[ch]' -print)
}
# Texts are looked at too: the whole line counts.
machine_paths()
{
	! git ls-files -z | grep -zvE '^(web/package-lock\.json|tools/lint\.sh|LICENSE)$' |
		xargs -0 grep -InE '(^|[^A-Za-z0-9_.-])/(work|root|home)/' --
}
lock_file()
{
	! grep -nE '"resolved"|https?://[^"]*\.tgz' web/package-lock.json tests/e2e/lighthouse/package-lock.json
}
shell_syntax()
{
	bad=0
	for f in dev .ci/run tools/*.sh deploy/*.sh deploy/debian/*.post*; do
		sh -n "$f" || bad=1
	done
	return $bad
}
script_syntax()
{
	bad=0
	for f in $(git ls-files 'tools/*.js' 'tests/e2e/*.js' 'tests/chaos/*.js' 'bench/*.mjs' 'web/docs/*.js'); do
		node --check "$f" || bad=1
	done
	return $bad
}
# Every member of the house's one unit of work costs each function that takes it.
ctx_members()
{
	n=$(sed -n '/^struct ctx {/,/^}/p' src/core/ctx.h | grep -c ';$\|;[ \t]*/\*')
	[ "$n" -le 9 ] || { echo "struct ctx has $((n - 1)) members; eight is the ceiling"; return 1; }
}
# shellcheck disable=SC2046
sizes()
{
	awk -f tools/sizes.awk $(find src -name '*.[ch]')
}
# warnings_of COMPILER TARGET…
warnings_of()
{
	compiler=$1
	shift
	"$MAKE" --no-print-directory -s -k -j"$(nproc)" B="$B/lint-$compiler" CC="$compiler" WERROR=1 "$@"
}

check "includes point down only" sh tools/layers.sh
check "banned functions" banned
check "sizes" sizes
check "members of struct ctx" ctx_members
check "no machine's paths" machine_paths
check "lock file names no address" lock_file
check "tests named in docs/security.md" sh tools/security-check.sh
check "what is shipped in deploy/" node tools/deploy-check.js
check "shell syntax" shell_syntax
check "script syntax" script_syntax
check "no warning from gcc" warnings_of gcc lint-objs lint-test-objs
check "no warning from clang" warnings_of clang lint-objs

count lint "$passed" "$failed"
echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
