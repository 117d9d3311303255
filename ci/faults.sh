#!/usr/bin/env bash
# The suite with the fault hook: the n-th mmap, clone, futex or poll call fails, and a clear error must come out.
. "$(dirname "$0")/lib.sh"

say "suite, feature faults, 2 workers"
ZK_TEST_WORKERS=2 cargo test -p zokor --features faults --lib --tests --no-fail-fast
