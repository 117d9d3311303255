#!/usr/bin/env bash
# Everything that can be said about the sources without running them: house rules, layers, documents, header, format, lints, docs,
# the minimum Rust version. Goes on after a failure, and says at the end what failed.
. "$(dirname "$0")/lib.sh"

passed=0 failures=()
try() { # try WHAT COMMAND...
    say "$1"
    if "${@:2}"; then passed=$((passed + 1)); else failures+=("$1"); fi
}

try "house rules" cargo xtask lint --quiet
try "layers" cargo xtask layers
try "documents name what exists" cargo xtask docs
try "tests by rule" cargo xtask conformance
try "the checked-in header is what the sources give" cargo xtask header --check

if cargo fmt --version >/dev/null 2>&1; then
    try "format" cargo fmt --all -- --check
else
    skip "format (rustfmt is not installed)"
fi

if cargo clippy --version >/dev/null 2>&1; then
    try "clippy" cargo clippy --workspace --lib --bins --examples -- -D warnings
    try "clippy, all features" cargo clippy -p zokor --lib --all-features -- -D warnings
    # Tests may be written as clearly as they like: what they check is often the odd way of saying it.
    try "clippy, tests" cargo clippy --workspace --tests --benches -- -D warnings -A clippy::style -A clippy::complexity
else
    skip "clippy (not installed)"
fi

doc() { RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p zokor "$@"; }
try "documentation" doc
try "documentation of the inside" doc --features faults --document-private-items

# A toolchain may also stand below target/, where nothing of the user's is touched.
msrv=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
msrv_home="" msrv_toolchain=""
for home in "${RUSTUP_HOME:-$HOME/.rustup}" "$CARGO_TARGET_DIR/rustup"; do
    found=$(have rustup && RUSTUP_HOME=$home rustup toolchain list 2>/dev/null | sed -n "s/^\(${msrv}[^ ]*\).*/\1/p" | head -n 1) || true
    [ -z "$found" ] || msrv_home=$home msrv_toolchain=$found
done
with_msrv() { RUSTUP_HOME=$msrv_home CARGO_TARGET_DIR="$CARGO_TARGET_DIR/msrv" cargo "+$msrv_toolchain" check -p zokor -p zokor-capi; }
if [ -n "$msrv_home" ]; then
    try "minimum Rust version $msrv" with_msrv
else
    skip "build with Rust $msrv (RUSTUP_HOME=target/rustup rustup toolchain install $msrv --profile minimal)"
fi

if cargo deny --version >/dev/null 2>&1; then
    try "licences and sources of dependencies" cargo deny --offline check bans licenses sources
else
    skip "cargo deny (not installed)"
fi

try "the benchmark suite's own tests" python3 -B -m unittest discover -q -s benches

for script in ci/*.sh examples/*.sh benches/*.sh .ci/run; do
    bash -n "$script" || failures+=("$script")
done
if have shellcheck; then
    try "shell scripts" shellcheck -x -e SC1091 ci/*.sh examples/*.sh benches/*.sh .ci/run
else
    skip "shellcheck (not installed)"
fi

for what in "${failures[@]}"; do printf 'FAILED: %s\n' "$what"; done
printf '\n%d passed, %d failed\n' "$passed" "${#failures[@]}"
[ "${#failures[@]}" -eq 0 ]
