#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the runtime's machine code must not hold, as a disassembler sees it; and that this test would find it.
linked=$BUILD_DIR/jitcore/runtime/runtime.elf
[ -s "$linked" ] || { echo "Bail out! $linked is missing"; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What is forbidden, and a function in C that has it.  There may be one system call: sched_yield, of who waits for a lock.
forbidden=(
    'indirect branches|(jmp|call)[a-z]* +\*|long f(long (*g)(void)) { return g() + 1; }'
    'vector and floating-point registers|%([xyz]mm|st|mm)|double f(double a) { return a * a; }'
    'other system calls and traps|(syscall|sysenter|int +|ud2)|long f(long a) { __asm__("syscall" : "+a"(a)); return a; }'
    'memory of the thread (segments)|%[fg]s:|__thread int a; int f(void) { return a; }'
)

code() {
    objdump -d --no-show-raw-insn "$1" | grep -E '^ +[0-9a-f]+:' | sed 's/^ *[0-9a-f]*:[[:space:]]*//; s/[<#].*//'
}

# Without the instruction behind the one that loads the number of sched_yield.
code_but_yield() {
    code "$linked" | awk '!(yield && /^syscall/); { yield = /^mov +\$0x18,%eax/ }'
}

echo "1..$((${#forbidden[@]} + 2))"
number=0
check() { # ok or not ok, description
    number=$((number + 1))
    echo "$1 $number - $2"
}

for row in "${forbidden[@]}"; do
    IFS='|' read -r name _ <<< "$row"
    source=${row##*|}
    pattern=${row#*|}
    pattern=${pattern%|*}
    printf '%s\n' "$source" > "$scratch/f.c"
    ${CC:-cc} -O1 -c "$scratch/f.c" -o "$scratch/f.o"
    if found=$(code_but_yield | grep -E -- "$pattern"); then
        sed 's/^/# /' <<< "$found"
        check "not ok" "$name"
    elif ! code "$scratch/f.o" | grep -q -E -- "$pattern"; then
        code "$scratch/f.o" | sed 's/^/# not found in: /'
        check "not ok" "$name: the pattern does not find them"
    else
        check ok "$name"
    fi
done

[ "$(readelf -SW "$linked" | sed -n 's/.* \.runtime  *PROGBITS .* \([A-Z][A-Z]*\)  *0  *0 *[0-9]*$/\1/p')" = AX ]
check "$([ $? = 0 ] && echo ok || echo 'not ok')" "one section, which nobody writes to"
[ -z "$(readelf -rW "$linked" | grep R_X86_64)" ]
check "$([ $? = 0 ] && echo ok || echo 'not ok')" "no relocations"
