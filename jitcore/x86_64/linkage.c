/* SPDX-License-Identifier: MIT */
/*
 * The linkage, on x86-64.  Free for a stub are rax, which carries an argument of functions without a prototype
 * only, r10, which carries one of nested functions only, and r11.
 */
#include <assert.h>

#include "../linkage.h"
#include "x86_64.h"

#define THUNK 16
#define RESOLVE 48
#define LEAVE 64

/* Where the linkage begins. */
static uint64_t origin(const struct emitter *emitter)
{
    return emitter->final;
}

/* int3 up to `to` bytes from the beginning. */
static void pad(struct emitter *emitter, size_t to)
{
    assert(emitter->error || emitter->size <= to);
    while (!emitter->error && emitter->size < to)
        emit_8(emitter, 0xcc);
}

/* mov r11, [word] */
static void emit_load_r11(struct emitter *emitter, uint64_t word)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x4c, 0x8b, 0x1d }, 3);
    emit_relative_32(emitter, word);
}

static void emit_jump(struct emitter *emitter, uint64_t to)
{
    emit_8(emitter, 0xe9);
    emit_relative_32(emitter, to);
}

#define JUMP_SIZE 5
#define JUMP_R11_SIZE 3

static size_t jump_r11_size(const struct linkage *linkage)
{
    return linkage->no_indirect ? JUMP_SIZE : JUMP_R11_SIZE;
}

static void emit_jump_r11(struct emitter *emitter, const struct linkage *linkage)
{
    if (linkage->no_indirect)
        emit_jump(emitter, origin(emitter) + THUNK);
    else
        emit_bytes(emitter, (const uint8_t[]){ 0x41, 0xff, 0xe3 }, JUMP_R11_SIZE);
}

/*
 *      mov r11, [counters]
 *      mov r11, fs:[r11]
 *      ret
 */
static void emit_counters(struct emitter *emitter, const struct linkage *linkage)
{
    emit_load_r11(emitter, linkage->counters);
    emit_bytes(emitter, (const uint8_t[]){ 0x64, 0x4d, 0x8b, 0x1b, 0xc3 }, 5);
}

/*
 * A return thunk (Intel, "Retpoline: A Branch Target Injection Mitigation"): speculation is caught in the loop.
 *      call over
 * loop:
 *      pause; lfence
 *      jmp loop
 * over:
 *      mov [rsp], r11
 *      ret
 */
static void emit_thunk(struct emitter *emitter)
{
    emit_bytes(emitter, (const uint8_t[]){ 0xe8, 7, 0, 0, 0, 0xf3, 0x90, 0x0f, 0xae, 0xe8, 0xeb, 0xf9 }, 12);
    emit_bytes(emitter, (const uint8_t[]){ 0x4c, 0x89, 0x1c, 0x24, 0xc3 }, 5);
}

static void emit_far_jump(struct emitter *emitter, const struct linkage *linkage, uint64_t word)
{
    emit_load_r11(emitter, word);
    emit_jump_r11(emitter, linkage);
}

/*
 *      lea r10, [word]
 *      mov eax, index
 *      jmp to
 */
static void emit_ask(struct emitter *emitter, uint64_t word, size_t index, size_t to)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x4c, 0x8d, 0x15 }, 3);
    emit_relative_32(emitter, word);
    emit_8(emitter, 0xb8);
    emit_32(emitter, (uint32_t)index);
    emit_jump(emitter, origin(emitter) + to);
}

/*
 *      mov r11, [word]
 *      test r11, r11
 *      je ask
 *      jmp r11
 * ask:
 */
static void emit_stub(struct emitter *emitter, const struct linkage *linkage, size_t index)
{
    size_t at = LINKAGE_STUBS + index * LINKAGE_STUB_SIZE;
    uint64_t word = linkage->target + 8 * index;

    pad(emitter, at);
    emit_load_r11(emitter, word);
    emit_bytes(emitter, (const uint8_t[]){ 0x4d, 0x85, 0xdb, 0x74, (uint8_t)jump_r11_size(linkage) }, 5);
    emit_jump_r11(emitter, linkage);
    emit_ask(emitter, word, index, RESOLVE);
    pad(emitter, at + LINKAGE_LEAVING);
    emit_ask(emitter, word, index, LEAVE);
}

void x86_64_emit_linkage(struct emitter *emitter, const struct linkage *linkage)
{
    emit_counters(emitter, linkage);
    pad(emitter, THUNK);
    if (linkage->no_indirect)
        emit_thunk(emitter);
    pad(emitter, RESOLVE);
    emit_far_jump(emitter, linkage, linkage->resolve);
    pad(emitter, LEAVE);
    emit_far_jump(emitter, linkage, linkage->leave);
    for (size_t i = 0; i < SERVICES; i++) {
        pad(emitter, LINKAGE_SERVICES + i * LINKAGE_SERVICE_SIZE);
        emit_far_jump(emitter, linkage, linkage->service + 8 * i);
    }
    for (size_t i = 0; i < linkage->stubs; i++)
        emit_stub(emitter, linkage, i);
    pad(emitter, linkage_size(linkage->stubs));
}
