#!/usr/bin/env bash
# The suite under ThreadSanitizer and AddressSanitizer, and the C and C++ tests under gcc's.
# usage: ci/san.sh [thread|address]...    default: both
# ZK_SAN_WORKERS="1 2 8": the worker counts. All of them run, and all suites, also after a failure.
#
# The standard library must be instrumented as well, or its locks are invisible to ThreadSanitizer. That needs its sources:
# they are taken from the toolchain in use, or from a private copy of the same toolchain that rustup installs below target/
# (about 300 MB, once). With neither, the prebuilt library is used; AddressSanitizer does not mind, ThreadSanitizer is
# then left out because every report would have to be doubted.
. "$(dirname "$0")/lib.sh"

host=$(rustc -vV | sed -n 's/^host: //p')
sanitizers=("$@")
[ ${#sanitizers[@]} -gt 0 ] || sanitizers=(thread address)
here=$PWD
workers_of_all=${ZK_SAN_WORKERS:-1 2 8}
failures=()

# With lines alone, functions of the standard library that are built here and inlined have no full names, by which dumps leave them out.
export CARGO_PROFILE_DEV_DEBUG=full

has_sources() { [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]; }

private_toolchain() {
    have rustup || return 1
    local version
    version=$(rustc -vV | sed -n 's/^release: //p')
    export RUSTUP_HOME="$CARGO_TARGET_DIR/rustup" RUSTUP_TOOLCHAIN="$version-$host"
    [ -d "$RUSTUP_HOME/toolchains/$RUSTUP_TOOLCHAIN/lib/rustlib/src" ] && return
    echo "installing $RUSTUP_TOOLCHAIN with its sources into $RUSTUP_HOME"
    rustup -q toolchain install "$RUSTUP_TOOLCHAIN" --profile minimal --component rust-src --no-self-update
}

if has_sources || { private_toolchain && has_sources; }; then
    build_std=(-Zbuild-std)
    mismatch=""
    echo "standard library: instrumented, from $(rustc --print sysroot)"
else
    build_std=()
    mismatch="-Cunsafe-allow-abi-mismatch=sanitizer"
    unset RUSTUP_HOME RUSTUP_TOOLCHAIN
    echo "standard library: prebuilt, not instrumented (no sources of it, and rustup cannot install them)"
fi

# Signals go to the runtime's own handlers, and an absurd capacity is an error as elsewhere.
ours="handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:allocator_may_return_null=1"

# left_out NAME: options of the test harness that leave out what ci/san.skip lists for a sanitizer: all tests with that text in their path.
left_out() { awk -v name="$1" '$1 == name { print "--skip", $2 }' ci/san.skip; }

# -rdynamic makes the sanitizer's fiber functions visible, so that the runtime finds them by name and announces its switches.
# --target keeps the flags away from build scripts and procedural macros. Doc tests cannot be built this way.
suite() {
    local name=$1 cfg=$2 skips
    read -ra skips <<<"$(left_out "$name" | tr '\n' ' ')"
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$name $mismatch -Clink-arg=-rdynamic --cfg $cfg"
    for workers in $workers_of_all; do
        say "suite, $name sanitizer, $workers workers"
        ZK_TEST_WORKERS=$workers CARGO_TARGET_DIR="$CARGO_TARGET_DIR/san-$name" \
            cargo test "${build_std[@]}" --target "$host" -p zokor --lib --tests --no-fail-fast -- "${skips[@]}" ||
            failures+=("suite, $name sanitizer, $workers workers")
    done
    unset RUSTC_BOOTSTRAP RUSTFLAGS
}

for name in "${sanitizers[@]}"; do
    case $name in
    thread)
        export TSAN_OPTIONS="$ours:halt_on_error=0:second_deadlock_stack=1:suppressions=$here/ci/tsan.supp${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
        if [ ${#build_std[@]} -gt 0 ]; then
            suite thread zk_tsan
        else
            skip "Rust suite under ThreadSanitizer (needs the sources of the standard library)"
        fi
        ;;
    address)
        export ASAN_OPTIONS="$ours:detect_stack_use_after_return=0:detect_leaks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
        export LSAN_OPTIONS="suppressions=$here/ci/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
        suite address zk_asan
        ;;
    *)
        echo "no such sanitizer: $name" >&2
        exit 2
        ;;
    esac
    say "C and C++ tests, $name sanitizer"
    ZK_TEST_WORKERS=$workers_of_all ZK_CAPI_SANITIZE=$name ci/capi.sh || failures+=("C and C++ tests, $name sanitizer")
done

for what in "${failures[@]}"; do printf 'FAILED: %s\n' "$what"; done
[ "${#failures[@]}" -eq 0 ]
