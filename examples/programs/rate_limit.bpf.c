/* SPDX-License-Identifier: MIT */
/*
 * Limit what each client may ask for: `burst` requests at once, and then one every `interval_ms`; what is more is
 * answered with 429.  Clients are told apart by their addresses, and all of the server's processes count in the same
 * map.
 *
 * One number for each client is enough: the time at which all that it has asked for so far would have been in order,
 * had it kept to the interval.  A request is in order if that lies less than a burst ahead.  (The generic cell rate
 * algorithm.)
 *
 * Build it with -mcpu=v3.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../httpd/request.h"

#define TOO_MANY_REQUESTS 429
#define CLIENTS_MAX 4096        /* those that have not asked for the longest time are forgotten */
#define ATTEMPTS 16
#define NS_PER_MS 1000000ull

const volatile __u32 burst = 20;
const volatile __u32 interval_ms = 100;

struct client {
    __u8 address[4];
};

struct account {
    __u64 due;                  /* ns */
    __u64 passed, refused;      /* requests */
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, CLIENTS_MAX);
    __type(key, struct client);
    __type(value, struct account);
} clients SEC(".maps");

static struct account *account_of(const struct request *request)
{
    struct account none = { 0 }, *account;
    struct client client;
    __u32 address = request->client;

    __builtin_memcpy(&client, &address, sizeof(client));
    account = bpf_map_lookup_elem(&clients, &client);
    if (account)
        return account;
    bpf_map_update_elem(&clients, &client, &none, BPF_NOEXIST);
    return bpf_map_lookup_elem(&clients, &client);
}

/* Another process may take a place at the same time: then look again.  Who cannot be counted may pass. */
static int in_order(struct account *account)
{
    __u64 now = bpf_ktime_get_ns(), interval = interval_ms * NS_PER_MS;

    for (__u32 i = 0; i < ATTEMPTS; i++) {
        __u64 due = account->due, begin = due > now ? due : now;

        if (begin + interval > now + burst * interval)
            return 0;
        if (__sync_val_compare_and_swap(&account->due, due, begin + interval) == due)
            return 1;
    }
    return 1;
}

SEC("table/request")
__u32 rate_limit(struct request *request)
{
    struct account *account = account_of(request);

    if (!account)
        return REQUEST_PASS;
    if (in_order(account)) {
        __sync_fetch_and_add(&account->passed, 1);
    } else {
        __sync_fetch_and_add(&account->refused, 1);
        request->status = TOO_MANY_REQUESTS;
    }
    return REQUEST_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
