/* SPDX-License-Identifier: MIT */
/*
 * The snapshot: what the arena held when the daemon was stopped, in a file of the state directory.  The next daemon uses it if
 * nobody has the arena itself any more (inheritance.h), and removes it in any case: contents that are older than
 * what workers have seen since are never shown again.
 *
 * The file has the pages of what was reserved that were ever written to, and a checksum.  It is written whole or not at all
 * (another name, fsync, rename).  Workers run on while it is written: a map that is changed meanwhile is caught as if the
 * machine had stopped somewhere in between, and its seats are recovered when it is used.  Where workers are stopped first (After=
 * in their units) it is exact.
 *
 *      head        struct snapshot_head
 *      extents     offset and size, 64 bits each, then so many bytes; sorted, apart; the last has size 0
 *      digest      SHA-256 of all before it
 */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

struct arena;

#define SNAPSHOT_MAGIC UINT64_C(0x31706e7361646464)     /* "dddasnp1" */
#define SNAPSHOT_IDENTITY_MAX 128       /* bytes with the NUL: which arena it is of */

struct snapshot_head {
    uint64_t magic;
    uint32_t arena_version;             /* runtime/seat.h */
    uint32_t layout_version;            /* layout.h */
    uint64_t arena_size;                /* bytes */
    char identity[SNAPSHOT_IDENTITY_MAX];
};

/*
 * Write directory/arena.snapshot.  *ret_bytes: of contents.  -ENOSPC, -EIO and others of write(2); then there is none, nor an
 * older one.
 */
int snapshot_write(const char *directory, const struct arena *arena, int memfd, const char *identity, size_t *ret_bytes);

/* Which arena the snapshot is of.  -ENOENT: there is none; -EBADMSG: it is none; -EPROTO: of another version's arena. */
int snapshot_identity(const char *directory, char identity[SNAPSHOT_IDENTITY_MAX]);

/* Read it into an empty arena's memfd.  -EBADMSG: it is damaged, and what is in the memfd is of no use. */
int snapshot_read(const char *directory, int memfd, size_t *ret_bytes);

/* Remove it, durably.  0 also if there is none. */
int snapshot_remove(const char *directory);

#endif
