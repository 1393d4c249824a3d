#!/bin/sh
# Runs the steps of the Dockerfile in chroots, for machines without Docker, then uses what they made through tools/smoke.sh as
# `docker run --read-only --env-file` would: as the image's user, with its environment, nothing but the volume writable.
#
# Knows of the Dockerfile's language what this one uses, and stops at the rest.
set -eu
B=${B:-build}
. tools/chroot.sh
context=$chroots/context
rm -rf "$context"
mkdir -p "$context"
git ls-files -z | tar -c --null -T - | tar -x -C "$context"
# As .dockerignore has it; what git does not track is not here anyway.
grep -v '^#' .dockerignore | while read -r pattern; do
	case $pattern in '**/'*) find "$context" -name "${pattern#**/}" -prune -exec rm -rf {} + ;; *) (cd "$context" && eval "rm -rf ./$pattern") ;; esac
done

dir= workdir=/ env= user= volume= stop= health= entrypoint= cmd=

copy()
{
	from=$context
	case $1 in --from=*) from=$chroots/image-${1#--from=} && shift ;; esac
	for last in "$@"; do :; done
	case $last in /*) to=$dir$last ;; *) to=$dir$workdir/$last ;; esac
	while [ $# -gt 1 ]; do
		if [ -d "$from/$1" ]; then
			mkdir -p "$to" && cp -a "$from/$1/." "$to"
		else
			case $last in */) mkdir -p "$to" ;; esac
			cp -a "$from/$1" "$to"
		fi
		shift
	done
}

words() # of a JSON array
{
	printf '%s' "$1" | jq -r 'join(" ")'
}

step()
{
	rest=$2
	echo "image: $1 $(printf '%s' "$rest" | cut -c 1-100)" >&2
	case $1 in
	FROM)
		# shellcheck disable=SC2086
		set -- $rest
		suite=${1#debian:}
		dir=$chroots/image-${3:-final} workdir=/ env= user= volume=
		chroot_new "${suite%-slim}" "$dir"
		;;
	WORKDIR) workdir=$rest && mkdir -p "$dir$workdir" ;;
	ENV) env="$env $rest" ;;
	# shellcheck disable=SC2086
	COPY) set -f && copy $rest && set +f ;;
	# shellcheck disable=SC2016,SC2086
	RUN) chroot_run "$dir" env $env sh -c 'cd "$1" && exec /bin/sh -c "$2"' sh "$workdir" "$rest" >"$chroots/image.log" 2>&1 || {
		tail -n 30 "$chroots/image.log" >&2
		return 1
	} ;;
	USER) user=$rest ;;
	VOLUME) volume=$rest ;;
	STOPSIGNAL) stop=$rest ;;
	HEALTHCHECK) health=$(words "${rest#*CMD }") ;;
	ENTRYPOINT) entrypoint=$(words "$rest") ;;
	CMD) cmd=$(words "$rest") ;;
	EXPOSE) ;;
	*) echo "image-test: does not know $1" >&2 && return 1 ;;
	esac
}

sed -e '/^[ \t]*#/d' -e '/^$/d' -e ':a' -e '/\\$/{N;s/\\\n[ \t]*/ /;ba}' Dockerfile >"$chroots/steps"
while read -r instruction rest <&3; do
	step "$instruction" "$rest"
done 3<"$chroots/steps"

[ "$user $stop" = "muster SIGTERM" ] && [ "$entrypoint $cmd" = "muster serve" ] && [ "$health" = "muster health" ] ||
	{ echo "FAILED user, signal, command or health check: $user $stop $entrypoint $cmd $health"; exit 1; }
if ldd "$dir/usr/bin/muster" >/dev/null && chroot_run "$dir" sh -c 'ldd /usr/bin/muster /usr/bin/muster-face' | grep 'not found'; then
	echo "FAILED [image] in tools/packages.txt lacks a library"
	exit 1
fi
echo "image: $(du -sm --exclude=proc --exclude=dev "$dir" | cut -f 1) MB unpacked"

envfile="ENV=prod"
for name in SECRET_KEY QR_SIGNING_SECRET TOKEN_PEPPER MFA_ENCRYPTION_KEY; do
	envfile="$envfile $name=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')"
done
# shellcheck disable=SC2016,SC2086
unshare --mount --pid --fork --kill-child --net sh -ec '
	dir=$1 volume=$2 workdir=$3 user=$4
	shift 4
	ip link set lo up
	cp -a "$dir$volume" "$dir.volume"
	mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir"
	mount -t proc proc "$dir/proc" && mount --rbind /dev "$dir/dev" && mount --make-rslave "$dir/dev"
	mount --bind "$dir.volume" "$dir$volume"
	if chroot "$dir" touch /probe 2>/dev/null; then echo "FAILED the root is writable"; exit 1; fi
	sh tools/smoke.sh chroot --userspec="$user:$user" "$dir" env -i -C "$workdir" PATH=/usr/bin:/bin "$@"' \
	sh "$dir" "$volume" "$workdir" "$user" $env $envfile
rm -rf "$dir" "$dir.volume" "$chroots/image-build" "$context"
echo "image-test: passed"
