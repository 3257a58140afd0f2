/* SPDX-License-Identifier: MIT */
/* Target TARGET_NUMBER, as a program. */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "target.h"

SEC("table/bench_context")
__u32 target(struct bench_context *context)
{
    return TARGET_VERDICT(TARGET_NUMBER);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
