#!/usr/bin/env bash
# Instruction counts of the inner loops against the checked-in ones, which a noisy machine does not disturb.
# usage: ci/bench-check.sh [--update]    --update writes benches/instructions.txt anew
. "$(dirname "$0")/lib.sh"

if ! have valgrind; then
    skip "instruction counts (valgrind is not installed)"
    exit
fi
say "instruction counts of the inner loops"
cargo build --release -q -p zokor-bench
python3 benches/check.py "$CARGO_TARGET_DIR/release/zokor-bench" "$@"
