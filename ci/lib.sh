# shellcheck shell=bash
# Shared by the scripts in ci/; sourced, not run. Leaves the shell in the root of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Build results and temporary files stay inside the tree unless the caller says otherwise.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export TMPDIR="$CARGO_TARGET_DIR/tmp"
mkdir -p "$TMPDIR"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

# say WHAT: a heading for the next step.
say() { printf '\n== %s\n' "$*"; }

# skip WHAT: says that something was left out, and why.
skip() { printf 'skipped: %s\n' "$*"; }

# have COMMAND: whether it is installed.
have() { command -v "$1" >/dev/null 2>&1; }
