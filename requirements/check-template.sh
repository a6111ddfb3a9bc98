#!/bin/sh
# Checks the template of CloudFront with cfn-lint and checkov: check-template.sh VENV FOLDER
# They have the virtual environment FOLDER of their own, because checkov pins an older SDK than the gateway uses.
set -eu
venv=$1 folder=$2 template=deploy/cloudfront/template.yaml locked=requirements/template.txt
if [ ! -e "$folder/.ready" ] || [ "$locked" -nt "$folder/.ready" ]; then
    echo "installing cfn-lint and checkov into $folder"
    rm -rf "$folder"
    "$venv/bin/uv" venv --quiet --python "$venv/bin/python" "$folder"
    "$venv/bin/uv" pip install --quiet --python "$folder/bin/python" --require-hashes -r "$locked"
    touch "$folder/.ready"
fi
"$folder/bin/cfn-lint" "$template" &
linting=$!
# It would load texts about its checks from its maker.
"$folder/bin/checkov" -f "$template" --framework cloudformation --compact --quiet --skip-download
wait "$linting"
