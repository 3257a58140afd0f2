#!/bin/bash
# SPDX-License-Identifier: MIT
# dispatchd.h: compiles in C and C++ at every level without a warning, says no to fields that no program could have, and
# the compilers keep the order of the guard's steps.  Each check is shown to fail where it should.
set -u
source_dir=${SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
number=0 failed=0

result() { # what, status
    number=$((number + 1))
    [ "$2" -eq 0 ] && echo "ok $number - $1" && return
    echo "not ok $number - $1"
    failed=1
}

compile() { # compiler, language, standard, options... < source
    "$1" -x "$2" -std="$3" -Wall -Wextra -Werror -I"$headers" -I"$source_dir/client" -I"$source_dir/proto" "${@:4}" \
        -c -o "$directory/out.o" - 2> "$directory/errors"
}

headers=$source_dir/client
cat > "$directory/use.c" <<'END'
#include <dispatchd.h>
struct request { const void *data, *data_end; uint32_t method, status; uint64_t long_one; uint8_t byte; };
DD_TABLE(one_field, struct request, 3, DD_READ(byte))
DD_TABLE(all_kinds, struct request, 0, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status), DD_READ(long_one))
DD_TABLE_DECLARE(elsewhere, struct request)
#ifdef __cplusplus
extern "C" {
#endif
uint32_t checksum_plain(const void *data, size_t size);
void notify_plain(void);
uint32_t decide(struct request *request, uint32_t key);
#ifdef __cplusplus
}
#endif
DD_CALL_DECLARE(checksum, uint32_t(const void *, size_t))
DD_CALL(checksum, uint32_t(const void *, size_t), checksum_plain)
DD_CALL(notify, void(void), notify_plain)
DD_CALL_NULL(nothing, void(void))
DD_CALL_NULL(sort, void(void *, size_t, int (*compare)(const void *, const void *)))
DD_CALL_NULL(no_text, const char *(int, int, int, int, int, int, int, int, int, int, int, struct request *))
DD_CALL_DECLARE(nothing, void(void))
DD_CALL_DECLARE(far_away, const char *(unsigned long long number, struct request *request))
DD_NATIVE(checksum_plain, uint32_t(const void *data, size_t size))
DD_NATIVE_BLOCKING(decide, uint32_t(struct request *, uint32_t))
uint32_t use(uint32_t key, struct request *request);
uint32_t use(uint32_t key, struct request *request)
{
    uint32_t verdict = all_kinds(key, request) + one_field(key, request) + elsewhere(key, request);

    DD_INVOKE(notify);
    DD_INVOKE(nothing);
    DD_INVOKE(sort, request, 1, 0);
    verdict += DD_INVOKE(no_text, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, request) != 0;
    verdict += DD_INVOKE(checksum, request, sizeof(*request)) + DD_INVOKE(checksum, 0, DD_INVOKE(checksum, request, 1));
    verdict += DD_INVOKE(far_away, 7, request) != 0;

    DD_GUARDED {
        if (key == 7)
            return verdict;
        verdict += all_kinds(key, request);
        DD_GUARDED {
            verdict += one_field(key, request);
        }
    }
    return verdict + dd_table_call(&all_kinds_table, key, request);
}
END

compilers=(cc)
type clang > /dev/null 2>&1 && compilers+=(clang)
for compiler in "${compilers[@]}"; do
    for level in -O0 -O1 -O2 -O3 -Os; do
        compile "$compiler" c gnu17 $level -Wshadow -Wstrict-prototypes < "$directory/use.c"
        result "$compiler, C, $level" $? || cat "$directory/errors"
        compile "$compiler" c++ gnu++17 $level < "$directory/use.c"
        result "$compiler, C++, $level" $? || cat "$directory/errors"
        compile "$compiler" c gnu17 $level -DDD_NO_INDIRECT -Wshadow -Wstrict-prototypes < "$directory/use.c"
        result "$compiler, C, $level, without indirect branches" $? || cat "$directory/errors"
        compile "$compiler" c++ gnu++17 $level -DDD_NO_INDIRECT < "$directory/use.c"
        result "$compiler, C++, $level, without indirect branches" $? || cat "$directory/errors"
    done
done

refuses() { # what, table, language and standard if it is not C
    printf '%s\n' '#include <dispatchd.h>' 'struct s { char array[16]; char odd[3]; uint32_t word; };' "$2" |
        compile cc "${3:-c}" "${4:-gnu17}" -O0
    [ $? -ne 0 ]
    result "$1" $?
}
refuses "a field of 16 bytes" 'DD_TABLE(t, struct s, 0, DD_READ(array))'
refuses "a field of 3 bytes" 'DD_TABLE(t, struct s, 0, DD_READ(odd))'
refuses "a field that is not there" 'DD_TABLE(t, struct s, 0, DD_READ(nothing))'
refuses "a call whose function has another prototype" \
    'int f(int); DD_CALL(c, int(long), f)'
