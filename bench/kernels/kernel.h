/* SPDX-License-Identifier: MIT */
/* What the kernels of bench/programs work on: compiled once to BPF and once to the machine's own code. */
#ifndef BENCH_KERNELS_KERNEL_H
#define BENCH_KERNELS_KERNEL_H

#include <linux/types.h>

struct kernel {
    const __u8 *data;           /* the input */
    const __u8 *data_end;
    __u64 result;               /* written; 64 bits, which the verdict does not have */
};

#endif
