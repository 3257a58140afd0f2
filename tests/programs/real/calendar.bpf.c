/* SPDX-License-Identifier: MIT */
/*
 * The date of a time in value (seconds since 1970, UTC, to the year 9999): the verdict is year * 10000 + month * 100
 * + day, status hour * 10000 + minute * 100 + second, tiny the day of the week (0: Sunday).
 *
 * expect: value=0 -> 19700101 status=0 tiny=4
 * expect: value=0x38bb0c00 -> 20000229 status=0 tiny=2
 * expect: value=0x38bc5d7f -> 20000229 status=235959 tiny=2
 * expect: value=0x38bc5d80 -> 20000301 status=0 tiny=3
 * expect: value=0x6553f100 -> 20231114 status=221320 tiny=2
 * expect: value=0xf48656ff -> 20991231 status=235959 tiny=4
 * expect: value=0xf4d41f80 -> 21000301 status=0 tiny=1
 * expect: value=68169600 -> 19720229 status=0 tiny=2
 * expect: value=0x3afff4417f -> 99991231 status=235959 tiny=5
 * expect: value=0x80000000 -> 20380119 status=31408 tiny=2
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define SECONDS_PER_DAY 86400
#define DAYS_PER_ERA 146097     /* 400 years */
#define DAYS_TO_1970 719468     /* from the first of March of the year 0 */

SEC("table/packet")
__u32 calendar(struct packet *packet, __u32 key)
{
    __u64 days = packet->value / SECONDS_PER_DAY;
    __u32 second = packet->value % SECONDS_PER_DAY;
    __u64 era = (days + DAYS_TO_1970) / DAYS_PER_ERA;
    __u32 day = (days + DAYS_TO_1970) % DAYS_PER_ERA;                           /* of the era */
    __u32 year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    __u32 month;

    day -= year * 365 + year / 4 - year / 100;                                  /* of a year from March to February */
    month = (day * 5 + 2) / 153;
    day -= (month * 153 + 2) / 5;
    packet->status = second / 3600 * 10000 + second / 60 % 60 * 100 + second % 60;
    packet->tiny = (days + 4) % 7;
    return (era * 400 + year + (month >= 10)) * 10000 + (month < 10 ? month + 3 : month - 9) * 100 + day + 1;
}
