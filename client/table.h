/* SPDX-License-Identifier: MIT */
/*
 * The tables that this process has declared, static calls among them, and their entry pointers.
 *
 * All functions are called with the library's lock.  The list changes under that of stubs.h, too, so that either is
 * enough to read it.  A table is in one of these states towards the daemon:
 *
 *      NEW ----> SENT ----> DECLARED
 *                  \------> REFUSED    left out of later Joins, so that one table that does not fit (of a module
 *                                      that was loaded later) does not keep the process from joining; declared alone
 */
#ifndef DISPATCHD_TABLE_H
#define DISPATCHD_TABLE_H

#include <stdbool.h>

#include "dispatchd.h"
#include "window.h"

struct json_object;

enum table_state {
    TABLE_NEW,
    TABLE_SENT,
    TABLE_DECLARED,
    TABLE_REFUSED,
};

/* The checks of dd_table_register(): NULL, or what is wrong with the table (static text).  Sets the digest. */
const char *table_mistake(struct dd_table *table);

/* -EEXIST: it is there already. */
int table_add(struct dd_table *table);
void table_remove(struct dd_table *table);

/* All tables that were SENT, or all that are DECLARED too, are NEW again: their answer will not come. */
void table_forget(bool declared_too);

/* Describe all NEW tables for the daemon (type Table of the interface, as an array), which then are SENT; NULL: no
 * memory, and nothing has changed.  The caller puts it. */
struct json_object *table_describe(void);

/* All tables: go on with `next`.  NULL: none. */
const struct dd_table *table_first(void);

/* The table with this digest, NULL: there is none. */
const struct dd_table *table_find(uint64_t digest);

/* Is one of them called without indirect branches? */
bool table_any_direct(void);

/* An address in a module that calls tables; NULL: there is none. */
const void *table_callers(void);

/* Is there a NEW table? */
bool table_any_new(void);

/*
 * The daemon has answered with entries for the SENT tables (type Entry, as an array; checked against the interface):
 * those named are DECLARED and their pointers for the window's slot point into its text.
 * -EBADMSG: an offset lies outside the text, or a SENT table has none; nothing has changed.
 */
int table_apply(struct json_object *entries, const struct window *window);

/* The daemon has refused the SENT tables because of this one; NULL, or none of them: because of all.  false: there were
 * none. */
bool table_refused(const char *name);

/* REFUSED tables are NEW again: there is another daemon to ask. */
void table_forgive(void);

/* All tables run their defaults in this slot. */
void table_reset(unsigned slot);

#endif
