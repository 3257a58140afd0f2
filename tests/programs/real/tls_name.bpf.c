/* SPDX-License-Identifier: MIT */
/*
 * The server name in a TLS ClientHello: its length, in value its first 8 bytes (the first is the highest), in status
 * the number of extensions in front of it.  0 if there is none.
 *
 * expect: packet=1603010045010000410303+52*32+000004130113020100001400000010000e00000b+
 *   "example.org" -> 11 value=0x6578616d706c652e
 * expect: packet=16030100910100008d0303+52*32+20+53*32+00041301130201000040002b0003020304003300+28+6b*40+
 *   000000090007000004+"a.de" -> 4 status=2 value=0x612e646500000000
 * expect: packet=160301007f0100007b0303+52*32+
 *   000004130113020100004e0001000000020000000300000004000000050000000600000007000000+
 *   08000000090000000a0000000b0000000c0000000d0000000e0000000f00000000000e000c000009+
 *   "late.test" -> 9 status=15 value=0x6c6174652e746573
 * expect: packet=16030100830100007f0303+52*32+
 *   00000413011302010000520001000000020000000300000004000000050000000600000007000000+
 *   08000000090000000a0000000b0000000c0000000d0000000e0000000f0000001000000000000e00+0c000009+"late.test" -> 0
 * expect: packet=1603010038010000340303+52*32+0000041301130201000007002b0003020304 -> 0
 * expect: packet=1603010045010000410303+52*32+
 *   000004130113020100001400000010000e00000b657861 -> 11 value=0x6578610000000000
 * expect: packet=1603010045010000410303+52*32+000004130113020100001400000010000e0000 -> 0
 * expect: packet=1603010045010000410303+52*32 -> 0
 * expect: packet=1603010045010000410303+52*31 -> 0
 * expect: packet=1603010045010000410303+52*32+00 -> 0
 * expect: packet=1703010045010000410303+52*32+000004130113020100001400000010000e00000b+"example.org" -> 0
 * expect: packet=1603010045020000410303+52*32+000004130113020100001400000010000e00000b+"example.org" -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define EXTENSIONS_MAX 16
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define SESSION_OFFSET 43       /* of its length: 5 of the record, 4 of the message, 2 of the version, 32 random */

/* Where the packet is read; `at` moves on.  NULL: it was cut off. */
struct cursor {
    const __u8 *at, *end;
};

static __always_inline __u16 read_be16(const __u8 *at)
{
    return (__u16)(at[0] << 8 | at[1]);
}

/* Skip a field that has its length, of one byte or two, in front. */
static __always_inline int skip8(struct cursor *cursor)
{
    if (cursor->at + 1 > cursor->end)
        return 0;
    cursor->at += 1 + cursor->at[0];
    return 1;
}

static __always_inline int skip16(struct cursor *cursor)
{
    if (cursor->at + 2 > cursor->end)
        return 0;
    cursor->at += 2 + read_be16(cursor->at);
    return 1;
}

static __always_inline __u32 take_name(struct packet *packet, struct cursor cursor)
{
    __u64 first = 0;
    __u32 length;

    if (cursor.at + 9 > cursor.end)     /* 4 of the extension, 2 of the list, 1 of the kind, 2 of the length */
        return 0;
    length = read_be16(cursor.at + 7);
    cursor.at += 9;
    for (__u32 i = 0; i < 8; i++) {
        first <<= 8;
        if (i < length && cursor.at + i + 1 <= cursor.end)
            first |= cursor.at[i];
    }
    packet->value = first;
    return length;
}

SEC("table/packet")
__u32 tls_name(struct packet *packet, __u32 key)
{
    struct cursor cursor = { packet->data, packet->data_end };

    if (cursor.at + SESSION_OFFSET > cursor.end || cursor.at[0] != RECORD_HANDSHAKE || cursor.at[5] != CLIENT_HELLO)
        return 0;
    cursor.at += SESSION_OFFSET;
    if (!skip8(&cursor) || !skip16(&cursor) || !skip8(&cursor))         /* session, cipher suites, compression */
        return 0;
    cursor.at += 2;                                                     /* bytes of all extensions */
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        if (cursor.at + 4 > cursor.end)
            return 0;
        if (read_be16(cursor.at) == EXTENSION_SERVER_NAME) {
            packet->status = i;
            return take_name(packet, cursor);
        }
        cursor.at += 2;
        if (!skip16(&cursor))
            return 0;
    }
    return 0;
}
