/* SPDX-License-Identifier: MIT */
/* How dispatchctl ends: its exit codes, and the one way of saying why. */
#ifndef CTL_STATUS_H
#define CTL_STATUS_H

/* Exit codes.  They are part of the interface for scripts and never change their meaning. */
enum status {
    STATUS_DONE = 0,
    STATUS_USAGE = 1,
    STATUS_CONNECTION = 2,
    STATUS_REFUSED = 3,
    STATUS_TIMEOUT = 4,
    STATUS_LOCAL = 5,
    STATUS_MAX,
};

/* What each means, for --help. */
extern const char *const status_text[STATUS_MAX];

/* Write "dispatchctl: " and a sentence to standard error, and return `status`. */
__attribute__((format(printf, 2, 3)))
enum status complain(enum status status, const char *format, ...);

/* The pointer; where it is NULL for lack of memory the program says so and ends. */
void *require(void *pointer);

struct json_object;

/*
 * Give an object a member, or its member another value, which is taken over;
 * NULL is lack of memory, as for require().
 */
void member_add(struct json_object *object, const char *name, struct json_object *value);

#endif
