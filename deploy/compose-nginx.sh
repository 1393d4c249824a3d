#!/bin/sh
# Runs in nginx's container before nginx: deploy/nginx.conf with this network's names, printed to where nginx reads it.
set -eu
sed -e 's/server 127\.0\.0\.1:8000/server muster:8000/' \
	-e "s/attend\.example\.org;/$SERVER_NAME;/" \
	-e 's|ssl_certificate [^;]*|ssl_certificate /etc/muster/tls/fullchain.pem|' \
	-e 's|ssl_certificate_key [^;]*|ssl_certificate_key /etc/muster/tls/privkey.pem|' \
	"${1:-/etc/muster/nginx.conf}" >"${2:-/etc/nginx/conf.d/default.conf}"
