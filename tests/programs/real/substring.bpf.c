/* SPDX-License-Identifier: MIT */
/*
 * Where "ababaca" first begins in the packet, plus 1 (0: nowhere in the first 256 bytes), by Knuth, Morris and Pratt:
 * every byte is looked at once.
 *
 * expect: packet="ababaca" -> 1
 * expect: packet="abababaca" -> 3
 * expect: packet="ababacbababaca" -> 8
 * expect: packet="ababac" -> 0
 * expect: packet= -> 0
 * expect: packet="ab"*60+"aca" -> 117
 * expect: packet=78*249+"ababaca" -> 250
 * expect: packet=78*250+"ababaca" -> 0
 * expect: packet="abaababacababababacababaca" -> 4
 * expect: packet="ababab"+ff+"ababaca" -> 8
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define TEXT_MAX 256
#define LENGTH 7

static const __u8 pattern[8] = "ababaca";
/* How much of the pattern still matches when the byte behind n matching ones does not. */
static const __u8 shorter[8] = { 0, 0, 0, 1, 2, 3, 0, 1 };

SEC("table/packet")
__u32 substring(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 matching = 0;

    for (__u32 i = 0; i < TEXT_MAX; i++, at++) {
        if (at + 1 > end)
            return 0;
        for (int j = 0; j < LENGTH && matching > 0 && pattern[matching & 7] != *at; j++)
            matching = shorter[matching & 7];
        if (pattern[matching & 7] == *at)
            matching++;
        if (matching == LENGTH)
            return i + 1 - LENGTH + 1;
    }
    return 0;
}
