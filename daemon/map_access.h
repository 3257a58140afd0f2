/* SPDX-License-Identifier: MIT */
/*
 * The contents of maps, for control clients: one element at a time, by the same functions that programs call, with
 * the daemon's own seat.  What these read lies in memory that any worker may write meanwhile: each key and value is
 * copied once, and shown as it was copied.
 *
 * Errors, with their named refusal: -ENOENT UnknownElement, or MapEmpty of a queue or stack; -EEXIST ElementExists;
 * -E2BIG MapFull; -EBUSY MapBusy; -EINVAL InvalidParameter; -EOPNOTSUPP MapUnsuited; -ENOSPC, -ENOMEM LimitExceeded.
 */
#ifndef DAEMON_MAP_ACCESS_H
#define DAEMON_MAP_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "refusal.h"
#include "shared_map.h"

struct daemon;
struct json_object;

/*
 * The value of an element, as Element of the interface without its key; of a queue or stack (key NULL) the next one.
 * `hex`: in hexadecimal digits.  *ret is the caller's.
 */
int map_access_lookup(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, bool hex,
                      struct json_object **ret, struct refusal *refusal);

/*
 * flags: BPF_ANY, BPF_NOEXIST, BPF_EXIST.  Of kinds with a copy for each seat: the daemon's copy gets the value,
 * all others 0.
 */
int map_access_update(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, const uint8_t *value,
                      uint64_t flags, struct refusal *refusal);
int map_access_delete(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, struct refusal *refusal);

/* Queues and stacks.  flags: BPF_ANY, BPF_EXIST (a full one drops its oldest).  *ret: an Element. */
int map_access_push(struct daemon *daemon, const struct shared_map *map, const uint8_t *value, uint64_t flags,
                    struct refusal *refusal);
int map_access_pop(struct daemon *daemon, const struct shared_map *map, bool hex, struct json_object **ret,
                   struct refusal *refusal);

/*
 * The next element after the cursor, as Element: 1; *ret is NULL if it was deleted between being found and being
 * shown.  0: that was the end.  -EOPNOTSUPP MapUnsuited: the kind has none that could be gone through.
 */
int map_access_next(struct daemon *daemon, const struct shared_map *map, struct map_cursor *cursor, bool hex,
                    struct json_object **ret, struct refusal *refusal);

/*
 * Before each map_access_next() or map_access_clear_next(): false: the cursor is at places without an element still, of
 * which there may be millions; call it again, in another turn of the loop perhaps.
 */
bool map_access_skip(const struct shared_map *map, struct map_cursor *cursor);

/* Take one element away: delete it; of an array set it to 0; of a ring drop a record.  1; 0: that was the end. */
int map_access_clear_next(struct daemon *daemon, const struct shared_map *map, struct map_cursor *cursor,
                          struct refusal *refusal);

/*
 * The next record of a ring is reserved and not submitted: where its thread is outside of all guards (longjmp, a kill)
 * nobody will submit it, and it is discarded.  Returns whether it is out of the way.
 */
bool map_access_discard_abandoned(struct daemon *daemon, const struct shared_map *map);

/* How many elements there are, with those that come or go now; of a ring: bytes that nobody has taken out. */
uint64_t map_access_count(const struct shared_map *map);

#endif
