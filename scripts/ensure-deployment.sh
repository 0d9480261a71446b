#!/bin/sh
# The tests of docs/deployment.md run what it gives away. Install Debian's programs when they are missing and we may; fail
# loudly otherwise.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=""
command -v nginx >/dev/null || missing="nginx"
command -v caddy >/dev/null || missing="$missing caddy"
command -v sqlite3 >/dev/null || missing="$missing sqlite3"
command -v openssl >/dev/null || missing="$missing openssl"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"
else
    echo "The tests of the deployment need more programs: sudo apt-get install $missing" >&2
    exit 1
fi
$sudo apt-get update -q
$sudo apt-get install -q -y --no-install-recommends $missing

# Debian starts these as services, and nobody asked for that here.
for service in nginx caddy postgresql; do
    case $missing in *$service*) [ ! -d /run/systemd/system ] || $sudo systemctl disable --now "$service" ;; esac
done
