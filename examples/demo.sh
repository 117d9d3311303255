#!/usr/bin/env bash
# The tour: builds everything, counts words with the same program in four languages, checks them against each other and
# against tr, sort and uniq over the same files, parks a million goroutines, and ends with one table.
# usage: examples/demo.sh [PATH...]    default: the documentation that every Debian machine has
. "$(dirname "$0")/../ci/lib.sh"
. examples/lib.sh

work=$CARGO_TARGET_DIR/demo
rm -rf "$work"
mkdir -p "$work"
failed=0

say "build"
build_examples
started=$SECONDS

# ---- the text -------------------------------------------------------------------

limit=$((300 * 1000 * 1000))

bytes_below() { find -H "$@" -type f -printf '%s\n' 2>/dev/null | awk '{ s += $1 } END { printf "%.0f\n", s }'; }

# Debian's licences and package documentation; as much of the latter as fits into two minutes; elsewhere, this tree.
choose_text() {
    if [ ! -d /usr/share/common-licenses ] || [ ! -d /usr/share/doc ]; then
        roots=(core capi python docs)
        return
    fi
    roots=(/usr/share/common-licenses /usr/share/doc)
    [ "$(bytes_below "${roots[@]}")" -gt "$limit" ] || return 0
    echo "(/usr/share/doc is large: some of it is left out)"
    local sum=0 dir
    roots=(/usr/share/common-licenses)
    for dir in /usr/share/doc/*/; do
        sum=$((sum + $(bytes_below "${dir%/}")))
        [ "$sum" -le "$limit" ] || break
        [ -L "${dir%/}" ] || roots+=("${dir%/}")
    done
}

say "text"
if [ $# -gt 0 ]; then roots=("$@"); else choose_text; fi
printf '%s bytes in %s files below %s\n' "$(bytes_below "${roots[@]}")" \
    "$(find -H "${roots[@]}" -type f -printf . 2>/dev/null | wc -c)" "${roots[0]} and $((${#roots[@]} - 1)) more"

# ---- wordcount --------------------------------------------------------------------

measured() { # measured NAME OUTPUT COMMAND...
    local name=$1 output=$2
    shift 2
    python3 examples/measure.py "$work/table" "$name" "$@" >"$output"
}

# The newline after each file keeps its last word apart from the next file's first.
cat >"$work/pipeline.sh" <<'END'
export LC_ALL=C
find -H "$@" -type f -exec sh -c 'for f; do cat -- "$f"; echo; done' sh {} + |
    tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' | sort | uniq -c | sed '/^ *[0-9]* $/d' | sort -k1,1nr -k2,2
END

say "wordcount in four languages"
measured pipeline "$work/expected" bash "$work/pipeline.sh" "${roots[@]}" || true # cat reports what it cannot read
for language in "${languages[@]}"; do
    example "$language" wordcount
    status=0
    measured "$language" "$work/$language.all" "${program[@]}" --top 0 "${roots[@]}" || status=$?
    # 1: some files could not be read, which it has reported. The pipeline's cat has as well.
    [ "$status" -le 1 ] || failed=1
    sed '/^[a-z]/,$d' "$work/$language.all" >"$work/$language.words"
    sed -n '/^[a-z]/,$p' "$work/$language.all" | grep -v '^seconds' >"$work/$language.summary"
done
head -n 20 "$work/rust.words"
cat "$work/rust.summary"

agree() { # agree WHAT FILE FILE
    if cmp -s "$2" "$3"; then
        echo "same $1"
    else
        echo "DIFFERENT $1: $2 $3"
        failed=1
    fi
}
echo
for language in "${languages[@]}"; do
    agree "words and counts: $language, tr | sort | uniq -c" "$work/$language.words" "$work/expected"
    agree "summary:          $language, rust" "$work/$language.summary" "$work/rust.summary"
done

say "wordcount with a deadline that comes too early"
for language in "${languages[@]}"; do
    example "$language" wordcount
    status=0
    "${program[@]}" --deadline 0.05 --top 1 "${roots[@]}" >"$work/late" || status=$?
    printf '%-8s exit status %d, %s\n' "$language" "$status" "$(grep -E '^(files|seconds)' "$work/late" | tr -s ' \n' ' ')"
    [ "$status" -eq 3 ] || [ "$status" -eq 0 ] || failed=1
done

# ---- a million goroutines ------------------------------------------------------------

available=$(awk '$1 == "MemAvailable:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)
million=1000000
if [ "$available" -lt $((million * 6000)) ]; then
    million=$((available / 6000 / 1000 * 1000))
    echo "(fewer goroutines: a million need 6 GB, this machine has $((available / 1000000)) MB to spare)"
fi
for language in rust c; do
    say "a million goroutines, $language"
    example "$language" million
    measured "million-$language" "$work/million.$language" "${program[@]}" "$million" || failed=1
    cat "$work/million.$language"
done

say "table"
printf '%-14s %10s %12s\n' program seconds 'peak MB'
while read -r name seconds peak status; do
    printf '%-14s %10s %12s%s\n' "$name" "$seconds" "$peak" "$([ "$status" -le 1 ] || echo "  FAILED ($status)")"
done <"$work/table"
printf '\nran %d s after the build\n' $((SECONDS - started))
if [ "$failed" -ne 0 ]; then
    echo "something is wrong, see above" >&2
    exit 1
fi
echo "all agree"
