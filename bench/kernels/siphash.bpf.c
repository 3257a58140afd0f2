/* SPDX-License-Identifier: MIT */
/* SipHash-2-4 of up to 256 bytes: additions, exclusive ors and rotates of four words. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define WORDS_MAX 32

struct state {
    __u64 a, b, c, d;
};

static __always_inline __u64 rotate(__u64 word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static __always_inline void mix(struct state *state)
{
    state->a += state->b;
    state->c += state->d;
    state->b = rotate(state->b, 13) ^ state->a;
    state->d = rotate(state->d, 16) ^ state->c;
    state->a = rotate(state->a, 32) + state->d;
    state->c += state->b;
    state->d = rotate(state->d, 21) ^ state->a;
    state->b = rotate(state->b, 17) ^ state->c;
    state->c = rotate(state->c, 32);
}

SEC("table/kernel")
__u32 siphash(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    struct state state = { 0x736f6d6570736575 ^ key, 0x646f72616e646f6d, 0x6c7967656e657261 ^ key, 0x7465646279746573 };

    for (int i = 0; i < WORDS_MAX && at + 8 <= end; i++, at += 8) {
        __u64 word = *(const __u64 *)at;

        state.d ^= word;
        mix(&state);
        mix(&state);
        state.a ^= word;
    }
    state.c ^= 0xff;
    for (int i = 0; i < 4; i++)
        mix(&state);
    kernel->result = state.a ^ state.b ^ state.c ^ state.d;
    return (__u32)kernel->result;
}
