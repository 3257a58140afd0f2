/* SPDX-License-Identifier: MIT */
/* Random programs: functions, branches, loops and calls around statements. */

#include "program.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"
#include "helper.h"

#define PACKET_CONTEXT "packet"
#define DEPTH_MAX 3             /* of blocks in blocks */

static void build_block(struct builder *b, uint32_t statements, unsigned depth);

static uint16_t bit(int number)
{
    return (uint16_t)(1u << number);
}

/* ---- ends ---- */

/* The result depends on all numbers at hand, so that a wrong one shows. */
static void build_exit(struct builder *b)
{
    bool begun = b->now.reg[0].kind == HOLDS_NUMBER;

    for (int i = 1; i < STACK_POINTER; i++) {
        if (b->now.reg[i].kind != HOLDS_NUMBER)
            continue;
        if (begun)
            build(b, 0x27, 0, 0, 0, 0x01000193);
        build(b, begun ? 0xaf : 0xbf, 0, i, 0, 0);
        begun = true;
    }
    if (!begun)
        build(b, 0xb7, 0, 0, 0, random_between(&b->random, 0, 100));
    if (b->function[b->current].callback)
        build(b, 0x57, 0, 0, 0, random_percent(&b->random, 30) ? 1 : 0);
    build(b, OPCODE_EXIT, 0, 0, 0, 0);
}

/* ---- branches ---- */

/* if (...) { ...; return; } */
static void build_early_exit(struct builder *b)
{
    uint32_t jump = build_condition(b);
    struct state before = b->now;

    build_exit(b);
    b->now = before;
    build_land(b, jump);
}

/* if (...) { ... } else { ... }, or without the else. */
static void build_branch(struct builder *b, uint32_t statements, unsigned depth)
{
    uint32_t skip = build_condition(b), end;
    struct state before = b->now, behind;

    b->features.branch = true;
    build_block(b, statements, depth + 1);
    if (random_percent(&b->random, 50)) {
        build_land(b, skip);
        builder_join(b, &before);
        return;
    }
    end = build_jump(b, random_percent(&b->random, 80) ? OPCODE_JUMP_16 : OPCODE_JUMP_32, 0, 0, 0);
    build_land(b, skip);
    behind = b->now;
    b->now = before;
    build_block(b, statements, depth + 1);
    build_land(b, end);
    builder_join(b, &behind);
}

/* ---- loops ---- */

/* What a round must not depend on is forgotten: pointers that calls destroy. */
static void forget_pointers(struct builder *b)
{
    for (unsigned i = 0; i <= 5; i++)
        if (b->now.reg[i].kind == HOLDS_POINTER)
            b->now.reg[i].kind = HOLDS_NOTHING;
}

/* Numbers at the beginning that calls have destroyed since. */
static void restore_numbers(struct builder *b, const struct state *before)
{
    for (int i = 0; i < STACK_POINTER; i++)
        if (before->reg[i].kind == HOLDS_NUMBER && b->now.reg[i].kind != HOLDS_NUMBER)
            build_number(b, i, random_edge(&b->random));
}

/* The counter's first value: a constant, or at most 8 of what a number holds. */
static void build_counter(struct builder *b, int counter)
{
    if (random_percent(&b->random, 60)) {
        build(b, 0xb7, counter, 0, 0, random_between(&b->random, 1, 6));
    } else {
        build_move(b, counter, builder_number(b));
        build(b, 0x57, counter, 0, 0, 7);
        build(b, 0x07, counter, 0, 0, 1);
    }
    builder_set_number(b, counter);
}

static void build_loop(struct builder *b, uint32_t statements, unsigned depth)
{
    int counter = builder_target(b, HOLDS_NUMBER, 0x3f);        /* one that calls leave alone */
    struct state before;
    uint32_t top;

    if (counter == NO_REGISTER || b->loops == BUILDER_LOOPS_MAX)
        return;
    build_counter(b, counter);
    forget_pointers(b);
    before = b->now;
    b->loop[b->loops++] = &before;
    b->locked |= bit(counter);
    top = b->count;
    build_block(b, statements, depth + 1);
    restore_numbers(b, &before);
    build(b, 0x07, counter, 0, 0, -1);
    build(b, random_percent(&b->random, 50) ? 0x55 : 0x25, counter, 0, (int32_t)top - (int32_t)b->count - 1, 0);
    b->locked &= (uint16_t)~bit(counter);
    b->loops--;
    b->now = before;
    b->features.loop = true;
}

