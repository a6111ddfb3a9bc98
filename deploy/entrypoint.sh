#!/bin/sh
# The container's first process: `image-gateway` with the arguments given, the tables brought up to date before `serve`.
set -eu
if [ "${1:-}" = serve ]; then
    image-gateway db upgrade
fi
exec image-gateway "$@"
