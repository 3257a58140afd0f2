/* SPDX-License-Identifier: MIT */
/* Loads anywhere: `size` bytes at data + offset, if the packet has them; else the verdict is 0. */
#include "packet.h"

#define OFFSET_MAX 65535

PROGRAM(loads)(struct packet *packet, __u32 key)
{
    const unsigned char *at = packet->data + packet->offset, *end = packet->data_end;

    packet->status = 1;
    if (packet->offset > OFFSET_MAX)
        return 0;
    switch (packet->size) {
    case 1:
        if (at + 1 > end)
            return 0;
        packet->value = *at;
        break;
    case 2:
        if (at + 2 > end)
            return 0;
        packet->value = *(const __u16 *)at;
        break;
    case 4:
        if (at + 4 > end)
            return 0;
        packet->value = *(const __u32 *)at;
        break;
    case 8:
        if (at + 8 > end)
            return 0;
        packet->value = *(const __u64 *)at;
        break;
    }
    packet->status = 2;
    return key;
}
