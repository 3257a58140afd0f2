/* SPDX-License-Identifier: MIT */
/*
 * A table of 32 connections by open addressing: value is the connection, size the event (0 opened, 1 closed, 2 asked
 * about). The verdict is 1 if it was known, status the connections that are open, tiny how many entries were looked
 * at.  When the chain of 8 entries is full, a connection is not remembered.
 *
 * expect: value=8 size=2 -> 0 tiny=1 status=0
 * expect: value=8 size=0 -> 0 tiny=1 status=1
 * expect: value=8 size=2 -> 1 tiny=1 status=1
 * expect: value=8 size=1 -> 1 tiny=1 status=0
 * expect: value=8 size=2 -> 0 tiny=2 status=0
 * expect: value=8 size=0 -> 0 tiny=2 status=1
 * expect: value=42 size=0 -> 0 tiny=2 status=2
 * expect: value=97 size=0 -> 0 tiny=3 status=3
 * expect: value=131 size=0 -> 0 tiny=4 status=4
 * expect: value=152 size=0 -> 0 tiny=5 status=5
 * expect: value=186 size=0 -> 0 tiny=6 status=6
 * expect: value=220 size=0 -> 0 tiny=7 status=7
 * expect: value=241 size=0 -> 0 tiny=8 status=8
 * expect: value=275 size=0 -> 0 tiny=8 status=8
 * expect: value=275 size=2 -> 0 tiny=8 status=8
 * expect: value=131 size=1 -> 1 tiny=4 status=7
 * expect: value=241 size=2 -> 1 tiny=8 status=7
 * expect: value=275 size=0 -> 0 tiny=8 status=8
 * expect: value=275 size=2 -> 1 tiny=4 status=8
 * expect: value=131 size=2 -> 0 tiny=8 status=8
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define ENTRIES 32
#define CHAIN_MAX 8

enum event { OPENED, CLOSED, ASKED };
enum { FREE = 0, DELETED = ~0ull };     /* what is no connection */

static __u64 entry[ENTRIES];
static __u32 open;

SEC("table/packet")
__u32 connections(struct packet *packet, __u32 key)
{
    __u64 connection = packet->value;
    __u32 at = (__u32)(connection * 0x9e3779b97f4a7c15 >> 59), reuse = ENTRIES, known = 0;

    for (__u32 i = 0; i < CHAIN_MAX; i++, at++) {
        __u64 *found = &entry[at % ENTRIES];

        packet->tiny = i + 1;
        if (*found == connection) {
            known = 1;
            if (packet->size == CLOSED) {
                *found = DELETED;
                open--;
            }
            break;
        }
        if ((*found == FREE || *found == DELETED) && reuse == ENTRIES)
            reuse = at % ENTRIES;
        if (*found == FREE)
            break;
    }
    if (!known && packet->size == OPENED && reuse < ENTRIES) {
        entry[reuse] = connection;
        open++;
    }
    packet->status = open;
    return known;
}
