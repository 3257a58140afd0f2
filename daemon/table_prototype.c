/* SPDX-License-Identifier: MIT */
/* See table_prototype.h. */
#include "table_prototype.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void table_prototype(const struct table *table, struct prototype *ret)
{
    if (table->kind == TABLE_KEYS) {
        prototype_of_table(table->context->description->name, ret);
        return;
    }
    if (prototype_read(table->prototype, ret) < 0)
        assert(!"it was read when the call was declared");
}

bool table_has_arguments_on_stack(const struct table *table)
{
    struct prototype prototype;

    if (table->kind == TABLE_KEYS)
        return false;
    table_prototype(table, &prototype);
    return prototype.arguments > PROTOTYPE_ARGUMENTS_IN_REGISTERS;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* A result, which is one number where there are no bits. */
struct result {
    char type[PROTOTYPE_BYTES];         /* canonical */
    unsigned bits;
    bool is_signed;
};

static struct result result_of(const struct table *call)
{
    struct prototype prototype;
    struct result result = { 0 };

    table_prototype(call, &prototype);
    memcpy(result.type, prototype.text, strcspn(prototype.text, "("));
    if (prototype.result == PROTOTYPE_BOOL)
        result.bits = 1;
    else if (prototype.result == PROTOTYPE_INTEGER)
        result.bits = (unsigned)atoi(result.type + 1);
    result.is_signed = prototype.result == PROTOTYPE_INTEGER && result.type[0] == 's';
    return result;
}

static uint64_t most(const struct result *result)
{
    return result->bits == 0 ? 0 : UINT64_MAX >> (64 - result->bits + result->is_signed);
}

static void write_number(const struct result *result, uint64_t number, char ret[CALL_VALUE_TEXT])
{
    if (result->is_signed)
        snprintf(ret, CALL_VALUE_TEXT, "%" PRId64, (int64_t)number);
    else
        snprintf(ret, CALL_VALUE_TEXT, "%" PRIu64, number);
}

int call_value_check(const struct table *call, uint64_t number, bool negative, struct refusal *refusal)
{
    const struct result result = result_of(call);
    char given[CALL_VALUE_TEXT], least[CALL_VALUE_TEXT], greatest[CALL_VALUE_TEXT];

    if (negative ? result.is_signed && (int64_t)number >= -(int64_t)most(&result) - 1 : number <= most(&result))
        return 0;
    write_number(&(struct result){ .is_signed = negative }, number, given);
    if (result.bits == 0)
        return refuse_parameter(refusal, "value", "%s is no value of %s: only 0 is", given, result.type);
    write_number(&result, result.is_signed ? ~most(&result) : 0, least);
    write_number(&result, most(&result), greatest);
    return refuse_parameter(refusal, "value", "%s is no value of %s: those are %s to %s", given, result.type, least,
                            greatest);
}

uint64_t call_value_convert(const struct table *call, uint64_t number)
{
    const struct result result = result_of(call);
    uint64_t low = number & most(&result);

    return result.is_signed && number & (most(&result) + 1) ? low | ~most(&result) : low;
}

void call_value_text(const struct table *call, char ret[CALL_VALUE_TEXT])
{
    const struct result result = result_of(call);

    write_number(&result, call->value, ret);
}
