#!/bin/sh
# Makes the virtual environment with the locked packages: make-venv.sh PYTHON FOLDER
set -eu
python=$1 venv=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "image-gateway needs Python 3.11 or newer; choose one: make PYTHON=python3.12" >&2
    exit 1
}
if [ ! -x "$venv/bin/pip" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 || "$python" requirements/venv_without_ensurepip.py "$venv"
fi
echo "installing packages into $venv (the first time takes a minute)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
