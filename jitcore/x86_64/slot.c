/* SPDX-License-Identifier: MIT */
/* What stands at the beginning of an entry, on x86-64: landing pad and slot; and what stands where nothing is. */
#include "x86_64.h"

#include <assert.h>
#include <string.h>

#include "../poke.h"

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

uint64_t x86_64_slot_target(uint64_t from, uint64_t slot)
{
    return from + 5 + (uint64_t)(int64_t)(int32_t)(slot >> 8);
}

/* int3: one byte long, so it stops a thread at whichever byte it comes in. */
void x86_64_poison(void *write, size_t size)
{
    memset(write, 0xcc, size);
}
