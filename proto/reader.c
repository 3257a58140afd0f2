/* SPDX-License-Identifier: MIT */
/*
 * See reader.h.  One buffer; [start, end) is what was received and not given out yet, [start, scanned) is known to
 * hold no NUL.  Descriptors carry the position, counted from the beginning of the conversation, of the last byte of
 * the read that they came with; a message takes those whose position lies inside it.
 */
#include "reader.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "util.h"

/* A buffer that grew beyond this for a long message is given back when it is empty. */
#define BUFFER_KEPT ((size_t)64 << 10)

struct received_descriptor {
    uint64_t position;
    int descriptor;
};

struct reader {
    struct message_limits limits;
    char *buffer;
    size_t size, start, scanned, end;
    uint64_t consumed;                  /* position of buffer[start] in the conversation */
    struct received_descriptor *received;
    size_t n_received;
    struct ucred sender;                /* of the last bytes committed */
    bool ready;                         /* a NUL stands at `scanned` */
};

int reader_new(const struct message_limits *limits, struct reader **ret)
{
    struct reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return -ENOMEM;
    reader->limits = message_limits_complete(limits);
    *ret = reader;
    return 0;
}

struct reader *reader_free(struct reader *reader)
{
    if (!reader)
        return NULL;
    for (size_t i = 0; i < reader->n_received; i++)
        close_descriptor(&reader->received[i].descriptor);
    free(reader->received);
    free(reader->buffer);
    free(reader);
    return NULL;
}

/* ---- bytes in ------------------------------------------------------------------------------------------ */

static int reader_grow(struct reader *reader, size_t size)
{
    char *buffer = realloc(reader->buffer, size);

    if (!buffer)
        return -ENOMEM;
    reader->buffer = buffer;
    reader->size = size;
    return 0;
}

/* Move what is left to the beginning of the buffer. */
static void reader_compact(struct reader *reader)
{
    const size_t held = reader->end - reader->start;

    if (reader->start == 0)
        return;
    memmove(reader->buffer, reader->buffer + reader->start, held);
    reader->scanned -= reader->start;
    reader->start = 0;
    reader->end = held;
}

int reader_reserve(struct reader *reader, size_t want, void **ret)
{
    const size_t held = reader->end - reader->start;
    int r;

    assert(!reader->ready);
    if (held > reader->limits.bytes)
        return -EMSGSIZE;
    if (reader->size - reader->end < want) {
        reader_compact(reader);
        if (reader->size - reader->end < want) {
            r = reader_grow(reader, held + want > 2 * reader->size ? held + want : 2 * reader->size);
            if (r < 0)
                return r;
        }
    }
    *ret = reader->buffer + reader->end;
    return 0;
}

static int reader_keep_descriptors(struct reader *reader, const int *descriptors, size_t n)
{
    const uint64_t position = reader->consumed + (reader->end - reader->start) - 1;
    struct received_descriptor *received;

    if (n == 0)
        return 0;
    if (reader->n_received + n > reader->limits.descriptors)
        return -ETOOMANYREFS;
    received = reallocarray(reader->received, reader->n_received + n, sizeof *received);
    if (!received)
        return -ENOMEM;
    reader->received = received;
    for (size_t i = 0; i < n; i++)
        received[reader->n_received++] = (struct received_descriptor){position, descriptors[i]};
    return 0;
}

/* Look for the end of the first message in what was not looked at yet. */
static void reader_scan(struct reader *reader)
{
    const char *end = NULL;

    if (reader->end > reader->scanned)
        end = memchr(reader->buffer + reader->scanned, '\0', reader->end - reader->scanned);
    reader->ready = end != NULL;
    reader->scanned = end ? (size_t)(end - reader->buffer) : reader->end;
}

int reader_commit(struct reader *reader, size_t length, const int *descriptors, size_t n_descriptors,
                  const struct ucred *sender)
{
    const struct ucred by = sender ? *sender : (struct ucred){0};
    const bool begun = reader->end > reader->start;
    int r;

    assert(!reader->ready);
    assert(length > 0 && length <= reader->size - reader->end);
    reader->end += length;
    r = begun && by.pid != reader->sender.pid ? -EBADMSG : reader_keep_descriptors(reader, descriptors, n_descriptors);
    if (r < 0) {
        for (size_t i = 0; i < n_descriptors; i++)
            close(descriptors[i]);
        return r;
    }
    reader->sender = by;
    reader_scan(reader);
    return 0;
}

/* ---- messages out -------------------------------------------------------------------------------------- */

/* Move the descriptors whose position lies before `end` out of the reader. */
static int reader_take_descriptors(struct reader *reader, uint64_t end, int **ret, size_t *ret_n)
{
    size_t n = 0;
    int *taken = NULL;

    while (n < reader->n_received && reader->received[n].position < end)
        n++;
    if (n > 0) {
        taken = calloc(n, sizeof *taken);
        if (!taken)
            return -ENOMEM;
        for (size_t i = 0; i < n; i++)
            taken[i] = reader->received[i].descriptor;
        reader->n_received -= n;
        memmove(reader->received, reader->received + n, reader->n_received * sizeof *reader->received);
    }
    *ret = taken;
    *ret_n = n;
    return 0;
}

/* The message that ended at `scanned` was given out. */
static void reader_advance(struct reader *reader)
{
    reader->consumed += reader->scanned + 1 - reader->start;
    reader->start = reader->scanned = reader->scanned + 1;
    if (reader->start == reader->end) {
        reader->start = reader->scanned = reader->end = 0;
        if (reader->size > BUFFER_KEPT) {
            free(reader->buffer);
            reader->buffer = NULL;
            reader->size = 0;
        }
    }
    reader_scan(reader);
}

int reader_next(struct reader *reader, struct message *ret)
{
    struct message message = {.sender = reader->sender};
    const size_t length = reader->scanned - reader->start;
    int r;

    if (!reader->ready)
        return 0;
    r = reader_take_descriptors(reader, reader->consumed + length + 1, &message.descriptors, &message.n_descriptors);
    if (r < 0)
        return r;
    r = message_parse(reader->buffer + reader->start, length, &reader->limits, &message.object);
    reader_advance(reader);
    if (r < 0) {
        message_done(&message);
        return r;
    }
    *ret = message;
    return 1;
}

bool reader_ready(const struct reader *reader)
{
    return reader->ready;
}

size_t reader_unfinished(const struct reader *reader)
{
    return reader->ready ? 0 : reader->end - reader->start;
}
