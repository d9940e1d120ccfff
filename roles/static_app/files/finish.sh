#!/bin/sh
# After the build of a front end:  sh -s FOLDER LIST LIVE_FOLDER LIVE_LIST
# FOLDER is what is to be served, LIVE_FOLDER what is served now; LIST and LIVE_LIST name the files that the build of each wrote.
set -eu
folder=$1 list=$2 live_folder=$3 live_list=$4

(cd "$folder" && find . -type f) >"$list"

# A page that was loaded before the switch asks for its scripts after it: files of the live release whose names hold a digest stay
# for one more release. (What that one had kept itself is not in its list.)
if [ -f "$live_list" ]; then
    grep -E '/(assets|_next/static|static/(css|js|media)|_app/immutable|_nuxt|_astro)/(.*/)?[^/]*[.-][A-Za-z0-9_-]{8,}\.[a-z0-9]+$' "$live_list" |
        while IFS= read -r path; do
            if [ ! -e "$folder/$path" ] && [ -f "$live_folder/$path" ]; then
                mkdir -p "$(dirname "$folder/$path")"
                cp -p "$live_folder/$path" "$folder/$path"
            fi
        done
fi

# Beside each text that gains from it a .gz, which nginx serves in its place (gzip_static): compressed as well as can be, and once.
find "$folder" -type f -size +1k \( -name '*.css' -o -name '*.html' -o -name '*.js' -o -name '*.json' -o -name '*.map' \
    -o -name '*.mjs' -o -name '*.svg' -o -name '*.txt' -o -name '*.wasm' -o -name '*.webmanifest' -o -name '*.xml' \) \
    -exec gzip --best --keep --force --no-name {} +
