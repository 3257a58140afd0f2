/* SPDX-License-Identifier: MIT */
/*
 * Keys and values as people write them: bytes of a typed value to JSON and back, as io.dispatchd.Control.varlink says
 * (DataType).
 *
 *      {"tenant": 7, "limit": {"rate": 100}, "name": "a\\x00b"}        a struct: an object with its members
 *      {"value": 7}                                                    anything else
 *      "0700000064000000"                                              any bytes, in the order of memory
 *
 * The text of arrays of char has \xNN for bytes that are not UTF-8 or control something, and \\ for a backslash, so
 * that what is shown is all that is there.  The bytes come from memory that any worker writes; the JSON comes from
 * clients.
 */
#ifndef DAEMON_ELEMENT_H
#define DAEMON_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "refusal.h"
#include "typed.h"

struct json_object;

/* Nested deeper than this, a value is shown and read as bytes: messages may be nested 32 deep. */
#define ELEMENT_DEPTH_MAX 16

/* The value of `bytes`, typed_size() of them.  The result is the caller's. */
struct json_object *element_show(const struct typed *typed, const uint8_t *bytes);
struct json_object *element_show_hex(const uint8_t *bytes, size_t size);
struct json_object *element_show_text(const uint8_t *bytes, size_t size);      /* as an array of char */

/*
 * Sums of what several threads wrote, which wrap as their integers do.  What is no integer has no sum, and is left
 * out; NULL: nothing is left.
 */
void element_add(const struct typed *typed, uint8_t *sum, const uint8_t *bytes);
struct json_object *element_show_sum(const struct typed *typed, const uint8_t *sum);

/* The type, as DataType has it. */
struct json_object *element_show_type(const struct typed *typed);

/*
 * Read a value into `ret`, typed_size() bytes, all of which are written, padding as 0.  `complete`: all members must
 * be there; else those that are not are 0.  `parameter` is what messages call it.  InvalidParameter with the path of
 * what is wrong.
 */
int element_read(const struct typed *typed, struct json_object *json, bool complete, const char *parameter,
                 uint8_t *ret, struct refusal *refusal);
int element_read_hex(const char *text, size_t size, const char *parameter, uint8_t *ret, struct refusal *refusal);

/* A number in text, decimal or 0x..., perhaps with a sign.  False: it is none, or has no room in 64 bits. */
bool element_read_number(const char *text, uint64_t *ret, bool *ret_negative);

/* A type in the words of CreateMap: u8 to u64, s8 to s64, char[N], u8[N].  InvalidParameter.  *ret is the caller's. */
int element_read_type(const char *text, const char *parameter, struct typed **ret, struct refusal *refusal);

#endif
