/* SPDX-License-Identifier: MIT */
/*
 * Base64, with its padding, up to 64 characters: the bytes that it stands for are counted in the verdict, the last 8 of
 * them are in value.  status is 1 if it is not base64, and then the verdict is where that shows.
 *
 * expect: packet= -> 0 value=0
 * expect: packet="Zg==" -> 1 value=102
 * expect: packet="Zm8=" -> 2 value=26223
 * expect: packet="Zm9v" -> 3 value=6713199
 * expect: packet="Zm9vYmFy" -> 6 value=0x666f6f626172
 * expect: packet="+//+AAE=" -> 5 value=0xfbfffe0001
 * expect: packet="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v" -> 48 value=0x28292a2b2c2d2e2f
 * expect: packet="Zm9" -> 3 status=1
 * expect: packet="Zm=v" -> 3 status=1
 * expect: packet="Z===" -> 1 status=1
 * expect: packet="Zm9v*AAA" -> 4 status=1
 * expect: packet="Zg==Zg==" -> 4 status=1
 * expect: packet="=" -> 0 status=1
 * expect: packet="Zg=" -> 3 status=1
 * expect: packet="Zm9v Zm9v" -> 4 status=1
 * expect: packet=41*64+21 -> 48
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define CHARACTERS_MAX 64
#define INVALID 255

static __always_inline __u8 digit(__u8 character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    return character == '+' ? 62 : character == '/' ? 63 : INVALID;
}

SEC("table/packet")
__u32 base64(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 length = 0, padding = 0, group = 0, i;
    __u64 last = 0;

    for (i = 0; i < CHARACTERS_MAX && at + 1 <= end; i++, at++) {
        __u8 value = digit(*at);

        if (*at == '=' && i % 4 >= 2) {
            padding++;
            value = 0;
        } else if (padding || value == INVALID) {
            packet->status = 1;
            return i;
        }
        group = group << 6 | value;
        if (i % 4 == 3) {
            __u32 bytes = 3 - padding;

            last = last << 8 * bytes | (group & 0xffffff) >> 8 * padding;
            length += bytes;
        }
    }
    if (i % 4 != 0) {
        packet->status = 1;
        return i;
    }
    packet->value = last;
    return length;
}
