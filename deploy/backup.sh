#!/bin/sh
# A whole copy of the SQLite database, while the program runs; the last 14 are kept.
#   backup.sh /var/lib/localchat/localchat.sqlite3 /var/backups/localchat
set -eu
database=$1
folder=$2

umask 077
mkdir -p "$folder"
copy=$folder/localchat-$(date +%Y%m%d-%H%M%S).sqlite3
sqlite3 -readonly "$database" ".timeout 30000" "VACUUM INTO '$copy'"
[ "$(sqlite3 -readonly "$copy" "PRAGMA integrity_check")" = ok ]

find "$folder" -name 'localchat-*.sqlite3' | sort -r | tail -n +15 | while read -r old; do rm -- "$old"; done
