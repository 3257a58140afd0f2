/* SPDX-License-Identifier: MIT */
/* The interpreter.  RFC 9669 is followed to the letter; nothing here is fast. */

#include "interpreter_internal.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/trace.h"
#include "semantics.h"

/* ---- addresses ---- */

/*
 * A pointer that the verifier accepts may be away from its object by its fixed part and by its variable part, each of
 * 2^29 bytes, as long as nobody follows it: that must not lead into the next element.
 */
#define KIND_SHIFT 60
#define INDEX_SHIFT 52
#define ELEMENT_SHIFT 32
#define INDEX_MASK 0xffu
#define PLACE_MIDDLE (1ull << 51)       /* offset 0 of a place, */
#define ELEMENT_MIDDLE (1ull << 31)     /* and of an element */

_Static_assert(BYTECODE_FUNCTIONS_MAX <= INDEX_MASK + 1 && TEST_ARENA_MAPS <= INDEX_MASK + 1 &&
               BYTECODE_REGIONS_MAX + INTERPRETER_MEMORIES_MAX <= INDEX_MASK + 1, "an index has eight bits");
_Static_assert(INTERPRETER_ELEMENTS_MAX == 1u << (INDEX_SHIFT - ELEMENT_SHIFT), "what is left for an element");

uint64_t interpreter_address(enum interpreter_kind kind, uint32_t index)
{
    return (uint64_t)kind << KIND_SHIFT | (uint64_t)index << INDEX_SHIFT | PLACE_MIDDLE;
}

uint64_t interpreter_value_address(uint32_t map, uint32_t element)
{
    return (uint64_t)PLACE_VALUE << KIND_SHIFT | (uint64_t)map << INDEX_SHIFT | (uint64_t)element << ELEMENT_SHIFT |
           ELEMENT_MIDDLE;
}

struct interpreter_place interpreter_find(const struct interpreter *interpreter, uint64_t value)
{
    struct interpreter_place place = { .kind = (enum interpreter_kind)(value >> KIND_SHIFT),
                                       .index = value >> INDEX_SHIFT & INDEX_MASK };
    uint64_t rest = value & ((1ull << INDEX_SHIFT) - 1);
    uint32_t indices = 0;

    switch (place.kind) {
    case PLACE_STACK:
    case PLACE_KEY:
        indices = interpreter->depth;
        break;
    case PLACE_MEMORY:
        indices = interpreter->memories;
        break;
    case PLACE_VALUE:
    case PLACE_MAP:
        indices = interpreter->arena.maps;
        break;
    case PLACE_FUNCTION:
        indices = interpreter->bytecode->functions;
        break;
    case PLACE_NONE:
        break;
    }
    if (place.index >= indices)
        return (struct interpreter_place){ .kind = PLACE_NONE };
    place.offset = (int64_t)(rest - PLACE_MIDDLE);
    if (place.kind == PLACE_VALUE) {
        place.element = (uint32_t)(rest >> ELEMENT_SHIFT);
        place.offset = (int64_t)((rest & ((1ull << ELEMENT_SHIFT) - 1)) - ELEMENT_MIDDLE);
    }
    return place;
}

/* ---- faults ---- */

struct interpreter_frame *interpreter_top(struct interpreter *interpreter)
{
    return &interpreter->frame[interpreter->depth - 1];
}

void interpreter_fault(struct interpreter *interpreter, const char *rule, const char *format, ...)
{
    const struct bytecode *bytecode = interpreter->bytecode;
    uint32_t at = interpreter_top(interpreter)->at;
    const struct bytecode_function *function = &bytecode->function[bytecode_function_at(bytecode, at)];
    char text[256];
    va_list arguments;

    if (interpreter->result < 0)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    interpreter->result = jit_error_set_at(interpreter->error, -EFAULT, rule, function->name, at - function->first,
                                           "%s: %s", instruction_name(bytecode->instruction[at]), text);
}

/* ---- registers ---- */

