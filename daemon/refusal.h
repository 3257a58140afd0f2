/* SPDX-License-Identifier: MIT */
/*
 * Why a change is refused: the named error of the API with its data.  A function that refuses fills one and returns a
 * negative errno; the service that owns the request answers with it and logs one line.
 */
#ifndef DAEMON_REFUSAL_H
#define DAEMON_REFUSAL_H

#include <stdint.h>

struct json_object;

struct refusal {
    const char *error;                  /* "KeyTaken", without the interface's name; NULL: none */
    struct json_object *parameters;     /* owned */
};

/*
 * Fill `refusal` and return `result`.  After the error's name come its parameters: a format letter each in `types`,
 * then name and value in turn: s const char *, i int64_t, o struct json_object * (taken over).
 *      refuse(refusal, -EEXIST, "KeyTaken", "si", "table", name, "key", (int64_t)key)
 */
int refuse(struct refusal *refusal, int result, const char *error, const char *types, ...);

/* LimitExceeded: the daemon is out of memory. -ENOMEM. */
int refuse_memory(struct refusal *refusal);

/* InvalidParameter of org.varlink.service: which, why, and what would be right. */
__attribute__((format(printf, 3, 4)))
int refuse_parameter(struct refusal *refusal, const char *parameter, const char *format, ...);

/* Drop the parameters. */
void refusal_done(struct refusal *refusal);

#endif
