/* SPDX-License-Identifier: MIT */
/* Calls of helpers, most of which work on maps, and of functions of the workers'. */

#include "builder.h"

#include <linux/bpf.h>
#include <stdio.h>

#include "helper.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static const struct value any_value = { .writable = true, .atomics = true, .alignment = 8, .high = VALUE_SIZE };

static bool percent(struct builder *b, uint32_t share)
{
    return random_percent(&b->random, share);
}

void builder_clobber(struct builder *b)
{
    for (unsigned i = 1; i <= 5; i++)
        b->now.reg[i].kind = HOLDS_NOTHING;
    builder_set_number(b, 0);
}

static void call_helper(struct builder *b, int32_t number)
{
    build(b, OPCODE_CALL, 0, CALL_HELPER, 0, number);
    builder_clobber(b);
}

/* One that returns a pointer or NULL. */
static void call_for_pointer(struct builder *b, int32_t number)
{
    call_helper(b, number);
    b->now.reg[0].kind = HOLDS_NOTHING;
}

void build_stack_pointer(struct builder *b, int target, int32_t size)
{
    int32_t slots = (b->array_size - size) / 8, offset = -b->array_size;

    offset += 8 * (int32_t)random_below(&b->random, (uint32_t)slots + 1);
    build_move(b, target, STACK_POINTER);
    build(b, 0x07, target, 0, 0, offset);
}

/* Bytes of numbers that a helper gets: on the stack, or in the arena, where others may write to them meanwhile. */
static void build_bytes(struct builder *b, int target, int32_t size)
{
    int32_t offset = 8 * random_between(&b->random, 0, (DATA_SIZE - size) / 8);

    if (b->options->maps && percent(b, 40))
        build_wide(b, target, WIDE_MAP_VALUE, REGION_OF_DATA, offset);
    else
        build_stack_pointer(b, target, size);
}

uint32_t builder_callback(const struct builder *b, uint8_t kind)
{
    uint32_t callback = b->current + 1;

    while (callback < b->functions && b->function[callback].callback != kind)
        callback++;
    return callback;
}

/* ---- keys ---- */

/* R2: a key, which a store makes one that may be there. */
static void build_key(struct builder *b, int32_t keys)
{
    int32_t key = -8 * random_between(&b->random, 1, b->array_size / 8);

    if (b->options->maps && percent(b, 30)) {
        build_bytes(b, 2, 8);
        build(b, 0x62, 2, 0, 0, random_between(&b->random, 0, keys));
        return;
    }
    if (percent(b, 50))
        build(b, 0x62, STACK_POINTER, 0, key, random_between(&b->random, 0, keys));
    else
        build(b, 0x63, STACK_POINTER, builder_number(b), key, 0);
    build_move(b, 2, STACK_POINTER);
    build(b, 0x07, 2, 0, 0, key);
}

static void build_map_and_key(struct builder *b, int32_t region, int32_t keys)
{
    build_key(b, keys);
    build_wide(b, 1, WIDE_MAP, region, 0);
}

/* ---- lookups ---- */

static void build_lookup_call(struct builder *b)
{
    build_map_and_key(b, b->options->hash && percent(b, 60) ? REGION_OF_HASH : REGION_OF_ARRAY, ENTRIES);
    call_for_pointer(b, HELPER_MAP_LOOKUP);
}

/* if (R0) { ... }, where R0, and `other` if there is such a register, are pointers to values. */
static void build_use_of_value(struct builder *b, int other)
{
    struct state before = b->now;
    uint32_t jump = build_jump(b, 0x15, 0, 0, 0);

    builder_set_pointer(b, 0, any_value);
    build_access(b, 0);
    if (other != NO_REGISTER) {
        builder_set_pointer(b, other, any_value);
        build_access(b, other);
    }
    for (uint32_t i = 1 + random_below(&b->random, 4); i > 0; i--)
        build_statement(b);
    build_land(b, jump);
    builder_join(b, &before);
}