uint64_t interpreter_get(struct interpreter *interpreter, unsigned number)
{
    if (!(interpreter_top(interpreter)->known & 1u << number))
        interpreter_fault(interpreter, "uninitialised", "R%u holds nothing yet", number);
    return interpreter_top(interpreter)->value[number];
}

void interpreter_set(struct interpreter *interpreter, unsigned number, uint64_t value)
{
    interpreter_top(interpreter)->value[number] = value;
    interpreter_top(interpreter)->known |= (uint16_t)(1u << number);
}

/* ---- memory ---- */

static uint32_t record_size(const struct interpreter *interpreter, struct interpreter_place place)
{
    for (uint32_t i = 0; i < INTERPRETER_RECORDS_MAX; i++) {
        const struct interpreter_record *record = &interpreter->record[i];

        if (record->size && record->map == place.index && record->element == place.element)
            return record->size;
    }
    return 0;
}

static bool value_memory(const struct interpreter *interpreter, struct interpreter_place place,
                         struct interpreter_memory *ret)
{
    const struct map *map = interpreter->arena.map[place.index];
    const struct bytecode_region *region = &interpreter->bytecode->region[interpreter->arena.region[place.index]];
    bool array = map && map->kind == BPF_MAP_TYPE_ARRAY;
    uint64_t at = array ? map->elements_at + place.element * (uint64_t)map->stride : place.element * UINT64_C(8);

    if (!map || (array && place.element >= map->max_entries))
        return false;
    *ret = (struct interpreter_memory){
        .name = region->name,
        .bytes = (uint8_t *)map_memory(map) + at,
        .size = map->kind == BPF_MAP_TYPE_RINGBUF ? record_size(interpreter, place) : map->value_size,
        .writable = !(map->flags & BPF_F_RDONLY_PROG),
    };
    return ret->size > 0 && at + ret->size <= map->size;
}

static bool key_memory(const struct interpreter *interpreter, struct interpreter_place place,
                       struct interpreter_memory *ret)
{
    const struct interpreter_loop *loop = &interpreter->frame[place.index].loop;

    if (loop->count == 0 || !loop->key)
        return false;
    *ret = (struct interpreter_memory){ .name = "a key", .bytes = (uint8_t *)(uintptr_t)loop->key,
                                        .size = interpreter->arena.map[loop->map]->key_size };
    return true;
}

static bool place_memory(struct interpreter *interpreter, struct interpreter_place place,
                         struct interpreter_memory *ret)
{
    switch (place.kind) {
    case PLACE_STACK:
        *ret = (struct interpreter_memory){ "the stack", interpreter->frame[place.index].stack,
                                            interpreter->frame[place.index].initialised, INSTRUCTION_STACK_SIZE, true };
        return true;
    case PLACE_MEMORY:
        *ret = interpreter->memory[place.index];
        return true;
    case PLACE_VALUE:
        return value_memory(interpreter, place, ret);
    case PLACE_KEY:
        return key_memory(interpreter, place, ret);
    default:
        return false;
    }
}

bool interpreter_bytes(struct interpreter *interpreter, uint64_t address, uint32_t size, bool write,
                       struct interpreter_access *ret)
{
    struct interpreter_place place = interpreter_find(interpreter, address);
    struct interpreter_memory memory;

    if (interpreter->result < 0)
        return false;
    if (!place_memory(interpreter, place, &memory))
        interpreter_fault(interpreter, "bounds", "0x%llx leads to no memory", (unsigned long long)address);
    else if (place.offset < 0 || place.offset + size > memory.size)
        interpreter_fault(interpreter, "bounds", "bytes [%lld, %lld) of %s, which has %u", (long long)place.offset,
              (long long)place.offset + size, memory.name, memory.size);
    else if (write && !memory.writable)
        interpreter_fault(interpreter, "read-only", "%s may not be written", memory.name);
    else
        *ret = (struct interpreter_access){ memory.bytes + place.offset,
                                memory.initialised ? memory.initialised + place.offset : NULL };
    return interpreter->result == 0;
}

