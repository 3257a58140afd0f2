/* SPDX-License-Identifier: MIT */
/*
 * Keys and values on the command line.  The map says what they look like (DataType of the interface):
 *
 *      tenant=7 rate=100 limit.burst=20        members of structs, by name
 *      7 100                                   what is no struct is one word
 *      --hex 07000000 64000000                 any bytes are one word of hexadecimal digits
 *
 * What the words mean is for the daemon to say, which knows the types.
 */
#ifndef CTL_ELEMENT_H
#define CTL_ELEMENT_H

#include <stdbool.h>

#include "status.h"
#include "verb.h"

struct json_object;

/*
 * Add to `parameters` the key, value or both that `kind` asks for, from `words`, all of which have to be used.
 * `map`: as ShowMap shows it.  STATUS_USAGE after a complaint.
 */
enum status element_add(struct json_object *parameters, enum argument_kind kind, char **words, int n_words,
                        struct json_object *map, bool hex);

#endif
