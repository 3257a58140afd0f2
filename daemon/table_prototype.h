/* SPDX-License-Identifier: MIT */
/*
 * The prototype of a table or static call, and what follows from it.
 *
 * Values that static calls are set to return are those of the result's type.  In a table, and in the database, a value
 * is what the result's register holds: 64 bits, extended by the type's sign.  Of a pointer it is 0, as no worker may be
 * given an address, and so it is where nothing is returned.
 */
#ifndef DAEMON_TABLE_PROTOTYPE_H
#define DAEMON_TABLE_PROTOTYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "prototype.h"
#include "refusal.h"
#include "registry.h"

/* That of natives that fit. */
void table_prototype(const struct table *table, struct prototype *ret);

/* They are found only by what the caller jumps to. */
bool table_has_arguments_on_stack(const struct table *table);

#define CALL_VALUE_TEXT 24

/* Refuse a number that the call's result cannot be; negative: it is below 0, with these bits. */
int call_value_check(const struct table *call, uint64_t number, bool negative, struct refusal *refusal);

/* The number as C converts it to the result's type. */
uint64_t call_value_convert(const struct table *call, uint64_t number);

/* The call's value in decimal. */
void call_value_text(const struct table *call, char ret[CALL_VALUE_TEXT]);

#endif