static uint64_t load(struct interpreter *interpreter, uint64_t address, uint32_t size)
{
    struct interpreter_access access;
    uint64_t value = 0;

    if (!interpreter_bytes(interpreter, address, size, false, &access))
        return 0;
    for (uint32_t i = size; i-- > 0;) {
        if (access.initialised && !access.initialised[i])
            interpreter_fault(interpreter, "uninitialised", "nothing was written yet to byte %u of the %u", i, size);
        value = value << 8 | access.bytes[i];
    }
    return value;
}

static void store(struct interpreter *interpreter, uint64_t address, uint32_t size, uint64_t value)
{
    struct interpreter_access access;

    if (!interpreter_bytes(interpreter, address, size, true, &access))
        return;
    for (uint32_t i = 0; i < size; i++)
        access.bytes[i] = (uint8_t)(value >> 8 * i);
    if (access.initialised)
        memset(access.initialised, 1, size);
}

static uint64_t base_address(struct interpreter *interpreter, unsigned number, struct instruction i)
{
    return interpreter_get(interpreter, number) + (uint64_t)i.offset;
}

static void do_load(struct interpreter *interpreter, struct instruction i)
{
    uint32_t size = instruction_access_size(i);
    uint64_t value = load(interpreter, base_address(interpreter, instruction_source(i), i), size);

    if (instruction_access_signed(i))
        value = semantics_sign_extend(value, size * 8);
    interpreter_set(interpreter, instruction_destination(i), value);
}

static void do_atomic(struct interpreter *interpreter, struct instruction i)
{
    uint32_t size = instruction_access_size(i);
    uint64_t address = base_address(interpreter, instruction_destination(i), i);
    uint64_t source = interpreter_get(interpreter, instruction_source(i)), memory = load(interpreter, address, size);
    bool exchanges = i.immediate == ATOMIC_COMPARE_EXCHANGE;

    if (address % size)
        interpreter_fault(interpreter, "alignment", "0x%llx is no multiple of %u", (unsigned long long)address, size);
    store(interpreter, address, size,
          semantics_atomic(i, memory, source, exchanges ? interpreter_get(interpreter, 0) : 0));
    if (exchanges)
        interpreter_set(interpreter, 0, memory);
    else if (i.immediate & ATOMIC_FETCH)
        interpreter_set(interpreter, instruction_source(i), memory);
}

static void do_store(struct interpreter *interpreter, struct instruction i)
{
    uint64_t address = base_address(interpreter, instruction_destination(i), i);
    uint64_t value = instruction_class(i) == CLASS_ST ? (uint64_t)i.immediate :
                                                        interpreter_get(interpreter, instruction_source(i));

    store(interpreter, address, instruction_access_size(i), value);
}

static void do_load_64(struct interpreter *interpreter, struct instruction low, struct instruction high)
{
    uint32_t index = (uint32_t)low.immediate;
    uint64_t value = 0;

    switch ((enum instruction_wide)instruction_source(low)) {
    case WIDE_NUMBER:
        value = index | (uint64_t)(uint32_t)high.immediate << 32;
        break;
    case WIDE_MAP:
        value = interpreter_address(PLACE_MAP, index);
        break;
    case WIDE_MAP_VALUE:
        value = interpreter_address(PLACE_MEMORY, index) + (uint32_t)high.immediate;
        break;
    case WIDE_FUNCTION:
        value = interpreter_address(PLACE_FUNCTION, index);
        break;
    }
    interpreter_set(interpreter, instruction_destination(low), value);
}

/* ---- calls ---- */

