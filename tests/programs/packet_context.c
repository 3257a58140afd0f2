/* SPDX-License-Identifier: MIT */
/* Which fields of struct packet a program may read and write. */
#include "packet_context.h"

#include "packet.h"

#define FIELD(name, rights) { #name, offsetof(struct packet, name), sizeof(((struct packet *)0)->name), rights }

int packet_context(struct context **ret)
{
    static const struct context_field fields[] = {
        FIELD(data, CONTEXT_DATA),
        FIELD(data_end, CONTEXT_DATA_END),
        FIELD(offset, CONTEXT_READ),
        FIELD(size, CONTEXT_READ),
        FIELD(status, CONTEXT_WRITE),
        FIELD(value, CONTEXT_WRITE),
        FIELD(small, CONTEXT_WRITE),
        FIELD(tiny, CONTEXT_WRITE),
    };

    return context_new("packet", sizeof(struct packet), fields, sizeof(fields) / sizeof(fields[0]), ret, NULL);
}
