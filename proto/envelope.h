/* SPDX-License-Identifier: MIT */
/*
 * The envelope: the outer object of every message, as the Varlink protocol defines it.
 *
 *      call    {"method": "io.example.Interface.Method", "parameters": {}, "oneway": true, "more": true}
 *      reply   {"parameters": {}, "continues": true}
 *      error   {"error": "io.example.Interface.Error", "parameters": {}}
 *
 * Written and read here only; both sides use the same functions.
 */
#ifndef DISPATCHD_ENVELOPE_H
#define DISPATCHD_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;

/* Strings and objects are borrowed from the message. */
struct envelope_call {
    const char *method;                 /* fully qualified; contains a '.' with something on either side */
    struct json_object *parameters;     /* of type object; NULL where the message has none or null */
    bool oneway, more;
};

struct envelope_reply {
    const char *error;                  /* fully qualified name, NULL in a successful reply */
    struct json_object *parameters;     /* of type object; NULL where the message has none or null */
    bool continues;
};

/*
 * Read a received call.  -EINVAL: *reterr_member is the member that is missing, mistyped, unknown or in
 * contradiction with another (a string that lives as long as the message).
 */
int envelope_read_call(struct json_object *message, struct envelope_call *ret, const char **reterr_member);

/* Read a received reply.  -EBADMSG: it is none.  Members that are not known are ignored: the peer may be newer. */
int envelope_read_reply(struct json_object *message, struct envelope_reply *ret);

/* Make the message; parameters may be NULL and stay the caller's.  The caller puts *ret.  -ENOMEM. */
int envelope_make_call(const struct envelope_call *call, struct json_object **ret);
int envelope_make_reply(const struct envelope_reply *reply, struct json_object **ret);

/*
 * Split "io.example.Interface.Method" at its last dot.  Returns the part behind it and the length of the part
 * before it; NULL if either would be empty.
 */
const char *envelope_split_name(const char *name, size_t *ret_interface_length);

#endif
