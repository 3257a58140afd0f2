/* SPDX-License-Identifier: MIT */
/*
 * A message: one JSON object and the descriptors that came or go with it.
 *
 * Text becomes an object here and nowhere else, so this is where the limits on what a peer can make us allocate are
 * kept.  A text is refused as a whole: a message is either complete and clean or does not exist.
 *
 *      limits      how much one message may hold
 *      message     the received thing, and its end
 *      text        object from text, text from object
 *
 * Errors of this module and of those above it, each with one meaning:
 *
 *      -EMSGSIZE       longer than limits.bytes
 *      -ELOOP          objects and arrays nested deeper than limits.depth
 *      -E2BIG          more members and elements than limits.values
 *      -ETOOMANYREFS   more descriptors than limits.descriptors
 *      -EILSEQ         not UTF-8 (RFC 3629: no overlong forms, no surrogates)
 *      -EBADMSG        not exactly one JSON object (RFC 8259), or a string with a NUL in it
 *      -ENOMEM         no memory
 *
 * No function here is safe in a signal handler.  Different objects may be used in different threads at once.
 */
#ifndef DISPATCHD_MESSAGE_H
#define DISPATCHD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct json_object;

/* ---- limits -------------------------------------------------------------------------------------------- */

/* What one message may hold.  A value of 0 stands for the default in brackets. */
struct message_limits {
    size_t bytes;           /* text without the terminating NUL [4 MiB] */
    unsigned depth;         /* objects and arrays inside each other, the outermost counts as 1 [32] */
    unsigned values;        /* members and elements in all: `{}` costs 2 bytes to send and 700 to hold [65536] */
    unsigned descriptors;   /* sent along [16; the kernel's own limit is 253] */
};

#define MESSAGE_BYTES_DEFAULT ((size_t)4 << 20)
#define MESSAGE_DEPTH_DEFAULT 32u
#define MESSAGE_VALUES_DEFAULT 65536u
#define MESSAGE_DESCRIPTORS_DEFAULT 16u
#define MESSAGE_DESCRIPTORS_MAX 253u

/* The same limits with the defaults filled in; NULL gives all defaults. */
struct message_limits message_limits_complete(const struct message_limits *limits);

/*
 * Which limit an error is about: its name ("bytes", "depth", "values", "descriptors") and value, for an answer
 * with data.  Returns false, and writes nothing, if the error is not about a limit.
 */
bool message_limit_of(int error, const struct message_limits *limits, const char **ret_name, size_t *ret_value);

/* What an error of the list above means, as the end of a sentence ("the message is not UTF-8"). */
const char *message_error_text(int error);

/* ---- message ------------------------------------------------------------------------------------------- */

struct message {
    struct json_object *object;     /* owned; always of type object */
    int *descriptors;               /* owned array of owned descriptors; taken ones are -EBADF */
    size_t n_descriptors;
    struct ucred sender;            /* who wrote it, from the kernel; pid 0 unless the socket passes credentials */
};

/* Give everything back: puts the object, closes the descriptors that nobody took.  Fine on an all-zero message. */
void message_done(struct message *message);

/*
 * Take a descriptor out of a message: the caller owns it from now on.
 * -EBADF: there is none with this index, or it was taken before.
 */
int message_take_descriptor(struct message *message, size_t index);

/* Close those of n descriptors that are open (>= 0), set them to -EBADF, free the array. */
void descriptors_free(int *descriptors, size_t n);

/* ---- text ---------------------------------------------------------------------------------------------- */

/*
 * The object that a text of `length` bytes (no NUL at the end needed) is.  The caller puts *ret.
 * A member that occurs twice has its last value; the first is dropped before anybody can see it.  Integers beyond 64
 * bits saturate (parameters_check refuses them).  Errors: all of the above but -ETOOMANYREFS.
 */
int message_parse(const char *text, size_t length, const struct message_limits *limits, struct json_object **ret);

/*
 * The text of an object, NUL-terminated as it goes over the wire; *ret_length counts without the NUL.  The caller
 * frees *ret_text.  Strings in the object are UTF-8: the receiver refuses the message otherwise.  -ENOMEM.
 */
int message_format(struct json_object *object, char **ret_text, size_t *ret_length);

/* Length of the UTF-8 sequence at `text`, of which `length` bytes, more than 0, are there; 0: it is none. */
size_t message_utf8_sequence(const unsigned char *text, size_t length);

#endif
