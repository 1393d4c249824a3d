#!/bin/sh
# Includes point down only.  Ranks below; store, net and http share one and never include each other.
set -u
rank()
{
	case $1 in
	tables) echo 0 ;;
	core) echo 1 ;;
	store | net | http) echo 2 ;;
	audit) echo 3 ;;
	notify) echo 4 ;;
	identity) echo 5 ;;
	attendance) echo 6 ;;
	api) echo 7 ;;
	jobs) echo 8 ;;
	cli) echo 9 ;;
	esac
}
bad=0
for layer in core store net http audit notify identity attendance api jobs cli; do
	mine=$(rank $layer)
	for target in $(find "src/$layer" -name '*.[ch]' -exec sed -n 's|^[ \t]*#[ \t]*include "\([^"]*\)".*|{}=\1|p' {} \; 2>/dev/null); do
		file=${target%%=*} other=${target#*=}
		their=$(rank "${other%%/*}")
		if [ -z "$their" ]; then
			echo "$file: \"$other\" does not start at src/" && bad=1
		elif [ "${other%%/*}" != "$layer" ] && [ "$their" -ge "$mine" ]; then
			echo "$file: $layer may not include $other" && bad=1
		fi
	done
done
exit $bad
