/* SPDX-License-Identifier: MIT */
/*
 * A command of the Redis protocol, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n": the number of its words, in value the bytes
 * of all words together, in status those of the longest.  0 if it is malformed or cut off.
 *
 * expect: packet="*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n" -> 2 value=6 status=3
 * expect: packet="*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1200\r\n"+78*1200+0d0a -> 3 value=1204 status=1200
 * expect: packet="*6\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n" -> 6
 * expect: packet="*0\r\n" -> 0
 * expect: packet="*7\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n" -> 0
 * expect: packet="*1\r\n$00004\r\nPING\r\n" -> 0
 * expect: packet="*1\r\n$0004\r\nPING\r\n" -> 1 value=4 status=4
 * expect: packet="*1\r\n$4\r\nPINGS\r\n" -> 0
 * expect: packet="*1\r\n$4\r\nPING\r" -> 0
 * expect: packet="*1\r\n$9999\r\nPING\r\n" -> 0
 * expect: packet=2a0d0a -> 0
 * expect: packet="PING\r\n" -> 0
 * expect: packet="*1" -> 0
 * expect: packet= -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define DIGITS_MAX 4
#define WORDS_MAX 6
#define INVALID (~0u)

struct cursor {
    const __u8 *at, *end;
};

/* "PREFIX digits \r\n": the number, or INVALID. */
static __always_inline __u32 read_number(struct cursor *cursor, __u8 prefix)
{
    const __u8 *at = cursor->at;
    __u32 number = 0;

    if (at + 1 > cursor->end || *at != prefix)
        return INVALID;
    at++;
    for (int i = 0; i <= DIGITS_MAX; i++, at++) {
        if (at + 2 > cursor->end)
            return INVALID;
        if (at[0] == '\r' && at[1] == '\n' && i > 0) {
            cursor->at = at + 2;
            return number;
        }
        if (at[0] < '0' || at[0] > '9')
            return INVALID;
        number = number * 10 + (at[0] - '0');
    }
    return INVALID;
}

SEC("table/packet")
__u32 redis(struct packet *packet, __u32 key)
{
    struct cursor cursor = { packet->data, packet->data_end };
    __u32 words = read_number(&cursor, '*'), sum = 0, longest = 0;

    if (words > WORDS_MAX)
        return 0;
    for (__u32 i = 0; i < WORDS_MAX && i < words; i++) {
        __u32 length = read_number(&cursor, '$');

        if (length > 9999)
            return 0;
        cursor.at += length;
        if (cursor.at + 2 > cursor.end || cursor.at[0] != '\r' || cursor.at[1] != '\n')
            return 0;
        cursor.at += 2;
        sum += length;
        if (length > longest)
            longest = length;
    }
    packet->value = sum;
    packet->status = longest;
    return words;
}
