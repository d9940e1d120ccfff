#!/bin/sh
# Make the release's virtual environment ($VIRTUAL_ENV) and install what the source in this folder asks for.
# Run by the user that builds the app:  sh -s PYTHON auto|uv|pip
set -eu
python=$1
installer=$2

if [ -f uv.lock ]; then needs=uv.lock
elif [ -f requirements.lock ]; then needs=requirements.lock
elif [ -f requirements.txt ]; then needs=requirements.txt
elif [ -f pyproject.toml ]; then needs=pyproject.toml
else
    echo "The source has none of uv.lock, requirements.lock, requirements.txt and pyproject.toml in $(pwd)." >&2
    echo "A right requirements.txt holds for example: fastapi and uvicorn[standard], each on its line with its version." >&2
    exit 1
fi

"$python" -m venv "$VIRTUAL_ENV"

# A lock file of uv is only read by uv. Otherwise uv is used where the host has it, since it is faster.
uv=$(command -v uv || true)
if [ "$installer" = uv ] || [ "$needs" = uv.lock ]; then
    [ -n "$uv" ] || { "$VIRTUAL_ENV/bin/pip" install --quiet uv && uv=$VIRTUAL_ENV/bin/uv; }
elif [ "$installer" = pip ]; then
    uv=
fi

case "$needs" in
uv.lock) "$uv" sync --quiet --frozen --no-dev --inexact ;;
pyproject.toml) set -- . ;;
*) set -- --requirement "$needs" ;;
esac
if [ "$needs" != uv.lock ]; then
    if [ -n "$uv" ]; then "$uv" pip install --quiet "$@"; else "$VIRTUAL_ENV/bin/pip" install --quiet "$@"; fi
fi
