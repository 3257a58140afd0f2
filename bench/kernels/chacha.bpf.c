/* SPDX-License-Identifier: MIT */
/* Eight rounds of ChaCha on a block: 32-bit additions and rotates of 16 words. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

static __always_inline __u32 rotate(__u32 word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

#define QUARTER(a, b, c, d)                         \
    do {                                            \
        x[a] += x[b]; x[d] = rotate(x[d] ^ x[a], 16); \
        x[c] += x[d]; x[b] = rotate(x[b] ^ x[c], 12); \
        x[a] += x[b]; x[d] = rotate(x[d] ^ x[a], 8);  \
        x[c] += x[d]; x[b] = rotate(x[b] ^ x[c], 7);  \
    } while (0)

SEC("table/kernel")
__u32 chacha(struct kernel *kernel, __u32 key)
{
    const __u32 *data = (const void *)kernel->data;
    __u32 x[16];
    __u64 sum = 0;

    if ((const __u8 *)(data + 16) > kernel->data_end)
        return 0;
    for (int i = 0; i < 16; i++)
        x[i] = data[i] + key;
    for (int i = 0; i < 4; i++) {
        QUARTER(0, 4, 8, 12); QUARTER(1, 5, 9, 13); QUARTER(2, 6, 10, 14); QUARTER(3, 7, 11, 15);
        QUARTER(0, 5, 10, 15); QUARTER(1, 6, 11, 12); QUARTER(2, 7, 8, 13); QUARTER(3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++)
        sum = sum * 31 + x[i];
    kernel->result = sum;
    return x[0];
}
