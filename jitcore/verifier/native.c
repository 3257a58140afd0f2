/* SPDX-License-Identifier: MIT */
/* Calls of functions of the workers'. */

#include "native.h"

#include "../native.h"
#include "call.h"
#include "memory.h"

static int refuse(struct analysis *analysis, const struct bytecode_native *native, unsigned reg, const char *expected,
                  const char *hint)
{
    const struct value *value = analysis_register(analysis, reg);
    char text[SCALAR_FORMAT_SIZE];

    return message_refuse(analysis, "argument", hint, "R%u of %s must be %s; it is %s", reg, native->name, expected,
                          value_is_number(value) ? scalar_format(&value->number, text) : value_type_name(value->type));
}

/* ---- arguments ---- */

/*
 * Compilers let a function rely on its caller for what is above 8 or 16 bits of an argument, and for a bool to be 0 or
 * 1; not for what is above 32.
 */
static bool integer_fits(const struct scalar *number, const struct native_argument *argument)
{
    int64_t max = argument->bits < 32 ? (INT64_C(1) << (argument->bits - argument->is_signed)) - 1 : 0;
    int64_t min = argument->is_signed ? -max - 1 : 0;

    return argument->bits >= 32 || (number->full.smin >= min && number->full.smax <= max);
}

static int check_integer(struct analysis *analysis, const struct bytecode_native *native, unsigned reg,
                         const struct native_argument *argument)
{
    if (!value_is_number(analysis_register(analysis, reg)))
        return refuse(analysis, native, reg, "a number", NULL);
    if (argument->bits < 32)
        analysis_demand(analysis, DEMAND_ACCESS, reg);
    return integer_fits(&analysis_register(analysis, reg)->number, argument) ?
               0 : refuse(analysis, native, reg, "a number that its type has", "compare it with constants first");
}

/* Its memory is in the register before.  Zero bytes are fine. */
static int check_size(struct analysis *analysis, const struct bytecode_native *native, unsigned reg,
                      const struct native_argument *argument, bool is_written)
{
    const struct scalar *size = &analysis_register(analysis, reg)->number;
    struct message_argument memory = { .reg = reg - 1, .prefix = "", .function = native->name };
    int r = check_integer(analysis, native, reg, argument);

    if (r < 0)
        return r;
    analysis_demand(analysis, DEMAND_ACCESS, reg);
    if (size->full.umax > CALL_MEMORY_MAX)
        return refuse(analysis, native, reg, "a bounded number of bytes", "compare it with constants first");
    memory.size = (uint32_t)size->full.umax;
    analysis->argument = &memory;
    r = memory_check_bytes(analysis, memory.reg, memory.size, MEMORY_READ);
    if (r == 0 && is_written)
        r = memory_check_bytes(analysis, memory.reg, memory.size, MEMORY_WRITE_SOME);
    analysis->argument = NULL;
    return r;
}

static int check_context(struct analysis *analysis, const struct bytecode_native *native, unsigned reg)
{
    const struct value *value = analysis_register(analysis, reg);
    bool is_context = value->type == VALUE_CTX && value->offset == 0 && scalar_is_constant(&value->number) &&
                      value->number.tnum.value == 0;

    return is_context ? 0 : refuse(analysis, native, reg, "the context", NULL);
}

static int check_argument(struct analysis *analysis, const struct bytecode_native *native, unsigned reg,
                          const struct native_argument *argument)
{
    switch (argument->kind) {
    case NATIVE_INTEGER:
        return check_integer(analysis, native, reg, argument);
    case NATIVE_MEMORY:
    case NATIVE_MEMORY_WRITE:           /* checked with its size, which is the next argument */
        return value_is_pointer(analysis_register(analysis, reg)) ?
                   0 : refuse(analysis, native, reg, "a pointer to memory", NULL);
    case NATIVE_SIZE:
        return check_size(analysis, native, reg, argument, argument[-1].kind == NATIVE_MEMORY_WRITE);
    case NATIVE_CONTEXT:
        return check_context(analysis, native, reg);
    }
    return 0;
}

/* ---- all of it ---- */

int native_process(struct analysis *analysis, uint32_t index)
{
    const struct bytecode_native *native = &analysis->bytecode->native[index];
    struct native_signature signature;
    int r = native_parse(native->prototype, analysis->bytecode->context, &signature, analysis->error);

    for (uint32_t i = 0; r == 0 && i < signature.arguments; i++) {
        r = analysis_read(analysis, i + 1);
        if (r == 0)
            r = check_argument(analysis, native, i + 1, &signature.argument[i]);
    }
    if (r < 0)
        return r;
    call_clear_arguments(state_top(&analysis->state));
    if (signature.returns)
        *analysis_register(analysis, 0) = value_unknown();
    analysis->at++;
    return ANALYSIS_GOES_ON;
}
