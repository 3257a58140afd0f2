/* SPDX-License-Identifier: MIT */
/* The interpreter.  RFC 9669 is followed to the letter; nothing here is fast. */

#include "interpreter.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
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

_Static_assert(BYTECODE_FUNCTIONS_MAX <= INDEX_MASK + 1 &&
               BYTECODE_REGIONS_MAX + INTERPRETER_MEMORIES_MAX <= INDEX_MASK + 1, "an index has eight bits");
_Static_assert(BYTECODE_REGION_SIZE_MAX / 8 <= 1u << (INDEX_SHIFT - ELEMENT_SHIFT), "elements have eight bytes or more");

static uint64_t address_of(enum interpreter_kind kind, uint32_t index)
{
    return (uint64_t)kind << KIND_SHIFT | (uint64_t)index << INDEX_SHIFT | PLACE_MIDDLE;
}

static uint64_t address_of_value(uint32_t index, uint32_t element)
{
    return (uint64_t)PLACE_VALUE << KIND_SHIFT | (uint64_t)index << INDEX_SHIFT |
           (uint64_t)element << ELEMENT_SHIFT | ELEMENT_MIDDLE;
}

struct interpreter_place interpreter_find(const struct interpreter *interpreter, uint64_t value)
{
    struct interpreter_place place = { .kind = (enum interpreter_kind)(value >> KIND_SHIFT),
                                       .index = value >> INDEX_SHIFT & INDEX_MASK };
    uint64_t rest = value & ((1ull << INDEX_SHIFT) - 1);
    uint32_t indices = 0;

