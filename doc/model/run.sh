#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh - check the models against the table runs.tsv; prints TAP.
#
#   run.sh [--quick] [--jobs N] [OUT]     all rows, or with --quick only those marked quick (under a minute)
#   run.sh --trail N                      the steps of row N's counterexample, which is a shortest one
#
# OUT keeps, per row, the verifier and its log (default: a temporary directory, removed at the end).  A row's outcome:
#   holds   the search is complete and found nothing
#   unsafe  an assertion is violated
#   stuck   a state from which nothing moves, though a process has not ended: a wait that lasts for ever
#   broken  none of these: the model does not compile, or the search ran out of depth, memory or state vector
# The exit status is 0 if each row's outcome is the expected one.  Needs spin and gcc.  The full table needs up to 6 GB
# with two jobs.

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
table=$here/runs.tsv

field() { sed -n "$1p" "$OUT/rows" | cut -f"$2"; }

# Build and run the verifier of row $1; leaves log, outcome and states in its folder.
search() {
    local dir=$OUT/$1 model defines expected options='-O1' depth=1000000
    model=$(field "$1" 2); expected=$(field "$1" 3); defines=$(field "$1" 5)
    mkdir -p "$dir" && cp "$here"/*.pml "$dir" && cd "$dir" || return
    # Breadth-first finds a shortest counterexample; depth-first needs less memory when there is none.
    [ "$expected" = holds ] || options='-O0 -DBFS'
    [ "$(field "$1" 1)" = quick ] || { options=${options/-O?/-O2}; depth=20000000; }
    # shellcheck disable=SC2086
    { spin -a $defines "$model.pml" &&
      gcc $options -w -DSAFETY -DCOLLAPSE -o pan pan.c &&
      ./pan -m$depth; } >log 2>&1
    outcome >outcome.tmp && mv outcome.tmp outcome
}

# Reads the log in the current folder.
outcome() {
    local found=broken
    if grep -q 'errors: 0$' log && grep -q 'State-vector' log &&
       ! grep -qE 'Search not completed|max search depth too small|out of memory|aborted' log; then
        found=holds
    elif grep -q '^pan:1: assertion violated' log; then
        found=unsafe
    elif grep -q '^pan:1: invalid end state' log; then
        found=stuck
    fi
    printf '%s\t%s\t%s\n' "$found" "$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' log | head -n1)" \
        "$(sed -n 's/^pan: elapsed time \([0-9.e+-]*\) seconds/\1/p' log)"
}

report() {
    local n=$1 found states seconds expected verdict=ok
    IFS=$'\t' read -r found states seconds <"$OUT/$n/outcome"
    expected=$(field "$n" 3)
    [ "$found" = "$expected" ] || { verdict='not ok'; unexpected=$((unexpected + 1)); }
    printf '%s %d - %s: %s [%s; %s states, %s s]\n' "$verdict" "$n" "$(field "$n" 2)" "$(field "$n" 4)" \
        "$found" "${states:-no}" "${seconds:-?}"
    if [ "$verdict" != ok ]; then
        printf '# expected %s with %s; the end of its log:\n' "$expected" "$(field "$n" 5)"
        tail -n 5 "$OUT/$n/log" | sed 's/^/#   /'
    fi
}

quick= jobs=2 trail= row=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --jobs) jobs=$2; shift ;;
    --trail) trail=$2; shift ;;
    --row) row=$2; shift ;;             # used by itself, for one row of $OUT/rows
    -*) sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) OUT=$1 ;;
    esac
    shift
done
if [ -n "$row" ]; then
    search "$row"
    exit
fi
for tool in spin gcc; do
    command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed (Debian: apt install spin gcc)"; exit 0; }
done

if [ -z "${OUT:-}" ]; then
    OUT=$(mktemp -d) || exit 2
    trap 'rm -rf "$OUT"' EXIT
else
    mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 2
    rm -f "$OUT"/[0-9]*/outcome
fi
export OUT
grep -v '^#' "$table" | { if [ -n "$quick" ]; then grep '^quick'; else cat; fi; } >"$OUT/rows"
rows=$(wc -l <"$OUT/rows")

if [ -n "$trail" ]; then
    search "$trail"
    cd "$OUT/$trail" || exit 2
    # shellcheck disable=SC2046
    spin -t -p $(field "$trail" 5) "$(field "$trail" 2).pml"
    exit
fi

unexpected=0
echo "1..$rows"
seq "$rows" | xargs -P "$jobs" -I @ROW@ "${BASH_SOURCE[0]}" --row @ROW@ "$OUT" &
pool=$!
# A background job of a script ignores the terminal's interrupt: end it, and what it started, ourselves.
trap 'kill $pool 2>/dev/null; pkill -P $pool 2>/dev/null; pkill -f -- "--row .* $OUT" 2>/dev/null; wait; exit 130' INT TERM
for n in $(seq "$rows"); do
    while [ ! -e "$OUT/$n/outcome" ] && kill -0 $pool 2>/dev/null; do sleep 0.1; done
    [ -e "$OUT/$n/outcome" ] || { mkdir -p "$OUT/$n"; echo broken >"$OUT/$n/outcome"; }
    report "$n"
done
wait $pool
trap - INT TERM
echo "# $((rows - unexpected)) of $rows runs as expected"
[ "$unexpected" = 0 ]
