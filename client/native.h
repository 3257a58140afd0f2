/* SPDX-License-Identifier: MIT */
/*
 * The natives that this process offers.  The list changes under the library's lock and that of stubs.h, so that
 * either is enough to read it.
 */
#ifndef DISPATCHD_NATIVE_H
#define DISPATCHD_NATIVE_H

#include <stdbool.h>

#include "dispatchd.h"

struct json_object;

/* The checks of dd_native_register(): NULL, or what is wrong (static text).  Sets the digest. */
const char *native_mistake(struct dd_native *native);

/* -EEXIST: it is there already. */
int native_add(struct dd_native *native);
void native_remove(struct dd_native *native);

/* The native with this digest, NULL: there is none. */
const struct dd_native *native_find(uint64_t digest);

/* As table.h has it for tables: has the daemon been told of all; it has to be told again; all that it has not been
 * told, as an array of type Native of the interface (NULL: no memory, and nothing has changed). */
bool native_any_new(void);
void native_forget(void);
struct json_object *native_describe(void);

#endif
