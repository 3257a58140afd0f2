/* SPDX-License-Identifier: MIT */
/* The states that the verifier has seen, against what the interpreter has. */

#include "recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "liveness.h"
#include "verifier/state.h"

#define PRESERVED 0x3c0         /* R6 to R9 */
#define ARGUMENTS 0x3e          /* R1 to R5 */
#define LINKS_MAX 128

struct recorded {
    struct recorded *next;
    struct verifier_state *state;
};

bool recording_init(struct recording *recording, const struct bytecode *bytecode)
{
    *recording = (struct recording){
        .bytecode = bytecode,
        .at = calloc(bytecode->instructions, sizeof(struct recorded *)),
        .live = calloc(bytecode->instructions, sizeof(uint16_t)),
        .live_behind = calloc(bytecode->instructions, sizeof(uint16_t)),
        .complete = true,
    };
    if (!recording->at || !recording->live || !recording->live_behind ||
        liveness_of_program(bytecode, recording->live, recording->live_behind) < 0) {
        recording_clear(recording);
        return false;
    }
    return true;
}

void recording_clear(struct recording *recording)
{
    for (uint32_t i = 0; recording->at && i < recording->bytecode->instructions; i++)
        while (recording->at[i]) {
            struct recorded *next = recording->at[i]->next;

            free(recording->at[i]->state);
            free(recording->at[i]);
            recording->at[i] = next;
        }
    free(recording->at);
    free(recording->live);
    free(recording->live_behind);
    *recording = (struct recording){ 0 };
}

void recording_observe(void *userdata, uint32_t instruction, const struct verifier_state *state)
{
    struct recording *recording = userdata;
    struct recorded *recorded = malloc(sizeof(*recorded));
    void *memory = malloc(state_bytes(state));

    if (!recorded || !memory) {
        free(recorded);
        free(memory);
        recording->complete = false;
        return;
    }
    recorded->state = state_save_at(memory, state);
    recorded->next = recording->at[instruction];
    recording->at[instruction] = recorded;
    recording->states++;
}

/* ---- one state ---- */

/* Numbers with one id differ by their deltas alone: what the one without a delta would be. */
struct link {
    uint32_t id;
    uint64_t base;
};

struct comparison {
    const struct recording *recording;
    const struct interpreter *interpreter;
    const struct recording_places *places;
    /* What state_matches() writes: */
    const struct verifier_state *state;
    struct link link[LINKS_MAX];
    uint32_t links;
    uint32_t agreed;            /* values that the state describes */
    const char *what;           /* what it does not describe: */
    uint32_t frame, index;
    const struct value *value;
    uint64_t concrete;
};

static bool is_linked(struct comparison *c, uint32_t id, uint64_t base)
{
    if (id == 0)
        return true;
    for (uint32_t i = 0; i < c->links; i++)
        if (c->link[i].id == id)
            return c->link[i].base == base;
    if (c->links < LINKS_MAX)
        c->link[c->links++] = (struct link){ id, base };
    return true;
}

/* The offset in its object is the fixed part and a number that the variable part describes. */
static bool offset_matches(const struct value *value, int64_t offset)
{
    return scalar_contains(&value->number, (uint64_t)(offset - value->offset));
}

static bool stack_matches(const struct value *value, struct interpreter_place place)
{
    return place.kind == PLACE_STACK && place.index == value->frame &&
           offset_matches(value, place.offset - INSTRUCTION_STACK_SIZE);
}

/* The region that describes the map of a place: of an inner map, the one that all such are like. */
static uint32_t region_of(const struct comparison *c, struct interpreter_place place)
{
    return c->interpreter->arena.region[place.index];
}

/* A whole region, or one element of a map. */
static bool region_matches(const struct comparison *c, const struct value *value, struct interpreter_place place)
{
    const struct bytecode_region *region = &c->recording->bytecode->region[value->region];
    bool element = place.kind == PLACE_VALUE;
    uint32_t size = element ? region->value_size : region->size;

    return (element || place.kind == PLACE_MEMORY) && (element ? region_of(c, place) : place.index) == value->region &&
           value->size == size && offset_matches(value, place.offset);
}

static bool memory_matches(const struct value *value, struct interpreter_place place, uint32_t memory)
{
    return place.kind == PLACE_MEMORY && place.index == memory && offset_matches(value, place.offset);
}

/* `range` bytes behind the variable part are there; variable parts with one id are the same. */
static bool packet_matches(struct comparison *c, const struct value *value, struct interpreter_place place)
{
    int64_t variable = place.offset - value->offset;
    uint32_t packet = c->places->packet;

    return packet != UINT32_MAX && memory_matches(value, place, packet) &&
           (value->range == 0 || variable + (int64_t)value->range <= c->interpreter->memory[packet].size) &&
           is_linked(c, value->id, (uint64_t)variable);
}

