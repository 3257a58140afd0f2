/* SPDX-License-Identifier: MIT */
/*
 * What clients ask for: operations of changes, read from the parameters of calls.  Types were checked against the
 * interface before; what these functions refuse is what its types cannot say.  All errors are -EINVAL with
 * InvalidParameter, which names the parameter, unless said otherwise.
 */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include <stdint.h>

#include "change.h"
#include "refusal.h"

struct call;
struct json_object;

/* A name that must be there; `ret` has room for NAME_LENGTH_MAX and its end. */
int request_name(struct json_object *json, const char *member, char *ret, struct refusal *refusal);

/* An optional number, 0 without it. */
int request_number(struct json_object *json, const char *member, int64_t minimum, int64_t maximum, int64_t *ret,
                   struct refusal *refusal);

/* The link that is meant, which must be there. */
int request_link(struct json_object *json, struct operation *operation, struct refusal *refusal);

/*
 * An object, a descriptor of the call or base64; which of its programs; with which settings.  -EFBIG LimitExceeded;
 * -ENOMEM.
 */
int request_object(struct call *call, struct json_object *json, struct operation *operation, struct refusal *refusal);

/*
 * The operation of a kind's name ("attach"; letters of either case).  Fills `operation`, which was zero and which the
 * caller ends with operations_free() also where this fails.  Errors also of request_object().
 */
int request_operation(struct call *call, const char *name, struct json_object *json, struct operation *operation,
                      struct refusal *refusal);

#endif
