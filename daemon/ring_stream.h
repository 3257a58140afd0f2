/* SPDX-License-Identifier: MIT */
/*
 * Streams of records out of ring buffers, and of the lines that programs print, to control clients.
 *
 * A ring has one consumer's position, which is the daemon's: whatever is taken out goes to all who follow the ring at
 * that time. While nobody does, records stay in the ring until it is full.  A ring that is followed is looked at
 * every 10 ms. A reader that lets answers pile up is left out of batches, and told how many records it missed; it
 * delays no other. Where all do, nothing is taken out.
 */
#ifndef DAEMON_RING_STREAM_H
#define DAEMON_RING_STREAM_H

#include "daemon.h"
#include "refusal.h"

struct call;
struct shared_map;

enum ring_flags {
    RING_FOLLOW = 1,            /* also what comes from then on, until the connection is closed or the map is removed */
    RING_HEX = 2,               /* the bytes of records, whatever their type */
};

/*
 * Answer a call of ReadRing, or of Trace for daemon->trace, with what is in the ring.  flags: of enum ring_flags.
 * MapUnsuited: not a ring; -ENOMEM.
 */
int ring_stream_start(struct daemon *daemon, struct shared_map *map, struct call *call, unsigned flags,
                      struct refusal *refusal);

/* At the end: close the connections of all who read. */
void ring_streams_forget(struct daemon *daemon);

#endif