static bool map_matches(const struct comparison *c, const struct value *value, struct interpreter_place place)
{
    return place.kind == PLACE_MAP && region_of(c, place) == value->region && place.offset == 0;
}

static bool function_matches(const struct value *value, struct interpreter_place place)
{
    return place.kind == PLACE_FUNCTION && place.index == value->region && place.offset == 0;
}

/* A record of a ring that was reserved, of so many bytes, and not given back. */
static bool record_matches(const struct comparison *c, const struct value *value, struct interpreter_place place)
{
    for (uint32_t i = 0; i < INTERPRETER_RECORDS_MAX && place.kind == PLACE_VALUE; i++) {
        const struct interpreter_record *record = &c->interpreter->record[i];

        if (record->size && record->map == place.index && record->element == place.element)
            return record->size == value->size && region_of(c, place) == value->region &&
                   offset_matches(value, place.offset);
    }
    return false;
}

/* What the callback whose frame that is got from its caller's helper. */
static bool key_matches(const struct comparison *c, const struct value *value, struct interpreter_place place)
{
    const struct interpreter_loop *loop = &c->interpreter->frame[place.index].loop;

    return place.index + 1 == value->frame && loop->count > 0 &&
           value->size == c->interpreter->arena.map[loop->map]->key_size && offset_matches(value, place.offset);
}

/* What helpers give, with an id; a key, which may only be read; or a context of bytes. */
static bool other_memory_matches(const struct comparison *c, const struct value *value, struct interpreter_place place)
{
    if (value->id)
        return record_matches(c, value, place);
    if (place.kind == PLACE_KEY)
        return value->read_only && key_matches(c, value, place);
    return memory_matches(value, place, c->places->context) &&
           value->size == c->interpreter->memory[c->places->context].size;
}

static bool pointer_matches(struct comparison *c, const struct value *value, uint64_t concrete)
{
    struct interpreter_place place = interpreter_find(c->interpreter, concrete);
    uint32_t packet = c->places->packet;

    switch ((enum value_type)value->type) {
    case VALUE_CTX:
        return memory_matches(value, place, c->places->context);
    case VALUE_MEMORY:
        return other_memory_matches(c, value, place);
    case VALUE_MEMORY_OR_NULL:
        return is_linked(c, value->id, concrete == 0) && (concrete == 0 || record_matches(c, value, place));
    case VALUE_STACK:
        return stack_matches(value, place);
    case VALUE_MAP:
        return map_matches(c, value, place);
    case VALUE_MAP_OR_NULL:
        return is_linked(c, value->id, concrete == 0) && (concrete == 0 || map_matches(c, value, place));
    case VALUE_MAP_VALUE_OR_NULL:
        return is_linked(c, value->id, concrete == 0) && (concrete == 0 || region_matches(c, value, place));
    case VALUE_MAP_VALUE:
        return region_matches(c, value, place);
    case VALUE_PACKET:
        return packet_matches(c, value, place);
    case VALUE_PACKET_END:
        return packet != UINT32_MAX && place.kind == PLACE_MEMORY && place.index == packet &&
               place.offset == c->interpreter->memory[packet].size;
    case VALUE_FUNCTION:
        return function_matches(value, place);
    default:
        return false;
    }
}

static bool value_matches(struct comparison *c, const struct value *value, uint64_t concrete)
{
    if (value->type == VALUE_NOT_INIT)
        return true;
    if (value->type != VALUE_SCALAR)
        return pointer_matches(c, value, concrete);
    return scalar_contains(&value->number, concrete) &&
           is_linked(c, value->id, concrete - (uint64_t)(int64_t)value->delta);
}

static bool differs(struct comparison *c, const char *what, uint32_t frame, uint32_t index, const struct value *value,
                    uint64_t concrete)
{
    c->what = what;
    c->frame = frame;
    c->index = index;
    c->value = value;
    c->concrete = concrete;
    return false;
}

static uint16_t live_registers(const struct comparison *c, uint32_t f)
{
    if (f + 1 == c->state->depth)
        return c->recording->live[c->interpreter->frame[f].at];
    return (c->recording->live_behind[c->state->frame[f + 1]->call] & PRESERVED) |
           (c->state->frame[f + 1]->callback ? ARGUMENTS : 0);
}

