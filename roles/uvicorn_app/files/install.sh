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

# A lock file of uv is only read by uv. Otherwise uv is used where the host has it, since it is faster.
uv=
if [ "$installer" != pip ] || [ "$needs" = uv.lock ]; then uv=$(command -v uv || true); fi

# What Python would put into a virtual environment by itself: its pip, which build commands may ask for, and before 3.12 its setuptools.
# Python takes some 3 seconds for that, uv a tenth of one. Where uv can't, Python does it.
wheels=
if [ -n "$uv" ]; then
    wheels=$("$python" - 2>/dev/null <<'END'
import ensurepip, glob, os, sys, sysconfig

folder = sysconfig.get_config_var("WHEEL_PKG_DIR") or "/usr/share/python-wheels"
if not glob.glob(folder + "/pip-*.whl"):
    folder = os.path.dirname(ensurepip.__file__) + "/_bundled"
for name in ["pip"] + ["setuptools"] * (sys.version_info < (3, 12)):
    print(*glob.glob("%s/%s-*.whl" % (folder, name)))
END
    ) || wheels=
fi
# shellcheck disable=SC2086
if [ -z "$wheels" ] || ! {
    "$python" -m venv --without-pip "$VIRTUAL_ENV" &&
        "$uv" pip install --offline --no-deps $wheels &&
        "$VIRTUAL_ENV/bin/pip" --version
} >/dev/null 2>&1; then
    "$python" -m venv --clear "$VIRTUAL_ENV"
fi

if [ -z "$uv" ] && { [ "$installer" = uv ] || [ "$needs" = uv.lock ]; }; then
    "$VIRTUAL_ENV/bin/pip" install --quiet uv
    uv=$VIRTUAL_ENV/bin/uv
fi

case "$needs" in
uv.lock) "$uv" sync --quiet --frozen --no-dev --inexact ;;
pyproject.toml) set -- . ;;
*) set -- --requirement "$needs" ;;
esac
if [ "$needs" != uv.lock ]; then
    if [ -n "$uv" ]; then "$uv" pip install --quiet "$@"; else "$VIRTUAL_ENV/bin/pip" install --quiet "$@"; fi
fi
