/* SPDX-License-Identifier: MIT */
/* The verifier: calls of functions and helpers, callbacks. */
#include "verifier.h"

#include <string.h>

/* map_lookup_elem(hash, &key) */
#define LOOKUP() ST(4, 10, -4, 1), MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -4), \
    CALL_HELPER(BPF_FUNC_map_lookup_elem)
/* map_lookup_elem(outer, &key) */
#define LOOKUP_MAP() ST(4, 10, -4, 1), MAP(1, OUTER), MOV64_REG(2, 10), ADD64_IMM(2, -4), \
    CALL_HELPER(BPF_FUNC_map_lookup_elem)
/* map_lookup_elem(R1, &key) of the map that R0 is, with a key of 8 bytes; 5 instructions */
#define LOOKUP_IN(map) ST(8, 10, -16, 1), MOV64_REG(1, map), MOV64_REG(2, 10), ADD64_IMM(2, -16), \
    CALL_HELPER(BPF_FUNC_map_lookup_elem)
/* helper(queue, R10 - 16) */
#define WITH_VALUE(queue, helper) MAP(1, queue), MOV64_REG(2, 10), ADD64_IMM(2, -16), MOV64_IMM(3, 0), \
    CALL_HELPER(helper)
/* loop(4, function, R10 + context, 0) */
#define LOOP(function, context) MOV64_IMM(1, 4), FUNCTION(2, function), MOV64_REG(3, 10), ADD64_IMM(3, context), \
    MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_loop)
#define RESERVE(size) MAP(1, RING), MOV64_IMM(2, size), MOV64_IMM(3, 0), CALL_HELPER(BPF_FUNC_ringbuf_reserve)

