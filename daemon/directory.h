/* SPDX-License-Identifier: MIT */
/*
 * The directory of the linkage (layout.h: struct dd_directory_entry): which hook and native an index stands for.
 *
 * An index that nothing refers to is used again.  Who refers to one, the registry says: links to natives, static calls
 * (their defaults), programs that call natives.  Workers keep what they found for an index, so it goes through
 *
 *      used -- nothing refers to it -- grace period -- entry cleared, version raised -- grace period -- free
 *
 * After the first grace period no thread is on its way to the index's stub, so nobody looks it up any more.  The
 * second raises the epoch, so that each thread, before its next guard runs code, looks at the version, and what its
 * process has found is forgotten (client/stubs.h).  An index that is asked for again before its entry is cleared stays
 * as it is.
 *
 * The registry is only looked at from the event loop, where no change is half done.  One thread.
 */
#ifndef DAEMON_DIRECTORY_H
#define DAEMON_DIRECTORY_H

#include <stddef.h>

#include <dispatchd/layout.h>

struct daemon;
struct directory;

/* Once memory and registry are there.  -ENOMEM. */
int directory_new(struct daemon *daemon, struct directory **ret);
/* The grace driver is gone.  NULL is fine; returns NULL. */
struct directory *directory_free(struct directory *directory);

/*
 * The index of this entry, a new one if there is none; it is in the directory when this returns.  -EDQUOT: all that are
 * for such entries are in use; those that nothing refers to are free again after a while.
 */
int directory_index(struct directory *directory, const struct dd_directory_entry *wanted, size_t *ret);

#endif
