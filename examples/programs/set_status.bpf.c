/* SPDX-License-Identifier: MIT */
/* Retire an old interface: every request below /api/v1 is answered with 410 Gone, whatever its method. */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../httpd/request.h"

#define METHOD_MAX 8            /* characters, with the space behind */
#define GONE 410

/* Is this "METHOD /api/v1", with the path ending there or going on below? */
static int asks_for_v1(const __u8 *at, const __u8 *end)
{
    for (__u32 i = 0; i < METHOD_MAX; i++) {
        if (at + 9 > end)
            return 0;
        if (*at == ' ')
            return at[1] == '/' && at[2] == 'a' && at[3] == 'p' && at[4] == 'i' && at[5] == '/' && at[6] == 'v' &&
                   at[7] == '1' && (at[8] == '/' || at[8] == ' ' || at[8] == '?');
        at++;
        barrier_var(at);        /* keeps one pointer, so that the check above and the accesses are of the same one */
    }
    return 0;
}

SEC("table/request")
__u32 set_status(struct request *request)
{
    if (asks_for_v1(request->data, request->data_end))
        request->status = GONE;
    return REQUEST_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
