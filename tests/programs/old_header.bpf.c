/* SPDX-License-Identifier: MIT */
/* Refused: compiled against a layout that is not the hook's: `status` has moved. */
#include <linux/types.h>

struct packet {
    const unsigned char *data, *data_end;
    __u32 status;
};

__attribute__((section("table/packet"), used)) __u32 moved(struct packet *packet, __u32 key)
{
    return packet->status;
}
