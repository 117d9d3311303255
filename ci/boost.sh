#!/usr/bin/env bash
# The Rust suite on the portable context switch of the `context` crate.
. "$(dirname "$0")/lib.sh"

say "suite, feature boost-context, 2 workers"
ZK_TEST_WORKERS=2 cargo test -p zokor --features boost-context --lib --tests --no-fail-fast
