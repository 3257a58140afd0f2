/* SPDX-License-Identifier: MIT */
/* The bytes of the stack. */

#include "stack.h"

#include <errno.h>
#include <stdio.h>

#define WHOLE 0xff              /* all bytes of a slot */

static uint32_t slot_of(int64_t offset)
{
    return (uint32_t)((-offset - 1) / 8);
}

static unsigned byte_of(int64_t offset)
{
    return (unsigned)(offset & 7);
}

uint64_t stack_slots(int64_t lowest, int64_t highest)
{
    uint32_t first = slot_of(highest), last = slot_of(lowest);

    return UINT64_MAX >> (63 - (last - first)) << first;
}

/* The bytes of the slot that [lowest, highest] touches. */
static uint8_t bytes_in(uint32_t slot, int64_t lowest, int64_t highest)
{
    int64_t start = -8 * ((int64_t)slot + 1);
    unsigned from = lowest > start ? (unsigned)(lowest - start) : 0;
    unsigned to = highest < start + 7 ? (unsigned)(highest - start) : 7;

    return (uint8_t)(WHOLE >> (7 - (to - from)) << from);
}

/* In words: whose stack it is, where that is not the function that runs. */
#define OWNER_SIZE (BYTECODE_NAME_MAX + 8)
static const char *owner(const struct analysis *analysis, uint32_t frame, char buffer[OWNER_SIZE])
{
    const char *name = analysis->bytecode->function[analysis->state.frame[frame]->function].name;

    buffer[0] = '\0';
    if (frame != analysis_frame(analysis))
        snprintf(buffer, OWNER_SIZE, " of %s", name);
    return buffer;
}

/* ---- bounds ---- */

int stack_check(struct analysis *analysis, const struct value *pointer, int64_t offset, uint32_t size)
{
    int64_t lowest = value_lowest(pointer) + offset, highest = value_highest(pointer) + offset + (int64_t)size - 1;
    struct frame *frame = analysis->state.frame[pointer->frame];
    uint32_t *used = &analysis->verified.stack[frame->function];
    char whose[OWNER_SIZE];

    if (lowest < -INSTRUCTION_STACK_SIZE || highest > -1)
        return message_refuse(analysis, "stack-bounds",
                              lowest == highest - (int64_t)size + 1 ? NULL : MESSAGE_COMPARE,
                              "accesses bytes %lld to %lld of the stack%s, counted from its R10; they are %d to -1",
                              (long long)lowest, (long long)highest, owner(analysis, pointer->frame, whose),
                              -INSTRUCTION_STACK_SIZE);
    state_extend(frame, slot_of(lowest));
    if (8 * frame->slots > *used)
        *used = 8 * frame->slots;
    return 0;
}

/* ---- reading ---- */

static int refuse_unwritten(struct analysis *analysis, uint32_t frame, int64_t lowest, int64_t highest)
{
    char whose[OWNER_SIZE];

    return message_refuse(analysis, "stack-read",
                          analysis->argument ? "write them first, on every path that leads here; padding counts, too: "
                                               "zero the struct with memset or = {}" :
                                               "write them first, on every path that leads here",
                          "reads bytes %lld to %lld of the stack%s, counted from its R10, of which some were not "
                          "written",
                          (long long)lowest, (long long)highest, owner(analysis, frame, whose));
}

/* All of these bytes are written, and none is of a pointer. */
static int read_numbers(struct analysis *analysis, uint32_t index, int64_t lowest, int64_t highest)
{
    const struct frame *frame = analysis->state.frame[index];
    char whose[OWNER_SIZE];

    for (uint32_t slot = slot_of(highest); slot <= slot_of(lowest); slot++) {
        const struct slot *s = &frame->slot[slot];
        uint8_t bytes = bytes_in(slot, lowest, highest);

        if ((s->written & bytes) != bytes)
            return refuse_unwritten(analysis, index, lowest, highest);
        if (!value_is_number(&s->value))
            return message_refuse(analysis, "pointer-leak", "load all eight bytes of a pointer at once",
                                  "reads bytes of %s, which is on the stack%s at R10-%u, as a number",
                                  value_type_name(s->value.type), owner(analysis, index, whose), 8 * (slot + 1));
    }
    return 0;
}

/* `size` bytes from byte `from` on of eight. */
static struct scalar extract(const struct scalar *number, unsigned from, unsigned size)
{
    struct scalar amount = scalar_constant(8 * from), shifted = *number;

    if (from > 0)
        shifted = scalar_arithmetic(ALU_RSH, true, false, number, &amount);
    return scalar_zero_extend(&shifted, size);
}

static void note_access(struct analysis *analysis, enum step_access access, uint32_t frame, int64_t lowest,
                        int64_t highest, bool whole)
{
    struct step *step = analysis_step(analysis);

    step->access = (uint8_t)access;
    step->frame = (uint8_t)frame;
    step->slot = (uint8_t)slot_of(lowest);
    step->slots = (uint8_t)(slot_of(lowest) - slot_of(highest) + 1);
    step->whole = whole;
}

int stack_load(struct analysis *analysis, const struct value *pointer, int32_t offset, unsigned size,
               struct value *ret)
{
    const struct frame *frame = analysis->state.frame[pointer->frame];
    int64_t lowest = value_lowest(pointer) + offset, highest = value_highest(pointer) + offset + (int64_t)size - 1;
    bool constant = scalar_is_constant(&pointer->number);
    const struct slot *slot = &frame->slot[slot_of(lowest)];
    int r;

