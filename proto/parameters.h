/* SPDX-License-Identifier: MIT */
/*
 * Parameters: a JSON object, checked against the tables of an interface.
 *
 * The one place that decides whether what a peer sent (a call, a reply, an error's data) is what the interface
 * file says.  Behind it, members can be read without looking at their types again.
 * Thread-safe; not safe in a signal handler.
 */
#ifndef DISPATCHD_PARAMETERS_H
#define DISPATCHD_PARAMETERS_H

struct interface_type;
struct json_object;

enum parameters_flags {
    PARAMETERS_ALLOW_UNKNOWN = 1 << 0,      /* members that are not declared are ignored: the peer may be newer */
};

/* What is wrong with an object. */
struct parameters_fault {
    char parameter[128];    /* which one, as a path: `operations[2].key`; UTF-8, cut at a character if too long */
    char reason[192];       /* the end of a sentence: "is missing", "must be an int, not string" */
};

/*
 * Check an object against a struct type (a method's input or output, an error's input).  A NULL object stands for
 * an empty one.  Every member must be declared, be there unless optional (where null counts as absent), and have the
 * declared type; ints have no fraction and no exponent and lie between -2^63 (not included) and 2^63.
 * -EINVAL: it does not fit, and *reterr (may be NULL) says where and why.
 */
int parameters_check(const struct interface_type *type, struct json_object *object, unsigned flags,
                     struct parameters_fault *reterr);

#endif
