/* SPDX-License-Identifier: MIT */
/* Raw instructions in canonical form. */

#include "raw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode_check.h"

#define OPCODE_CALL_REGISTER 0x8d       /* callx */

/*
 * RAW_HELPER as local functions, behind the program's own: one for calls by number, and one for callx of each of R1 to
 * R5, which ends in an invalid access if the register holds another number.
 */
#define HELPER_FUNCTIONS 6
#define HELPER_INSTRUCTIONS 5

static struct instruction make(uint8_t opcode, unsigned destination, unsigned source, int16_t offset, int32_t immediate)
{
    return (struct instruction){ opcode, (uint8_t)(destination | source << 4), offset, immediate };
}

static void make_helper(struct instruction *to, unsigned number)
{
    /* if rN == RAW_HELPER goto +2, or just goto +2 */
    *to++ = number ? make(0x15, number, 0, 2, RAW_HELPER) : make(OPCODE_JUMP_16, 0, 0, 2, 0);
    *to++ = make(0xb7, 0, 0, 0, 0);                     /* r0 = 0 */
    *to++ = make(0x79, 0, 0, 0, 0);                     /* r0 = *(u64 *)r0 */
    *to++ = make(0xbf, 0, 1, 0, 0);                     /* r0 = r1 */
    *to++ = make(OPCODE_EXIT, 0, 0, 0, 0);
}

/* What has to be known of the raw instructions before any is copied. */
struct layout {
    uint32_t *function;         /* per instruction: index of the function that begins here, plus 1; else 0 */
    uint32_t functions;
    bool helper;
};

/* A local call or a callback: then `to` is the instruction that it leads to. */
static bool leads_elsewhere(struct instruction i, uint32_t index, int64_t *to)
{
    *to = (int64_t)index + 1 + i.immediate;
    return (i.opcode == OPCODE_CALL && instruction_source(i) == CALL_LOCAL) ||
           (i.opcode == OPCODE_LOAD_64 && instruction_source(i) == WIDE_FUNCTION);
}

/* Find where functions begin, and give them their numbers in this order. */
static int find_functions(const struct instruction *instruction, uint32_t instructions, struct layout *layout,
                          struct jit_error *error)
{
    int64_t to;

    layout->function[0] = 1;
    for (uint32_t i = 0; i < instructions; i += instruction_length(instruction[i])) {
        if (!leads_elsewhere(instruction[i], i, &to))
            continue;
        if (to < 0 || to >= instructions)
            return jit_error_set_at(error, -EINVAL, "bytecode", "program", i, "%s leads out of the program",
                                    instruction_name(instruction[i]));
        layout->function[to] = 1;
    }
    for (uint32_t i = 0; i < instructions; i++)
        if (layout->function[i])
            layout->function[i] = ++layout->functions;
    return 0;
}

static bool calls_helper(struct instruction i)
{
    return i.opcode == OPCODE_CALL && instruction_source(i) == CALL_HELPER && i.immediate == RAW_HELPER &&
           instruction_destination(i) == 0 && i.offset == 0;
}

/* callx of a register that a local function gets, with no field used that must not be. */
static bool calls_register(struct instruction i)
{
    return i.opcode == OPCODE_CALL_REGISTER && instruction_destination(i) >= 1 &&
           instruction_destination(i) < HELPER_FUNCTIONS && instruction_source(i) == 0 && i.offset == 0 &&
           i.immediate == 0;
}

static struct instruction canonical(struct instruction i, uint32_t index, const struct layout *layout)
{
    int64_t to;

    if (leads_elsewhere(i, index, &to))
        i.immediate = (int32_t)layout->function[to] - 1;
    else if (layout->helper && calls_helper(i))
        i = make(OPCODE_CALL, 0, CALL_LOCAL, 0, (int32_t)layout->functions);
    else if (layout->helper && calls_register(i))
        i = make(OPCODE_CALL, 0, CALL_LOCAL, 0, (int32_t)(layout->functions + instruction_destination(i)));
    return i;
}

static void fill_functions(struct bytecode *bytecode, uint32_t instructions, const struct layout *layout)
{
    struct bytecode_function *function = bytecode->function;

    for (uint32_t i = 0; i < instructions; i++) {
        if (layout->function[i]) {
            function = &bytecode->function[layout->function[i] - 1];
            function->first = i;
            snprintf(function->name, sizeof(function->name), i ? "function_%u" : "program", i);
        }
        function->count++;
    }
    for (unsigned n = 0; layout->helper && n < HELPER_FUNCTIONS; n++) {
        function++;
        function->first = instructions + n * HELPER_INSTRUCTIONS;
        function->count = HELPER_INSTRUCTIONS;
        snprintf(function->name, sizeof(function->name), "helper_%u", n);
        make_helper(bytecode->instruction + function->first, n);
    }
}

static void fill_instructions(struct bytecode *bytecode, const struct instruction *instruction, uint32_t instructions,
                              const struct layout *layout)
{
    memcpy(bytecode->instruction, instruction, instructions * sizeof(*instruction));
    for (uint32_t i = 0; i < instructions; i += instruction_length(instruction[i]))
        bytecode->instruction[i] = canonical(instruction[i], i, layout);
}

static int copy_regions(struct bytecode *bytecode, const struct bytecode_region *region)
{
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        bytecode->region[i] = region[i];
        if (!region[i].contents)
            continue;
        bytecode->region[i].contents = malloc(region[i].size + 1ul);
        if (!bytecode->region[i].contents)
            return -ENOMEM;
        memcpy(bytecode->region[i].contents, region[i].contents, region[i].size);
    }
    return 0;
}

static int make_bytecode(const struct instruction *instruction, uint32_t instructions,
                         const struct bytecode_region *region, uint32_t regions, const struct layout *layout,
                         struct bytecode **ret, struct jit_error *error)
{
    const struct bytecode counts = {
        .instructions = instructions + (layout->helper ? HELPER_FUNCTIONS * HELPER_INSTRUCTIONS : 0),
        .functions = layout->functions + (layout->helper ? HELPER_FUNCTIONS : 0),
        .regions = regions,
    };
    struct bytecode *bytecode = bytecode_new(&counts);
    int r;

    if (!bytecode)
        return -ENOMEM;
    fill_functions(bytecode, instructions, layout);
    fill_instructions(bytecode, instruction, instructions, layout);
    r = copy_regions(bytecode, region);
    if (r == 0)
        r = bytecode_check(bytecode, error);
    if (r < 0)
        bytecode_free(bytecode);
    else
        *ret = bytecode;
    return r;
}

int raw_bytecode(const struct instruction *instruction, uint32_t instructions, const struct bytecode_region *region,
                 uint32_t regions, bool helper, struct bytecode **ret, struct jit_error *error)
{
    struct layout layout = { .helper = helper };
    int r;

    if (instructions == 0 || instructions > BYTECODE_INSTRUCTIONS_MAX || regions > BYTECODE_REGIONS_MAX)
        return jit_error_set(error, -EINVAL, "bytecode",
                             "%u instructions and %u regions: 1 to %d and 0 to %d are possible", instructions, regions,
                             BYTECODE_INSTRUCTIONS_MAX, BYTECODE_REGIONS_MAX);
    layout.function = calloc(instructions, sizeof(*layout.function));
    if (!layout.function)
        return -ENOMEM;
    r = find_functions(instruction, instructions, &layout, error);
    if (r == 0)
        r = make_bytecode(instruction, instructions, region, regions, &layout, ret, error);
    free(layout.function);
    return r;
}
