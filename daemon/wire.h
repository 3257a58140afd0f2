/* SPDX-License-Identifier: MIT */
/*
 * The bytes between the daemon and its translators: numbers, and byte strings with their length before them.  Both ends
 * are the same executable, so numbers are as the host has them.
 */
#ifndef DAEMON_WIRE_H
#define DAEMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes into memory that grows; zeroed before use.  `failed`: there was not enough, and nothing was written since. */
struct wire_writer {
    uint8_t *bytes;             /* owned: free() */
    size_t size, capacity;
    bool failed;
};

void wire_append(struct wire_writer *writer, const void *bytes, size_t size);   /* without their length */
void wire_put_number(struct wire_writer *writer, uint64_t number);
void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t size);
void wire_put_text(struct wire_writer *writer, const char *text);      /* NULL: "" */

/*
 * Reads what nobody has checked.  `failed`: something was not as asked for; from then on all is 0, "" and empty.  So
 * look at it once, at the end.
 */
struct wire_reader {
    const uint8_t *at;          /* borrowed */
    size_t left;
    bool failed;
};

/* A number up to `maximum`. */
uint64_t wire_number(struct wire_reader *reader, uint64_t maximum);

/* A byte string; the result lies in the reader's bytes. */
const void *wire_bytes(struct wire_reader *reader, size_t *ret_size);

/* A text of at most `maximum` bytes, NUL-terminated; never NULL; it lies in the reader's bytes. */
const char *wire_text(struct wire_reader *reader, size_t maximum);

/* Was all read, and all as asked for? */
bool wire_complete(const struct wire_reader *reader);

#endif
