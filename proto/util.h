/* SPDX-License-Identifier: MIT */
/*
 * The few shorthands that all parts share: cleanup by attribute, ownership that moves, errno conversion.
 * Header only, no state.
 */
#ifndef DISPATCHD_UTIL_H
#define DISPATCHD_UTIL_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* Give an owned pointer or descriptor away: the variable no longer owns it. */
#define TAKE_POINTER(variable)                   \
    ({                                           \
        __typeof__(variable) taken = (variable); \
        (variable) = NULL;                       \
        taken;                                   \
    })
#define TAKE_DESCRIPTOR(variable) \
    ({                            \
        int taken = (variable);   \
        (variable) = -EBADF;      \
        taken;                    \
    })

/* Result of a system call as the rest of the code knows it: the value, or negative errno. */
#define RETURN_ERRNO(call)                                      \
    ({                                                          \
        __typeof__(call) result = (call);                       \
        result < 0 ? (__typeof__(call))-errno : result;         \
    })

/* The object of this type whose member `pointer` points to. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static inline void free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void close_descriptor(int *descriptor)
{
    int saved = errno;

    if (*descriptor >= 0)
        close(*descriptor);
    errno = saved;
}

#define _cleanup_free_ _cleanup_(free_pointer)
#define _cleanup_close_ _cleanup_(close_descriptor)

#endif
