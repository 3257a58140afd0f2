/* SPDX-License-Identifier: MIT */
/* A context by a typedef's name, with nested, nameless and bit-field members. */
#include <linux/types.h>

typedef struct {
    __u32 first;
    struct {
        __u16 a, b;
        union {
            __u32 word;
            __u8 bytes[4];
        };
    } inner;
    __u32 bits : 3, more : 5;
    const char *pointer;
} nested;

__attribute__((section("table/nested"), used)) __u32 sum(nested *context, __u32 key)
{
    return context->first + context->inner.b + context->inner.word;
}
