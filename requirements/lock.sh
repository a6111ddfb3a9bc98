#!/bin/sh
# Resolves the ranges of setup.cfg and of pyproject.toml's build-system: runtime.txt is what the container ships,
# dev.txt what tests run with, build.txt what builds the package, template.txt what checks the template of CloudFront. Extras stay in the pins ("coverage[toml]==7.1"): with a bare
# pin older versions of pip look up the newest release for the extra, and fail on its missing hash.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
[ -x "$uv" ] || { .venv/bin/pip install -q 'uv>=0.13,<0.14'; uv=.venv/bin/uv; }
export UV_CUSTOM_COMPILE_COMMAND="make lock"
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
    --extra fast --extra oidc --extra postgres --extra redis -o requirements/runtime.txt setup.cfg
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
    --extra dev -c requirements/runtime.txt -o requirements/dev.txt setup.cfg
.venv/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
        -c requirements/dev.txt -o requirements/build.txt -
# Apart from the others, because checkov pins an older SDK than the gateway uses.
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
    -o requirements/template.txt requirements/template.in
