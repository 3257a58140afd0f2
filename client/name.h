/* SPDX-License-Identifier: MIT */
/* Names of tables, static calls, natives and fields: as the daemon accepts them. */
#ifndef DISPATCHD_NAME_H
#define DISPATCHD_NAME_H

#include <stdbool.h>
#include <string.h>

#define NAME_BYTES_MAX 63

/* NULL is none. */
static inline bool name_is_valid(const char *name)
{
    size_t length = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") : 0;

    return length > 0 && length <= NAME_BYTES_MAX && name[length] == '\0';
}

#endif