/* ---- calls ---- */

static void build_argument(struct builder *b, int target, enum parameter parameter)
{
    int32_t offset;

    switch (parameter) {
    case PARAMETER_NUMBER:
        if (random_percent(&b->random, 50))
            build_number(b, target, random_edge(&b->random));
        else
            build_move(b, target, builder_number(b));
        builder_set_number(b, target);
        break;
    case PARAMETER_STACK:
        build_stack_pointer(b, target, PARAMETER_BYTES);
        b->now.reg[target].kind = HOLDS_NOTHING;
        break;
    case PARAMETER_DATA:
        offset = 8 * random_between(&b->random, 0, (DATA_SIZE - PARAMETER_BYTES) / 8);
        build_wide(b, target, WIDE_MAP_VALUE, REGION_OF_DATA, offset);
        b->now.reg[target].kind = HOLDS_NOTHING;
        break;
    default:
        break;
    }
}

/* Of a function behind this one, so that there is no recursion. */
static void build_call(struct builder *b)
{
    uint32_t later = b->functions - b->current - 1, callee = b->current + 1;

    if (later == 0)
        return;
    callee += random_below(&b->random, later);
    if (b->function[callee].callback)
        return;
    if (b->now.reg[0].kind != HOLDS_NUMBER)     /* a number that no argument overwrites */
        build_number(b, 0, random_edge(&b->random));
    for (int i = 0; i < 5; i++)
        build_argument(b, i + 1, (enum parameter)b->function[callee].parameter[i]);
    build(b, OPCODE_CALL, 0, CALL_LOCAL, 0, (int32_t)callee);
    builder_clobber(b);
    b->features.call = true;
}

static void build_callback_loop(struct builder *b)
{
    uint32_t callback = builder_callback(b, CALLBACK_LOOP);

    if (callback >= b->functions)
        return;
    if (random_percent(&b->random, 60)) {
        build_number(b, 1, random_below(&b->random, 6));
    } else {
        build_move(b, 1, builder_number(b));
        build(b, 0x57, 1, 0, 0, 7);
    }
    build_wide(b, 2, WIDE_FUNCTION, (int32_t)callback, 0);
    build_stack_pointer(b, 3, PARAMETER_BYTES);
    build(b, 0xb7, 4, 0, 0, 0);
    build(b, OPCODE_CALL, 0, CALL_HELPER, 0, HELPER_LOOP);
    builder_clobber(b);
    b->features.callback = true;
}

/* ---- packets ---- */

static int context_register(const struct builder *b)
{
    for (int i = 0; i < STACK_POINTER; i++)
        if (b->now.reg[i].kind == HOLDS_POINTER && b->now.reg[i].fields)
            return i;
    return NO_REGISTER;
}

/* Another pointer to the packet, or the same one moved, without a comparison with its end. */
static void build_unmeasured(struct builder *b, int context, int pointer, int32_t size)
{
    bool other = random_percent(&b->random, 50);

    build_move(b, 0, builder_number(b));
    build(b, 0x57, 0, 0, 0, 0x1f);
    builder_set_number(b, 0);
    if (other)
        build(b, 0x79, pointer, context, 0, 0);
    build(b, 0x0f, pointer, 0, 0, 0);
    builder_set_pointer(b, pointer, (struct value){ .alignment = 1, .low = other ? 0 : -size,
                                                    .high = other ? size : 0 });
    build_access(b, pointer);
}

