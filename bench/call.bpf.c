/* SPDX-License-Identifier: MIT */
/* Target 0, as a program for a static call. */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "target.h"

SEC("call/bench_call")
__u32 call(void *context, __u32 key)
{
    return TARGET_VERDICT(0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
