# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Builds the tree out of the source and counts test results. To be sourced by bash after packages.sh, with the top of
# the source as working directory.

# tree_quietly LOG COMMAND...: output goes to the log; its end is shown if the command fails.
tree_quietly()
{
    local log=$1
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        echo "failed: $* (whole output: $log)" >&2
        return 1
    fi
}

# tree_build DIRECTORY CONFIGURE-OPTION...: configure the directory, then make all. Configures again when packages came
# or went, since configure leaves out what it finds no library for.
tree_build()
{
    local directory=$1 started=$SECONDS missing
    shift
    mkdir -p "$directory"
    if [[ ! -e configure ]]; then
        tree_quietly "$directory/autoreconf.log" autoreconf -fi || return
    fi
    missing=$(packages_missing build test)
    if [[ ! -e $directory/config.status || $(cat "$directory/missing-packages" 2>/dev/null) != "$missing" ]]; then
        (cd "$directory" && tree_quietly configure.log ../configure --quiet "$@") || return
        echo "$missing" >"$directory/missing-packages"
    fi
    tree_quietly "$directory/make.log" make -C "$directory" -j"$(nproc)" || return
    echo "Built in $directory/ in $((SECONDS - started)) s"
}

# tree_test DIRECTORY TARGET: run one of make's test targets and add what it says to $passed, $failed and $skipped.
# Counted is each single result that a test reported; a target that fails without one, or hangs, counts as a failure.
# What failed is also kept for tree_summary.
passed=0 failed=0 skipped=0 failures=()
tree_test()
{
    local directory=$1 target=$2 status=0 started=$SECONDS p f s
    find "$directory" -name '*.trs' -delete
    timeout --foreground -k 30 30m make -C "$directory" -j"$(nproc)" "$target" >"$directory/$target.log" 2>&1 </dev/null || status=$?
    read -r p f s < <(find "$directory" -name '*.trs' -exec cat {} + | awk '
        $1 == ":test-result:" { count[$2]++ }
        END { print count["PASS"] + 0, count["FAIL"] + count["XPASS"] + count["ERROR"], count["SKIP"] + count["XFAIL"] }')
    if ((p + f + s == 0 || (status && f == 0))); then
        f=$((f + 1))
        failures+=("$directory $target: $(tail -n 1 "$directory/$target.log")")
        tail -n 40 "$directory/$target.log"
    fi
    if ((f)); then
        mapfile -t -O ${#failures[@]} failures < <(grep -hE '^(FAIL|XPASS|ERROR): .*/' "$directory/$target.log" | sort -u |
            sed "s|^|$directory $target: |")
        find "$directory" -name '*.trs' -exec grep -l -E ':test-result: (FAIL|XPASS|ERROR)' {} + | sed 's/\.trs$/.log/' |
            xargs -r grep -H -E -B 4 -A 8 '^(not ok|Bail out!|ERROR)' | head -n 100
    fi
    echo "$directory $target: $p passed, $f failed, $s skipped ($((SECONDS - started)) s)"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# What failed, and the sum of all tree_test calls, as the last line that scripts and people look for. Status 1 if
# something failed.
tree_summary()
{
    ((failed == 0)) || printf '%s\n' "${failures[@]:0:50}"
    if ((skipped)); then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    ((failed == 0))
}
