/* SPDX-License-Identifier: MIT */
/*
 * Helpers in the interpreter: the arguments are checked and translated one by one, then the C function is called that
 * programs in an image call, and its result is translated back.
 */
#include "interpreter_internal.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "helper.h"
#include "map.h"
#include "native.h"
#include "runtime/array.h"
#include "runtime/process.h"
#include "runtime/queue.h"
#include "runtime/random.h"
#include "runtime/ring.h"
#include "runtime/text.h"
#include "runtime/trace.h"
#include "runtime/trie.h"
#include "semantics.h"

#define ARGUMENTS 6             /* the last is the thread's words */

/* Those with fewer parameters leave the other registers alone: as programs call them. */
typedef uint64_t runtime_call(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

#define CALL_OF(name, thread) [RUNTIME_##name] = (runtime_call *)(void (*)(void))name,
static runtime_call *const runtime_calls[] = { RUNTIME_FUNCTIONS(CALL_OF) };

struct call {
    struct interpreter *interpreter;
    const struct helper *helper;
    int32_t number;
    unsigned reg;                       /* of the argument at hand */
    uint32_t map;                       /* index into arena.map[] of the map among them */
    uint64_t argument[ARGUMENTS];       /* as the C function gets them */
};

static const struct map *map_of(const struct call *call)
{
    return call->interpreter->arena.map[call->map];
}

static void set_argument(struct call *call, uint64_t value)
{
    call->argument[call->reg - 1] = value;
}

/* ---- arguments ---- */

/* Memory that the function gets itself: all of it must be known, or is from now on. */
static void pass_bytes(struct call *call, unsigned reg, uint32_t size, bool write)
{
    struct interpreter_access access;

    if (!interpreter_bytes(call->interpreter, interpreter_get(call->interpreter, reg), size, write, &access))
        return;
    if (access.initialised && write)
        memset(access.initialised, 1, size);
    for (uint32_t i = 0; access.initialised && i < size; i++)
        if (!access.initialised[i])
            interpreter_fault(call->interpreter, "uninitialised",
                              "nothing was written yet to byte %u of what R%u is for", i, reg);
    call->argument[reg - 1] = (uintptr_t)access.bytes;
}

static void pass_number(struct call *call)
{
    set_argument(call, interpreter_get(call->interpreter, call->reg));
}

static void pass_optional(struct call *call)
{
    const struct interpreter_frame *frame = interpreter_top(call->interpreter);

    set_argument(call, frame->known & 1u << call->reg ? frame->value[call->reg] : 0);
}

static void pass_map(struct call *call)
{
    struct interpreter_place place =
        interpreter_find(call->interpreter, interpreter_get(call->interpreter, call->reg));

    if (place.kind != PLACE_MAP || place.offset != 0 || !call->interpreter->arena.map[place.index])
        return interpreter_fault(call->interpreter, "helper", "R%u is no map", call->reg);
    call->map = place.index;
    set_argument(call, (uintptr_t)map_of(call));
}

static void pass_key(struct call *call)
{
    pass_bytes(call, call->reg, map_of(call)->key_size, false);
}

static void pass_value(struct call *call)
{
    pass_bytes(call, call->reg, map_of(call)->value_size, false);
}

static void pass_value_to_write(struct call *call)
{
    pass_bytes(call, call->reg, map_of(call)->value_size, true);
}

/* With the size, which comes next. */
static void pass_memory(struct call *call)
{
    (void)call;
}

static void pass_size(struct call *call)
{
    uint64_t size = interpreter_get(call->interpreter, call->reg);
    unsigned before = call->reg > 1 ? call->helper->argument[call->reg - 2] : ARGUMENT_NONE;

    set_argument(call, size);
    if ((before == ARGUMENT_MEMORY || before == ARGUMENT_MEMORY_WRITE) && size > 0)
        pass_bytes(call, call->reg - 1, size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
                   before == ARGUMENT_MEMORY_WRITE);
}

/* All of it is known, up to the NUL. */
static void pass_text(struct call *call)
{
    uint64_t address = interpreter_get(call->interpreter, call->reg);
    struct interpreter_access access, first;

    if (!interpreter_bytes(call->interpreter, address, 1, false, &first))
        return;
    for (access = first; *access.bytes;)
        if (!interpreter_bytes(call->interpreter, ++address, 1, false, &access))
            return;
    set_argument(call, (uintptr_t)first.bytes);
}

/* The record is the program's no more; the function gets the ring as an argument of its own. */
static void pass_allocated(struct call *call)
{
    struct interpreter *interpreter = call->interpreter;
    struct interpreter_place place = interpreter_find(interpreter, interpreter_get(interpreter, call->reg));

    for (uint32_t i = 0; i < INTERPRETER_RECORDS_MAX && place.kind == PLACE_VALUE && place.offset == 0; i++) {
        struct interpreter_record *record = &interpreter->record[i];

        if (!record->size || record->map != place.index || record->element != place.element)
            continue;
        record->size = 0;
        call->map = place.index;
        set_argument(call, (uintptr_t)map_memory(map_of(call)) + place.element * 8ul);
        call->argument[2] = (uintptr_t)map_of(call);
        return;
    }
    interpreter_fault(interpreter, "helper", "R%u is no record that was reserved", call->reg);
}

static void (*const passes[])(struct call *) = {
    [ARGUMENT_SCALAR] = pass_number,
    [ARGUMENT_MAP] = pass_map,
    [ARGUMENT_MAP_KEY] = pass_key,
    [ARGUMENT_MAP_VALUE] = pass_value,
    [ARGUMENT_MAP_VALUE_WRITE] = pass_value_to_write,
    [ARGUMENT_MEMORY] = pass_memory,
    [ARGUMENT_MEMORY_WRITE] = pass_memory,
    [ARGUMENT_SIZE] = pass_size,
    [ARGUMENT_SIZE_OR_ZERO] = pass_size,
    [ARGUMENT_CALLBACK] = pass_number,
    [ARGUMENT_CALLBACK_CONTEXT] = pass_number,
    [ARGUMENT_ALLOCATED] = pass_allocated,
    [ARGUMENT_TEXT] = pass_text,
    [ARGUMENT_OPTIONAL] = pass_optional,
};

static bool pass_arguments(struct call *call)
{
    for (unsigned i = 0; i < 5 && call->helper->argument[i] != ARGUMENT_NONE; i++) {
        call->reg = i + 1;
        passes[call->helper->argument[i]](call);
        if (call->interpreter->result < 0)
            return false;
    }
    call->argument[ARGUMENTS - 1] = (uintptr_t)call->interpreter->arena.thread;
    return true;
}

/* ---- results ---- */

/* The address that stands for a place in a map's memory; 0 for NULL. */
static uint64_t translate_value(struct call *call, const void *value)
{
    const struct map *map = map_of(call);
    uint64_t at = (uint64_t)((const uint8_t *)value - (const uint8_t *)map_memory(map)), unit = 8;

    if (!value)
        return 0;
    if (map->kind == BPF_MAP_TYPE_ARRAY) {
        at -= map->elements_at;
        unit = map->stride;
    }
    if (at >= map->size || at % unit || at / unit >= INTERPRETER_ELEMENTS_MAX)
        interpreter_fault(call->interpreter, "helper", "a place %llu bytes into the map's memory",
                          (unsigned long long)at);
    return interpreter_value_address(call->map, (uint32_t)(at / unit));
}

static uint64_t translate_map(struct call *call, const void *inner)
{
    for (uint32_t i = 0; inner && i < call->interpreter->arena.maps; i++)
        if (call->interpreter->arena.map[i] == inner)
            return interpreter_address(PLACE_MAP, i);
    if (inner)
        interpreter_fault(call->interpreter, "helper", "the map that was found is not there");
    return 0;
}

static uint64_t translate_record(struct call *call, const void *bytes)
{
    uint64_t address = translate_value(call, bytes);
    struct interpreter_place place = interpreter_find(call->interpreter, address);

    for (uint32_t i = 0; address && i < INTERPRETER_RECORDS_MAX; i++)
        if (call->interpreter->record[i].size == 0) {
            call->interpreter->record[i] =
                (struct interpreter_record){ place.index, place.element, (uint32_t)call->argument[1] };
            return address;
        }
    if (address)
        interpreter_fault(call->interpreter, "helper", "more than %d records are reserved", INTERPRETER_RECORDS_MAX);
    return 0;
}

static uint64_t translate_result(struct call *call, uint64_t result)
{
    const void *place = (const void *)(uintptr_t)result;

    switch ((enum helper_result)call->helper->result) {
    case RESULT_MAP_VALUE_OR_NULL:
        return map_of(call)->kind == BPF_MAP_TYPE_ARRAY_OF_MAPS || map_of(call)->kind == BPF_MAP_TYPE_HASH_OF_MAPS ?
                   translate_map(call, place) :
                   translate_value(call, place);
    case RESULT_MEMORY_OR_NULL:
        return translate_record(call, place);
    case RESULT_SCALAR:
        break;
    }
    return result;
}

/* ---- callbacks ---- */

static void enter_loop(struct interpreter *interpreter)
{
    struct interpreter_loop *loop = &interpreter_top(interpreter)->loop;
    uint64_t context = loop->context, index = loop->index++;

    interpreter_enter(interpreter, loop->function);
    if (interpreter->result < 0)
        return;
    interpreter_set(interpreter, 1, index);
    interpreter_set(interpreter, 2, context);
}

static const void *next_element(const struct call *call, struct map_cursor *cursor, void **value)
{
    runtime_call *next = runtime_calls[helper_runtime(HELPER_FOR_EACH, map_of(call)->kind)];

    return (const void *)(uintptr_t)next((uintptr_t)map_of(call), (uintptr_t)cursor, (uintptr_t)value, 0, 0,
                                         (uintptr_t)call->interpreter->arena.thread);
}

/* The runtime's own copy, or in the map's memory. */
static bool is_key(const struct map *map, const struct map_cursor *cursor, const void *key)
{
    uint64_t at = (uint64_t)((const uint8_t *)key - (const uint8_t *)map_memory(map));

    return key == &cursor->within || (at <= map->size && map->key_size <= map->size - at);
}

static void enter_element(struct interpreter *interpreter)
{
    struct interpreter_loop *loop = &interpreter_top(interpreter)->loop;
    struct call call = { .interpreter = interpreter, .map = loop->map };
    uint32_t frame = interpreter->depth - 1;
    uint64_t address, context = loop->context;
    void *value = NULL;

    loop->key = next_element(&call, &loop->cursor, &value);
    if (!loop->key)
        return interpreter_return(interpreter, loop->index);
    if (!is_key(map_of(&call), &loop->cursor, loop->key))
        return interpreter_fault(interpreter, "helper", "the key of an element does not lie in its map");
    address = translate_value(&call, value);
    loop->index++;
    interpreter_enter(interpreter, loop->function);
    if (interpreter->result < 0)
        return;
    interpreter_set(interpreter, 1, interpreter_address(PLACE_MAP, call.map));
    interpreter_set(interpreter, 2, interpreter_address(PLACE_KEY, frame));
    interpreter_set(interpreter, 3, address);
    interpreter_set(interpreter, 4, context);
}

void interpreter_call_again(struct interpreter *interpreter, uint64_t result)
{
    const struct interpreter_loop *loop = &interpreter_top(interpreter)->loop;

    if (result || loop->index == loop->count)
        interpreter_return(interpreter, loop->index);
    else if (loop->elements)
        enter_element(interpreter);
    else
        enter_loop(interpreter);
}

/* R2 is the callback, R3 its context, R4 the flags; R1 how often, or for which map. */
static void begin_callbacks(struct call *call)
{
    struct interpreter *interpreter = call->interpreter;
    bool elements = call->helper->callback == CALLBACK_MAP_ELEMENT;
    struct interpreter_place callback = interpreter_find(interpreter, interpreter_get(interpreter, 2));
    uint32_t count = elements ? map_of(call)->max_entries : (uint32_t)call->argument[0];

    if (callback.kind != PLACE_FUNCTION || callback.offset != 0)
        return interpreter_fault(interpreter, "helper", "R2 is no function");
    if (call->argument[3])
        return interpreter_return(interpreter, (uint64_t)-EINVAL);
    if (!elements && count > INTERPRETER_LOOPS_MAX)
        return interpreter_return(interpreter, (uint64_t)-E2BIG);
    if (count == 0)
        return interpreter_return(interpreter, 0);
    interpreter_top(interpreter)->loop = (struct interpreter_loop){
        .function = callback.index, .count = count, .context = call->argument[2], .elements = elements,
        .map = call->map,
    };
    interpreter_call_again(interpreter, 0);
}

/* ---- all of it ---- */

static void call_function(struct call *call, runtime_call *function)
{
    const uint64_t *argument = call->argument;

    interpreter_return(call->interpreter,
                       translate_result(call, function(argument[0], argument[1], argument[2], argument[3], argument[4],
                                                       argument[5])));
}

/* The function that it is for this map; RUNTIME_NONE: none. */
static enum runtime_function runtime_of(const struct call *call)
{
    return helper_runtime(call->number, map_of(call) ? map_of(call)->kind : 0);
}

void interpreter_call_helper(struct interpreter *interpreter, int32_t number)
{
    struct call call = { .interpreter = interpreter, .helper = helper_find(number), .number = number,
                         .map = TEST_ARENA_MAPS - 1 };
    int service = helper_service(number);

    if (!call.helper)
        return interpreter_fault(interpreter, "helper", "the interpreter has no helper %d", number);
    if (!pass_arguments(&call))
        return;
    if (call.helper->callback != CALLBACK_NONE)
        begin_callbacks(&call);
    else if (service >= 0)
        interpreter_return(interpreter, test_arena_service[service]());
    else if (runtime_of(&call) != RUNTIME_NONE)
        call_function(&call, runtime_calls[runtime_of(&call)]);
    else
        interpreter_fault(interpreter, "helper", "%s does not take a map of this kind", call.helper->name);
}

/* ---- natives ---- */

static uint64_t cut(uint64_t value, const struct native_argument *type)
{
    unsigned bits = type->bits < 8 ? 8 : type->bits;

    if (type->is_signed)
        return semantics_sign_extend(value, bits);
    return bits < 64 ? value & ((UINT64_C(1) << bits) - 1) : value;
}

/* Of numbers only: memory has other addresses here. */
void interpreter_call_native(struct interpreter *interpreter, uint32_t index)
{
    const struct bytecode_native *native = &interpreter->bytecode->native[index];
    struct native_signature signature;
    uint64_t argument[NATIVE_ARGUMENTS_MAX], result;

    if (native_parse(native->prototype, interpreter->bytecode->context, &signature, NULL) < 0)
        return interpreter_fault(interpreter, "helper", "%s has no prototype", native->name);
    for (uint32_t i = 0; i < NATIVE_ARGUMENTS_MAX; i++) {
        argument[i] = i < signature.arguments ? interpreter_get(interpreter, i + 1) : 0;
        if (i < signature.arguments && signature.argument[i].kind != NATIVE_INTEGER)
            return interpreter_fault(interpreter, "helper", "%s takes memory, and is not here", native->name);
    }
    result = test_arena_native(argument[0], argument[1], argument[2], argument[3], argument[4]);
    interpreter_return(interpreter, signature.returns ? cut(result, &signature.result) : 0);
}
