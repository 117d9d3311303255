#!/usr/bin/env bash
# The Rust suite on 1, 2 and 8 workers, in debug and optimised builds, with the documentation's examples.
# usage: ci/test.sh [quick]    quick: debug only, 2 workers
. "$(dirname "$0")/lib.sh"

if [ "${1:-}" = quick ]; then
    say "suite, debug, 2 workers"
    ZK_TEST_WORKERS=2 cargo test --workspace --exclude zokor-python --lib --bins --tests --no-fail-fast
    exit
fi

say "examples in the documentation"
cargo test -p zokor --doc

for workers in 1 2 8; do
    say "suite, debug, $workers workers"
    ZK_TEST_WORKERS=$workers cargo test --workspace --exclude zokor-python --lib --bins --tests --no-fail-fast
done
for workers in 1 2 8; do
    say "suite, optimised, $workers workers"
    ZK_TEST_WORKERS=$workers cargo test -p zokor --profile test-release --lib --tests --no-fail-fast
done
