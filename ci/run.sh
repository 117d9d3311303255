#!/usr/bin/env bash
# Runs the given concerns one after the other (default: all that belong to every push), keeps each one's output below
# target/ci, and ends with one table and the line "N passed, N failed". Exits non-zero when anything failed.
# usage: ci/run.sh [concern]...    a concern is the name of a script in ci/ without .sh
. "$(dirname "$0")/lib.sh"

concerns=("$@")
[ ${#concerns[@]} -gt 0 ] || concerns=(check test loom boost faults capi python examples aarch64 macos bench-check)
logs=$CARGO_TARGET_DIR/ci
mkdir -p "$logs"
# A run that builds each thing once has no use for what incremental builds keep, which is gigabytes.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

# Adds up the totals that test runners print: cargo's "test result:" lines, pytest's last line, and our own scripts' "N passed, N failed".
count() {
    awk -v word="$1" '
        /^test result: / || /^[0-9]+ passed, [0-9]+ failed/ || /^=* ?[0-9]+ (passed|failed).* in [0-9.]+s/ {
            for (i = 2; i <= NF; i++) { w = $i; gsub(/[;,.]/, "", w); if (w == word) sum += $(i - 1) }
        }
        END { print sum + 0 }' "$2"
}

passed=0 failed=0 table=""
for concern in "${concerns[@]}"; do
    log=$logs/$concern.log
    start=$SECONDS status=0
    printf '\n######## %s\n' "$concern"
    "ci/$concern.sh" 2>&1 | tee "$log" || status=$?
    p=$(count passed "$log") f=$(count failed "$log")
    # A step that is no test run fails without a count, and one that passes counts as one check.
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ "$status" -eq 0 ] && [ "$p" -eq 0 ]; then p=1; fi
    passed=$((passed + p)) failed=$((failed + f))
    [ "$status" -eq 0 ] && verdict=ok || verdict=FAILED
    table+=$(printf '%-10s %-7s %6d passed %5d failed %5d s %4d skipped' "$concern" "$verdict" "$p" "$f" \
        $((SECONDS - start)) "$(grep -c '^skipped: ' "$log" || true)")$'\n'
done

printf '\n%s\n' "$table"
for concern in "${concerns[@]}"; do
    grep -h '^skipped: ' "$logs/$concern.log" | sed "s/^/$concern: /" || true
done
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
