#!/bin/sh
# Put a .gz beside each text in a folder that is large enough to gain from it:  sh -s FOLDER
# nginx serves it in the text's place to whoever takes gzip (gzip_static), compressed as well as can be, and once.
set -eu
find "$1" -type f -size +1k \( -name '*.css' -o -name '*.html' -o -name '*.js' -o -name '*.json' -o -name '*.map' -o -name '*.mjs' \
    -o -name '*.svg' -o -name '*.txt' -o -name '*.wasm' -o -name '*.webmanifest' -o -name '*.xml' \) -exec gzip --best --keep --force --no-name {} +
