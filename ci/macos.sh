#!/usr/bin/env bash
# Compiles the engine for macOS, which needs std for it (`rustup target add aarch64-apple-darwin x86_64-apple-darwin`)
# but no Mac and no linker. Nothing is run.
. "$(dirname "$0")/lib.sh"

for target in aarch64-apple-darwin x86_64-apple-darwin; do
    say "engine for $target"
    if compgen -G "$(rustc --print target-libdir --target $target)/libstd-*" >/dev/null; then
        cargo build -p zokor --lib --target $target
    else
        skip "$target (rustup target add $target)"
    fi
done