/* data + index + size <= data_end, in either order of the comparison. */
static void build_packet(struct builder *b)
{
    int context = context_register(b), index = builder_number(b);
    uint16_t taken = (uint16_t)(bit(0) | bit(index) | (context == NO_REGISTER ? 0 : bit(context)));
    int data = context == NO_REGISTER ? context : builder_target(b, HOLDS_POINTER, taken);
    int end = data == NO_REGISTER ? data : builder_target(b, HOLDS_POINTER, taken | bit(data));
    int32_t size = random_between(&b->random, 1, 32);
    struct state before = b->now;
    uint32_t jump;

    if (end == NO_REGISTER)
        return;
    build(b, 0x79, data, context, 0, 0);
    build(b, 0x79, end, context, 8, 0);
    if (random_percent(&b->random, 50)) {
        build_move(b, 0, index);
        build(b, 0x57, 0, 0, 0, random_percent(&b->random, 50) ? 0x3f : 0xffff);
        build(b, 0x0f, data, 0, 0, 0);
        before.reg[0].kind = HOLDS_NOTHING;
        b->now.reg[0].kind = HOLDS_NOTHING;
        b->features.variable_offset = true;
    }
    build(b, 0x07, data, 0, 0, size);
    jump = random_percent(&b->random, 50) ? build_jump(b, 0x2d, data, end, 0) : build_jump(b, 0xad, end, data, 0);
    before.reg[data].kind = before.reg[end].kind = HOLDS_NOTHING;
    b->now.reg[end].kind = HOLDS_NOTHING;
    builder_set_pointer(b, data, (struct value){ .alignment = 1, .low = -size });
    build_access(b, data);
    if (random_percent(&b->random, b->options->bold / 2))
        build_unmeasured(b, context, random_percent(&b->random, 50) ? data : end, size);
    for (uint32_t i = 1 + random_below(&b->random, 4); i > 0; i--)
        build_statement(b);
    build_land(b, jump);
    builder_join(b, &before);
    b->features.packet = true;
}

/* ---- blocks ---- */

static void build_construct(struct builder *b, uint32_t statements, unsigned depth)
{
    const uint8_t maps = b->options->maps ? 2 : 0;
    const uint8_t weights[] = { 3, 2, 1, 2, 1, b->options->lookups, b->options->packet ? 5 : 0,
                                b->options->hash ? 3 : 0, maps, 2 * maps, maps, maps, maps };

    switch (builder_choose(b, weights, b->construct_taste, sizeof(weights))) {
    case 0:
        return build_branch(b, statements, depth);
    case 1:
        return build_loop(b, statements, depth);
    case 2:
        return build_early_exit(b);
    case 3:
        return build_call(b);
    case 4:
        return build_callback_loop(b);
    case 5:
        return build_lookup(b);
    case 6:
        return build_packet(b);
    case 7:
        return build_change(b);
    case 8:
        return build_inner(b);
    case 9:
        return build_elements(b);
    case 10:
        return build_record(b);
    case 11:
        return build_native(b);
    default:
        return build_helper(b);
    }
}

static void build_block(struct builder *b, uint32_t statements, unsigned depth)
{
    for (uint32_t i = 0; i < statements; i++)
        if (depth < DEPTH_MAX && random_percent(&b->random, 18))
            build_construct(b, 1 + statements / 3, depth);
        else
            build_statement(b);
}

/* ---- functions ---- */

static void declare_function(struct builder *b, struct function *function)
{
    static const uint8_t element[] = { PARAMETER_NONE, PARAMETER_KEY, PARAMETER_VALUE, PARAMETER_STACK };

    if (random_percent(&b->random, 35)) {
        function->callback = CALLBACK_LOOP;
        function->parameter[0] = PARAMETER_NUMBER;
        function->parameter[1] = PARAMETER_STACK;
        return;
    }
    if (b->options->maps && random_percent(&b->random, 50)) {
        function->callback = CALLBACK_MAP_ELEMENT;
        memcpy(function->parameter, element, sizeof(element));
        return;
    }
    for (uint32_t i = 0, count = random_below(&b->random, 6); i < count; i++)
        function->parameter[i] = (uint8_t)random_between(&b->random, PARAMETER_NUMBER, PARAMETER_DATA);
}

