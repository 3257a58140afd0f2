#!/bin/bash
# SPDX-License-Identifier: MIT
# limit.sh COMMAND...: run one test. If it has not ended after TEST_LIMIT seconds (600), say what each of its processes
# and threads was doing, kill them all, and end with TAP's "Bail out!". Processes are found by a mark in their
# environment, so those that left the test's session count too.
export DISPATCHD_TEST=$$
limit=${TEST_LIMIT:-600}

test_processes()
{
    grep -lsz "^DISPATCHD_TEST=$DISPATCHD_TEST\$" /proc/[0-9]*/environ | cut -d / -f 3
}

# One line a thread: its name, and its functions from the innermost out (without gdb: what the kernel says).
describe_process()
{
    local task
    echo "# $1: $(tr '\0' ' ' <"/proc/$1/cmdline" | cut -c 1-200)"
    if command -v gdb >/dev/null; then
        timeout -s KILL 30 gdb -p "$1" -batch -nx -ex "set debuginfod enabled off" -ex "thread apply all bt 24" 2>/dev/null </dev/null |
            awk '/^Thread/ { if (line) print line; line = "#   thread:" }
                /^#[0-9]/ { for (i = 2; i < NF; i++) if ($(i + 1) ~ /^\(/) { line = line " " $i; break } }
                END { if (line) print line }'
    else
        for task in "/proc/$1/task/"*; do
            echo "#   $(cat "$task/comm"): $(awk '{ print $3 }' "$task/stat") in $(cat "$task/wchan")"
        done
    fi
}

(
    sleeper=
    trap 'kill $sleeper; exit' TERM     # the test has ended
    sleep "$limit" >/dev/null &
    sleeper=$!
    wait "$sleeper"
    trap - TERM
    echo "Bail out! no end after $limit seconds"
    mapfile -t processes < <(test_processes)
    for process in "${processes[@]}"; do
        describe_process "$process"
    done
    kill -KILL "${processes[@]}"
) 2>/dev/null &
watch=$!
"$@"
status=$?
echo "# took $SECONDS s"
kill "$watch" 2>/dev/null
wait "$watch" 2>/dev/null
exit "$status"
