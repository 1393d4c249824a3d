# Sourced by the test runners: count STAGE PASSED FAILED appends to the file that COUNTS names, if it is set.
count()
{
	if [ -n "${COUNTS:-}" ]; then
		echo "$1 $2 $3" >>"$COUNTS"
	fi
}