    switch (place.kind) {
    case PLACE_STACK:
        indices = interpreter->depth;
        break;
    case PLACE_MEMORY:
        indices = interpreter->memories;
        break;
    case PLACE_VALUE:
    case PLACE_MAP:
        indices = interpreter->bytecode->regions;
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

static struct interpreter_frame *top(struct interpreter *interpreter)
{
    return &interpreter->frame[interpreter->depth - 1];
}

/* The first fault ends the run; what is computed between it and the end of the instruction is without effect. */
__attribute__((format(printf, 3, 4)))
static void fault(struct interpreter *interpreter, const char *rule, const char *format, ...)
{
    const struct bytecode *bytecode = interpreter->bytecode;
    uint32_t at = top(interpreter)->at;
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

static uint64_t get(struct interpreter *interpreter, unsigned number)
{
    if (!(top(interpreter)->known & 1u << number))
        fault(interpreter, "uninitialised", "R%u holds nothing yet", number);
    return top(interpreter)->value[number];
}

static void set(struct interpreter *interpreter, unsigned number, uint64_t value)
{
    top(interpreter)->value[number] = value;
    top(interpreter)->known |= (uint16_t)(1u << number);
}

/* ---- memory ---- */

/* The bytes that an access means. */
struct access {
    uint8_t *bytes, *initialised;       /* NULL: all are */
};

static bool place_memory(struct interpreter *interpreter, struct interpreter_place place,
                         struct interpreter_memory *ret)
{
    const struct bytecode_region *region;
    uint64_t at;

    switch (place.kind) {
    case PLACE_STACK:
        *ret = (struct interpreter_memory){ "the stack", interpreter->frame[place.index].stack,
                                            interpreter->frame[place.index].initialised, INSTRUCTION_STACK_SIZE, true };
        return true;
    case PLACE_MEMORY:
        *ret = interpreter->memory[place.index];
        return true;
    case PLACE_VALUE:
        region = &interpreter->bytecode->region[place.index];
        at = place.element * bytecode_map_stride(region);
        *ret = interpreter->memory[place.index];
        if (place.element >= region->max_entries || at + region->value_size > ret->size)
            return false;
        ret->bytes += at;
        ret->size = region->value_size;
        return true;
    default:
        return false;
    }
}

/* `size` bytes at `address`, all in one memory.  On a fault false. */
static bool find_bytes(struct interpreter *interpreter, uint64_t address, uint32_t size, bool write,
                       struct access *ret)
{
    struct interpreter_place place = interpreter_find(interpreter, address);
    struct interpreter_memory memory;

    if (interpreter->result < 0)
        return false;
    if (!place_memory(interpreter, place, &memory))
        fault(interpreter, "bounds", "0x%llx leads to no memory", (unsigned long long)address);
    else if (place.offset < 0 || place.offset + size > memory.size)
        fault(interpreter, "bounds", "bytes [%lld, %lld) of %s, which has %u", (long long)place.offset,
              (long long)place.offset + size, memory.name, memory.size);
    else if (write && !memory.writable)
        fault(interpreter, "read-only", "%s may not be written", memory.name);
    else
        *ret = (struct access){ memory.bytes + place.offset,
                                memory.initialised ? memory.initialised + place.offset : NULL };
    return interpreter->result == 0;
}

static uint64_t load(struct interpreter *interpreter, uint64_t address, uint32_t size)
{
    struct access access;
    uint64_t value = 0;

    if (!find_bytes(interpreter, address, size, false, &access))
        return 0;
    for (uint32_t i = size; i-- > 0;) {
        if (access.initialised && !access.initialised[i])
            fault(interpreter, "uninitialised", "nothing was written yet to byte %u of the %u", i, size);
        value = value << 8 | access.bytes[i];
    }
    return value;
}

static void store(struct interpreter *interpreter, uint64_t address, uint32_t size, uint64_t value)
{
    struct access access;

    if (!find_bytes(interpreter, address, size, true, &access))
        return;
    for (uint32_t i = 0; i < size; i++)
        access.bytes[i] = (uint8_t)(value >> 8 * i);
    if (access.initialised)
        memset(access.initialised, 1, size);
}

static uint64_t base_address(struct interpreter *interpreter, unsigned number, struct instruction i)
{
    return get(interpreter, number) + (uint64_t)i.offset;
}

static void do_load(struct interpreter *interpreter, struct instruction i)
{
    uint32_t size = instruction_access_size(i);
    uint64_t value = load(interpreter, base_address(interpreter, instruction_source(i), i), size);

    if (instruction_access_signed(i))
        value = semantics_sign_extend(value, size * 8);
    set(interpreter, instruction_destination(i), value);
}

static void do_atomic(struct interpreter *interpreter, struct instruction i)
{
    uint32_t size = instruction_access_size(i);
    uint64_t address = base_address(interpreter, instruction_destination(i), i);
    uint64_t source = get(interpreter, instruction_source(i)), memory = load(interpreter, address, size);
    bool exchanges = i.immediate == ATOMIC_COMPARE_EXCHANGE;

    if (address % size)
        fault(interpreter, "alignment", "0x%llx is no multiple of %u", (unsigned long long)address, size);
    store(interpreter, address, size, semantics_atomic(i, memory, source, exchanges ? get(interpreter, 0) : 0));
    if (exchanges)
        set(interpreter, 0, memory);
    else if (i.immediate & ATOMIC_FETCH)
        set(interpreter, instruction_source(i), memory);
}

static void do_store(struct interpreter *interpreter, struct instruction i)
{
    uint64_t address = base_address(interpreter, instruction_destination(i), i);
    uint64_t value = instruction_class(i) == CLASS_ST ? (uint64_t)i.immediate :
                                                        get(interpreter, instruction_source(i));

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
        value = address_of(PLACE_MAP, index);
        break;
    case WIDE_MAP_VALUE:
        value = address_of(PLACE_MEMORY, index) + (uint32_t)high.immediate;
        break;
    case WIDE_FUNCTION:
        value = address_of(PLACE_FUNCTION, index);
        break;
    }
    set(interpreter, instruction_destination(low), value);
}

/* ---- calls ---- */

/* Begin a function; its frame holds nothing but R10. */
static void enter(struct interpreter *interpreter, uint32_t function)
{
    struct interpreter_frame *frame;

    if (interpreter->depth == INTERPRETER_DEPTH_MAX)
        return fault(interpreter, "depth", "more than %d functions would be on the stack", INTERPRETER_DEPTH_MAX);
    frame = &interpreter->frame[interpreter->depth++];
    memset(frame->initialised, 0, sizeof(frame->initialised));
    frame->at = interpreter->bytecode->function[function].first;
    frame->known = 0;
    frame->loop.count = 0;
    set(interpreter, INSTRUCTION_REGISTERS - 1, address_of(PLACE_STACK, interpreter->depth - 1) +
                                                    INSTRUCTION_STACK_SIZE);
}

/* What a call leaves of the caller's registers: R6 to R10. */
static void clobber(struct interpreter_frame *frame)
{
    frame->known &= 0x7c0;
}

static void call_local(struct interpreter *interpreter, uint32_t function)
{
    struct interpreter_frame *caller = top(interpreter), *callee;

    enter(interpreter, function);
    if (interpreter->result < 0)
        return;
    callee = top(interpreter);
    memcpy(callee->value + 1, caller->value + 1, 5 * sizeof(callee->value[0]));
    callee->known |= caller->known & 0x3e;
    clobber(caller);
    caller->at++;
}

static void loop_next(struct interpreter *interpreter)
{
    struct interpreter_loop *loop = &top(interpreter)->loop;
    uint64_t context = loop->context, index = loop->index++;

    enter(interpreter, loop->function);
    if (interpreter->result < 0)
        return;
    set(interpreter, 1, index);
    set(interpreter, 2, context);
}

/* The caller goes on behind the helper. */
static void helper_return(struct interpreter *interpreter, uint64_t value)
{
    clobber(top(interpreter));
    set(interpreter, 0, value);
    top(interpreter)->loop.count = 0;
    top(interpreter)->at++;
}

static void helper_loop(struct interpreter *interpreter)
{
    uint32_t count = (uint32_t)get(interpreter, 1);
    struct interpreter_place callback = interpreter_find(interpreter, get(interpreter, 2));
    uint64_t context = get(interpreter, 3), flags = get(interpreter, 4);

    if (callback.kind != PLACE_FUNCTION || callback.offset != 0)
        return fault(interpreter, "helper", "R2 is no function");
    if (flags || count > INTERPRETER_LOOPS_MAX)
        return helper_return(interpreter, (uint64_t)(flags ? -EINVAL : -E2BIG));
    if (count == 0)
        return helper_return(interpreter, 0);
    top(interpreter)->loop = (struct interpreter_loop){ callback.index, 0, count, context };
    loop_next(interpreter);
}

/* A callback has returned to the frame with the loop; not 0 ends it. */
static void loop_step(struct interpreter *interpreter, uint64_t result)
{
    struct interpreter_loop *loop = &top(interpreter)->loop;

    if (result || loop->index == loop->count)
        helper_return(interpreter, loop->index);
    else
        loop_next(interpreter);
}

static void helper_map_lookup(struct interpreter *interpreter)
{
    struct interpreter_place map = interpreter_find(interpreter, get(interpreter, 1));
    const struct bytecode_region *region = &interpreter->bytecode->region[map.index];
    uint64_t key = get(interpreter, 2);

    if (map.kind != PLACE_MAP || map.offset != 0)
        return fault(interpreter, "helper", "R1 is no map");
    if (region->map_type != BPF_MAP_TYPE_ARRAY || region->key_size != 4)
        return fault(interpreter, "helper", "%s is no array with a key of 4 bytes", region->name);
    key = load(interpreter, key, 4);
    helper_return(interpreter,
                  key < region->max_entries ? address_of_value(map.index, (uint32_t)key) : 0);
}

static void do_call(struct interpreter *interpreter, struct instruction i)
{
    if (instruction_source(i) == CALL_LOCAL)
        call_local(interpreter, (uint32_t)i.immediate);
    else if (i.immediate == HELPER_LOOP)
        helper_loop(interpreter);
    else if (i.immediate == HELPER_MAP_LOOKUP)
        helper_map_lookup(interpreter);
    else
        fault(interpreter, "helper", "the interpreter has no helper %d", i.immediate);
}

/* A function that is called may return nothing; then its caller's R0 holds nothing. */
static void do_exit(struct interpreter *interpreter)
{
    const struct interpreter_frame *callee = top(interpreter);
    bool nothing = interpreter->depth > 1 && callee[-1].loop.count == 0 && !(callee->known & 1);
    uint64_t result = nothing ? 0 : get(interpreter, 0);

    if (interpreter->result < 0 || --interpreter->depth == 0)
        return;
    if (top(interpreter)->loop.count)
        loop_step(interpreter, result);
    else if (!nothing)
        set(interpreter, 0, result);
}

/* ---- all instructions ---- */

static void do_arithmetic(struct interpreter *interpreter, struct instruction i)
{
    unsigned operation = instruction_operation(i);
    uint64_t a = operation == ALU_MOV ? 0 : get(interpreter, instruction_destination(i));
    bool source = operation != ALU_END && instruction_uses_source(i);
    uint64_t b = source ? get(interpreter, instruction_source(i)) : 0;

    set(interpreter, instruction_destination(i), semantics_arithmetic(i, a, b));
}

static void do_jump(struct interpreter *interpreter, struct instruction i)
{
    bool always = instruction_operation(i) == JUMP_ALWAYS;
    uint64_t a = always ? 0 : get(interpreter, instruction_destination(i));
    uint64_t b = !always && instruction_uses_source(i) ? get(interpreter, instruction_source(i)) : 0;

    if (semantics_condition(i, a, b))
        top(interpreter)->at += (uint32_t)instruction_jump_distance(i);
    top(interpreter)->at++;
}

static void step(struct interpreter *interpreter)
{
    struct interpreter_frame *frame = top(interpreter);
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
    enter(interpreter, 0);
    set(interpreter, 1, r1);
    set(interpreter, 2, r2);
    while (interpreter->depth > 0 && interpreter->result == 0) {
        if (interpreter->steps == interpreter->steps_max) {
            fault(interpreter, "steps", "more than %llu instructions", (unsigned long long)interpreter->steps_max);
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

static bool add_region(struct interpreter *interpreter, const struct bytecode_region *region)
{
    bool writable = region->kind != REGION_CONSTANT && !(region->map_flags & BPF_F_RDONLY_PROG);
    uint8_t *bytes = calloc(region->size + 1ul, 1);

    if (!bytes)
        return false;
    if (region->contents)
        memcpy(bytes, region->contents, region->size);
    interpreter_add(interpreter, region->name, bytes, region->size, writable);
    return true;
}

uint64_t interpreter_add(struct interpreter *interpreter, const char *name, void *bytes, uint32_t size, bool writable)
{
    interpreter->memory[interpreter->memories] =
        (struct interpreter_memory){ .name = name, .bytes = bytes, .size = size, .writable = writable };
    return address_of(PLACE_MEMORY, interpreter->memories++);
}

struct interpreter *interpreter_new(const struct bytecode *bytecode, uint64_t steps_max)
{
    struct interpreter *interpreter = calloc(1, sizeof(*interpreter));

    if (!interpreter)
        return NULL;
    interpreter->bytecode = bytecode;
    interpreter->steps_max = steps_max;
    for (uint32_t i = 0; i < bytecode->regions; i++)
        if (!add_region(interpreter, &bytecode->region[i]))
            return interpreter_free(interpreter);
    return interpreter;
}

struct interpreter *interpreter_free(struct interpreter *interpreter)
{
    if (!interpreter)
        return NULL;
    for (uint32_t i = 0; i < interpreter->memories && i < interpreter->bytecode->regions; i++)
        free(interpreter->memory[i].bytes);
    free(interpreter);
    return NULL;
}
