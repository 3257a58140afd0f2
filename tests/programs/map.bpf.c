/* SPDX-License-Identifier: MIT */
/* Maps of each kind, defined as bpf_helpers.h of libbpf has it, with what may be in values. */
#include "packet.h"

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

enum state { CLOSED, OPEN, HALF_OPEN };
enum { CODE_LOW = -5, CODE_HIGH = 7 };

struct address {
    __u32 host;
    __u16 port;
};

struct session {
    char name[16];
    enum state state;
    bool active;
    __s16 balance;
    __u32 low : 4, high : 12;
    union {
        __u64 number;
        struct {
            __u32 first, second;
        };
    };
    struct address peer[2];
    __u8 digest[3];
    void *cookie;
    union {
        __u32 word;
        __u16 half;
    } choice;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

static struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 100);
    __uint(pinning, 1);
    __uint(map_flags, BPF_F_RDONLY_PROG);
    __type(key, struct address);
    __type(value, struct session);
} sessions SEC(".maps");

typedef struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(key_size, 6);
    __uint(value_size, 3);
    __uint(max_entries, 10);
} plain_t;

plain_t first SEC(".maps"), second SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 8);
    __type(value, __s32);
} jobs SEC(".maps");

struct policy {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, __u32);
    __type(value, __u32);
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 2);
    __type(key, __u32);
    __array(values, struct policy);
} policies SEC(".maps");

PROGRAM(count)(struct packet *packet, __u32 key)
{
    __u64 *value = bpf_map_lookup_elem(&counters, &key);

    if (value)
        __sync_fetch_and_add(value, packet->size);
    return value ? (__u32)*value : 0;
}

PROGRAM(find)(struct packet *packet, __u32 key)
{
    struct address address = { .host = key, .port = packet->small };
    struct session *session = bpf_map_lookup_elem(&sessions, &address);

    return session ? session->low : 0;
}

PROGRAM(both)(struct packet *packet, __u32 key)
{
    char address[6] = { 1, 2, 3 }, value[3] = { 4 };

    bpf_map_update_elem(&first, address, value, BPF_ANY);
    return bpf_map_lookup_elem(&second, address) != 0;
}

PROGRAM(report)(struct packet *packet, __u32 key)
{
    __u64 *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    int job = 7;

    if (event) {
        *event = key;
        bpf_ringbuf_submit(event, 0);
    }
    bpf_map_push_elem(&jobs, &job, 0);
    if (bpf_map_pop_elem(&jobs, &job) < 0)
        bpf_printk("no job for %u", key);
    return (__u32)job + (bpf_strncmp((char *)&job, sizeof(job), "job") == 0);
}

PROGRAM(decide)(struct packet *packet, __u32 key)
{
    __u32 chosen = key & 1, *verdict;
    void *policy = bpf_map_lookup_elem(&policies, &chosen);

    if (!policy)
        return 0;
    verdict = bpf_map_lookup_elem(policy, &key);
    return verdict ? *verdict : 1;
}

static long add(void *map, const __u32 *key, __u64 *value, void *sum)
{
    *(__u64 *)sum += *key + *value;
    return 0;
}

PROGRAM(sum)(struct packet *packet, __u32 key)
{
    __u64 total = 0;

    bpf_for_each_map_elem(&counters, add, &total, 0);
    return (__u32)total;
}
