#!/bin/sh
# An installed Muster, used once from signup to backup: smoke.sh WORDS…, which are put before `muster` to run it as its service
# does, with ENV=prod.  Wants curl and jq, and port 8000 for itself.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
api=http://127.0.0.1:8000 json='Content-Type: application/json'

step()
{
	echo "ok  $1"
}
fail()
{
	echo "FAILED $1"
	tail -n 20 "$scratch/log"
	exit 1
}
# ask NAME STATUS curl's arguments…: the body in $body
ask()
{
	name=$1 status=$2
	shift 2
	got=$(curl -s -o "$scratch/body" -w '%{http_code}' "$@") || fail "$name: no answer"
	body=$(cat "$scratch/body")
	[ "$got" = "$status" ] || fail "$name: $got instead of $status: $body"
	step "$name"
}
member()
{
	printf '%s' "$body" | jq -r "$1"
}

echo 'Rooms-and-Rows-42' | "$@" muster admin create --email chief@example.org --password-stdin >/dev/null
"$@" muster serve 2>"$scratch/log" &
server=$!
n=0
until "$@" muster health >/dev/null 2>&1; do # a condition, asked again until a deadline
	n=$((n + 1))
	[ "$n" -lt 300 ] || fail "the server is not ready"
	sleep 0.1
done
step "ready, by muster health"

ask "signup" 201 "$api/api/auth/signup" -H "$json" -d '{"email":"mai@example.org","password":"Lecture-Hall-17","full_name":"Mai Tran"}'
ask "login of the administrator" 200 "$api/api/auth/login" -d username=chief@example.org -d password=Rooms-and-Rows-42
admin="Authorization: Bearer $(member .access_token)"
ask "the request is listed" 200 "$api/api/admin/approval-requests?status=pending" -H "$admin"
request=$(member '.requests[0].id')
ask "approval" 200 "$api/api/admin/approval-requests/$request/decide" -H "$admin" -H "$json" -d '{"decision":"approved"}'
ask "login of the student" 200 "$api/api/auth/login" -d username=mai@example.org -d password=Lecture-Hall-17
student="Authorization: Bearer $(member .access_token)"
ask "event" 201 "$api/api/admin/events" -H "$admin" -H "$json" -d '{"title":"Graph neural networks","scheduled_at":"2030-01-07T18:00:00Z"}'
event=$(member .id)
ask "QR code" 201 "$api/api/admin/qr-sessions" -H "$admin" -H "$json" -d "{\"event_id\":\"$event\"}"
payload=$(member '{qr_payload}')
ask "mark" 201 "$api/api/attendance/mark" -H "$student" -H "$json" -d "$payload"
ask "the second mark is refused" 409 "$api/api/attendance/mark" -H "$student" -H "$json" -d "$payload"
ask "list" 200 "$api/api/admin/events/$event/attendance" -H "$admin"
[ "$(member '.records | length')" = 1 ] || fail "the list: $body"
ask "web app" 200 "$api/app/" -o /dev/null
"$@" muster doctor >"$scratch/doctor" || fail "doctor: $(cat "$scratch/doctor")"
step "doctor: $(tail -n 1 "$scratch/doctor")"
"$@" muster backup >/dev/null || fail "backup"
step "backup"
"$@" muster audit verify >/dev/null || fail "audit verify"
step "audit trail"
kill -TERM "$server"
wait "$server" || fail "the server ended with $?"
step "SIGTERM ends it in order"
