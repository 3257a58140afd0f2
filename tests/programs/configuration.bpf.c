/* SPDX-License-Identifier: MIT */
/* Variables whose values are set when the program is loaded. */
#include "packet.h"
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

enum verdict { DROP, PASS = 7, NEGATIVE = -2 };
enum big { SMALL, HUGE_VALUE = 0x123456789abcdefULL };
typedef __u16 port;

struct limits {
    __u32 burst;
    struct {
        __s16 low, high;
    } range;
    __u32 bits : 3;
    port ports[3];
    struct {
        __u8 deep;
        union {
            __u32 wide;
            __s8 narrow;
        };
    };
};

const volatile __u8 u8 = 1;
const volatile __s8 s8 = -1;
const volatile __u16 u16 = 2;
const volatile __s16 s16 = -2;
const volatile __u32 u32 = 3;
const volatile __s32 s32 = -3;
const volatile __u64 u64 = 4;
const volatile __s64 s64 = -4;
const volatile bool enabled = false;
const volatile enum verdict verdict = DROP;
const volatile enum big big = SMALL;
const volatile char name[8] = "eth0";
const volatile __u8 bytes[4] = { 1, 2, 3, 4 };
const volatile struct limits limits = { .burst = 5, .ports = { 80, 443, 8080 } };
double *const volatile pointer = 0;
static const volatile port main_port = 22;
const volatile __u32 last = 0x7fffffff;
const __u32 folded = 6;
__u32 changing = 8;

PROGRAM(configured)(struct packet *packet, __u32 key)
{
    static const volatile __u32 step = 9;
    __u64 sum = u8 + s8 + u16 + s16 + u32 + s32 + u64 + s64 + enabled + verdict + big + name[key & 7];

    sum += bytes[key & 3] + limits.burst + limits.range.high + limits.ports[1] + main_port + last + folded + changing;
    sum += step + limits.deep + limits.wide;
    packet->value = sum + (pointer != 0);
    return (__u32)sum;
}
