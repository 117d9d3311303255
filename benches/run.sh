#!/usr/bin/env bash
# The benchmark suite: builds, measures, writes the table. `run.sh --help` lists the options; `run.sh --quick` takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/bench/venv
python=$venv/bin/python
# Debian keeps what gives an environment its pip in a package of its own; the suite runs without, with the peers that need none.
[ -x "$python" ] || python3 -m venv --without-pip "$venv"
"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null 2>&1 ||
    echo "no pip in $venv (python3-venv is not installed): what it would install is left out" >&2
# What plots the results; without it the tables are still written.
"$python" -c 'import matplotlib' 2>/dev/null || "$python" -m pip install -q --retries 1 matplotlib || true
exec "$python" benches/run.py "$@"
