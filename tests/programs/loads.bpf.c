/* SPDX-License-Identifier: MIT */
/* Loads anywhere: `size` bytes at data + offset, without a check of its own. */
#include "packet.h"

PROGRAM(loads)(struct packet *packet, __u32 key)
{
    const unsigned char *at = packet->data + packet->offset;

    packet->status = 1;
    switch (packet->size) {
    case 1:
        packet->value = *at;
        break;
    case 2:
        packet->value = *(const __u16 *)at;
        break;
    case 4:
        packet->value = *(const __u32 *)at;
        break;
    case 8:
        packet->value = *(const __u64 *)at;
        break;
    }
    packet->status = 2;
    return key;
}
