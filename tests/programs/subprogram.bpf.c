/* SPDX-License-Identifier: MIT */
/* Three calls deep, with all registers in use; what fails in the innermost function ends all of them. */
#include "packet.h"

#define OFFSET_MAX 65535
#define FAILED (~0ull)

static NOINLINE __u64 third(struct packet *packet, __u64 offset)
{
    const unsigned char *at = packet->data + offset;
    __u64 before = packet->value, loaded;

    if (offset > OFFSET_MAX || at + 4 > packet->data_end)
        return FAILED;
    loaded = *(const __u32 *)at;
    packet->status = 103;
    return loaded + before;
}

static NOINLINE __u64 second(struct packet *packet, __u64 offset, __u64 factor)
{
    __u64 one = third(packet, offset), two;

    if (one == FAILED)
        return FAILED;
    packet->status = 102;
    two = third(packet, offset + 4);
    return two == FAILED ? FAILED : one ^ two * factor;
}

static NOINLINE __u64 first(struct packet *packet)
{
    __u64 offset = packet->offset, size = packet->size, sum = second(packet, offset, size);

    if (sum == FAILED)
        return FAILED;
    packet->status = 101;
    return sum + offset + size;
}

PROGRAM(subprogram)(struct packet *packet, __u32 key)
{
    __u64 value = packet->value, sum = first(packet);

    if (sum == FAILED)
        return 0;
    packet->status = 100;
    packet->value = sum + value;
    return key + 1;
}
