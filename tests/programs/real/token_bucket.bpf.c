/* SPDX-License-Identifier: MIT */
/*
 * One token bucket for each of 16 keys: `rate` bytes a second, at most `burst` saved up.  value is the time in ns,
 * size the bytes of this packet.  The verdict is 1 (pass) or 0 (drop), status what is left.
 *
 * expect: key=1 value=0x3b9aca00 size=1000 -> 1 status=500
 * expect: key=1 value=0x3b9aca00 size=600 -> 0 status=500
 * expect: key=1 value=0x59682f00 size=600 -> 1 status=400
 * expect: key=1 value=0x59682efb size=401 -> 0 status=400
 * expect: key=17 value=0x77359400 size=1 -> 1 status=899
 * expect: key=2 value=0x77359400 size=1501 -> 0 status=1500
 * expect: key=2 value=0x77359400 size=1500 -> 1 status=0
 * expect: key=2 value=0x77359400 size=1 -> 0 status=0
 * expect: key=2 value=0x174876e800 size=1500 -> 1 status=0
 * expect: key=2 value=0x1748956c80 size=3 -> 0 status=2
 * expect: key=2 value=0x178411b200 size=0 -> 1 status=1000
 * with: rate=8 burst=64
 * expect: key=3 value=0x3b9aca00 size=64 -> 1 status=0
 * expect: key=3 value=0x77359400 size=9 -> 0 status=8
 * expect: key=3 value=0xee6b2800 size=16 -> 1 status=8
 * expect: key=3 value=0x4000000000000000 size=65 -> 0 status=64
 * expect: key=3 value=0x4000000000000001 size=64 -> 1 status=0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BUCKETS 16
#define NS_PER_SECOND 1000000000ull

const volatile __u32 rate = 1000;
const volatile __u32 burst = 1500;

static struct bucket {
    __u64 filled;               /* when, ns; 0: never */
    __u64 bytes;
} buckets[BUCKETS];

SEC("table/packet")
__u32 token_bucket(struct packet *packet, __u32 key)
{
    struct bucket *bucket = &buckets[key % BUCKETS];
    __u64 now = packet->value, bytes = bucket->bytes;

    if (bucket->filled == 0)
        bytes = burst;
    else if (now > bucket->filled)
        bytes += (now - bucket->filled) * rate / NS_PER_SECOND;
    if (bytes > burst)
        bytes = burst;
    bucket->filled = now;
    if (packet->size > bytes) {
        bucket->bytes = bytes;
        packet->status = bytes;
        return 0;
    }
    bucket->bytes = bytes - packet->size;
    packet->status = bucket->bytes;
    return 1;
}
