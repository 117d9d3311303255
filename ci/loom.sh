#!/usr/bin/env bash
# Model tests: the lock-free pieces under loom, which runs every interleaving of their threads up to a bound on
# preemptions. Each model sets a bound that takes seconds; LOOM_MAX_PREEMPTIONS=4 ci/loom.sh looks further.
# Arguments go to the test binary: ci/loom.sh loom_queue runs one module's models.
. "$(dirname "$0")/lib.sh"

export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
# Everything is built anew for this cfg; keep it out of the way of ordinary builds, and quick to link.
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/loom"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false

cargo test -p zokor --lib --release "${@:-loom_}"