void interpreter_enter(struct interpreter *interpreter, uint32_t function)
{
    struct interpreter_frame *frame;

    if (interpreter->depth == INTERPRETER_DEPTH_MAX)
        return interpreter_fault(interpreter, "depth", "more than %d functions would be on the stack",
                                 INTERPRETER_DEPTH_MAX);
    frame = &interpreter->frame[interpreter->depth++];
    memset(frame->initialised, 0, sizeof(frame->initialised));
    frame->at = interpreter->bytecode->function[function].first;
    frame->known = 0;
    frame->loop.count = 0;
    interpreter_set(interpreter, INSTRUCTION_REGISTERS - 1, interpreter_address(PLACE_STACK, interpreter->depth - 1) +
                                                    INSTRUCTION_STACK_SIZE);
}

/* What a call leaves of the caller's registers: R6 to R10. */
static void clobber(struct interpreter_frame *frame)
{
    frame->known &= 0x7c0;
}

static void call_local(struct interpreter *interpreter, uint32_t function)
{
    struct interpreter_frame *caller = interpreter_top(interpreter), *callee;

    interpreter_enter(interpreter, function);
    if (interpreter->result < 0)
        return;
    callee = interpreter_top(interpreter);
    memcpy(callee->value + 1, caller->value + 1, 5 * sizeof(callee->value[0]));
    callee->known |= caller->known & 0x3e;
    clobber(caller);
    caller->at++;
}

void interpreter_return(struct interpreter *interpreter, uint64_t value)
{
    clobber(interpreter_top(interpreter));
    interpreter_set(interpreter, 0, value);
    interpreter_top(interpreter)->loop.count = 0;
    interpreter_top(interpreter)->at++;
}

static void do_call(struct interpreter *interpreter, struct instruction i)
{
    switch ((enum instruction_call)instruction_source(i)) {
    case CALL_HELPER:
        return interpreter_call_helper(interpreter, i.immediate);
    case CALL_LOCAL:
        return call_local(interpreter, (uint32_t)i.immediate);
    case CALL_NATIVE:
        return interpreter_call_native(interpreter, (uint32_t)i.immediate);
    }
}

/* A function that is called may return nothing; then its caller's R0 holds nothing. */
static void do_exit(struct interpreter *interpreter)
{
    const struct interpreter_frame *callee = interpreter_top(interpreter);
    bool nothing = interpreter->depth > 1 && callee[-1].loop.count == 0 && !(callee->known & 1);
    uint64_t result = nothing ? 0 : interpreter_get(interpreter, 0);

    if (interpreter->result < 0 || --interpreter->depth == 0)
        return;
    if (interpreter_top(interpreter)->loop.count)
        interpreter_call_again(interpreter, result);
    else if (!nothing)
        interpreter_set(interpreter, 0, result);
}

/* ---- all instructions ---- */

static void do_arithmetic(struct interpreter *interpreter, struct instruction i)
{
    unsigned operation = instruction_operation(i);
    uint64_t a = operation == ALU_MOV ? 0 : interpreter_get(interpreter, instruction_destination(i));
    bool source = operation != ALU_END && instruction_uses_source(i);
    uint64_t b = source ? interpreter_get(interpreter, instruction_source(i)) : 0;

    interpreter_set(interpreter, instruction_destination(i), semantics_arithmetic(i, a, b));
}

static void do_jump(struct interpreter *interpreter, struct instruction i)
{
    bool always = instruction_operation(i) == JUMP_ALWAYS;
    uint64_t a = always ? 0 : interpreter_get(interpreter, instruction_destination(i));
    uint64_t b = !always && instruction_uses_source(i) ? interpreter_get(interpreter, instruction_source(i)) : 0;

    if (semantics_condition(i, a, b))
        interpreter_top(interpreter)->at += (uint32_t)instruction_jump_distance(i);
    interpreter_top(interpreter)->at++;
}

