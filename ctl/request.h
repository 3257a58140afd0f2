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
 * Put a verb's arguments, as many as it takes, to `parameters` (what options say; taken over) into *ret.  STATUS_USAGE or
 * STATUS_LOCAL after a complaint.
 */
enum status request_make(const struct verb *verb, char **arguments, struct json_object *parameters, struct request *ret);

/* Fine on an empty request. */
void request_done(struct request *request);

#endif
