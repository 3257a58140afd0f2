/* SPDX-License-Identifier: MIT */
/*
 * Block robots: whoever has "bot" in the name it gives itself (User-Agent, in any case), and whoever asks for a path
 * that only robots in search of holes ask for (/wp-admin, /wp-login.php, ...).
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../httpd/request.h"

#define METHOD_MAX 8            /* characters, with the space behind */

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

/* "GET /wp-...": is a path with this prefix asked for? */
static int asks_for_holes(const __u8 *at, const __u8 *end)
{
    for (__u32 i = 0; i < METHOD_MAX; i++) {
        if (at + 5 > end)
            return 0;
        if (*at == ' ')
            return at[1] == '/' && at[2] == 'w' && at[3] == 'p' && at[4] == '-';
        at++;
        barrier_var(at);        /* keeps one pointer, so that the check above and the accesses are of the same one */
    }
    return 0;
}

static int is_called_bot(const __u8 *at, const __u8 *end)
{
    __u64 window = 0, before = 0;       /* the last 8 characters, and the 8 before them */
    __u32 in_agent = 0;

    for (__u32 i = 0; i < REQUEST_HEAD_MAX; i++) {
        if (at + 1 > end)
            return 0;
        before = before << 8 | window >> 56;
        window = window << 8 | lower(*at);
        if (*at == '\n')
            in_agent = 0;
        if (window == LAST8('r', '-', 'a', 'g', 'e', 'n', 't', ':') &&
            (before & 0xffffffff) == LAST4('\n', 'u', 's', 'e'))
            in_agent = 1;
        if (in_agent && (window & 0xffffff) == LAST4(0, 'b', 'o', 't'))
            return 1;
        at++;
        barrier_var(at);
    }
    return 0;
}

SEC("table/request")
__u32 block_bots(struct request *request)
{
    if (asks_for_holes(request->data, request->data_end) || is_called_bot(request->data, request->data_end))
        return REQUEST_BLOCK;
    return REQUEST_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
