#!/usr/bin/env bash
# The Python module: built with cargo, tested on every supported CPython that is installed, types checked, wheel built.
# What pip installs goes to .venv (the default python3) and below target/ (the others).
# usage: ci/python.sh [pytest options]
. "$(dirname "$0")/lib.sh"

say "build"
python/build.sh --release --locked
export PYTHONPATH=$PWD/python

# usable PYTHON: whether it starts and is a version the module is for.
usable() { have "$1" && "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; }

# environment PYTHON DIRECTORY PACKAGE...: a virtual environment with these packages, made once.
environment() {
    local python=$1 where=$2
    shift 2
    [ -x "$where/bin/python" ] || "$python" -m venv "$where" >/dev/null 2>&1 || return 1
    "$where/bin/python" -c "import pytest" 2>/dev/null && [ $# -le 1 ] && return 0
    "$where/bin/python" -m pip install -q --disable-pip-version-check "$@"
}

# interpreter VERSION: where it is, on PATH or below pyenv.
interpreter() {
    local python
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if usable "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

default=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
usable python3 || skip "tests on python3 (it is $default)"
for version in 3.11 3.12 3.13 3.14; do
    python=python3 where=$PWD/.venv
    if [ "$version" != "$default" ]; then
        python=$(interpreter "$version") || { skip "tests on CPython $version (not installed)"; continue; }
        where=$CARGO_TARGET_DIR/venv-$version
    fi
    say "tests on CPython $("$python" -c 'import platform; print(platform.python_version())')"
    if ! environment "$python" "$where" pytest; then
        skip "tests on CPython $version (no virtual environment with pytest: python3-venv or the package index is missing)"
        continue
    fi
    "$where/bin/python" -m pytest -q -p no:cacheprovider -c python/pyproject.toml python/tests "$@"
done

say "types"
if [ -x .venv/bin/python ] && environment python3 .venv pytest mypy basedpyright; then
    .venv/bin/python -m mypy --config-file python/pyproject.toml --strict python/tests
    .venv/bin/python -m mypy --config-file python/pyproject.toml --strict examples/python/*.py
    .venv/bin/basedpyright --project python/pyproject.toml python/tests/typing_checks.py
    (cd python && ../.venv/bin/python -m mypy.stubtest zokor --allowlist tests/stubtest.txt)
else
    skip "types (mypy and basedpyright cannot be installed)"
fi

say "wheel"
if [ -x .venv/bin/python ] && environment python3 .venv pytest maturin; then
    ci/wheel.sh
else
    skip "wheel (maturin cannot be installed)"
fi