static void begin_program(struct builder *b)
{
    bool packet = b->options->packet;
    struct value context = { .writable = true, .fields = packet, .alignment = 8, .low = packet ? 16 : 0,
                             .high = GENERATE_CONTEXT_SIZE };

    builder_set_pointer(b, 1, context);
    builder_set_number(b, 2);
    build_move(b, 6, 1);
    builder_set_pointer(b, 6, context);
}

static void begin_function(struct builder *b, const struct function *function)
{
    static const struct value pointers[] = {
        [PARAMETER_STACK] = { .writable = true, .atomics = true, .alignment = 8, .high = PARAMETER_BYTES },
        [PARAMETER_DATA] = { .writable = true, .atomics = true, .alignment = 8, .high = PARAMETER_BYTES },
        [PARAMETER_KEY] = { .alignment = 1, .high = KEY_SIZE },
        [PARAMETER_VALUE] = { .writable = true, .atomics = true, .alignment = 8, .high = VALUE_SIZE },
    };

    for (int i = 0; i < 5; i++)
        if (function->parameter[i] == PARAMETER_NUMBER)
            builder_set_number(b, i + 1);
        else if (function->parameter[i] != PARAMETER_NONE)
            builder_set_pointer(b, i + 1, pointers[function->parameter[i]]);
}

/* The array on the stack: filled with constants, and with the numbers that are there. */
static void build_array(struct builder *b)
{
    struct value array = { .writable = true, .atomics = true, .alignment = 8, .low = -b->array_size };

    builder_set_pointer(b, STACK_POINTER, array);
    for (int32_t offset = -b->array_size; offset < 0; offset += 8) {
        int number = (int)random_below(&b->random, STACK_POINTER);

        if (b->now.reg[number].kind == HOLDS_NUMBER)
            build(b, 0x7b, STACK_POINTER, number, offset, 0);
        else
            build(b, 0x7a, STACK_POINTER, 0, offset, (int32_t)random_edge(&b->random));
    }
}

static void build_function(struct builder *b, uint32_t index, uint32_t statements)
{
    struct function *function = &b->function[index];

    b->current = index;
    b->now = (struct state){ .reg = { { .kind = HOLDS_NOTHING } } };
    b->array_size = index == 0 ? 64 : 32;
    function->first = b->count;
    if (index == 0)
        begin_program(b);
    else
        begin_function(b, function);
    build_array(b);
    build_block(b, statements, 0);
    build_exit(b);
    function->count = b->count - function->first;
}

/* ---- canonical form ---- */

static bool fill_region(struct bytecode_region *region, const char *name, enum bytecode_region_kind kind, uint32_t size,
                        struct random *random)
{
    region->kind = kind;
    region->size = size;
    snprintf(region->name, sizeof(region->name), "%s", name);
    region->contents = malloc(size);
    for (uint32_t i = 0; region->contents && i < size; i++)
        region->contents[i] = (uint8_t)random_next(random);
    return region->contents;
}

static bool fill_regions(struct bytecode *bytecode, struct random *random)
{
    struct bytecode_region *constants = &bytecode->region[REGION_OF_CONSTANTS];
    bool filled = fill_region(&bytecode->region[REGION_OF_DATA], ".data", REGION_DATA, DATA_SIZE, random) &&
                  fill_region(constants, ".rodata", REGION_CONSTANT, CONSTANTS_SIZE, random);

    if (filled)
        constants->contents[CONSTANTS_SIZE - 1] = 0;            /* text, for helpers */
    for (uint32_t i = REGION_OF_ARRAY; filled && i < bytecode->regions; i++)
        builder_describe_map(&bytecode->region[i], (int)i, bytecode->regions == REGIONS, random);
    return filled && fill_region(&bytecode->region[REGION_OF_ARRAY], "array", REGION_MAP,
                                 (uint32_t)bytecode_map_stride(&bytecode->region[REGION_OF_ARRAY]) * ENTRIES, random);
}