static bool registers_match(struct comparison *c, uint32_t f)
{
    const struct interpreter_frame *frame = &c->interpreter->frame[f];
    uint16_t live = live_registers(c, f);

    for (uint32_t i = 0; i < INSTRUCTION_REGISTERS; i++) {
        const struct value *value = verifier_register(c->state, f, i);

        if (!(live >> i & 1))
            continue;
        if ((value->type != VALUE_NOT_INIT && !(frame->known >> i & 1)) || !value_matches(c, value, frame->value[i]))
            return differs(c, "R", f, i, value, frame->value[i]);
        c->agreed++;
    }
    return true;
}

static bool slot_matches(struct comparison *c, const struct slot *slot, const uint8_t *bytes,
                         const uint8_t *initialised)
{
    uint64_t concrete;

    for (unsigned i = 0; i < 8; i++)
        if (slot->written >> i & 1 && !initialised[i])
            return false;
    memcpy(&concrete, bytes, sizeof(concrete));
    return value_matches(c, &slot->value, concrete);
}

static bool slots_match(struct comparison *c, uint32_t f)
{
    const struct interpreter_frame *frame = &c->interpreter->frame[f];

    for (uint32_t i = 0; i < c->state->frame[f]->slots; i++) {
        const struct slot *slot = verifier_slot(c->state, f, i);
        const uint32_t at = INSTRUCTION_STACK_SIZE - 8 * (i + 1);
        uint64_t concrete;

        if (!slot)
            continue;
        memcpy(&concrete, frame->stack + at, sizeof(concrete));
        if (!slot_matches(c, slot, frame->stack + at, frame->initialised + at))
            return differs(c, "slot ", f, i, &slot->value, concrete);
        c->agreed++;
    }
    return true;
}

static uint32_t function_at(const struct comparison *c, uint32_t f)
{
    return bytecode_function_at(c->recording->bytecode, c->interpreter->frame[f].at);
}

/* A caller is behind the call; one whose helper calls back is at it. */
static bool calls_match(struct comparison *c)
{
    if (c->state->depth != c->interpreter->depth)
        return differs(c, "depth", 0, c->state->depth, NULL, c->interpreter->depth);
    for (uint32_t f = 0; f + 1 < c->state->depth; f++) {
        const struct frame *callee = c->state->frame[f + 1];

        if (c->interpreter->frame[f].at != callee->call + !callee->callback ||
            function_at(c, f + 1) != callee->function)
            return differs(c, "call of ", f, callee->function, NULL, c->interpreter->frame[f].at);
    }
    return true;
}

/* As many records are held as the verifier counts: a pointer that may be NULL is one while it is not. */
static bool references_match(struct comparison *c)
{
    uint32_t held = 0;

    for (uint32_t i = 0; i < INTERPRETER_RECORDS_MAX; i++)
        held += c->interpreter->record[i].size != 0;
    return held <= c->state->references || differs(c, "records ", 0, c->state->references, NULL, held);
}

static bool state_matches(struct comparison *c, const struct verifier_state *state)
{
    c->state = state;
    c->links = c->agreed = 0;
    if (!calls_match(c) || !references_match(c))
        return false;
    for (uint32_t f = c->state->depth; f-- > 0;)
        if (!registers_match(c, f) || !slots_match(c, f))
            return false;
    return true;
}

/* ---- all of them ---- */

static void describe(const struct comparison *c, char *reason, size_t size)
{
    char value[VALUE_FORMAT_SIZE] = "";

    if (c->value)
        value_format(c->value, c->recording->bytecode, value);
    snprintf(reason, size, "frame %u: %s%u is 0x%llx, the verifier has \"%s\"", c->frame, c->what, c->index,
             (unsigned long long)c->concrete, value);
}

/* The state that agrees in the most values. */
static void explain(struct comparison *c, const struct recorded *first, char *reason, size_t size)
{
    uint32_t most = 0;

    snprintf(reason, size, "the verifier has not seen this instruction");
    for (const struct recorded *recorded = first; recorded; recorded = recorded->next)
        if (!state_matches(c, recorded->state) && (recorded == first || c->agreed > most)) {
            most = c->agreed;
            describe(c, reason, size);
        }
}

bool recording_describes(const struct recording *recording, const struct interpreter *interpreter,
                         const struct recording_places *places, char *reason, size_t size)
{
    const struct recorded *first = recording->at[interpreter->frame[interpreter->depth - 1].at];
    struct comparison c;

    c.recording = recording;
    c.interpreter = interpreter;
    c.places = places;
    for (const struct recorded *recorded = first; recorded; recorded = recorded->next)
        if (state_matches(&c, recorded->state))
            return true;
    explain(&c, first, reason, size);
    return false;
}