static void test_functions(void **state)
{
    static const struct program programs[] = {
        { "a number goes in and out", { MOV64_IMM(1, 5), CALL(1), REGION(3, DATA, 0), ADD64_REG(3, 0), LDX(1, 0, 3, 0),
          EXIT(), MOV64_REG(0, 1), ADD64_IMM(0, 58), EXIT() }, { 7, 3 }, NULL, NULL },
        { "and is bounded", { MOV64_IMM(1, 5), CALL(1), REGION(3, DATA, 0), ADD64_REG(3, 0), LDX(1, 0, 3, 0),
          EXIT(), MOV64_REG(0, 1), ADD64_IMM(0, 59), EXIT() }, { 7, 3 }, "bounds", NULL },
        { "R1 to R5 are gone", { MOV64_IMM(1, 5), CALL(1), MOV64_REG(0, 1), EXIT(), RETURN() }, { 4, 2 },
          "register-read", "leaves nothing" },
        { "R6 stays", { MOV64_IMM(6, 5), CALL(1), MOV64_REG(0, 6), EXIT(), RETURN() }, { 4, 2 }, NULL, NULL },
        { "R2 is not given", { CALL_HELPER(BPF_FUNC_ktime_get_ns), CALL(1), EXIT(), MOV64_REG(0, 2), EXIT() }, { 3, 2 },
          "register-read", "set the variable" },
        { "R3 is gone, not R2", { MOV64_IMM(1, 5), CALL(1), RETURN(), CALL(2), MOV64_REG(0, 3), EXIT(), RETURN() },
          { 4, 3, 2 }, "register-read", "leaves nothing" },
        { "R6 is not given", { MOV64_IMM(6, 5), CALL(1), EXIT(), MOV64_REG(0, 6), EXIT() }, { 3, 2 },
          "register-read", "R6" },
        { "a result that is not there", { CALL(1), EXIT(), EXIT() }, { 2, 1 }, "register-read", "R0" },
        { "a result that nobody reads", { CALL(1), RETURN(), EXIT() }, { 3, 1 }, NULL, NULL },
        { "the caller's stack is filled", { MOV64_REG(1, 10), ADD64_IMM(1, -8), CALL(1), LDX(8, 0, 10, -8), EXIT(),
          ST(8, 1, 0, 1), RETURN() }, { 5, 3 }, NULL, NULL },
        { "not where it is read", { MOV64_REG(1, 10), ADD64_IMM(1, -16), CALL(1), LDX(8, 0, 10, -8), EXIT(),
          ST(8, 1, 0, 1), RETURN() }, { 5, 3 }, "stack-read", NULL },
        { "beyond the caller's stack", { MOV64_REG(1, 10), CALL(1), EXIT(), ST(8, 1, 0, 1), RETURN() }, { 3, 3 },
          "stack-bounds", NULL },
        { "a pointer to its stack is returned", { CALL(1), RETURN(), MOV64_REG(0, 10), EXIT() }, { 3, 2 },
          "stack-caller", NULL },
        { "or kept in the caller's", { MOV64_REG(1, 10), CALL(1), RETURN(), STX(8, 1, 10, -8), RETURN() }, { 4, 3 },
          "stack-caller", NULL },
        { "the caller's own pointer may be", { MOV64_REG(1, 10), CALL(1), RETURN(), STX(8, 1, 1, -8), RETURN() },
          { 4, 3 }, NULL, NULL },
        { "itself", { CALL(0), EXIT() }, { 2 }, "recursion", "f0" },
        { "each other", { CALL(1), EXIT(), CALL(2), EXIT(), CALL(1), EXIT() }, { 2, 2, 2 }, "recursion", NULL },
        { "by a callback", { LOOP(1, 0), RETURN(), LOOP(1, 0), RETURN() }, { 9, 9 }, "recursion", NULL },
        { "two stacks that fit", { ST(8, 10, -256, 0), CALL(1), RETURN(), ST(8, 10, -256, 0), RETURN() }, { 4, 3 },
          NULL, NULL },
        { "two that do not", { ST(8, 10, -256, 0), CALL(1), RETURN(), ST(8, 10, -264, 0), RETURN() }, { 4, 3 },
          "stack-size", "520" },
        { "an endless loop beside a call", { CALL(1), JA(-2), RETURN() }, { 2, 2 }, "infinite-loop", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_null(void **state)
{
    static const struct program programs[] = {
        { "not checked", { LOOKUP(), LDX(8, 0, 0, 0), EXIT() }, { 0 }, "null", "check the pointer for NULL first" },
        { "checked", { LOOKUP(), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 0, 8), EXIT() }, { 0 }, NULL, NULL },
        { "beyond the value", { LOOKUP(), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 0, 9), EXIT() }, { 0 }, "bounds",
          NULL },
        { "on the wrong path", { LOOKUP(), JUMP_IMM(JUMP_NE, 0, 0, 1), LDX(8, 0, 0, 8), MOV64_IMM(0, 0), EXIT() },
          { 0 }, "pointer", "a number" },
        { "a copy", { LOOKUP(), MOV64_REG(6, 0), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 6, 8), MOV64_IMM(0, 0), EXIT() },
          { 0 }, NULL, NULL },
        { "a copy on the stack", { LOOKUP(), STX(8, 10, 0, -16), JUMP_IMM(JUMP_EQ, 0, 0, 2), LDX(8, 6, 10, -16),
          LDX(8, 0, 6, 8), MOV64_IMM(0, 0), EXIT() }, { 0 }, NULL, NULL },
        { "another lookup", { LOOKUP(), MOV64_REG(6, 0), LOOKUP(), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 6, 8),
          MOV64_IMM(0, 0), EXIT() }, { 0 }, "null", NULL },
        { "checked by a register", { LOOKUP(), MOV64_IMM(1, 0), JUMP_REG(JUMP_EQ, 0, 1, 1), LDX(8, 0, 0, 8), EXIT() },
          { 0 }, NULL, NULL },
        { "its low half", { LOOKUP(), JUMP32_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 0, 8), MOV64_IMM(0, 0), EXIT() }, { 0 },
          "pointer-comparison", NULL },
        { "an offset first", { LOOKUP(), ADD64_IMM(0, 8), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 0, 0), EXIT() }, { 0 },
          "pointer-arithmetic", "check the pointer for NULL first" },
        { "a pointer is stored", { LOOKUP(), JUMP_IMM(JUMP_EQ, 0, 0, 1), STX(8, 0, 0, 0), RETURN() }, { 0 },
          "pointer-leak", NULL },
        { "it is returned", { LOOKUP(), EXIT() }, { 0 }, "pointer-leak", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_helpers(void **state)
{
    static const struct program programs[] = {
        { "unknown", { CALL_HELPER(9999), EXIT() }, { 0 }, "helper", "9999" },
        { "not here", { CALL_HELPER(BPF_FUNC_redirect), EXIT() }, { 0 }, "helper", "redirect" },
        { "without arguments", { CALL_HELPER(BPF_FUNC_ktime_get_ns), EXIT() }, { 0 }, NULL, NULL },
        { "R1 to R5 are gone", { MOV64_IMM(1, 5), CALL_HELPER(BPF_FUNC_ktime_get_ns), MOV64_REG(0, 1), EXIT() }, { 0 },
          "register-read", "leaves nothing" },
        { "no map", { MOV64_REG(2, 10), CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "argument", "a map" },
        { "a key that is not written", { MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "stack-read",
          "R2 of bpf_map_lookup_elem must point to the 4 bytes of a key of hash; reads bytes -4 to -1 of the stack, " },
        { "padding", { ST(2, 10, -4, 1), MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "stack-read", "padding counts" },
        { "a number for a key", { MOV64_IMM(2, 0), MAP(1, HASH), CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() },
          { 0 }, "pointer", "a key of hash; reads through R2, which is a number" },
        { "a key that is a pointer", { STX(8, 10, 1, -8), MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -8),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "a key above R10", { MAP(1, HASH), MOV64_REG(2, 10), CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 },
          "stack-bounds", NULL },
        { "an update", { ST(4, 10, -4, 1), MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -4), REGION(3, DATA, 0),
          MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_map_update_elem), RETURN() }, { 0 }, NULL, NULL },
        { "of a map that is only read", { ST(4, 10, -4, 0), MAP(1, READ_ONLY), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          REGION(3, DATA, 0), MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_map_update_elem), RETURN() }, { 0 }, "read-only",
          "settings" },
        { "nothing is deleted there", { ST(4, 10, -4, 0), MAP(1, SEALED), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_delete_elem), RETURN() }, { 0 }, "read-only", "map_delete_elem" },
        { "but it is looked up", { ST(4, 10, -4, 0), MAP(1, READ_ONLY), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 0, 0), RETURN() }, { 0 }, NULL,
          NULL },
        { "and what was found is only read", { ST(4, 10, -4, 0), MAP(1, READ_ONLY), MOV64_REG(2, 10),
          ADD64_IMM(2, -4), CALL_HELPER(BPF_FUNC_map_lookup_elem), JUMP_IMM(JUMP_EQ, 0, 0, 1), ST(8, 0, 0, 0),
          RETURN() }, { 0 }, "read-only", NULL },
        { "a ring has no elements", { ST(4, 10, -4, 0), MAP(1, RING), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "argument", "of kind ringbuf" },
        { "a hash is no ring", { MAP(1, HASH), MOV64_IMM(2, 16), MOV64_IMM(3, 0),
          CALL_HELPER(BPF_FUNC_ringbuf_reserve), RETURN() }, { 0 }, "argument", "of kind hash" },
        { "a key in .data", { MAP(1, HASH), REGION(2, DATA, 60), CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() },
          { 0 }, NULL, NULL },
        { "a key over its end", { MAP(1, HASH), REGION(2, DATA, 61), CALL_HELPER(BPF_FUNC_map_lookup_elem),
          RETURN() }, { 0 }, "bounds", NULL },
        { "the context for a key", { MOV64_REG(2, 1), MAP(1, HASH), CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() },
          { 0 }, "pointer", NULL },
        { "a size 0 to 64", { UNKNOWN(3), JUMP_IMM(JUMP_GT, 3, 64, 6), MAP(1, RING), REGION(2, DATA, 0),
          MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_ringbuf_output), RETURN() }, { 0 }, NULL, NULL },
        { "a size 0 to 65", { UNKNOWN(3), JUMP_IMM(JUMP_GT, 3, 65, 6), MAP(1, RING), REGION(2, DATA, 0),
          MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_ringbuf_output), RETURN() }, { 0 }, "bounds",
          "R2 of bpf_ringbuf_output must point to 65 bytes, as R3 says; reads" },
        { "any size", { UNKNOWN(3), MAP(1, RING), REGION(2, DATA, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_ringbuf_output), RETURN() }, { 0 }, "argument", "compare it" },
        { "memory is given back", { RESERVE(16), JUMP_IMM(JUMP_EQ, 0, 0, 4), ST(8, 0, 8, 1), MOV64_REG(1, 0),
          MOV64_IMM(2, 0), CALL_HELPER(BPF_FUNC_ringbuf_submit), RETURN() }, { 0 }, NULL, NULL },
        { "beyond its size", { RESERVE(16), JUMP_IMM(JUMP_EQ, 0, 0, 4), ST(8, 0, 9, 1), MOV64_REG(1, 0),
          MOV64_IMM(2, 0), CALL_HELPER(BPF_FUNC_ringbuf_submit), RETURN() }, { 0 }, "bounds", NULL },
        { "it is not", { RESERVE(16), JUMP_IMM(JUMP_EQ, 0, 0, 0), RETURN() }, { 0 }, "reference", "not given back" },
        { "used behind that", { RESERVE(16), JUMP_IMM(JUMP_EQ, 0, 0, 5), MOV64_REG(6, 0), MOV64_REG(1, 0),
          MOV64_IMM(2, 0), CALL_HELPER(BPF_FUNC_ringbuf_submit), ST(8, 6, 0, 0), RETURN() }, { 0 }, "register-read",
          "R6" },
        { "a part of it", { RESERVE(16), JUMP_IMM(JUMP_EQ, 0, 0, 4), ADD64_IMM(0, 8), MOV64_REG(1, 0),
          MOV64_IMM(2, 0), CALL_HELPER(BPF_FUNC_ringbuf_submit), RETURN() }, { 0 }, "argument", NULL },
        { "memory of another kind", { REGION(1, DATA, 0), MOV64_IMM(2, 0), CALL_HELPER(BPF_FUNC_ringbuf_submit),
          RETURN() }, { 0 }, "argument", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_maps_of_maps(void **state)
{
    static const struct program programs[] = {
        { "its map is looked up in", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 7), LOOKUP_IN(0), JUMP_IMM(JUMP_EQ, 0, 0,
          1),
          LDX(8, 0, 0, 16), MOV64_IMM(0, 0), EXIT() }, { 0 }, NULL, NULL },
        { "beyond its values", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 7), LOOKUP_IN(0), JUMP_IMM(JUMP_EQ, 0, 0, 1),
          LDX(8, 0, 0, 17), MOV64_IMM(0, 0), EXIT() }, { 0 }, "bounds", "maps.inner" },
        { "with a key that is too short", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 4), MOV64_REG(1, 0),
          MOV64_REG(2, 10), ADD64_IMM(2, -4), CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "stack-bounds",
          NULL },
        { "not checked for NULL", { LOOKUP_MAP(), LOOKUP_IN(0), RETURN() }, { 0 }, "argument",
          "check the pointer for NULL first" },
        { "on the wrong path", { LOOKUP_MAP(), JUMP_IMM(JUMP_NE, 0, 0, 5), LOOKUP_IN(0), RETURN() }, { 0 }, "argument",
          "a number" },
        { "another lookup's check", { LOOKUP_MAP(), MOV64_REG(6, 0), LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 5),
          LOOKUP_IN(6), RETURN() }, { 0 }, "argument", "check the pointer for NULL first" },
        { "a copy on the stack", { LOOKUP_MAP(), STX(8, 10, 0, -24), JUMP_IMM(JUMP_EQ, 0, 0, 6), LDX(8, 6, 10, -24),
          LOOKUP_IN(6), RETURN() }, { 0 }, NULL, NULL },
        { "a map is no memory", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 0, 0), RETURN() },
          { 0 }, "pointer",
          "a map" },
        { "before it is checked neither", { LOOKUP_MAP(), LDX(8, 0, 0, 0), RETURN() }, { 0 }, "null", "a map or NULL" },
        { "no offsets", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 1), ADD64_IMM(0, 8), RETURN() }, { 0 },
          "pointer-arithmetic", NULL },
        { "it is returned", { LOOKUP_MAP(), EXIT() }, { 0 }, "pointer-leak", NULL },
        { "and stored in a value", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 7), LOOKUP_IN(0), JUMP_IMM(JUMP_EQ, 0, 0, 1),
          STX(8, 0, 0, 0), MOV64_IMM(0, 0), EXIT() }, { 0 }, "pointer-leak", NULL },
        { "a key of it", { LOOKUP_MAP(), STX(8, 10, 0, -16), MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -16),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "programs do not update it", { ST(4, 10, -4, 1), ST(8, 10, -16, 1), MAP(1, OUTER), MOV64_REG(2, 10),
          ADD64_IMM(2, -4), MOV64_REG(3, 10), ADD64_IMM(3, -16), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_map_update_elem), RETURN() }, { 0 }, "argument", "of kind array_of_maps" },
        { "its maps are updated", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 10), ST(8, 10, -40, 1), ST(8, 10, -32, 1),
          ST(8, 10, -24, 1), MOV64_REG(1, 0), MOV64_REG(2, 10), ADD64_IMM(2, -24), MOV64_REG(3, 10), ADD64_IMM(3, -40),
          MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_map_update_elem), RETURN() }, { 0 }, NULL, NULL },
        { "two maps are compared", { LOOKUP_MAP(), MOV64_REG(6, 0), LOOKUP_MAP(), JUMP_REG(JUMP_EQ, 0, 6, 0),
          RETURN() },
          { 0 }, "pointer-comparison", NULL },
        { "the elements of its map", { LOOKUP_MAP(), JUMP_IMM(JUMP_EQ, 0, 0, 6), MOV64_REG(1, 0), FUNCTION(2, 1),
          MOV64_IMM(3, 0), MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_for_each_map_elem), RETURN(),
          LDX(8, 0, 2, 0), STX(8, 3, 0, 16), RETURN() }, { 15, 4 }, NULL, NULL },
        { "a value of NULL's map", { LOOKUP_MAP(), MOV64_REG(6, 0), JUMP_IMM(JUMP_EQ, 6, 0, 0), LOOKUP_IN(6),
          RETURN() },
          { 0 }, "argument", "a number" },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_queues(void **state)
{
    static const struct program programs[] = {
        { "a value is written", { WITH_VALUE(QUEUE, BPF_FUNC_map_pop_elem), LDX(8, 0, 10, -8), LDX(8, 0, 10, -16),
          EXIT() }, { 0 }, NULL, NULL },
        { "and not more", { WITH_VALUE(QUEUE, BPF_FUNC_map_pop_elem), LDX(8, 0, 10, -24), EXIT() }, { 0 }, "stack-read",
          NULL },
        { "what was there is gone", { STX(8, 10, 1, -8), WITH_VALUE(QUEUE, BPF_FUNC_map_peek_elem), LDX(8, 1, 10, -8),
          LDX(4, 0, 1, AT(size)), EXIT() }, { 0 }, "pointer", NULL },
        { "room for a half", { MAP(1, QUEUE), MOV64_REG(2, 10), ADD64_IMM(2, -8), CALL_HELPER(BPF_FUNC_map_pop_elem),
          RETURN() }, { 0 }, "stack-bounds", NULL },
        { "what is pushed is written before", { WITH_VALUE(QUEUE, BPF_FUNC_map_push_elem), RETURN() }, { 0 },
          "stack-read", NULL },
        { "a push", { ST(8, 10, -16, 1), ST(8, 10, -8, 1), WITH_VALUE(QUEUE, BPF_FUNC_map_push_elem), RETURN() }, { 0 },
          NULL, NULL },
        { "no addresses are pushed", { ST(8, 10, -16, 1), STX(8, 10, 1, -8), WITH_VALUE(QUEUE, BPF_FUNC_map_push_elem),
          RETURN() }, { 0 }, "pointer-leak", NULL },
        { "into a constant", { MAP(1, QUEUE), REGION(2, RODATA, 0), CALL_HELPER(BPF_FUNC_map_pop_elem), RETURN() },
          { 0 },
          "read-only", NULL },
        { "no lookups", { ST(4, 10, -4, 1), MAP(1, QUEUE), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), RETURN() }, { 0 }, "argument", "of kind queue" },
        { "a hash has no end to pop from", { WITH_VALUE(HASH, BPF_FUNC_map_pop_elem), RETURN() }, { 0 }, "argument",
          "of kind hash" },
        { "one that is only written", { ST(8, 10, -16, 1), ST(8, 10, -8, 1),
          WITH_VALUE(WRITE_ONLY, BPF_FUNC_map_push_elem), RETURN() }, { 0 }, NULL, NULL },
        { "is not popped", { WITH_VALUE(WRITE_ONLY, BPF_FUNC_map_pop_elem), RETURN() },
          { 0 }, "write-only", "secrets" },
        { "nor peeked", { WITH_VALUE(WRITE_ONLY, BPF_FUNC_map_peek_elem), RETURN() }, { 0 }, "write-only", "secrets" },
    };

    verifier_check(programs, COUNT(programs));
}