refuses "a call whose function is NULL" 'DD_CALL(c, int(long), NULL)'
refuses "a call whose function is NULL, in C++" 'DD_CALL(c, int(long), NULL)' c++ gnu++17
refuses "a call whose function has another prototype, in C++" \
    'int f(int); DD_CALL(c, int(long), f)' c++ gnu++17
refuses "a call with thirteen arguments" \
    'DD_CALL_NULL(c, int(int,int,int,int,int,int,int,int,int,int,int,int,int)) int g(void);
     int g(void) { return DD_INVOKE(c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13); }'
long=a23456789012345678901234567890123456789012345678901234567890123
refuses "a table whose name has 64 bytes" "DD_TABLE(${long}4, struct s, 0, DD_READ(word))"
refuses "a call whose name has 64 bytes" "int f(int); DD_CALL(${long}4, int(int), f)"
refuses "a native whose name has 64 bytes" "int ${long}4(int); DD_NATIVE(${long}4, int(int))"
refuses "a native with another prototype" \
    'int f(int); DD_NATIVE(f, int(long))'
refuses "a call with other arguments" \
    'int f(void *); DD_CALL(c, int(void *), f) int g(void); int g(void) { return DD_INVOKE(c, 1, 2); }'
printf '%s\n' '#include <dispatchd.h>' 'struct s { uint32_t word; };' 'int f(int);' 'DD_NATIVE(f, int(int))' \
    "int $long(int); DD_NATIVE($long, int(int)) DD_CALL_NULL(${long%3}4, int(int))" \
    'DD_CALL(c, int(int), f)' 'int g(void);' 'int g(void) { return DD_INVOKE(c, 1); }' 'DD_TABLE(t, struct s, 0, DD_READ(word))' \
    > "$directory/taken.c"
compile cc c gnu17 -O0 < "$directory/taken.c"
result "what they refuse is the field" $?
compile cc c++ gnu++17 -O0 < "$directory/taken.c"
result "in C++, too" $?

# The guard alone, not position independent, so that the accesses are plain to see:
#   store of the line's word, load of the base, load of the epoch, compare, call through the entry.
cat > "$directory/order.c" <<'END'
#include <dispatchd.h>
extern struct dd_table table;
uint32_t order(uint32_t key, void *context);
#ifdef GUARD
uint32_t order(uint32_t key, void *context)
{
    char *base = 0;
    struct dd_guard guard = dd_guard_enter_window(&base);
    uint32_t verdict = table.entry[((struct dd_window_head *)(void *)base)->slot](context, key);

    dd_guard_leave(&guard);
    return verdict;
}
#else
uint32_t order(uint32_t key, void *context) { return dd_table_call_inline(&table, key, context); }
#endif
END
steps_in_order() { # compiler, options...
    compile "$1" c gnu17 "${@:2}" -fno-pic -fno-stack-protector < "$directory/order.c" || return 2
    objdump -dr --no-show-raw-insn "$directory/out.o" | awk '
        /dd_window_base/ && !base { base = NR; next }
        # the first store of a register to [register], no displacement: the word is the first member
        /mov +%r[a-z0-9]+,(0x0)?\(%r[a-z0-9]+\)/ && !store { store = NR }
        /0x1000\(%r/ && !epoch { epoch = NR }
        /(call|jmp) +\*.*,8\)/ && !call { call = NR }
        END { exit !(store && base && epoch && call && store < base && base <= epoch + 1 && epoch < call) }'
}
for compiler in "${compilers[@]}"; do
    for level in -O1 -O2 -O3 -Os; do
        steps_in_order "$compiler" $level
        result "$compiler $level keeps the order of a call" $?
        steps_in_order "$compiler" $level -DGUARD
        result "$compiler $level keeps the order of a guard" $?
    done
done

# Negative control: the base is loaded before the line is stored.
headers=$directory/mutated
mkdir "$headers"
sed -e 's|    struct dd_line \*line = dd_thread_self.line;|&\n    char *early_ = *(char *volatile *)\&dd_window_base;|' \
    -e 's|    base = __atomic_load_n(&dd_window_base, __ATOMIC_RELAXED);|    base = early_;|' \
    "$source_dir/client/dispatchd.h" > "$headers/dispatchd.h"
steps_in_order cc -O2
[ $? -eq 1 ]        # 2: the mutation does not compile
result "a base that is loaded too early is seen" $?

echo "1..$number"
exit $failed
