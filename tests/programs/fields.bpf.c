/* SPDX-License-Identifier: MIT */
/* Every field of the context, read and written. */
#include "packet.h"

PROGRAM(fields)(struct packet *packet, __u32 key)
{
    __u64 sum = packet->offset + packet->size + packet->status + packet->value + packet->small +
                packet->tiny;

    packet->status = (__u32)sum + 1;
    packet->value = sum + 2;
    packet->small = (__u16)(sum + 3);
    packet->tiny = (__u8)(sum + 4);
    return (__u32)(packet->data_end - packet->data) + key;
}
