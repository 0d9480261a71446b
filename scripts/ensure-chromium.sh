#!/bin/sh
# The browser tests drive a real Chromium. Install Debian's when there is none and we may; fail loudly otherwise.
set -eu

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    [ -n "$name" ] && command -v "$name" >/dev/null && exit 0
done

if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"
else
    echo "The browser tests need Chromium: sudo apt-get install chromium (or set CHROMIUM to its path)." >&2
    exit 1
fi
$sudo apt-get update -q
$sudo apt-get install -q -y --no-install-recommends chromium fonts-noto-color-emoji