void build_lookup(struct builder *b)
{
    int other = percent(b, b->options->bold) ? builder_target(b, HOLDS_POINTER, 0x3f) : NO_REGISTER;

    build_lookup_call(b);
    if (other != NO_REGISTER) {                 /* one that nobody compares with NULL */
        build_move(b, other, 0);
        b->now.reg[other].kind = HOLDS_NOTHING;
        build_lookup_call(b);
    }
    build_use_of_value(b, other);
    b->features.lookup = true;
}

/* ---- changes ---- */

/* Of the map in R1, the key in R2.  Errors are results. */
static void build_change_call(struct builder *b)
{
    bool update = percent(b, 70);

    if (update) {
        build_bytes(b, 3, VALUE_SIZE);
        build(b, 0xb7, 4, 0, 0, percent(b, 60) ? BPF_ANY : random_between(&b->random, BPF_ANY, 4));
    }
    call_helper(b, update ? BPF_FUNC_map_update_elem : BPF_FUNC_map_delete_elem);
}

void build_change(struct builder *b)
{
    build_map_and_key(b, REGION_OF_HASH, ENTRIES);
    build_change_call(b);
    b->features.change = true;
}

/* ---- for each element ---- */

/* Of the map in R1. */
static void build_elements_call(struct builder *b, uint32_t callback)
{
    build_wide(b, 2, WIDE_FUNCTION, (int32_t)callback, 0);
    build_stack_pointer(b, 3, PARAMETER_BYTES);
    build(b, 0xb7, 4, 0, 0, 0);
    call_helper(b, HELPER_FOR_EACH);
    b->features.callback = true;
}

void build_elements(struct builder *b)
{
    uint32_t callback = builder_callback(b, CALLBACK_MAP_ELEMENT);

    if (callback == b->functions)
        return;
    build_wide(b, 1, WIDE_MAP, percent(b, 50) ? REGION_OF_HASH : REGION_OF_ARRAY, 0);
    build_elements_call(b, callback);
}

/* ---- maps of maps ---- */

/* R0 is a map: it is looked into, changed, or gone through. */
static void build_use_of_map(struct builder *b)
{
    uint32_t callback = builder_callback(b, CALLBACK_MAP_ELEMENT), way = random_below(&b->random, 10);
    int32_t key = -8 * random_between(&b->random, 1, b->array_size / 8);

    build_move(b, 1, 0);
    if (way < 2 && callback < b->functions) {
        build_elements_call(b, callback);
        return;
    }
    build(b, 0x62, STACK_POINTER, 0, key, random_between(&b->random, 0, ENTRIES));
    build_move(b, 2, STACK_POINTER);
    build(b, 0x07, 2, 0, 0, key);
    if (way < 5) {
        build_change_call(b);
        return;
    }
    call_for_pointer(b, HELPER_MAP_LOOKUP);
    build_use_of_value(b, NO_REGISTER);
}

/* Sometimes nobody compares the map with NULL. */
void build_inner(struct builder *b)
{
    bool checked = !percent(b, b->options->bold / 4);
    struct state before;
    uint32_t jump = 0;

    build_map_and_key(b, REGION_OF_OUTER, 2);
    call_for_pointer(b, HELPER_MAP_LOOKUP);
    before = b->now;
    if (checked)
        jump = build_jump(b, 0x15, 0, 0, 0);
    build_use_of_map(b);
    if (checked)
        build_land(b, jump);
    builder_join(b, &before);
}

/* ---- ring buffers ---- */

/* What is accessed before it is compared with NULL, or beyond its end, is for the verifier to refuse. */
void build_record(struct builder *b)
{
    int record = builder_target(b, HOLDS_POINTER, 0x3f);        /* one that calls leave alone */
    int32_t size = random_between(&b->random, 1, 40);
    struct value value = { .writable = true, .atomics = true, .alignment = 8, .high = size };
    struct state before;
    uint32_t jump;

    if (record == NO_REGISTER)
        return;
    build_wide(b, 1, WIDE_MAP, REGION_OF_RING, 0);
    build(b, 0xb7, 2, 0, 0, size);
    build(b, 0xb7, 3, 0, 0, 0);
    call_for_pointer(b, BPF_FUNC_ringbuf_reserve);
    build_move(b, record, 0);
    b->now.reg[record].kind = HOLDS_NOTHING;
    before = b->now;
    jump = build_jump(b, 0x15, record, 0, 0);
    value.high += percent(b, b->options->bold / 4);
    builder_set_pointer(b, record, value);
    b->locked |= (uint16_t)(1u << record);
    build_access(b, record);
    for (uint32_t i = 1 + random_below(&b->random, 4); i > 0; i--)
        build_statement(b);
    b->locked &= (uint16_t)~(1u << record);
    build_move(b, 1, record);
    build(b, 0xb7, 2, 0, 0, 0);
    call_helper(b, percent(b, 70) ? BPF_FUNC_ringbuf_submit : BPF_FUNC_ringbuf_discard);
    build_land(b, jump);
    builder_join(b, &before);
    b->now.reg[record].kind = HOLDS_NOTHING;
}

