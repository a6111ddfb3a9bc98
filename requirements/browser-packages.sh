#!/bin/sh
# Installs the locked packages of npm that lint and the tests in a browser need: browser-packages.sh FOLDER
# Where npm is missing or reaches no registry, what needs them is left out; CI may not.
set -eu
cd "$1"
if command -v npm >/dev/null 2>&1; then
    echo "installing packages of npm into $1/node_modules"
    if timeout 300 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null; then
        touch node_modules/.package-lock.json
        exit 0
    fi
fi
echo "the packages of npm in $1 are not installed, so the check of JavaScript and most tests in a browser are left out" >&2
[ -z "${CI:-}" ] || exit 1
