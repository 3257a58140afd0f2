/* SPDX-License-Identifier: MIT */
/* The hooks that are called without indirect branches: a worker's choice when it is compiled. */
#define DD_NO_INDIRECT 1
#include <dispatchd.h>

#include "call_sites.h"

#define DEFINE(n, mix)                                                                                    \
    DD_TABLE(bench_direct_##n##_##mix, struct bench_context, TARGET_DEFAULT, DD_READ(value))              \
    DEFINE_LOOP(dispatchd_direct, n, mix, bench_direct_##n##_##mix)
FOR_EACH_SITE(DEFINE)
