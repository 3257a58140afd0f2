/* SPDX-License-Identifier: MIT */
#include "pace.h"

#include <time.h>

#define SHARE 20

int64_t pace_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

struct timeval pace_delay(int64_t begin_us, int64_t interval_us)
{
    int64_t delay_us = SHARE * (pace_now_us() - begin_us);

    if (delay_us < interval_us)
        delay_us = interval_us;
    return (struct timeval){ .tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000 };
}
