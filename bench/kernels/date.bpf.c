/* SPDX-License-Identifier: MIT */
/* Eight times, in microseconds since 1970, as date and time of day in decimal digits: divisions by constants. */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define COUNT 8

/* Days since 1970 as a number YYYYMMDD (the Gregorian calendar, in years that begin in March). */
static __always_inline __u32 date_of(__u32 days)
{
    __u32 day = days + 719468, era = day / 146097, day_of_era = day % 146097;
    __u32 year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    __u32 day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    __u32 month = (5 * day_of_year + 2) / 153, day_of_month = day_of_year - (153 * month + 2) / 5 + 1;

    month = month < 10 ? month + 3 : month - 9;
    return (year + era * 400 + (month <= 2)) * 10000 + month * 100 + day_of_month;
}

/* The digits of a number below 10^8, a byte each. */
static __always_inline __u64 digits_of(__u32 number)
{
    __u64 digits = 0;

    for (int i = 0; i < 8; i++) {
        digits = digits << 8 | ('0' + number % 10);
        number /= 10;
    }
    return digits;
}

SEC("table/kernel")
__u32 date(struct kernel *kernel, __u32 key)
{
    const __u64 *data = (const void *)kernel->data;
    __u64 sum = key;

    if ((const __u8 *)(data + COUNT) > kernel->data_end)
        return 0;
    for (int i = 0; i < COUNT; i++) {
        __u64 seconds = (data[i] >> 12) / 1000000;
        __u32 days = (__u32)(seconds / 86400), second = (__u32)(seconds % 86400);

        sum = sum * 31 + digits_of(date_of(days));
        sum = sum * 31 + digits_of(second / 3600 * 10000 + second / 60 % 60 * 100 + second % 60);
    }
    kernel->result = sum;
    return (__u32)sum;
}
