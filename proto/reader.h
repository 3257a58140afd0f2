/* SPDX-License-Identifier: MIT */
/*
 * The reader: bytes and descriptors in, as they come, complete messages out.  No I/O.
 *
 * A message ends at its NUL byte.  Which message a descriptor belongs to: the kernel ends a read with the segment
 * that carries descriptors, so they belong to the message that holds the last byte of that read.  This asks of
 * the sender what every Varlink implementation does: one sendmsg with descriptors holds bytes of one message only.
 */
#ifndef DISPATCHD_READER_H
#define DISPATCHD_READER_H

#include "message.h"

struct reader;

/* limits: copied; NULL for the defaults.  -ENOMEM. */
int reader_new(const struct message_limits *limits, struct reader **ret);

/* Closes the descriptors that nobody took.  NULL is fine; returns NULL. */
struct reader *reader_free(struct reader *reader);

/*
 * Room for the next bytes: at least `want` bytes at *ret, valid until the next call with this reader.  Together
 * with reader_commit this lets recvmsg write in place.  All complete messages must have been taken out before, so
 * what is held is never more than one unfinished message and one read.
 * -EMSGSIZE: the unfinished message is too long already; -ENOMEM.
 */
int reader_reserve(struct reader *reader, size_t want, void **ret);

/*
 * `length` bytes were written to the reserved room, and `descriptors` came with them.  The descriptors are the
 * reader's from here on, also on failure.  sender: who wrote the bytes, NULL where not known.
 * -ETOOMANYREFS: more descriptors wait than one message may have.  -EBADMSG: the unfinished message was begun by
 * another process than the one that wrote these bytes.  After an error the reader is of no use.
 */
int reader_commit(struct reader *reader, size_t length, const int *descriptors, size_t n_descriptors,
                  const struct ucred *sender);

/*
 * The next complete message.  1: *ret is the caller's, who ends it with message_done; 0: more bytes are needed;
 * negative: one of the errors of message.h; that message and its descriptors are gone, the next can be read.
 */
int reader_next(struct reader *reader, struct message *ret);

/* Is there a complete message (so that reader_next will not return 0)? */
bool reader_ready(const struct reader *reader);

/* Bytes of a message that is not complete yet. */
size_t reader_unfinished(const struct reader *reader);

#endif