/* strncmp(R10 - 8, 8, text + at) */
#define COMPARE(region, at) ST(8, 10, -8, 0), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8), \
    REGION(3, region, at), \
    CALL_HELPER(BPF_FUNC_strncmp)
/* trace_printk(text + at, size, ...) */
#define PRINT(at, size) REGION(1, TEXT, at), MOV64_IMM(2, size), CALL_HELPER(BPF_FUNC_trace_printk)

static void test_texts(void **state)
{
    static const struct program programs[] = {
        { "a constant", { COMPARE(TEXT, 9), RETURN() }, { 0 }, NULL, NULL },
        { "its end", { COMPARE(TEXT, 8), RETURN() }, { 0 }, NULL, NULL },
        { "without an end", { COMPARE(TEXT, 20), RETURN() }, { 0 }, "argument", "ends with a NUL" },
        { "behind the last byte", { COMPARE(TEXT, 24), RETURN() }, { 0 }, "argument", "ends with a NUL" },
        { "what may change", { COMPARE(DATA, 0), RETURN() }, { 0 }, "argument", "constant text" },
        { "the stack", { ST(8, 10, -8, 0), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8), MOV64_REG(3, 1),
          CALL_HELPER(BPF_FUNC_strncmp), RETURN() }, { 0 }, "argument", "constant text" },
        { "somewhere", { UP_TO_7(4), ST(8, 10, -8, 0), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8),
          REGION(3, TEXT, 0), ADD64_REG(3, 4), CALL_HELPER(BPF_FUNC_strncmp), RETURN() }, { 0 }, "argument",
          "constant text" },
        { "two numbers", { MOV64_IMM(3, 1), MOV64_IMM(4, 2), PRINT(0, 8), RETURN() }, { 0 }, NULL, NULL },
        { "one of two", { MOV64_IMM(3, 1), PRINT(0, 8), RETURN() }, { 0 }, "register-read", "R4" },
        { "an address for a number", { MOV64_IMM(3, 1), MOV64_REG(4, 10), PRINT(0, 8), RETURN() }, { 0 }, "argument",
          "a number" },
        { "no numbers are asked for", { PRINT(9, 3), RETURN() }, { 0 }, NULL, NULL },
        { "a sign at the end counts", { PRINT(20, 4), RETURN() }, { 0 }, "register-read", "R3" },
        { "a conversion that is not printed", { MOV64_IMM(3, 1), PRINT(12, 7), RETURN() }, { 0 }, "argument",
          "has \"%-4s\", which it does not print" },
        { "a format that is not known", { ST(8, 10, -8, 0), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8),
          MOV64_IMM(3, 1), MOV64_IMM(4, 2), CALL_HELPER(BPF_FUNC_trace_printk), RETURN() }, { 0 }, "register-read",
          "R5" },
        { "with all numbers", { ST(8, 10, -8, 0), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8),
          MOV64_IMM(3, 1), MOV64_IMM(4, 2), MOV64_IMM(5, 3), CALL_HELPER(BPF_FUNC_trace_printk), RETURN() },
          { 0 }, NULL,
          NULL },
    };

    verifier_check(programs, COUNT(programs));
}

