#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compile the programs in real/ with each compiler that is there, for each processor that it knows, and for the host,
# and run them on the cases that their sources name.  (What a map is to the host's compiler there is none to say:
# programs with maps are run by the two other ways.)
set -u -o pipefail

here=$SOURCE_DIR/tests/programs
directory=$(mktemp -d) || exit
trap 'rm -rf "$directory"' EXIT

# Suffix, compiler, its options.  (The host's objects are not freestanding, but all else is the same source.)
variants="v1 $CLANG -mcpu=v1
v2 $CLANG -mcpu=v2
v3 $CLANG -mcpu=v3
16 clang-16 -mcpu=v3
19 clang-19 -mcpu=v4
native ${CC:-cc} -O2 -fPIC -shared"

# A missing compiler makes the test skip; a program that does not compile is a failure.
run() {
    local name=$1 suffix=$2 compiler=$3 object=$directory/$1.$2.o
    shift 3

    command -v "${compiler%% *}" >/dev/null || { echo "ok - $name $suffix # SKIP there is no $compiler"; return; }
    if [ "$suffix" = native ]; then
        object=$directory/$name.so
        set -- "$@" -I "$here/native"
    else
        # shellcheck disable=SC2086   # several words
        set -- $BPF_CFLAGS "$@" -c
    fi
    if $compiler "$@" "$here/real/$name.bpf.c" -o "$object" &&
        "$BUILD_DIR/tests/programs/run_program" "$here/real/$name.bpf.c" "$object"; then
        echo "ok - $name $suffix"
    else
        echo "not ok - $name $suffix"
    fi
}
export -f run
export here directory

for source in "$here"/real/*.bpf.c; do
    while read -r variant; do
        [[ $variant == native* ]] && grep -q 'SEC("\.maps")' "$source" && continue
        echo "$(basename "$source" .bpf.c) $variant"
    done <<<"$variants"
done >"$directory/list"
echo "1..$(wc -l <"$directory/list")"
# A program at a time and processor, each with its output in one piece.
xargs -P "$(nproc)" -d '\n' -I '{}' bash -c 'output=$(run {} 2>&1); echo "$output"' <"$directory/list"
