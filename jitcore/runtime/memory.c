/* SPDX-License-Identifier: MIT */
/*
 * What compilers call on their own: in the block of bytes there is no C library.  Not part of the library, which has one.
 * Sizes here are those of keys and values: short.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Keeps a compiler from making a call of memcpy() of the loop in memcpy(). */
#define NO_IDIOM() __asm__ volatile("")

typedef uint64_t __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    for (; size >= sizeof(word); size -= sizeof(word), t += sizeof(word), f += sizeof(word)) {
        *(word *)t = *(const word *)f;
        NO_IDIOM();
    }
    for (; size > 0; size--) {
        *t++ = *f++;
        NO_IDIOM();
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    uint8_t *t = to;
    word pattern = (uint8_t)value * UINT64_C(0x0101010101010101);

    for (; size >= sizeof(word); size -= sizeof(word), t += sizeof(word)) {
        *(word *)t = pattern;
        NO_IDIOM();
    }
    for (; size > 0; size--) {
        *t++ = (uint8_t)value;
        NO_IDIOM();
    }
    return to;
}

static int compare_bytes(const uint8_t *x, const uint8_t *y, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
        NO_IDIOM();
    }
    return 0;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    for (; size >= sizeof(word); size -= sizeof(word), x += sizeof(word), y += sizeof(word))
        if (*(const word *)x != *(const word *)y)
            return compare_bytes(x, y, sizeof(word));
    return compare_bytes(x, y, size);
}
