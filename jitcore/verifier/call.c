/* SPDX-License-Identifier: MIT */
/* Calls of functions and helpers, callbacks, exits. */

#include "call.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "../helper.h"
#include "memory.h"
#include "native.h"
#include "runtime/trace.h"

#define ARGUMENTS 5

/* A helper's call, as its arguments are looked at, one by one. */
struct call {
    struct analysis *analysis;
    int32_t number;
    const struct helper *helper;
    unsigned reg;               /* of the argument at hand */
    const struct value *value;
    const struct bytecode_region *map;          /* the map among them, NULL before it */
    uint32_t region;            /* its index */
    uint32_t callback;          /* the function's index */
    uint32_t size;              /* of the result, bytes */
    uint32_t reference;         /* the id of memory that is given back */
};

/* ---- arguments ---- */

static int refuse_argument(const struct call *call, const char *expected)
{
    return message_refuse(call->analysis, "argument",
                          value_is_or_null(call->value) ? "check the pointer for NULL first" : NULL,
                          "R%u of bpf_%s must be %s; it is %s", call->reg, call->helper->name, expected,
                          value_type_name(call->value->type));
}

static int argument_scalar(struct call *call)
{
    return value_is_number(call->value) ? 0 : refuse_argument(call, "a number");
}

/* Does it copy values out of the map? */
static bool takes_values(const struct helper *helper)
{
    for (unsigned i = 0; i < ARGUMENTS; i++)
        if (helper->argument[i] == ARGUMENT_MAP_VALUE_WRITE)
            return true;
    return false;
}

/* The helper exists for this kind of map, and does nothing that programs may not do with this one. */
static int check_map(const struct call *call)
{
    if (!helper_takes_map(call->number, call->map->map_type))
        return message_refuse(call->analysis, "argument", NULL, "bpf_%s does not take %s, a map of kind %s",
                              call->helper->name, call->map->name, helper_map_name(call->map->map_type));
    if (call->helper->changes_map && call->map->map_flags & BPF_F_RDONLY_PROG)
        return message_refuse(call->analysis, "read-only", "make the map without the flag BPF_F_RDONLY_PROG",
                              "bpf_%s changes %s, a map that programs may only read", call->helper->name,
                              call->map->name);
    if (takes_values(call->helper) && call->map->map_flags & BPF_F_WRONLY_PROG)
        return message_refuse(call->analysis, "write-only", "make the map without the flag BPF_F_WRONLY_PROG",
                              "bpf_%s reads from %s, which programs may only write", call->helper->name, call->map->name);
    return 0;
}

static int argument_map(struct call *call)
{
    if (call->value->type != VALUE_MAP)
        return refuse_argument(call, "a map");
    call->region = call->value->region;
    call->map = &call->analysis->bytecode->region[call->region];
    facts_note_map(call->analysis, call->region);
    return check_map(call);
}

/* `what`: that is there, of the map; NULL: as many bytes as the next argument says. */
static int check_bytes(struct call *call, unsigned reg, const char *what, uint32_t size, enum memory_use use)
{
    const struct message_argument argument = { reg, "bpf_", call->helper->name, size, what,
                                               call->map ? call->map->name : "" };
    int r;

    call->analysis->argument = &argument;
    r = memory_check_bytes(call->analysis, reg, size, use);
    call->analysis->argument = NULL;
    return r;
}

static int argument_map_key(struct call *call)
{
    return check_bytes(call, call->reg, "a key", call->map->key_size, MEMORY_READ);
}

static int argument_map_value(struct call *call)
{
    return check_bytes(call, call->reg, "a value", call->map->value_size, MEMORY_READ);
}

/* The helper writes all of it, also where it fails. */
static int argument_map_value_write(struct call *call)
{
    return check_bytes(call, call->reg, "a value", call->map->value_size, MEMORY_WRITE);
}

/* The next argument is the size; the memory is checked with it. */
static int argument_memory(struct call *call)
{
    return value_is_pointer(call->value) ? 0 : refuse_argument(call, "a pointer to memory");
}

/* What the argument before, of so many bytes, is for; false: it is no memory. */
static bool memory_before(const struct call *call, bool constant, enum memory_use *ret)
{
    unsigned before = call->reg > 1 ? call->helper->argument[call->reg - 2] : ARGUMENT_NONE;

    *ret = before == ARGUMENT_MEMORY ? MEMORY_READ : constant ? MEMORY_WRITE : MEMORY_WRITE_SOME;
    return before == ARGUMENT_MEMORY || before == ARGUMENT_MEMORY_WRITE;
}

