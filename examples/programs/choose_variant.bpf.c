/* SPDX-License-Identifier: MIT */
/* Choose the variant of the page by a cookie: "Cookie: ...; variant=2" gives variant 2 (one digit). */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../httpd/request.h"

/* Characters as they stand in the window below: the last one read is the lowest byte. */
#define LAST4(a, b, c, d) ((__u64)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define LAST8(a, b, c, d, e, f, g, h) (LAST4(a, b, c, d) << 32 | LAST4(e, f, g, h))

/*
 * Both differences are negative for capitals alone.  Without a branch, there is one path less for each byte, to run and
 * to prove.
 */
static __u64 lower(__u64 character)
{
    return character + ((('A' - 1 - character) & (character - 'Z' - 1)) >> 63) * ('a' - 'A');
}

SEC("table/request")
__u32 choose_variant(struct request *request)
{
    const __u8 *at = request->data, *end = request->data_end;
    __u64 window = 0, before = 0;       /* the last 8 characters, and the one before them */
    __u32 in_cookie = 0;

    for (__u32 i = 0; i < REQUEST_HEAD_MAX; i++) {
        if (at + 1 > end)
            break;
        if (in_cookie && window == LAST8('v', 'a', 'r', 'i', 'a', 'n', 't', '=') && (before == ' ' || before == ';') &&
            *at >= '0' && *at <= '9') {
            request->variant = *at - '0';
            break;
        }
        if (*at == '\n')
            in_cookie = 0;
        before = window >> 56;
        window = window << 8 | lower(*at);
        if (window == LAST8('\n', 'c', 'o', 'o', 'k', 'i', 'e', ':'))
            in_cookie = 1;
        at++;
        barrier_var(at);        /* keeps one pointer, so that the check above and the accesses are of the same one */
    }
    return REQUEST_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
