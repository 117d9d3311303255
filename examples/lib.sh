# shellcheck shell=bash
# Builds the examples and names their programs; sourced by demo.sh and ci/examples.sh, which source ci/lib.sh before.

examples_out=$CARGO_TARGET_DIR/examples
languages=(rust c)
if have "${CXX:-g++}"; then
    languages+=(cpp)
else
    skip "C++ examples (${CXX:-g++} is not installed)"
fi
if "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    languages+=(python)
else
    skip "Python examples (${PYTHON:-python3} is older than 3.11)"
fi

# build_examples: all languages, optimised. Python needs no package: the module is run from the build tree.
build_examples() {
    cargo build --release -p zokor --examples
    cargo build --release -p zokor-capi -p zokor-python
    local c_family language
    c_family=()
    for language in "${languages[@]}"; do
        case $language in c*) c_family+=("$language") ;; esac
    done
    make --no-print-directory -C examples "${c_family[@]}" BUILD="$CARGO_TARGET_DIR/release" OUT="$examples_out"
    mkdir -p "$examples_out/python/zokor"
    cp python/zokor/*.py "$examples_out/python/zokor/"
    cp "$CARGO_TARGET_DIR/release/lib_zokor.so" "$examples_out/python/zokor/_zokor.abi3.so"
}

# example LANGUAGE NAME: sets `program` to the command that runs it.
# shellcheck disable=SC2034 # for whoever sources this
example() {
    case $1 in
    rust) program=("$CARGO_TARGET_DIR/release/examples/$2") ;;
    python) program=(env "PYTHONPATH=$examples_out/python" "${PYTHON:-python3}" "examples/python/$2.py") ;;
    *) program=("$examples_out/$1/$2") ;;
    esac
}
