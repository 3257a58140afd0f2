/* SPDX-License-Identifier: MIT */
/*
 * The fields of a protocol buffer: how many there are, value the sum of its numbers (field type 0, zigzag encoded),
 * status the bytes of its strings (type 2).  0 if it is cut off or has other types; by functions that share a cursor
 * on the stack.
 *
 * expect: packet=08ac02 -> 1 value=150
 * expect: packet=08051207+"testing"+1802 -> 3 value=0xfffffffffffffffe status=7
 * expect: packet=08+80*9+01 -> 1 value=0x4000000000000000
 * expect: packet=08+ff*9+01 -> 1 value=0x8000000000000000
 * expect: packet=a206001ac801+78*200 -> 2 status=200
 * expect: packet= -> 0
 * expect: packet=0802*5 -> 4 value=4
 * expect: packet=1207+"testin" -> 0
 * expect: packet=08ffff -> 0
 * expect: packet=08+ff*10+01 -> 0
 * expect: packet=0900 -> 0
 * expect: packet=02e907+78*1001 -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define FIELDS_MAX 4
#define VARINT_MAX 10           /* bytes */
#define STRING_MAX 1000

struct cursor {
    const __u8 *at, *end;
};

enum { TYPE_NUMBER = 0, TYPE_STRING = 2 };

/* 7 bits a byte, the lowest first; the highest bit says that more follow. */
static __noinline int read_varint(struct cursor *cursor, __u64 *ret)
{
    const __u8 *at = cursor->at;
    __u64 number = 0;

    for (int i = 0; i < VARINT_MAX; i++, at++) {
        if (at + 1 > cursor->end)
            return 0;
        number |= (__u64)(*at & 127) << 7 * i;
        if (*at < 128) {
            cursor->at = at + 1;
            *ret = number;
            return 1;
        }
    }
    return 0;
}

SEC("table/packet")
__u32 varint(struct packet *packet, __u32 key)
{
    struct cursor cursor = { packet->data, packet->data_end };
    __u64 tag, number, sum = 0;
    __u32 strings = 0, count = 0;

    for (int i = 0; i < FIELDS_MAX && cursor.at < cursor.end; i++) {
        if (!read_varint(&cursor, &tag) || !read_varint(&cursor, &number))
            return 0;
        if ((tag & 7) == TYPE_NUMBER) {
            sum += number >> 1 ^ -(number & 1);
        } else if ((tag & 7) == TYPE_STRING && number <= STRING_MAX) {
            cursor.at += number;
            if (cursor.at > cursor.end)
                return 0;
            strings += number;
        } else {
            return 0;
        }
        count++;
    }
    packet->value = sum;
    packet->status = strings;
    return count;
}