    analysis_demand_slots(analysis, pointer->frame, stack_slots(lowest, highest));
    if (constant)
        note_access(analysis, STEP_LOAD, pointer->frame, lowest, highest, false);
    if (constant && size == 8 && byte_of(lowest) == 0 && slot->written == WHOLE) {
        *ret = slot->value;
        return 0;
    }
    r = read_numbers(analysis, pointer->frame, lowest, highest);
    if (r < 0)
        return r;
    *ret = value_number(scalar_loaded(size));
    if (constant && slot_of(lowest) == slot_of(highest))
        ret->number = extract(&slot->value.number, byte_of(lowest), size);
    return 0;
}

int stack_read_bytes(struct analysis *analysis, const struct value *pointer, uint32_t size)
{
    int64_t lowest = value_lowest(pointer), highest = value_highest(pointer) + (int64_t)size - 1;
    int r = stack_check(analysis, pointer, 0, size);

    if (r < 0)
        return r;
    analysis_demand_slots(analysis, pointer->frame, stack_slots(lowest, highest));
    return read_numbers(analysis, pointer->frame, lowest, highest);
}

/* ---- writing ---- */

/* The bytes become ones of which nothing is known.  What is left of a pointer that was there must not be read. */
static void forget(struct slot *slot)
{
    if (!value_is_number(&slot->value))
        slot->written = 0;
    slot->value = value_unknown();
}

/* The bytes [from, to) of `number`, in their place; the others become 0. */
static struct scalar part(const struct scalar *number, unsigned from, unsigned to)
{
    struct scalar above = scalar_constant(8 * (8 - to)), cut = scalar_constant(8 * (8 - to) + 8 * from);
    struct scalar below = scalar_constant(8 * from), result;

    if (from == 0 && (to & (to - 1)) == 0)
        return scalar_zero_extend(number, to);
    result = scalar_arithmetic(ALU_LSH, true, false, number, &above);
    result = scalar_arithmetic(ALU_RSH, true, false, &result, &cut);
    return scalar_arithmetic(ALU_LSH, true, false, &result, &below);
}

/* The lowest `size` bytes of `number` replace those from byte `from` on. */
static void insert(struct slot *slot, unsigned from, unsigned size, const struct scalar *number)
{
    struct scalar shift = scalar_constant(8 * from), new = scalar_zero_extend(number, size), old;

    if (!slot->written || !value_is_number(&slot->value))
        forget(slot);
    new = scalar_arithmetic(ALU_LSH, true, false, &new, &shift);
    if (from > 0) {
        old = part(&slot->value.number, 0, from);
        new = scalar_arithmetic(ALU_ADD, true, false, &new, &old);
    }
    if (from + size < 8) {
        old = part(&slot->value.number, from + size, 8);
        new = scalar_arithmetic(ALU_ADD, true, false, &new, &old);
    }
    slot->value = value_number(new);
}

/* Somewhere in these bytes, or in all of them: those that were written stay so, and those that `surely` are. */
static void write_unknown(struct frame *frame, int64_t lowest, int64_t highest, bool surely)
{
    for (uint32_t slot = slot_of(highest); slot <= slot_of(lowest); slot++) {
        forget(&frame->slot[slot]);
        if (surely)
            frame->slot[slot].written |= bytes_in(slot, lowest, highest);
    }
}

static int check_stored(struct analysis *analysis, const struct value *pointer, bool whole, const struct value *value)
{
    if (!value_is_pointer(value))
        return 0;
    if (!whole)
        return message_refuse(analysis, "pointer-leak", "store pointers in 8 bytes, at an offset of -8, -16, ...",
                              "stores a part of %s, or stores it where it would not be known any more",
                              value_type_name(value->type));
    if (value->type == VALUE_STACK && value->frame > pointer->frame)
        return message_refuse(analysis, "stack-caller", "keep the object in the calling function",
                              "stores a pointer to this function's stack in that of a calling function, which will "
                              "outlive it");
    if (value->type == VALUE_MEMORY && value->frame > pointer->frame)
        return message_refuse(analysis, "stack-caller", "keep a copy of the key",
                              "stores a pointer to the key that the callback got on the stack of a calling function, "
                              "which will outlive it");
    return 0;
}

int stack_store(struct analysis *analysis, const struct value *pointer, int32_t offset, unsigned size,
                struct value *value)
{
    struct frame *frame = analysis->state.frame[pointer->frame];
    int64_t lowest = value_lowest(pointer) + offset, highest = value_highest(pointer) + offset + (int64_t)size - 1;
    bool constant = scalar_is_constant(&pointer->number);
    bool whole = constant && size == 8 && byte_of(lowest) == 0;
    struct slot *slot = &frame->slot[slot_of(lowest)];
    int r = check_stored(analysis, pointer, whole, value);

    if (r < 0)
        return r;
    if (!constant) {
        write_unknown(frame, lowest, highest, false);
        return 0;
    }
    note_access(analysis, STEP_STORE, pointer->frame, lowest, highest, whole);
    if (whole) {
        analysis_link(analysis, value);
        *slot = (struct slot){ *value, analysis->history.steps, WHOLE };
    } else if (slot_of(lowest) == slot_of(highest)) {
        insert(slot, byte_of(lowest), size, &value->number);
        slot->written |= bytes_in(slot_of(lowest), lowest, highest);
    } else {
        write_unknown(frame, lowest, highest, true);
    }
    return 0;
}

int stack_write_bytes(struct analysis *analysis, const struct value *pointer, uint32_t size, bool surely)
{
    int64_t lowest = value_lowest(pointer), highest = value_highest(pointer) + (int64_t)size - 1;
    int r = stack_check(analysis, pointer, 0, size);

    if (r == 0)
        write_unknown(analysis->state.frame[pointer->frame], lowest, highest,
                      surely && scalar_is_constant(&pointer->number));
    return r;
}
