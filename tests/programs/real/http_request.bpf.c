/* SPDX-License-Identifier: MIT */
/*
 * The first line of an HTTP request: the method's number, in status the length of the path, in value the FNV-1a hash of
 * the path, in tiny 1 if there is a query behind it.  0 for what is no request.
 *
 * expect: packet="GET / HTTP/1.1\r\n" -> 1 status=1 value=0xaf63a24c860189fe
 * expect: packet="PUT /a?b=c HTTP/1.1\r\n" -> 2 status=2 value=0x7d66707b49cd92d tiny=1
 * expect: packet="POST /form HTTP/1.0\r\n" -> 3 status=5 value=0xb261030af251b0c8
 * expect: packet="HEAD * HTTP/1.1\r\n" -> 4 status=1 value=0xaf63a74c8601927d
 * expect: packet="DELETE /x/1 HTTP/1.1\r\n" -> 5 status=4 value=0x5dfc7a9c39277e02
 * expect: packet="GET  HTTP/1.1\r\n" -> 1 status=0 value=0xcbf29ce484222325
 * expect: packet="GET /"+61*94+" HTTP" -> 1 status=95 value=0x3a48609226b33fa8
 * expect: packet="GET /"+61*95+" HTTP" -> 0
 * expect: packet="GET /abc" -> 0
 * expect: packet="GET /ab" -> 0
 * expect: packet="POSTED / HTTP/1.1" -> 0
 * expect: packet="DELETED / HTTP/1.1" -> 0
 * expect: packet="get / HTTP/1.1\r\n" -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define PATH_MAX 96

enum method { METHOD_NONE, METHOD_GET, METHOD_PUT, METHOD_POST, METHOD_HEAD, METHOD_DELETE };

#define WORD(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)

/* The method, and in *ret_length its bytes with the space behind. */
static __always_inline enum method read_method(const __u8 *at, const __u8 *end, __u32 *ret_length)
{
    if (at + 8 > end)
        return METHOD_NONE;
    *ret_length = 4;
    switch (*(const __u32 *)at) {
    case WORD('G', 'E', 'T', ' '):
        return METHOD_GET;
    case WORD('P', 'U', 'T', ' '):
        return METHOD_PUT;
    case WORD('P', 'O', 'S', 'T'):
        *ret_length = 5;
        return at[4] == ' ' ? METHOD_POST : METHOD_NONE;
    case WORD('H', 'E', 'A', 'D'):
        *ret_length = 5;
        return at[4] == ' ' ? METHOD_HEAD : METHOD_NONE;
    case WORD('D', 'E', 'L', 'E'):
        *ret_length = 7;
        return at[4] == 'T' && at[5] == 'E' && at[6] == ' ' ? METHOD_DELETE : METHOD_NONE;
    default:
        return METHOD_NONE;
    }
}

SEC("table/packet")
__u32 http_request(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 length = 0;
    enum method method = read_method(at, end, &length);
    __u64 hash = 0xcbf29ce484222325;

    if (method == METHOD_NONE)
        return 0;
    at += length;
    for (__u32 i = 0; i < PATH_MAX; i++, at++) {
        if (at + 1 > end)
            return 0;
        if (*at == ' ' || *at == '?') {
            packet->status = i;
            packet->value = hash;
            packet->tiny = *at == '?';
            return method;
        }
        hash = (hash ^ *at) * 0x100000001b3;
    }
    return 0;
}
