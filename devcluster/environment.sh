#!/bin/bash
# What do pods mount in place of a large image? $ENVIRONMENT/python, a copy of this machine's interpreter, and
# $ENVIRONMENT/venv, the locked packages and the project as a wheel. Each part is rebuilt when its key changes.
. "$(dirname "$0")/settings.sh"
unset PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

PYTHON=${PYTHON:-python3.11}
UV=${UV:-$(command -v uv || echo "$PROJECT/.venv/bin/uv")}
export UV_PYTHON_DOWNLOADS=never
LOCKS=(requirements/train.txt requirements/operator.txt)
KEYS=$ENVIRONMENT/keys
venv=$ENVIRONMENT/venv

is_current() { [ "$(cat "$KEYS/$1" 2>/dev/null)" = "$2" ]; }
# The key is written last: a part that was interrupted is built again. Others of the pod may read, and pass folders.
finish() { chmod -R a+rX "$3" && echo "$2" >"$KEYS/$1"; }

# A copy outside of home folders, which pods may not enter. The shared libpython is found beside the binary.
copy_interpreter() {
  local source interpreter=$ENVIRONMENT/python/bin/python3
  rm -rf "$ENVIRONMENT/python" "$venv" && mkdir -p "$ENVIRONMENT/python"
  source=$("$PYTHON" -c 'import sys; print(sys.base_prefix)')
  tar -C "$source" --exclude='site-packages/*' --exclude='*/test' --exclude='*/tests' -cf - bin include lib \
    | tar -C "$ENVIRONMENT/python" -xf -
  if readelf -d "$interpreter" | grep -q 'NEEDED.*libpython'; then
    # shellcheck disable=SC2016  # the loader expands it
    patchelf --set-rpath '$ORIGIN/../lib' "$(readlink -f "$interpreter")"
  fi
  env -i "$interpreter" -m compileall -q "$ENVIRONMENT/python/lib"
  env -i "$interpreter" -c "import ctypes, lzma, sqlite3, ssl, sys; assert sys.base_prefix == '$ENVIRONMENT/python', sys.base_prefix" \
    || fail "the copied interpreter $interpreter does not work; copied from $source"
}

install_packages() {
  local lock arguments=()
  for lock in "${LOCKS[@]}"; do arguments+=(-r "$PROJECT/$lock"); done
  rm -rf "$venv"
  "$UV" venv --quiet --python "$ENVIRONMENT/python/bin/python3" "$venv"
  "$UV" pip install --quiet --python "$venv/bin/python" --require-hashes "${arguments[@]}"
  # The checkout has most of it compiled; pods may not write, so what it has not is compiled here.
  local packages num_copied
  packages=$(site_packages "$venv/bin/python")
  num_copied=$("$PYTHON" "$DEVCLUSTER/copy_bytecode.py" "$(site_packages "$PYTHON")" "$packages")
  say "bytecode taken over: $num_copied files"
  env -i "$venv/bin/python" -m compileall -qq -j 0 "$packages" || say "not all is Python 3.11: some packages carry templates"
}

site_packages() { "$1" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'; }

# The wheel is built from a copy: setuptools leaves folders beside its sources. The lock files go where the checkout has
# them, relative to the packages: the code digest of a stage covers them, and must be the same here and there.
install_project() {
  local packages copy
  packages=$(site_packages "$venv/bin/python")
  copy=$(mktemp -d)
  (cd "$PROJECT" && project_files | xargs -d '\n' cp --parents -t "$copy")
  "$UV" build --quiet --wheel --no-build-isolation --python "$venv/bin/python" --out-dir "$copy/dist" "$copy"
  "$UV" pip install --quiet --python "$venv/bin/python" --no-deps --reinstall --compile-bytecode "$copy"/dist/*.whl
  rm -rf "$packages/requirements" && cp -r "$copy/requirements" "$packages/"
  [ "$(code_digest "$packages")" = "$(code_digest "$copy")" ] \
    || fail "the installed project has another code digest than the checkout; a data file may be missing from package-data in pyproject.toml"
  rm -rf "$copy"
}

project_files() { # relative to the checkout, the current folder
  find mimo_vl jobs operators -type f ! -name '*.pyc' | sort
  printf '%s\n' pyproject.toml README.md LICENSE requirements/*.txt
}

code_digest() {
  (cd / && "$venv/bin/python" -c "import pathlib, sys; from operators.mimo_pipeline.code_digest import code_digest; print(code_digest(pathlib.Path(sys.argv[1])))" "$1")
}

mkdir -p "$KEYS"
interpreter_key=$(key "$("$PYTHON" -c 'import sys; print(sys.base_prefix, sys.version)')" "$ENVIRONMENT" "$(declare -f copy_interpreter)")
packages_key=$(key "$interpreter_key" "$(cd "$PROJECT" && cat "${LOCKS[@]}")")
project_key=$(key "$packages_key" "$(cd "$PROJECT" && project_files | xargs -d '\n' sha256sum)" "$(declare -f install_project)")

# Plain `if`, not `||`: inside a list the functions would go on after an error.
if ! is_current interpreter "$interpreter_key"; then
  copy_interpreter
  finish interpreter "$interpreter_key" "$ENVIRONMENT/python"
  say "interpreter copied"
fi
if ! is_current packages "$packages_key"; then
  install_packages
  finish packages "$packages_key" "$venv"
  say "packages installed"
fi
if ! is_current project "$project_key"; then
  install_project
  finish project "$project_key" "$venv"
  say "project installed"
fi
say "$venv: $("$venv/bin/python" --version), code digest $(code_digest "$(site_packages "$venv/bin/python")")"
