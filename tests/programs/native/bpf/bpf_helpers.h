/* SPDX-License-Identifier: MIT */
/* What programs take from libbpf's header of this name, for the same source compiled for the host. */
#ifndef TESTS_PROGRAMS_NATIVE_BPF_HELPERS_H
#define TESTS_PROGRAMS_NATIVE_BPF_HELPERS_H

#include <stddef.h>
#include <linux/types.h>

#define SEC(name)
#define __noinline __attribute__((noinline))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))

static inline long host_loop(__u32 count, long (*callback)(__u32 index, void *context), void *context)
{
    for (__u32 i = 0; i < count; i++)
        if (callback(i, context) != 0)
            return i + 1;
    return count;
}

#define bpf_loop(count, callback, context, flags) \
    host_loop(count, (long (*)(__u32, void *))(callback), context)

#endif
