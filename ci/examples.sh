#!/usr/bin/env bash
# Every example in every language prints what examples/expected/ says, and wordcount counts as tr, sort and uniq do, on
# awkward input: empty, huge and binary files, words across chunks, odd names, links, loops, FIFOs, unreadable entries.
. "$(dirname "$0")/lib.sh"
. examples/lib.sh

say "build"
build_examples

passed=0 failed=0
check() { # check WHAT EXPECTED ACTUAL: compares two files
    if cmp -s "$2" "$3"; then
        passed=$((passed + 1))
        echo "ok: $1"
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
        diff "$2" "$3" | cut -c -200 | head -n 20 || true
    fi
}

say "short examples"
out=$CARGO_TARGET_DIR/examples/out
rm -rf "$out"
mkdir -p "$out"
for expected in examples/expected/*.txt; do
    name=$(basename "$expected" .txt)
    for language in "${languages[@]}"; do
        example "$language" "$name"
        status=0
        timeout 60 "${program[@]}" >"$out/$language.$name" || status=$?
        [ "$status" -eq 0 ] || echo "exit status $status" >>"$out/$language.$name"
        check "$language $name" "$expected" "$out/$language.$name"
    done
done

say "wordcount on awkward input"
odd=$out/odd
mkdir -p "$odd/a/b/c" "$odd/no-entry"
printf 'last word without newline' >"$odd/a/end"
: >"$odd/a/empty"
printf '\0bin\377ary\0word\200' >"$odd/a/binary"
head -c 3000000 /dev/zero | tr '\0' 'Q' >"$odd/a/one-huge-word"
{ head -c 262141 /dev/zero | tr '\0' ' '; printf 'acrossTHEchunk the end'; } >"$odd/a/across"
printf 'Don'\''t stop, DON'\''T' >"$odd/a/b/-dash"
printf 'newline in the name' >"$odd/a/b/new
line"
printf 'deep' >"$odd/a/b/c/$(printf '\\ \t\377')"
printf 'secret' >"$odd/a/no-read"
printf 'hidden' >"$odd/no-entry/file"
ln -s . "$odd/a/loop"
ln -s end "$odd/a/link"
ln -s /nowhere "$odd/a/dangling"
mkfifo "$odd/a/fifo"
chmod 0 "$odd/a/no-read" "$odd/no-entry"
trap 'chmod -R u+rwX "$odd"' EXIT

# Root may read everything: then the unreadable entries are readable for all alike.
reference() {
    find -H "$@" -type f -exec sh -c 'for f; do cat -- "$f"; echo; done' sh {} + 2>/dev/null |
        LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr '[:upper:]' '[:lower:]' | LC_ALL=C sort | LC_ALL=C uniq -c |
        sed '/^ *[0-9]* $/d' | LC_ALL=C sort -k1,1nr -k2,2
}

roots=("$odd" "$odd/missing" "$odd/a/end" "$odd/a/link")
reference "${roots[@]}" >"$out/words" || true
for language in "${languages[@]}"; do
    example "$language" wordcount
    status=0
    timeout 60 "${program[@]}" --top 0 --readers 3 "${roots[@]}" >"$out/all" 2>"$out/errors.$language" || status=$?
    sed '/^[a-z]/,$d' "$out/all" >"$out/words.$language"
    { sed -n '/^[a-z]/,$p' "$out/all" | grep -v '^seconds'; echo "status $status"; } >"$out/summary.$language"
    LC_ALL=C sort -o "$out/errors.$language" "$out/errors.$language"
    check "$language: words and counts" "$out/words" "$out/words.$language"
    check "$language: summary as in rust" "$out/summary.rust" "$out/summary.$language"
    check "$language: reports as in rust" "$out/errors.rust" "$out/errors.$language"

    status=0
    timeout 60 "${program[@]}" --deadline 0 "${roots[@]}" >"$out/late" 2>/dev/null || status=$?
    { grep -v '^seconds' "$out/late"; echo "status $status"; } >"$out/late.$language"
    check "$language: a deadline in the past" "$out/late.rust" "$out/late.$language"

    status=0
    timeout 60 "${program[@]}" --top -1 >/dev/null 2>&1 || status=$?
    echo "$status" >"$out/usage.$language"
    check "$language: a bad argument" <(echo 2) "$out/usage.$language"
done

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