/* ---- other helpers ---- */

static void build_output(struct builder *b)
{
    int32_t size = random_between(&b->random, 0, VALUE_SIZE);

    build_bytes(b, 2, VALUE_SIZE);
    build_wide(b, 1, WIDE_MAP, REGION_OF_RING, 0);
    build(b, 0xb7, 3, 0, 0, size);
    build(b, 0xb7, 4, 0, 0, 0);
    call_helper(b, BPF_FUNC_ringbuf_output);
}

static void build_queue(struct builder *b)
{
    static const int32_t helpers[] = { BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_peek_elem };

    build_bytes(b, 2, VALUE_SIZE);
    build_wide(b, 1, WIDE_MAP, REGION_OF_QUEUE, 0);
    build(b, 0xb7, 3, 0, 0, percent(b, 50) ? BPF_ANY : BPF_EXIST);
    call_helper(b, helpers[random_below(&b->random, COUNT(helpers))]);
}

static void build_comparison(struct builder *b)
{
    build_bytes(b, 1, 16);
    build(b, 0xb7, 2, 0, 0, random_between(&b->random, 1, 16));
    build_wide(b, 3, WIDE_MAP_VALUE, REGION_OF_CONSTANTS, random_between(&b->random, 0, CONSTANTS_SIZE - 1));
    call_helper(b, BPF_FUNC_strncmp);
}

static void build_trace(struct builder *b)
{
    build_bytes(b, 1, 8);
    build(b, 0x7a, 1, 0, 0, 'a' << 24 | '%' << 16 | 'd' << 8 | '%');
    build(b, 0xb7, 2, 0, 0, random_between(&b->random, 5, 8));
    for (int i = 3; i <= 5; i++)
        build(b, 0xb7, i, 0, 0, (int32_t)random_edge(&b->random));
    call_helper(b, BPF_FUNC_trace_printk);
}

static void build_question(struct builder *b)
{
    static const int32_t helpers[] = { BPF_FUNC_get_prandom_u32, BPF_FUNC_get_current_pid_tgid, BPF_FUNC_ktime_get_ns,
                                       BPF_FUNC_get_smp_processor_id };

    call_helper(b, helpers[random_below(&b->random, COUNT(helpers))]);
}

static void build_ring_question(struct builder *b)
{
    build_wide(b, 1, WIDE_MAP, REGION_OF_RING, 0);
    build(b, 0xb7, 2, 0, 0, random_between(&b->random, BPF_RB_AVAIL_DATA, BPF_RB_PROD_POS));
    call_helper(b, BPF_FUNC_ringbuf_query);
}

void build_helper(struct builder *b)
{
    static void (*const helpers[])(struct builder *) = {
        build_output, build_queue, build_queue, build_comparison, build_trace, build_question, build_ring_question,
    };

    helpers[random_below(&b->random, COUNT(helpers))](b);
}

/* ---- functions of the workers' ---- */

/* `mask`: what makes a number one of the argument's type; 0: any is. */
static const struct native {
    const char *prototype;
    uint32_t arguments;
    int32_t mask[3];
} natives[BUILDER_NATIVES] = {
    { "u32(u64,u32)", 2, { 0, 0 } },
    { "s16(u8,s64,s8)", 3, { 0xff, 0, 0x7f } },
    { "void(u16)", 1, { 0xffff } },
};

