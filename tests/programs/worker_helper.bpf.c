/* SPDX-License-Identifier: MIT */
/* Functions that workers offer, and such that programs cannot call. */
#include "packet.h"

#include <stdbool.h>

#include <bpf/bpf_helpers.h>

typedef struct packet packet_t;
enum colour { RED, GREEN };

extern __u32 checksum(const void *data, __u32 size) __ksym;
extern void fill(char *buffer, unsigned long size, __u8 with) __ksym;
extern int classify(const struct packet *packet, enum colour colour, bool fast, long long weight) __ksym;
extern __u64 now(void) __ksym;
extern __u32 unsized(const char *text) __ksym;
extern __u32 changes(struct packet *packet) __ksym;
extern void *finds(__u32 key) __ksym;
extern __u32 deep(const char **texts, __u32 count) __ksym;

PROGRAM(sum)(struct packet *packet, __u32 key)
{
    __u32 words[2] = { key, packet->size };

    return checksum(words, sizeof(words)) + checksum(words, 4);
}

PROGRAM(all)(struct packet *packet, __u32 key)
{
    char buffer[16] = { 0 };

    fill(buffer, sizeof(buffer), 7);
    return (__u32)classify(packet, GREEN, true, buffer[3]) + (__u32)now();
}

PROGRAM(no_size)(struct packet *packet, __u32 key)
{
    return unsized("text");
}

PROGRAM(no_const)(struct packet *packet, __u32 key)
{
    return changes(packet);
}

PROGRAM(pointer)(struct packet *packet, __u32 key)
{
    return finds(key) != 0;
}

PROGRAM(pointers)(struct packet *packet, __u32 key)
{
    return deep(0, key);
}