/* How many of the regions there are. */
static uint32_t count_regions(const struct generate_options *options)
{
    return options->maps ? REGIONS : options->hash ? REGION_OF_HASH + 1 : REGION_OF_HASH;
}

static struct bytecode *make_bytecode(struct builder *b)
{
    const struct bytecode counts = { .instructions = b->count, .functions = b->functions,
                                     .regions = count_regions(b->options),
                                     .natives = b->options->maps ? BUILDER_NATIVES : 0 };
    struct bytecode *bytecode = bytecode_new(&counts);

    if (!bytecode)
        return NULL;
    if (b->options->packet)
        strcpy(bytecode->context, PACKET_CONTEXT);
    memcpy(bytecode->instruction, b->code, b->count * sizeof(b->code[0]));
    for (uint32_t i = 0; i < b->functions; i++) {
        snprintf(bytecode->function[i].name, sizeof(bytecode->function[i].name), i ? "function_%u" : "program", i);
        bytecode->function[i].first = b->function[i].first;
        bytecode->function[i].count = b->function[i].count;
    }
    for (uint32_t i = 0; i < bytecode->natives; i++)
        builder_describe_native(&bytecode->native[i], i);
    return fill_regions(bytecode, &b->random) ? bytecode : bytecode_free(bytecode);
}

/* Of three kinds of statements, one is left out, and one is preferred. */
static uint8_t pick_factor(struct builder *b)
{
    static const uint8_t factors[] = { 0, 1, 5 };

    return b->options->taste ? factors[random_below(&b->random, sizeof(factors))] : 1;
}

struct bytecode *generate_program(uint64_t seed, const struct generate_options *options,
                                  struct generate_features *features)
{
    struct builder *b = calloc(1, sizeof(*b));
    struct bytecode *bytecode;
    uint32_t statements;

    if (!b)
        return NULL;
    b->random.state = seed;
    b->options = options;
    for (uint32_t i = 0; i < BUILDER_KINDS_MAX; i++) {
        b->statement_taste[i] = pick_factor(b);
        b->construct_taste[i] = pick_factor(b);
    }
    statements = options->statements ? options->statements : 2 + random_below(&b->random, 30);
    b->functions = 1 + random_below(&b->random, 4);
    for (uint32_t i = 1; i < b->functions; i++)
        declare_function(b, &b->function[i]);
    for (uint32_t i = 0; i < b->functions; i++)
        build_function(b, i, i ? 1 + statements / 4 : statements);
    bytecode = make_bytecode(b);
    if (features)
        *features = b->features;
    free(b);
    return bytecode;
}

/* ---- what programs run on ---- */

void generate_context(uint64_t seed, uint8_t ret[GENERATE_CONTEXT_SIZE])
{
    struct random random = { ~seed };

    for (uint32_t i = 0; i < GENERATE_CONTEXT_SIZE; i++)
        ret[i] = (uint8_t)random_next(&random);
}

uint32_t generate_packet(uint64_t seed, uint8_t ret[GENERATE_PACKET_SIZE_MAX])
{
    struct random random = { ~seed + 1 };

    for (uint32_t i = 0; i < GENERATE_PACKET_SIZE_MAX; i++)
        ret[i] = (uint8_t)random_next(&random);
    return random_below(&random, GENERATE_PACKET_SIZE_MAX + 1);
}

struct context *generate_packet_context(void)
{
    static const struct context_field fields[] = {
        { "data", 0, 8, CONTEXT_DATA },     { "data_end", 8, 8, CONTEXT_DATA_END },
        { "a", 16, 8, CONTEXT_WRITE },      { "b", 24, 8, CONTEXT_WRITE },
        { "c", 32, 8, CONTEXT_WRITE },      { "d", 40, 8, CONTEXT_WRITE },
        { "e", 48, 8, CONTEXT_WRITE },      { "f", 56, 8, CONTEXT_WRITE },
    };
    struct context *context = NULL;

    context_new(PACKET_CONTEXT, GENERATE_CONTEXT_SIZE, fields, sizeof(fields) / sizeof(fields[0]), &context, NULL);
    return context;
}
