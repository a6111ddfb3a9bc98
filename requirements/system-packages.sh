#!/bin/sh
# Installs what the tests need of the system on Debian and Ubuntu: system-packages.sh COMMAND=PACKAGE ...
# In place of a command, the path of a file can be given.
# Without the right to do so it prints the one line that does, and leaves what needs them out; CI may not.
set -eu
PATH=$PATH:/usr/sbin:/usr/local/sbin
missing=
for pair; do
    [ -f "${pair%%=*}" ] || command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
done
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root='sudo -n'
    # shellcheck disable=SC2086  # words on purpose
    if $as_root true 2>/dev/null; then
        echo "installing$missing"
        export DEBIAN_FRONTEND=noninteractive
        { $as_root apt-get install -qq -y --no-install-recommends $missing ||
            { $as_root apt-get update -qq && $as_root apt-get install -qq -y --no-install-recommends $missing; }; } >/dev/null && exit 0
    fi
fi
echo "not installed, so what needs them is left out; to run all tests: sudo apt-get install$missing" >&2
[ -z "${CI:-}" ] || exit 1
