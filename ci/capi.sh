#!/usr/bin/env bash
# The C interface: the header under every compiler and standard at hand, the tests in C and C++ against the libraries, and an installed
# tree with programs built the way its users build them.
# usage: ci/capi.sh
# ZK_CAPI_SANITIZE=address|thread builds the test programs with that sanitizer of the compiler; header and installation are then left out.
. "$(dirname "$0")/lib.sh"

out=$CARGO_TARGET_DIR/capi${ZK_CAPI_SANITIZE:+-$ZK_CAPI_SANITIZE}
mkdir -p "$out"
warnings=(-Wall -Wextra -Wpedantic -Werror)
cc=${CC:-gcc}
cxx=${CXX:-g++}
passed=0 failed=0

# check NAME COMMAND...: counts one check.
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$name"
    fi
}

# compiles LANGUAGE COMPILER STANDARD FILE: whether the file compiles without a warning.
compiles() { "$2" -x "$1" -std="$3" "${warnings[@]}" -Iinclude -iquote capi/header -fsyntax-only "$4"; }

headers() {
    say "header"
    echo '#include <zokor.h>' >"$out/header.h"
    echo '#include <zokor.hpp>' >"$out/header.hpp"
    local compiler std fragment
    for compiler in gcc clang; do
        have $compiler || { skip "header under $compiler (not installed)"; continue; }
        for std in c99 c11 c17 c2x; do check "$compiler $std" compiles c $compiler $std "$out/header.h"; done
        # A fragment stands behind the prologue, as in the header.
        for fragment in capi/header/*.h; do
            fragment=$(basename "$fragment")
            printf '#include "prologue.h"\n#include "%s"\n#include "epilogue.h"\n' "$fragment" >"$out/fragment.h"
            case $fragment in prologue.h | epilogue.h) printf '#include "prologue.h"\n#include "epilogue.h"\n' >"$out/fragment.h" ;; esac
            check "$compiler $fragment" compiles c $compiler c99 "$out/fragment.h"
        done
    done
    for compiler in g++ clang++; do
        have $compiler || { skip "header and wrapper under $compiler (not installed)"; continue; }
        for std in c++11 c++17 c++20; do check "$compiler $std" compiles c++ $compiler $std "$out/header.h"; done
        for std in c++17 c++20; do check "$compiler $std wrapper" compiles c++ $compiler $std "$out/header.hpp"; done
    done
    check "header is what the sources give" cargo xtask header --check
}

# What the test programs are built with.
flags=(-g -O1 "${warnings[@]}" -Iinclude -pthread)
[ -z "${ZK_CAPI_SANITIZE:-}" ] || flags+=("-fsanitize=$ZK_CAPI_SANITIZE" -fno-omit-frame-pointer)

# program NAME LANGUAGE: builds a test.
program() {
    local source=capi/tests/$1.c libs=$release
    [ -f "$source" ] || source=capi/tests/$1.cpp
    [ "$1" != probe ] || libs=$debug
    case $2 in
    c) "$cc" -x c -std=c11 "${flags[@]}" "$source" -o "$out/$1-$2" "-L$libs" -lzokor ;;
    c++) "$cxx" -x c++ -std=c++17 "${flags[@]}" "$source" -o "$out/$1-$2" "-L$libs" -lzokor ;;
    esac
}

# tests LIBRARIES WORKERS PROGRAM...: runs test programs and adds up what they count.
tests() {
    local libs=$1 workers=$2 name log counts
    shift 2
    for name in "$@"; do
        log=$out/$name.log
        if ! ZT_WORKERS=$workers LD_LIBRARY_PATH=$libs timeout 120 "$out/$name" >"$log" 2>&1; then
            failed=$((failed + 1))
            printf 'FAILED: %s, %s workers, %s\n' "$name" "$workers" "$(basename "$libs")"
            head -c 20000 "$log"
        fi
        counts=$(sed -n 's/^\([0-9]*\) passed, [01] failed$/\1/p' "$log" | tail -n 1)
        passed=$((passed + ${counts:-0}))
    done
}

programs() {
    say "libraries"
    release=$(cargo xtask capi)
    debug=$(CARGO_TARGET_DIR=$CARGO_TARGET_DIR/probe cargo xtask capi --debug --probe)
    say "tests"
    local source name all=() probes=(probe-c probe-c++)
    for source in capi/tests/*.c capi/tests/*.cpp; do
        name=$(basename "${source%.*}")
        case $source in
        *.c) program "$name" c ;;
        esac
        program "$name" c++
        [ "$name" != probe ] || continue
        case $source in *.c) all+=("$name-c") ;; esac
        all+=("$name-c++")
    done
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=0:handle_segv=0:handle_abort=0:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
    # The report of a stack overflow allocates in its signal handler on purpose: it is the last thing the process does.
    export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}report_signal_unsafe=0:handle_segv=0:handle_abort=0:allocator_may_return_null=1:suppressions=$PWD/capi/tests/tsan.supp"
    local workers
    for workers in ${ZK_TEST_WORKERS:-1 2 8}; do
        tests "$release" "$workers" "${all[@]}"
        tests "$debug" "$workers" "${probes[@]}"
    done
    # Once with the debug library: lock ranks and assertions are checked there.
    tests "$debug" 2 "${all[@]}"
}

# consumer FILE COMMAND...: runs what a program prints against what it must print.
consumer() {
    local expected=capi/tests/consumer/$1.expected
    shift
    timeout 60 "$@" | diff - "$expected"
}

# build_consumer SOURCE OUTPUT FLAGS...
build_consumer() {
    local source=capi/tests/consumer/$1 output=$2
    shift 2
    case $source in
    *.cpp) "$cxx" -std=c++17 "${warnings[@]}" "$source" -o "$output" "$@" ;;
    *) "$cc" -std=c11 "${warnings[@]}" "$source" -o "$output" "$@" ;;
    esac
}

installation() {
    say "installation"
    local prefix=$out/prefix stage=$out/stage lib file
    rm -rf "$prefix" "$stage"
    cargo xtask install --prefix "$prefix"
    cargo xtask install --prefix /usr --destdir "$stage" --libdir lib64
    lib=$prefix/lib
    for file in include/zokor.h include/zokor.hpp lib/libzokor.so.0.1.0 lib/libzokor.so.0.1 lib/libzokor.so lib/libzokor.a \
        lib/pkgconfig/zokor.pc lib/cmake/zokor/zokorConfig.cmake lib/cmake/zokor/zokorConfigVersion.cmake; do
        check "$file is installed" test -e "$prefix/$file"
    done
    check "staged below the destdir" test -e "$stage/usr/lib64/libzokor.so"
    check "nothing speaks of the destdir" bash -c "! grep -rIl '$stage' '$stage/usr'"
    check "soname" bash -c "readelf -d '$lib/libzokor.so' | grep -q 'soname: \[libzokor.so.0.1\]'"
    check "wrong options are refused" bash -c "! cargo xtask install --prefix here 2>/dev/null"

    local needs
    needs=$(cargo rustc --quiet -p zokor-capi --target-dir "$CARGO_TARGET_DIR/probe" --crate-type staticlib -- --print native-static-libs 2>&1 |
        sed -n 's/^note: native-static-libs: //p')
    # Nothing is said when the library was not built anew.
    [ -z "$needs" ] || check "Libs.private" diff <(sed -n 's/^Libs.private: //p' "$lib/pkgconfig/zokor.pc" | tr ' ' '\n' | sort -u) \
        <(tr ' ' '\n' <<<"$needs" | sort -u)

    if have pkg-config; then
        export PKG_CONFIG_PATH=$lib/pkgconfig
        local static
        read -ra shared <<<"$(pkg-config --cflags --libs zokor)"
        read -ra static <<<"$(pkg-config --cflags zokor) $lib/libzokor.a $(pkg-config --static --libs-only-l zokor | sed 's/-lzokor//')"
        for file in fibonacci.c worker_pool.c deadlines.c defer.c fibonacci.cpp worker_pool.cpp deadlines.cpp; do
            check "$file builds" build_consumer "$file" "$out/consumer" "${shared[@]}"
            check "$file runs, shared" consumer "$file" env LD_LIBRARY_PATH="$lib" "$out/consumer"
            check "$file builds, static" build_consumer "$file" "$out/consumer-static" "${static[@]}"
            check "$file needs no shared library" bash -c "! ldd '$out/consumer-static' | grep -q zokor"
            check "$file runs, static" consumer "$file" "$out/consumer-static"
        done
        check "version" test "$(pkg-config --modversion zokor)" = "$(sed -n 's/^#define ZK_VERSION_STRING "\(.*\)"/\1/p' include/zokor.h)"
    else
        skip "consumers through pkg-config (not installed)"
    fi

    if have cmake; then
        rm -rf "$out/cmake"
        check "cmake configures" cmake -S capi/tests/consumer -B "$out/cmake" -DCMAKE_PREFIX_PATH="$prefix" --log-level=WARNING
        check "cmake builds" cmake --build "$out/cmake" --parallel 2 -- -s
        for file in fibonacci worker_pool deadlines; do
            check "$file.c through cmake" consumer "$file.c" "$out/cmake/${file}_c"
            check "$file.cpp through cmake" consumer "$file.cpp" "$out/cmake/${file}_cpp"
        done
    else
        skip "consumers through CMake (not installed)"
    fi
}

[ -n "${ZK_CAPI_SANITIZE:-}" ] || headers
programs
[ -n "${ZK_CAPI_SANITIZE:-}" ] || installation
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
