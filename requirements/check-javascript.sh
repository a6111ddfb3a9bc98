#!/bin/sh
# Checks the types of JavaScript in a browser and in its workers: check-javascript.sh FOLDER
# Where TypeScript or node is missing, this is left out; CI may not.
set -eu
tsc=tests/browser/node_modules/.bin/tsc
if command -v node >/dev/null 2>&1 && [ -x "$tsc" ]; then
    "$tsc" -p "$1/tsconfig.json"
    "$tsc" -p "$1/tsconfig.worker.json"
    exit 0
fi
echo "JavaScript is not checked, because TypeScript or node is missing; to install them: make system browser" >&2
[ -z "${CI:-}" ] || exit 1
