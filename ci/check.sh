#!/usr/bin/env bash
# Everything that can be said about the sources without running them: format, lints, docs, layers, header, minimum Rust version.
. "$(dirname "$0")/lib.sh"

say "house rules"
cargo xtask lint --quiet
say "layers"
cargo xtask layers
say "documents name what exists"
cargo xtask docs
cargo xtask conformance
say "the checked-in header is what the sources give"
cargo xtask header --check

say "format"
if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all -- --check
else
    skip "format (rustfmt is not installed)"
fi

say "clippy"
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p zokor --all-targets --all-features -- -D warnings
else
    skip "clippy (not installed)"
fi

say "documentation"
RUSTDOCFLAGS="-D warnings -D missing_docs" cargo doc --no-deps -p zokor
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p zokor --features faults --document-private-items

say "minimum Rust version"
msrv=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
msrv_home=""
for home in "${RUSTUP_HOME:-$HOME/.rustup}" "$CARGO_TARGET_DIR/rustup"; do
    if have rustup && RUSTUP_HOME=$home rustup toolchain list 2>/dev/null | grep -q "^$msrv"; then msrv_home=$home; fi
done
if [ -n "$msrv_home" ]; then
    RUSTUP_HOME=$msrv_home CARGO_TARGET_DIR="$CARGO_TARGET_DIR/msrv" cargo "+$msrv" check -p zokor -p zokor-capi
else
    skip "build with Rust $msrv (RUSTUP_HOME=target/rustup rustup toolchain install $msrv --profile minimal)"
fi

say "licences and sources of dependencies"
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --offline check bans licenses sources
else
    skip "cargo deny (not installed)"
fi

say "shell scripts"
for script in ci/*.sh .ci/run; do
    bash -n "$script"
done
if have shellcheck; then
    shellcheck -x -e SC1091 ci/*.sh .ci/run
else
    skip "shellcheck (not installed)"
fi
