#!/usr/bin/env bash
# Instruction counts of the inner loops against the checked-in ones, which a noisy machine does not disturb.
# usage: ci/bench-check.sh [--update]    --update writes benches/instructions.txt anew
. "$(dirname "$0")/lib.sh"

if ! have valgrind; then
    skip "instruction counts (valgrind is not installed)"
    exit
fi
say "instruction counts of the inner loops"
python3 -B benches/check.py "$@"