static void step(struct interpreter *interpreter)
{
    struct interpreter_frame *frame = interpreter_top(interpreter);
    const struct instruction *at = &interpreter->bytecode->instruction[frame->at];

    switch (instruction_class(*at)) {
    case CLASS_JMP:
    case CLASS_JMP32:
        if (at->opcode == OPCODE_CALL)
            do_call(interpreter, *at);
        else if (at->opcode == OPCODE_EXIT)
            do_exit(interpreter);
        else
            do_jump(interpreter, *at);
        return;                 /* they say where to go on */
    case CLASS_LD:
        do_load_64(interpreter, at[0], at[1]);
        break;
    case CLASS_LDX:
        do_load(interpreter, *at);
        break;
    case CLASS_ST:
    case CLASS_STX:
        if (instruction_is_atomic(*at))
            do_atomic(interpreter, *at);
        else
            do_store(interpreter, *at);
        break;
    case CLASS_ALU:
    case CLASS_ALU64:
        do_arithmetic(interpreter, *at);
        break;
    }
    if (interpreter->result == 0)
        frame->at += instruction_length(*at);
}

int interpreter_run(struct interpreter *interpreter, uint64_t r1, uint64_t r2, uint64_t *ret, struct jit_error *error)
{
    interpreter->result = 0;
    interpreter->error = error;
    interpreter->depth = 0;
    interpreter->steps = 0;
    test_arena_copy_trace(&interpreter->arena, &trace_map);
    memset(interpreter->record, 0, sizeof(interpreter->record));
    interpreter_enter(interpreter, 0);
    interpreter_set(interpreter, 1, r1);
    interpreter_set(interpreter, 2, r2);
    while (interpreter->depth > 0 && interpreter->result == 0) {
        if (interpreter->steps == interpreter->steps_max) {
            interpreter_fault(interpreter, "steps", "more than %llu instructions",
                              (unsigned long long)interpreter->steps_max);
            break;
        }
        interpreter->steps++;
        if (interpreter->observe)
            interpreter->observe(interpreter->userdata, interpreter);
        step(interpreter);
    }
    if (interpreter->result == 0)
        *ret = interpreter->frame[0].value[0];
    return interpreter->result;
}

/* ---- memory that is given ---- */

static bool add_region(struct interpreter *interpreter, uint32_t index)
{
    const struct bytecode_region *region = &interpreter->bytecode->region[index];
    bool constant = region->kind == REGION_CONSTANT;
    bool writable = !constant && !(region->map_flags & BPF_F_RDONLY_PROG);
    uint8_t *bytes = constant ? calloc(region->size + 1ul, 1) : test_arena_bytes(&interpreter->arena, index);

    if (constant && !bytes)
        return false;
    if (constant && region->contents)
        memcpy(bytes, region->contents, region->size);
    interpreter_add(interpreter, region->name, bytes, region->size, writable);
    return true;
}

uint64_t interpreter_add(struct interpreter *interpreter, const char *name, void *bytes, uint32_t size, bool writable)
{
    interpreter->memory[interpreter->memories] =
        (struct interpreter_memory){ .name = name, .bytes = bytes, .size = size, .writable = writable };
    return interpreter_address(PLACE_MEMORY, interpreter->memories++);
}

struct interpreter *interpreter_new(const struct bytecode *bytecode, uint64_t steps_max)
{
    struct interpreter *interpreter = calloc(1, sizeof(*interpreter));

    if (!interpreter)
        return NULL;
    interpreter->bytecode = bytecode;
    interpreter->steps_max = steps_max;
    if (test_arena_new(bytecode, 0, &interpreter->arena, NULL) < 0)
        return interpreter_free(interpreter);
    for (uint32_t i = 0; i < bytecode->regions; i++)
        if (!add_region(interpreter, i))
            return interpreter_free(interpreter);
    return interpreter;
}

struct interpreter *interpreter_free(struct interpreter *interpreter)
{
    if (!interpreter)
        return NULL;
    for (uint32_t i = 0; i < interpreter->memories && i < interpreter->bytecode->regions; i++)
        if (interpreter->bytecode->region[i].kind == REGION_CONSTANT)
            free(interpreter->memory[i].bytes);
    test_arena_clear(&interpreter->arena);
    free(interpreter);
    return NULL;
}
