#!/bin/sh
# Resolves the ranges of setup.cfg: runtime.txt is what the container ships, dev.txt what tests run with.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
[ -x "$uv" ] || { .venv/bin/pip install -q 'uv>=0.13,<0.14'; uv=.venv/bin/uv; }
export UV_CUSTOM_COMPILE_COMMAND="make lock"
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --extra fast --extra oidc --extra postgres --extra redis -o requirements/runtime.txt setup.cfg
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --extra dev -c requirements/runtime.txt -o requirements/dev.txt setup.cfg
