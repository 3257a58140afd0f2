/* SPDX-License-Identifier: MIT */
/* A request: what the words of the command line ask of the daemon. */
#ifndef CTL_REQUEST_H
#define CTL_REQUEST_H

#include "status.h"
#include "verb.h"

/* All zero but for the descriptor, which is negative, before use. */
struct request {
    struct json_object *parameters; /* owned */
    int descriptor;                 /* owned; of the file to be passed on, negative if there is none */
};

/*
 * The words behind a verb, as many as it takes;
 * and what is known of the map that they are about, if the verb asks for it.
 */
struct words {
    char **word;
    int count;
    struct json_object *map;        /* as ShowMap shows it; borrowed; NULL: nothing */
    bool hex;
};

/*
 * Put a verb's arguments to `parameters` (what options say; taken over) into *ret.  STATUS_USAGE or STATUS_LOCAL after
 * a complaint.
 */
enum status request_make(const struct verb *verb, const struct words *words, struct json_object *parameters,
                         struct request *ret);

/* Does the verb need to know what the map is like? */
bool request_needs_map(const struct verb *verb);

/* Fine on an empty request. */
void request_done(struct request *request);

#endif
