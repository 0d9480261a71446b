#!/bin/sh
# The tests of docs/deployment.md run the real nginx and Caddy. Install Debian's when they are missing and we may; fail
# loudly otherwise.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=""
command -v nginx >/dev/null || missing="nginx"
command -v caddy >/dev/null || missing="$missing caddy"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"
else
    echo "The tests of the deployment need nginx and Caddy: sudo apt-get install nginx caddy" >&2
    exit 1
fi
$sudo apt-get update -q
$sudo apt-get install -q -y --no-install-recommends $missing

# Debian starts them as services, and nobody asked for those here.
if [ -d /run/systemd/system ]; then $sudo systemctl disable --now $missing; fi
