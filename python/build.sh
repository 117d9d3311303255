#!/bin/sh
# Builds the extension module with cargo alone and puts it beside zokor/__init__.py, where `import zokor` finds it with
# this directory on PYTHONPATH. Usage: python/build.sh [cargo options, e.g. --release]
set -eu
cd "$(dirname "$0")"
cargo build -p zokor-python "$@"
profile=debug
for option in "$@"; do
    [ "$option" = --release ] && profile=release
done
target=${CARGO_TARGET_DIR:-../target}
case $(uname -s) in
    Darwin) built=$target/$profile/lib_zokor.dylib ;;
    *) built=$target/$profile/lib_zokor.so ;;
esac
# A new file, not the old one overwritten: a running program keeps the one it has mapped.
cp "$built" zokor/_zokor.abi3.so.new
mv zokor/_zokor.abi3.so.new zokor/_zokor.abi3.so