static int argument_size(struct call *call)
{
    bool zero = call->helper->argument[call->reg - 1] == ARGUMENT_SIZE_OR_ZERO;
    const struct scalar *size = &call->value->number;
    char text[SCALAR_FORMAT_SIZE];
    enum memory_use use;

    if (!value_is_number(call->value))
        return refuse_argument(call, "a number of bytes");
    analysis_demand(call->analysis, DEMAND_ACCESS, call->reg);
    if (size->full.umax > CALL_MEMORY_MAX || (!zero && size->full.umin == 0))
        return message_refuse(call->analysis, "argument", "compare it with constants first",
                              "R%u of bpf_%s is a number of bytes and must be %s, and not more than %u; it is %s",
                              call->reg, call->helper->name, zero ? "0 or more" : "1 or more", CALL_MEMORY_MAX,
                              scalar_format(size, text));
    if (memory_before(call, scalar_is_constant(size), &use))
        return check_bytes(call, call->reg - 1, NULL, (uint32_t)size->full.umax, use);
    if (!scalar_is_constant(size))
        return refuse_argument(call, "a constant number of bytes");
    call->size = (uint32_t)size->tnum.value;
    return 0;
}

static int argument_callback(struct call *call)
{
    if (call->value->type != VALUE_FUNCTION)
        return refuse_argument(call, "a function of this program");
    call->callback = call->value->region;
    return 0;
}

static int argument_callback_context(struct call *call)
{
    if (call->value->type == VALUE_STACK)
        return 0;
    analysis_demand(call->analysis, DEMAND_ACCESS, call->reg);
    return value_is_zero(call->value) ? 0 : refuse_argument(call, "a pointer to the stack, or 0");
}

static int argument_allocated(struct call *call)
{
    if (call->value->type != VALUE_MEMORY || !call->value->id || call->value->offset ||
        !scalar_is_constant(&call->value->number) || call->value->number.tnum.value != 0)
        return refuse_argument(call, "the memory that a helper gave, from its first byte on");
    call->reference = call->value->id;
    facts_note_map(call->analysis, call->value->region);
    return 0;
}

/* The constant bytes from a pointer's on, and how many there are, up to the end of their region; NULL: not constant. */
static const uint8_t *constant_bytes(const struct call *call, const struct value *pointer, uint32_t *ret_size)
{
    const struct bytecode_region *region = &call->analysis->bytecode->region[pointer->region];
    int64_t offset = value_lowest(pointer);

    if (pointer->type != VALUE_MAP_VALUE || region->kind != REGION_CONSTANT || !region->contents ||
        !scalar_is_constant(&pointer->number) || offset < 0 || offset > region->size)
        return NULL;
    *ret_size = region->size - (uint32_t)offset;
    return region->contents + offset;
}

static int argument_text(struct call *call)
{
    uint32_t size = 0;
    const uint8_t *text = constant_bytes(call, call->value, &size);

    if (!text || !memchr(text, '\0', size))
        return refuse_argument(call, "constant text that ends with a NUL, like a literal");
    return 0;
}

/* The numbers that a format asks for; all that there can be, if it is not known. */
static unsigned count_conversions(const struct call *call, unsigned max)
{
    unsigned count = 0;
    uint32_t size = 0;
    const uint8_t *format = constant_bytes(call, analysis_register(call->analysis, 1), &size);

    if (!format)
        return max;
    for (uint32_t i = 0; i < size && format[i]; i++) {
        bool is_percent = format[i] == '%' && i + 1 < size && format[i + 1] == '%';

        count += format[i] == '%' && !is_percent;
        i += is_percent;
    }
    return count;
}

/* What is known to fail each time.  Of a conversion, the name is all up to its letter. */
static int check_format(const struct call *call)
{
    uint32_t size = 0;
    const uint8_t *format = constant_bytes(call, analysis_register(call->analysis, 1), &size);
    bool known = format && memchr(format, '\0', size);
    const char *refused = known ? trace_find_refused((const char *)format) : NULL;

    if (!refused)
        return 0;
    return message_refuse(call->analysis, "argument", "print three numbers at most, by %d %i %u %x %X %p %c, l and ll",
                          "the format of bpf_%s has \"%.*s\", which it does not print", call->helper->name,
                          (int)strspn(refused + 1, "-+ #.*0123456789hljztqL") + 2, refused);
}

/* What a format does not ask for need not be there: nobody reads it. */
static int argument_optional(struct call *call)
{
    unsigned before = 0;
    int r;

    for (unsigned reg = 1; reg < call->reg; reg++)
        before += call->helper->argument[reg - 1] == ARGUMENT_OPTIONAL;
    r = before == 0 ? check_format(call) : 0;
    if (r < 0)
        return r;
    if (before >= count_conversions(call, ARGUMENTS))
        return 0;
    r = analysis_read(call->analysis, call->reg);
    return r < 0 ? r : argument_scalar(call);
}