/* checksum(R10 - 16, size) */
#define SUM(size) MOV64_REG(1, 10), ADD64_IMM(1, -16), MOV64_IMM(2, size), CALL_OF(CHECKSUM)

static void test_natives(void **state)
{
    static const struct program programs[] = {
        { "bytes of the stack", { ST(8, 10, -16, 1), ST(8, 10, -8, 1), SUM(16), EXIT() }, { 0 }, NULL, NULL },
        { "none of them", { SUM(0), EXIT() }, { 0 }, NULL, NULL },
        { "that are not written", { ST(8, 10, -16, 1), SUM(16), EXIT() }, { 0 }, "stack-read", NULL },
        { "beyond R10", { ST(8, 10, -16, 1), ST(8, 10, -8, 1), SUM(17), EXIT() }, { 0 }, "stack-bounds",
          "R1 of checksum must point to 17 bytes, as R2 says; accesses" },
        { "an address among them", { ST(8, 10, -16, 1), STX(8, 10, 1, -8), SUM(16), EXIT() },
          { 0 }, "pointer-leak", NULL },
        { "a variable", { REGION(1, DATA, 0), MOV64_IMM(2, 64), CALL_OF(CHECKSUM), EXIT() }, { 0 }, NULL, NULL },
        { "beyond its end", { REGION(1, DATA, 0), MOV64_IMM(2, 65), CALL_OF(CHECKSUM), EXIT() },
          { 0 }, "bounds", NULL },
        { "a constant", { REGION(1, RODATA, 0), MOV64_IMM(2, 16), CALL_OF(CHECKSUM), EXIT() }, { 0 }, NULL, NULL },
        { "a size 0 to 7", { UP_TO_7(2), REGION(1, DATA, 57), CALL_OF(CHECKSUM), EXIT() }, { 0 }, NULL, NULL },
        { "a byte less", { UP_TO_7(2), REGION(1, DATA, 58), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "bounds", NULL },
        { "any size", { UNKNOWN(2), REGION(1, DATA, 0), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "argument", "bounded" },
        { "a negative one", { MOV64_IMM(2, -1), REGION(1, DATA, 0), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "argument",
          "bounded" },
        { "of which the low half is small", { LDDW(2, 4, 1), REGION(1, DATA, 0), CALL_OF(CHECKSUM), EXIT() }, { 0 },
          "argument", "bounded" },
        { "a number for a pointer", { MOV64_IMM(1, 0), MOV64_IMM(2, 0), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "argument",
          "a pointer to memory" },
        { "a pointer for a number", { MOV64_REG(2, 10), REGION(1, DATA, 0), CALL_OF(CHECKSUM), EXIT() }, { 0 },
          "argument", "a number" },
        { "the context for memory", { MOV64_IMM(2, 4), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "pointer", NULL },
        { "a map for memory", { MAP(1, HASH), MOV64_IMM(2, 4), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "pointer", NULL },
        { "NULL perhaps", { LOOKUP(), MOV64_REG(1, 0), MOV64_IMM(2, 4), CALL_OF(CHECKSUM), EXIT() }, { 0 }, "null",
          NULL },
        { "a map's value", { LOOKUP(), JUMP_IMM(JUMP_EQ, 0, 0, 3), MOV64_REG(1, 0), MOV64_IMM(2, 16),
          CALL_OF(CHECKSUM), EXIT() }, { 0 }, NULL, NULL },
        { "nothing in R2", { REGION(1, DATA, 0), MOV64_REG(6, 1), CALL_HELPER(BPF_FUNC_ktime_get_ns), MOV64_REG(1, 6),
          CALL_OF(CHECKSUM), EXIT() }, { 0 }, "register-read", "R2" },
        { "R1 to R5 are gone", { REGION(1, DATA, 0), MOV64_IMM(2, 4), CALL_OF(CHECKSUM), MOV64_REG(0, 1), EXIT() },
          { 0 },
          "register-read", "R1" },
        { "nobody knows the result", { REGION(1, DATA, 0), MOV64_IMM(2, 4), CALL_OF(CHECKSUM), REGION(3, DATA, 0),
          ADD64_REG(3, 0), LDX(1, 0, 3, 0), EXIT() }, { 0 }, "pointer-offset", NULL },
        { "it writes", { REGION(1, DATA, 0), MOV64_IMM(2, 64), MOV64_IMM(3, 255), CALL_OF(FILL), RETURN() },
          { 0 }, NULL,
          NULL },
        { "not to constants", { REGION(1, RODATA, 0), MOV64_IMM(2, 16), MOV64_IMM(3, 255), CALL_OF(FILL), RETURN() },
          { 0 }, "read-only", "R1 of fill must point to 16 bytes, as R2 says; writes" },
        { "nor to what is not written", { MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8), MOV64_IMM(3, 0),
          CALL_OF(FILL), RETURN() }, { 0 }, "stack-read", NULL },
        { "what it wrote is any number", { ST(8, 10, -8, 4), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8),
          MOV64_IMM(3, 0), CALL_OF(FILL), LDX(8, 1, 10, -8), REGION(3, DATA, 0), ADD64_REG(3, 1), LDX(1, 0, 3, 0),
          EXIT() }, { 0 }, "pointer-offset", NULL },
        { "a number above its type", { REGION(1, DATA, 0), MOV64_IMM(2, 4), MOV64_IMM(3, 256), CALL_OF(FILL),
          RETURN() }, { 0 }, "argument", "its type has" },
        { "below its type", { REGION(1, DATA, 0), MOV64_IMM(2, 4), MOV64_IMM(3, -1), CALL_OF(FILL), RETURN() }, { 0 },
          "argument", "its type has" },
        { "no result", { REGION(1, DATA, 0), MOV64_IMM(2, 4), MOV64_IMM(3, 0), CALL_OF(FILL), EXIT() }, { 0 },
          "register-read", "R0" },
        { "the context", { MOV64_IMM(2, -32768), MOV64_IMM(3, 1), CALL_OF(CLASSIFY), EXIT() }, { 0 }, NULL, NULL },
        { "a part of it", { ADD64_IMM(1, 8), MOV64_IMM(2, 0), MOV64_IMM(3, 1), CALL_OF(CLASSIFY), EXIT() }, { 0 },
          "argument", "the context" },
        { "memory for the context", { REGION(1, DATA, 0), MOV64_IMM(2, 0), MOV64_IMM(3, 1), CALL_OF(CLASSIFY), EXIT() },
          { 0 }, "argument", "the context" },
        { "above 16 bits", { MOV64_IMM(2, 32768), MOV64_IMM(3, 1), CALL_OF(CLASSIFY), EXIT() }, { 0 }, "argument",
          "its type has" },
        { "below them", { MOV64_IMM(2, -32769), MOV64_IMM(3, 1), CALL_OF(CLASSIFY), EXIT() }, { 0 }, "argument",
          "its type has" },
        { "no bool", { MOV64_IMM(2, 0), MOV64_IMM(3, 2), CALL_OF(CLASSIFY), EXIT() }, { 0 }, "argument",
          "its type has" },
        { "one that there is not", { CALL_OF(3), EXIT() }, { 0 }, "bytecode", "call of native 3 of 3" },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_callbacks(void **state)
{
    static const struct program programs[] = {
        { "a sum on the caller's stack", { ST(8, 10, -8, 0), LOOP(1, -8), LDX(8, 0, 10, -8), EXIT(),
          LDX(8, 3, 2, 0), ADD64_REG(3, 1), STX(8, 2, 3, 0), RETURN() }, { 10, 5 }, NULL, NULL },
        { "the callback may not run at all", { LOOP(1, -8), LDX(8, 0, 10, -8), EXIT(), ST(8, 2, 0, 0), RETURN() },
          { 9, 3 }, "stack-read", NULL },
        { "it reads what was not written", { LOOP(1, -8), RETURN(), LDX(8, 0, 2, 0), EXIT() }, { 9, 2 }, "stack-read",
          "bytes -8 to -1 of the stack of f0, counted from its R10" },
        { "it may run more than once", { ST(8, 10, -8, 0), LOOP(1, -8), RETURN(), LDX(8, 3, 2, 0), REGION(4, DATA, 0),
          ADD64_REG(4, 3), ST(8, 2, 0, 64), LDX(1, 0, 4, 0), RETURN() }, { 10, 8 }, "bounds", NULL },
        { "again and again", { ST(8, 10, -8, 0), LOOP(1, -8), RETURN(), LDX(8, 3, 2, 0), REGION(4, DATA, 0),
          ADD64_REG(4, 3), ADD64_IMM(3, 1), STX(8, 2, 3, 0), LDX(1, 0, 4, 0), RETURN() }, { 10, 9 }, "pointer-offset",
          NULL },
        { "with a bound", { ST(8, 10, -8, 0), LOOP(1, -8), RETURN(), LDX(8, 3, 2, 0), JUMP_IMM(JUMP_GT, 3, 63, 6),
          REGION(4, DATA, 0), ADD64_REG(4, 3), ADD64_IMM(3, 1), STX(8, 2, 3, 0), LDX(1, 0, 4, 0), RETURN() },
          { 10, 10 }, NULL, NULL },
        { "what it leaves counts behind it", { ST(8, 10, -8, 0), LOOP(1, -8), LDX(8, 3, 10, -8), REGION(4, DATA, 0),
          ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT(), ST(8, 2, 0, 64), RETURN() }, { 14, 3 }, "bounds", NULL },
        { "the index is any", { LOOP(1, -8), RETURN(), REGION(4, DATA, 0), ADD64_REG(4, 1), LDX(1, 0, 4, 0), RETURN() },
          { 9, 6 }, "pointer-offset", NULL },
        { "it clobbers a pointer", { STX(8, 10, 1, -8), LOOP(1, -8), LDX(8, 3, 10, -8), LDX(4, 0, 3, AT(size)), EXIT(),
          ST(8, 2, 0, 0), RETURN() }, { 11, 3 }, "pointer", NULL },
        { "it returns a pointer", { LOOP(1, -8), RETURN(), MOV64_REG(0, 2), EXIT() }, { 9, 2 }, "pointer-leak", NULL },
        { "it returns nothing", { LOOP(1, -8), RETURN(), EXIT() }, { 9, 1 }, "register-read", NULL },
        { "it loops for ever itself", { LOOP(1, -8), RETURN(), JA(-1) , EXIT() }, { 9, 2 }, "infinite-loop", NULL },
        { "loops for ever around it", { LOOP(1, -8), JA(-8), RETURN() }, { 8, 2 }, "infinite-loop", NULL },
        { "a number for a callback", { MOV64_IMM(1, 4), MOV64_IMM(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_loop), RETURN() }, { 0 }, "argument", "a function" },
        { "the hook's context for its context", { MOV64_REG(3, 1), MOV64_IMM(1, 4), FUNCTION(2, 1), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_loop), RETURN(), RETURN() }, { 8, 2 }, "argument", "the stack" },
        { "0 for it", { MOV64_IMM(3, 0), MOV64_IMM(1, 4), FUNCTION(2, 1), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_loop), RETURN(), RETURN() }, { 8, 2 }, NULL, NULL },
        { "elements of a map", { MAP(1, HASH), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), LDX(4, 0, 2, 0), STX(8, 3, 0, 8), RETURN() }, { 8, 4 },
          NULL, NULL },
        { "a key is only read", { MAP(1, HASH), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), ST(4, 2, 0, 0), RETURN() }, { 8, 3 }, "read-only", NULL },
        { "beyond the value", { MAP(1, HASH), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), ST(8, 3, 9, 0), RETURN() }, { 8, 3 }, "bounds", NULL },
        { "beyond the key", { MAP(1, HASH), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), LDX(8, 0, 2, 0), RETURN() }, { 8, 3 }, "bounds", NULL },
        { "the map itself", { MAP(1, HASH), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), CALL_HELPER(BPF_FUNC_map_delete_elem), RETURN() }, { 8, 3 },
          NULL, NULL },
        { "the key is kept", { ST(8, 10, -8, 0), MAP(1, HASH), FUNCTION(2, 1), MOV64_REG(3, 10), ADD64_IMM(3, -8),
          MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), STX(8, 4, 2, 0), RETURN() }, { 10, 3 },
          "stack-caller", "keep a copy of the key" },
        { "the value may be", { ST(8, 10, -8, 0), MAP(1, HASH), FUNCTION(2, 1), MOV64_REG(3, 10), ADD64_IMM(3, -8),
          MOV64_IMM(4, 0), CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), STX(8, 4, 3, 0), RETURN() }, { 10, 3 },
          NULL, NULL },
        { "a copy of the key on its own stack", { MAP(1, HASH), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), STX(8, 10, 2, -8), LDX(8, 1, 10, -8), LDX(4, 0, 1, 0),
          RETURN() }, { 8, 5 }, NULL, NULL },
        { "of a ring", { MAP(1, RING), FUNCTION(2, 1), MOV64_IMM(3, 0), MOV64_IMM(4, 0),
          CALL_HELPER(BPF_FUNC_for_each_map_elem), EXIT(), RETURN() }, { 8, 2 }, "argument", "of kind ringbuf" },
    };

    verifier_check(programs, COUNT(programs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_maps_of_maps),
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_natives),
        cmocka_unit_test(test_callbacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
