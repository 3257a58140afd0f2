/* SPDX-License-Identifier: MIT */
/* Base64 decoded, and what comes out summed up. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define GROUPS_MAX 64

static const __u8 digits[128] = {
    ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['+'] = 63, ['/'] = 64,
};

SEC("table/kernel")
__u32 base64(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 sum = 0, invalid = 0;

    for (int i = 0; i < GROUPS_MAX && at + 4 <= end; i++, at += 4) {
        __u32 group = 0;

        for (int j = 0; j < 4; j++) {
            __u32 digit = digits[at[j] & 127];

            invalid += digit == 0;
            group = group << 6 | ((digit - 1) & 63);
        }
        sum = sum * 7 + group;
    }
    return sum ^ invalid;
}
