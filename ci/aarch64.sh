#!/usr/bin/env bash
# The engine's unit tests and those of channels, compiled for aarch64 and run by QEMU's user emulation.
#
# Covered: the context switch, the first frame, backtraces, the word per thread, locks, queues, heaps; goroutines
# and channels on top of them. Not covered: stacks and overflow (the emulator has neither guard markers nor the kernel's view of memory) and
# whatever only a CPU with weak ordering shows, which an x86-64 host does not.
#
# On Debian 12:
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install qemu-user gcc-aarch64-linux-gnu rustc-web libstd-rust-web-dev:arm64
# or, instead of the last two, rustup target add aarch64-unknown-linux-gnu
. "$(dirname "$0")/lib.sh"

target=aarch64-unknown-linux-gnu

# A compiler whose std exists for the target.
compiler() {
    local rustc
    for rustc in "${RUSTC:-rustc}" /usr/bin/rustc; do
        if have "$rustc" && compgen -G "$("$rustc" --print target-libdir --target $target)/libstd-*" >/dev/null; then
            echo "$rustc"
            return
        fi
    done
    return 1
}

say "unit tests on aarch64"
if ! have qemu-aarch64 || ! have aarch64-linux-gnu-gcc; then
    skip "aarch64 (qemu-user and gcc-aarch64-linux-gnu are not installed)"
elif ! RUSTC=$(compiler); then
    skip "aarch64 (no std for $target; see the top of ci/aarch64.sh)"
else
    export RUSTC
    # Linked statically: older emulators cannot start threads through the dynamic loader.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-Ctarget-feature=+crt-static"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="timeout 300 qemu-aarch64"
    export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/aarch64"
    for profile in dev release; do
        cargo test --profile "$profile" --target $target -p zokor --lib -- \
            --test-threads=1 arch:: list:: queue:: heap:: inbox:: inject:: rng:: sys::
    done
    cargo test --release --target $target -p zokor --test 'channel_*'
fi