static int (*const argument_checks[])(struct call *) = {
    [ARGUMENT_SCALAR] = argument_scalar,
    [ARGUMENT_MAP] = argument_map,
    [ARGUMENT_MAP_KEY] = argument_map_key,
    [ARGUMENT_MAP_VALUE] = argument_map_value,
    [ARGUMENT_MAP_VALUE_WRITE] = argument_map_value_write,
    [ARGUMENT_MEMORY] = argument_memory,
    [ARGUMENT_MEMORY_WRITE] = argument_memory,
    [ARGUMENT_SIZE] = argument_size,
    [ARGUMENT_SIZE_OR_ZERO] = argument_size,
    [ARGUMENT_CALLBACK] = argument_callback,
    [ARGUMENT_CALLBACK_CONTEXT] = argument_callback_context,
    [ARGUMENT_ALLOCATED] = argument_allocated,
    [ARGUMENT_TEXT] = argument_text,
    [ARGUMENT_OPTIONAL] = argument_optional,
};

static int check_arguments(struct call *call)
{
    for (unsigned i = 0; i < ARGUMENTS && call->helper->argument[i] != ARGUMENT_NONE; i++) {
        int r;

        call->reg = i + 1;
        r = call->helper->argument[i] == ARGUMENT_OPTIONAL ? 0 : analysis_read(call->analysis, call->reg);
        if (r < 0)
            return r;
        call->value = analysis_register(call->analysis, call->reg);
        r = argument_checks[call->helper->argument[i]](call);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- results ---- */

/* Copies of a pointer to memory that was given back are of no use any more. */
static void forget_reference(void *userdata, struct value *value, uint32_t frame, int reg)
{
    const uint32_t *id = userdata;

    if (value->type == VALUE_MEMORY && value->id == *id)
        *value = (struct value){ 0 };
}

static int give_back(struct call *call)
{
    struct verifier_state *state = &call->analysis->state;

    for (uint32_t i = 0; i < state->references; i++)
        if (state->reference[i] == call->reference) {
            state->reference[i] = state->reference[--state->references];
            state_visit(state, forget_reference, &call->reference);
            return 0;
        }
    return message_refuse(call->analysis, "reference", NULL, "gives memory back that was given back before");
}

static int make_memory(struct call *call, struct value *ret)
{
    struct verifier_state *state = &call->analysis->state;

    if (state->references == STATE_REFERENCES_MAX)
        return message_limit(call->analysis, "give some back first", "more than %d pieces of memory of %s at once",
                             STATE_REFERENCES_MAX, call->helper->name);
    *ret = value_pointer(VALUE_MEMORY_OR_NULL);
    ret->id = ++call->analysis->ids;
    ret->region = call->region;
    ret->size = call->size;
    state->reference[state->references++] = ret->id;
    return 0;
}

/* Of a map of maps: one of those in it. */
static struct value make_map_value(struct call *call)
{
    bool is_map = bytecode_map_of_maps(call->map);
    struct value value = value_pointer(is_map ? VALUE_MAP_OR_NULL : VALUE_MAP_VALUE_OR_NULL);

    value.id = ++call->analysis->ids;
    value.region = is_map ? call->map->inner : call->region;
    value.size = is_map ? 0 : call->map->value_size;
    return value;
}

static int make_result(struct call *call, struct value *ret)
{
    switch ((enum helper_result)call->helper->result) {
    case RESULT_MAP_VALUE_OR_NULL:
        *ret = make_map_value(call);
        return 0;
    case RESULT_MEMORY_OR_NULL:
        return make_memory(call, ret);
    case RESULT_SCALAR:
        break;
    }
    *ret = value_unknown();
    return 0;
}

void call_clear_arguments(struct frame *frame)
{
    for (unsigned reg = 0; reg <= ARGUMENTS; reg++)
        frame->reg[reg] = (struct value){ 0 };
}

/* ---- callbacks ---- */

static void pass_to_loop(const struct call *call, const struct frame *caller, struct frame *callback)
{
    callback->reg[1] = value_unknown();
    callback->reg[2] = caller->reg[3];
}

static void pass_to_map_element(const struct call *call, const struct frame *caller, struct frame *callback)
{
    callback->reg[1] = caller->reg[1];
    callback->reg[2] = value_pointer(VALUE_MEMORY);
    callback->reg[2].size = call->map->key_size;
    callback->reg[2].read_only = true;
    callback->reg[2].frame = (uint8_t)analysis_frame(call->analysis);   /* the helper's own copy, perhaps */
    callback->reg[3] = value_pointer(VALUE_MAP_VALUE);
    callback->reg[3].region = call->region;
    callback->reg[3].size = call->map->value_size;
    callback->reg[4] = caller->reg[3];
}

static void (*const passes[])(const struct call *, const struct frame *, struct frame *) = {
    [CALLBACK_LOOP] = pass_to_loop,
    [CALLBACK_MAP_ELEMENT] = pass_to_map_element,
};

static int enter(struct analysis *analysis, uint32_t function, bool callback)
{
    if (analysis->state.depth == VERIFIER_DEPTH_MAX)
        return message_refuse(analysis, "call-depth", NULL, "more than %d functions would be active at once",
                              VERIFIER_DEPTH_MAX);
    analysis_step(analysis)->transfer = STEP_ENTERS;
    state_push(&analysis->state, function, analysis->at, callback);
    analysis->at = analysis->bytecode->function[function].first;
    return ANALYSIS_GOES_ON;
}

/*
 * The helper is done, whatever it has called so far; or it calls, and when that returns we are here again, with the
 * arguments still in place.
 */
static int process_callback(struct call *call)
{
    struct analysis *analysis = call->analysis;
    uint32_t caller = analysis_frame(analysis);
    struct pending *done;
    int r = exploration_fork(analysis, analysis->at + 1, &done);

    if (r < 0)
        return r;
    call_clear_arguments(state_top(done->state));
    state_top(done->state)->reg[0] = value_unknown();
    state_top(done->state)->loop = (struct loop){ 0 };
    r = enter(analysis, call->callback, true);
    if (r < 0)
        return r;
    passes[call->helper->callback](call, analysis->state.frame[caller], state_top(&analysis->state));
    return r;
}

/* ---- all of it ---- */

static int refuse_helper(struct analysis *analysis, int32_t number)
{
    const char *name = helper_name(number);

    return message_refuse(analysis, "helper", NULL, "call of helper %d (%s), which does not exist here", number,
                          name ? name : "no number of one");
}

static int process_helper(struct analysis *analysis, int32_t number)
{
    struct call call = { .analysis = analysis, .number = number, .helper = helper_find(number) };
    struct value result;
    int r;

    if (!call.helper)
        return refuse_helper(analysis, number);
    r = check_arguments(&call);
    if (r == 0 && call.helper->callback != CALLBACK_NONE)
        return process_callback(&call);
    if (r == 0 && call.reference)
        r = give_back(&call);
    if (r == 0)
        r = make_result(&call, &result);
    if (r < 0)
        return r;
    call_clear_arguments(state_top(&analysis->state));
    *analysis_register(analysis, 0) = result;
    analysis->at++;
    return ANALYSIS_GOES_ON;
}

/* ---- functions of the program ---- */

static int process_local(struct analysis *analysis, uint32_t function)
{
    struct frame *caller = state_top(&analysis->state);
    int r = enter(analysis, function, false);

    if (r < 0)
        return r;
    for (unsigned reg = 1; reg <= ARGUMENTS; reg++)
        state_top(&analysis->state)->reg[reg] = caller->reg[reg];
    call_clear_arguments(caller);
    return r;
}

int call_process(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);

    switch (instruction_source(i)) {
    case CALL_LOCAL:
        return process_local(analysis, (uint32_t)i.immediate);
    case CALL_NATIVE:
        return native_process(analysis, (uint32_t)i.immediate);
    default:
        return process_helper(analysis, i.immediate);
    }
}

/* ---- exits ---- */

static int exit_program(struct analysis *analysis)
{
    int r = analysis_read(analysis, 0);

    if (r < 0)
        return r;
    if (!value_is_number(analysis_register(analysis, 0)))
        return message_refuse(analysis, "pointer-leak", "return a number",
                              "the program returns %s: others would see the address",
                              value_type_name(analysis_register(analysis, 0)->type));
    if (analysis->state.references > 0)
        return message_refuse(analysis, "reference", "give it back on every path",
                              "the program ends with memory that was not given back");
    return ANALYSIS_ENDS;
}

int call_process_exit(struct analysis *analysis)
{
    struct verifier_state *state = &analysis->state;
    const struct frame *frame = state_top(state);
    const struct value *result = &frame->reg[0];
    struct frame *caller;
    int r;

    if (state->depth == 1)
        return exit_program(analysis);
    if (result->type == VALUE_STACK && result->frame == analysis_frame(analysis))
        return message_refuse(analysis, "stack-caller", "return a number, or fill an object of the calling function",
                              "returns a pointer to this function's stack, which ends here");
    r = frame->callback ? analysis_read(analysis, 0) : 0;
    if (r == 0 && frame->callback && !value_is_number(result))
        return message_refuse(analysis, "pointer-leak", "return 0 or 1", "a callback returns %s",
                              value_type_name(result->type));
    if (r < 0)
        return r;
    caller = state->frame[state->depth - 2];
    analysis_step(analysis)->transfer = frame->callback ? STEP_REPEATS : STEP_RETURNS;
    analysis->at = frame->call + !frame->callback;
    if (frame->callback) {
        caller->loop.calls++;
        caller->loop.latest = analysis->history.steps;
    } else {
        caller->reg[0] = *result;
    }
    state->depth--;
    return ANALYSIS_GOES_ON;
}
