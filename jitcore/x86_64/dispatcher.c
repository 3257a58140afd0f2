/* SPDX-License-Identifier: MIT */
/*
 * What stands in an entry, on x86-64: landing pad, slot, decision tree, filter; and what stands
 * where nothing is.
 *
 * A hook is called as uint32_t entry(void *context, uint32_t key): context in rdi, key in esi,
 * verdict in eax.  A program takes the context in rdi too, so the way from the tree to it is one
 * conditional jump, and it returns to the hook's caller.
 */
#include "x86_64.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "../poke.h"

/* ---- the tree ---- */

/*
 * So many keys are compared one after another at each leaf.  Measured from 1 to 6: alike for one
 * hot key, and 4 is the first where keys that arrive in no order cost less (10.4 ns instead of 11.2
 * among 8 keys, 18.7 instead of 20.5 among 64) and the tree is small (759 bytes for 64 keys instead
 * of 935 and 1303); beyond it nothing is gained.
 */
#define LEAF_CASES 4

/* cmp esi, key */
static void emit_compare(struct emitter *emitter, uint32_t key)
{
    if ((uint32_t)(int8_t)key == key) {
        emit_bytes(emitter, (const uint8_t[]){ 0x83, 0xfe, (uint8_t)key }, 3);  /* sign-extended */
    } else {
        emit_bytes(emitter, (const uint8_t[]){ 0x81, 0xfe }, 2);
        emit_32(emitter, key);
    }
}

static size_t compare_size(uint32_t key)
{
    return (uint32_t)(int8_t)key == key ? 3 : 6;
}

/* je target */
static void emit_jump_if_equal(struct emitter *emitter, uint64_t target)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x0f, 0x84 }, 2);
    emit_relative_32(emitter, target);
}

#define JUMP_IF_EQUAL_SIZE 6

/* ja over the next `distance` bytes: keys are unsigned */
static void emit_jump_if_above(struct emitter *emitter, size_t distance)
{
    if (distance <= INT8_MAX) {
        emit_bytes(emitter, (const uint8_t[]){ 0x77, (uint8_t)distance }, 2);
    } else {
        emit_bytes(emitter, (const uint8_t[]){ 0x0f, 0x87 }, 2);
        emit_32(emitter, (uint32_t)distance);
    }
}

static size_t jump_if_above_size(size_t distance)
{
    return distance <= INT8_MAX ? 2 : 6;
}

/* mov eax, verdict; ret.  As short as a jump to a shared one, and one jump less. */
static void emit_default(struct emitter *emitter, uint32_t verdict)
{
    if (verdict == 0) {
        emit_bytes(emitter, (const uint8_t[]){ 0x31, 0xc0 }, 2);        /* xor eax, eax */
    } else {
        emit_8(emitter, 0xb8);
        emit_32(emitter, verdict);
    }
    emit_8(emitter, 0xc3);
}

static size_t default_size(uint32_t verdict)
{
    return verdict == 0 ? 3 : 6;
}

/*
 * Sizes follow from the keys alone, not from where the tree stands: each jump gets its short form
 * where it reaches.
 */
static size_t tree_size(const struct dispatcher_case *cases, size_t count, uint32_t default_verdict)
{
    size_t half = count / 2, low, size = default_size(default_verdict);

    if (count > LEAF_CASES) {
        low = tree_size(cases, half, default_verdict);
        return compare_size(cases[half - 1].key) + jump_if_above_size(low) + low +
               tree_size(cases + half, count - half, default_verdict);
    }
    for (size_t i = 0; i < count; i++)
        size += compare_size(cases[i].key) + JUMP_IF_EQUAL_SIZE;
    return size;
}

/*
 *      cmp esi, highest key of the low half
 *      ja high
 *      (low half)
 * high:
 *      (high half)
 */
static void emit_subtree(struct emitter *emitter, const struct dispatcher_case *cases, size_t count,
                         uint32_t default_verdict)
{
    size_t half = count / 2;

    if (count > LEAF_CASES) {
        emit_compare(emitter, cases[half - 1].key);
        emit_jump_if_above(emitter, tree_size(cases, half, default_verdict));
        emit_subtree(emitter, cases, half, default_verdict);
        emit_subtree(emitter, cases + half, count - half, default_verdict);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        emit_compare(emitter, cases[i].key);
        emit_jump_if_equal(emitter, cases[i].target);
    }
    emit_default(emitter, default_verdict);
}

void x86_64_emit_tree(struct emitter *emitter, const struct dispatcher_case *cases, size_t count,
                      uint32_t default_verdict)
{
    for (size_t i = 1; i < count; i++)
        assert(cases[i - 1].key < cases[i].key);
    emit_subtree(emitter, cases, count, default_verdict);
}

/* ---- the filter ---- */

/*
 *      cmp esi, key
 *      jne over
 *      (default)
 * over:
 *      jmp next
 */
void x86_64_emit_filter(struct emitter *emitter, uint32_t key, uint32_t default_verdict,
                        uint64_t next)
{
    emit_compare(emitter, key);
    emit_bytes(emitter, (const uint8_t[]){ 0x75, (uint8_t)default_size(default_verdict) }, 2);
    emit_default(emitter, default_verdict);
    emit_8(emitter, 0xe9);
    emit_relative_32(emitter, next);
}

/* ---- landing pad, slot, poison ---- */

/*
 * endbr64, and a nop to the next quadword: where control-flow enforcement is on, an indirect call
 * must land here.
 */
void x86_64_emit_landing(struct emitter *emitter)
{
    assert(emitter_position(emitter) % SLOT_SIZE == 0);
    emit_bytes(emitter, (const uint8_t[]){ 0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x40, 0x00 }, 8);
}

/*
 * One nop of eight bytes, and not one of five with padding behind it: a thread that was interrupted
 * between two instructions of a slot would resume in the middle of what was poked meanwhile.
 */
uint64_t x86_64_slot_fall_through(void)
{
    const uint8_t nop[SLOT_SIZE] = { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 };
    uint64_t slot;

    memcpy(&slot, nop, sizeof(slot));
    return slot;
}

/* jmp rel32, padded with int3: nobody comes behind the jump. */
uint64_t x86_64_slot_jump(uint64_t from, uint64_t to)
{
    uint8_t jump[SLOT_SIZE];
    struct emitter emitter;
    uint64_t slot;

    emitter_init(&emitter, jump, sizeof(jump), from);
    emit_8(&emitter, 0xe9);
    emit_relative_32(&emitter, to);
    emit_bytes(&emitter, (const uint8_t[]){ 0xcc, 0xcc, 0xcc }, 3);
    assert(emitter.error == 0);         /* an image is smaller than the reach of a jump */
    memcpy(&slot, jump, sizeof(slot));
    return slot;
}

/* int3: one byte long, so it stops a thread at whichever byte it comes in. */
void x86_64_poison(void *write, size_t size)
{
    memset(write, 0xcc, size);
}
