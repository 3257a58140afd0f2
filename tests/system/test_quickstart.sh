#!/bin/bash
# SPDX-License-Identifier: MIT
# ./quickstart and ./check in a Debian 12 that has nothing but what a clone needs.
set -u
source_dir=${SOURCE_DIR:-$(realpath "$(dirname "$0")/../..")}
. "$source_dir/tests/system/container.sh"

obstacle=$(container_obstacle)
[[ -z $obstacle ]] || { echo "1..0 # SKIP $obstacle"; exit 0; }
git -C "$source_dir" rev-parse --git-dir >/dev/null 2>&1 || { echo "1..0 # SKIP not a git checkout"; exit 0; }

root=$(container_create bare ca-certificates git) || { echo "Bail out! no container root"; exit 1; }
trap 'rm -rf "$root"' EXIT

# What a clone of the working tree would hold.
mkdir "$root/root/dispatchd"
(cd "$source_dir" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf -) |
    tar -C "$root/root/dispatchd" --no-same-owner -xf -

# ok DESCRIPTION COMMAND...: one result, by the command's exit status.
results=0
ok()
{
    local description=$1 verdict="not ok"
    shift
    "$@" && verdict=ok
    echo "$verdict $((++results)) - $description"
}

# in_root COMMAND LOG: exit status of the command in the clone; what runs afterwards follows "left:" in the log.
in_root()
{
    container_run "$root" -- /bin/bash -c "cd /root/dispatchd || exit; $1; status=\$?"'
        echo left:
        for process in /proc/[0-9]*; do
            [[ ${process#/proc/} == 1 || ${process#/proc/} == $$ ]] && continue
            mapfile -d "" -t command <"$process/cmdline" && ((${#command[@]})) && echo "  ${command[*]}"
        done 2>/dev/null
        exit $status' >"$2" 2>&1
}
# The log without the list of processes; only the list.
output() { sed '/^left:$/,$d' "$1"; }
left() { sed '1,/^left:$/d' "$1"; }

log=$root/quickstart.log
started=$SECONDS
in_root ./quickstart "$log"
status=$?
output "$log" | sed 's/^/# /'
echo "# ./quickstart took $((SECONDS - started)) s, packages included"
ok "quickstart exits with 0" [ $status = 0 ]
ok "quickstart shows the table" grep -Eq '^request +before +attached +detached$' "$log"
ok "quickstart leaves no process behind" [ -z "$(left "$log")" ]
left "$log" | sed 's/^/# left: /'

log=$root/check.log
started=$SECONDS
in_root ./check "$log"
status=$?
output "$log" | tail -n 110 | sed 's/^/# /'
echo "# ./check took $((SECONDS - started)) s, packages included"
ok "check exits with 0" [ $status = 0 ]
output "$log" | grep -E '^build/[^ ]*\.log[:-]' | head -n 8 | sed 's/^/# /'
ok "check ends with its summary" grep -Eqx '[0-9]+ passed, 0 failed(, [0-9]+ skipped)?' <(output "$log" | tail -n 1)
ok "check leaves no process behind" [ -z "$(left "$log")" ]
left "$log" | sed 's/^/# left: /'
echo "1..$results"
