/* SPDX-License-Identifier: MIT */
/* A state of the program at one instruction. */

#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct value *verifier_register(const struct verifier_state *state, uint32_t f, uint32_t n)
{
    return &state->frame[f]->reg[n];
}

const struct slot *verifier_slot(const struct verifier_state *state, uint32_t f, uint32_t n)
{
    return n < state->frame[f]->slots && state->frame[f]->slot[n].written ? &state->frame[f]->slot[n] : NULL;
}

int state_init(struct verifier_state *state)
{
    struct frame *frames = calloc(VERIFIER_DEPTH_MAX, sizeof(*frames));

    if (!frames)
        return -ENOMEM;
    *state = (struct verifier_state){ 0 };
    for (uint32_t i = 0; i < VERIFIER_DEPTH_MAX; i++)
        state->frame[i] = &frames[i];
    return 0;
}

void state_clear(struct verifier_state *state)
{
    free(state->frame[0]);
    *state = (struct verifier_state){ 0 };
}

void state_push(struct verifier_state *state, uint32_t function, uint32_t call, bool callback)
{
    struct frame *frame = state->frame[state->depth];

    frame->function = function;
    frame->call = call;
    frame->callback = callback;
    frame->slots = 0;
    frame->loop = (struct loop){ 0 };
    memset(frame->reg, 0, sizeof(frame->reg));          /* VALUE_NOT_INIT */
    frame->reg[10] = value_pointer(VALUE_STACK);
    frame->reg[10].frame = (uint8_t)state->depth;
    state->depth++;
}

void state_extend(struct frame *frame, uint32_t slot)
{
    if (slot < frame->slots)
        return;
    memset(&frame->slot[frame->slots], 0, (slot + 1 - frame->slots) * sizeof(frame->slot[0]));
    frame->slots = slot + 1;
}

static size_t frame_size(const struct frame *frame)
{
    return offsetof(struct frame, slot) + frame->slots * sizeof(frame->slot[0]);
}

size_t state_bytes(const struct verifier_state *state)
{
    size_t size = sizeof(*state);

    for (uint32_t i = 0; i < state->depth; i++)
        size += frame_size(state->frame[i]);
    return size;
}

struct verifier_state *state_save_at(void *memory, const struct verifier_state *state)
{
    struct verifier_state *saved = memory;
    char *at = (char *)memory + sizeof(*saved);

    *saved = *state;
    saved->bytes = state_bytes(state);
    for (uint32_t i = 0; i < state->depth; i++) {
        saved->frame[i] = (struct frame *)(void *)at;
        memcpy(saved->frame[i], state->frame[i], frame_size(state->frame[i]));
        at += frame_size(state->frame[i]);
    }
    return saved;
}

struct verifier_state *state_save(struct pool *pool, const struct verifier_state *state)
{
    void *memory = pool_take(pool, state_bytes(state));

    return memory ? state_save_at(memory, state) : NULL;
}

void state_give_back(struct pool *pool, struct verifier_state *saved)
{
    if (saved)
        pool_give_back(pool, saved, saved->bytes);
}

void state_load(struct verifier_state *state, const struct verifier_state *saved)
{
    state->depth = saved->depth;
    state->references = saved->references;
    memcpy(state->reference, saved->reference, sizeof(state->reference));
    for (uint32_t i = 0; i < saved->depth; i++)
        memcpy(state->frame[i], saved->frame[i], frame_size(saved->frame[i]));
}

void state_visit(struct verifier_state *state, state_visitor *visitor, void *userdata)
{
    for (uint32_t f = 0; f < state->depth; f++) {
        struct frame *frame = state->frame[f];

        for (int i = 0; i < INSTRUCTION_REGISTERS - 1; i++)
            visitor(userdata, &frame->reg[i], f, i);
        for (uint32_t i = 0; i < frame->slots; i++)
            if (frame->slot[i].written)
                visitor(userdata, &frame->slot[i].value, f, -1);
    }
}
