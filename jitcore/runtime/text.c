/* SPDX-License-Identifier: MIT */
#include "text.h"

/* Each byte is read once: the memory on the left may be the arena's. */
long text_compare(const char *left, uint64_t size, const char *right)
{
    for (uint64_t i = 0; i < size; i++) {
        uint8_t a = *(const volatile uint8_t *)&left[i], b = (uint8_t)right[i];

        if (a != b)
            return a < b ? -1 : 1;
        if (!a)
            return 0;
    }
    return 0;
}
