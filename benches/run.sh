#!/usr/bin/env bash
# The benchmark suite: builds, measures, writes the table. `run.sh --help` lists the options; `run.sh --quick` takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/bench/venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
# What plots the results; without it the tables are still written.
"$venv/bin/python" -c 'import matplotlib' 2>/dev/null || "$venv/bin/pip" install -q matplotlib || true
exec "$venv/bin/python" benches/run.py "$@"