/* Sometimes an argument is any number, which is for the verifier to refuse. */
void build_native(struct builder *b)
{
    uint32_t index = random_below(&b->random, BUILDER_NATIVES);
    bool bold = percent(b, b->options->bold / 4);

    for (uint32_t i = 0; i < natives[index].arguments; i++) {
        int target = (int)i + 1;

        build_move(b, target, builder_number(b));
        builder_set_number(b, target);
        if (natives[index].mask[i] && !bold)
            build(b, 0x57, target, 0, 0, natives[index].mask[i]);
    }
    build(b, OPCODE_CALL, 0, CALL_NATIVE, 0, (int32_t)index);
    builder_clobber(b);
    if (natives[index].prototype[0] == 'v')
        b->now.reg[0].kind = HOLDS_NOTHING;
}

void builder_describe_native(struct bytecode_native *native, uint32_t index)
{
    snprintf(native->name, sizeof(native->name), "native_%u", index);
    snprintf(native->prototype, sizeof(native->prototype), "%s", natives[index].prototype);
}

/* ---- maps ---- */

#define KEYED KEY_SIZE, VALUE_SIZE, ENTRIES

/* What a region may be; the first one if there are not maps of all kinds. */
static const struct map_choice {
    int region;
    const char *name;
    uint32_t type, key_size, value_size, entries, flags;
} choices[] = {
    { REGION_OF_ARRAY, "array", BPF_MAP_TYPE_ARRAY, KEYED, 0 },
    { REGION_OF_HASH, "hash", BPF_MAP_TYPE_HASH, KEYED, 0 },
    { REGION_OF_HASH, "lru", BPF_MAP_TYPE_LRU_HASH, KEYED, 0 },
    { REGION_OF_HASH, "seat_array", BPF_MAP_TYPE_PERCPU_ARRAY, KEYED, 0 },
    { REGION_OF_HASH, "seat_hash", BPF_MAP_TYPE_PERCPU_HASH, KEYED, 0 },
    { REGION_OF_HASH, "trie", BPF_MAP_TYPE_LPM_TRIE, 2 * KEY_SIZE, VALUE_SIZE, ENTRIES, BPF_F_NO_PREALLOC },
    { REGION_OF_RING, "ring", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0 },
    { REGION_OF_QUEUE, "queue", BPF_MAP_TYPE_QUEUE, 0, VALUE_SIZE, ENTRIES, 0 },
    { REGION_OF_QUEUE, "stack", BPF_MAP_TYPE_STACK, 0, VALUE_SIZE, ENTRIES, 0 },
    { REGION_OF_OUTER, "outer_array", BPF_MAP_TYPE_ARRAY_OF_MAPS, KEY_SIZE, 8, ENTRIES, 0 },
    { REGION_OF_OUTER, "outer_hash", BPF_MAP_TYPE_HASH_OF_MAPS, KEY_SIZE, 8, ENTRIES, 0 },
    { REGION_OF_INNER, "inner_hash", BPF_MAP_TYPE_HASH, KEYED, 0 },
    { REGION_OF_INNER, "inner_array", BPF_MAP_TYPE_ARRAY, KEYED, 0 },
    { REGION_OF_INNER, "inner_lru", BPF_MAP_TYPE_LRU_HASH, KEYED, 0 },
};

static const struct map_choice *choose_map(int index, bool all, struct random *random)
{
    uint32_t first = 0, count = 0;

    while (choices[first].region != index)
        first++;
    while (first + count < COUNT(choices) && choices[first + count].region == index)
        count++;
    return &choices[first + (all ? random_below(random, count) : 0)];
}

void builder_describe_map(struct bytecode_region *region, int index, bool all, struct random *random)
{
    const struct map_choice *choice = choose_map(index, all, random);

    region->kind = index == REGION_OF_INNER ? REGION_INNER : REGION_MAP;
    region->inner = index == REGION_OF_OUTER ? REGION_OF_INNER : 0;
    region->map_type = choice->type;
    region->key_size = choice->key_size;
    region->value_size = choice->value_size;
    region->max_entries = choice->entries;
    region->map_flags = choice->flags;
    snprintf(region->name, sizeof(region->name), "%s", choice->name);
}
