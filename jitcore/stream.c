/* SPDX-License-Identifier: MIT */
/* Bytes for another process. */

#include "stream.h"

#include <string.h>

void stream_bytes(struct stream *stream, void *bytes, size_t size)
{
    stream->failed |= stream->reading && size > stream->size - stream->position;
    if (stream->failed)
        return;
    if (stream->at && size)
        memcpy(stream->reading ? bytes : stream->at + stream->position,
               stream->reading ? stream->at + stream->position : bytes, size);
    stream->position += size;
}

void stream_number(struct stream *stream, uint32_t *number)
{
    uint8_t bytes[4] = { (uint8_t)*number, (uint8_t)(*number >> 8), (uint8_t)(*number >> 16),
                         (uint8_t)(*number >> 24) };

    stream_bytes(stream, bytes, sizeof(bytes));
    if (stream->reading)
        *number = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void stream_long(struct stream *stream, uint64_t *number)
{
    uint32_t low = (uint32_t)*number, high = (uint32_t)(*number >> 32);

    stream_number(stream, &low);
    stream_number(stream, &high);
    if (stream->reading)
        *number = low | (uint64_t)high << 32;
}
