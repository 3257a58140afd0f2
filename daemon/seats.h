/* SPDX-License-Identifier: MIT */
/*
 * Seats, as the daemon cares for them: where the thread of one is gone, or has left the image in the middle of a change
 * of a map, what is half done is finished or undone (jitcore/runtime/seat.h); and the seats of processes that have
 * ended are free again.
 *
 * A seat's owner is named by its reader line, so who lives is known by the lines.  A change is abandoned if its journal
 * is not empty while its line is outside of all guards or has no living thread: programs run inside guards only.
 *
 * All that is in a seat is hostile.  A worker that lies there spoils the data of maps, and nothing else.
 */
#ifndef DAEMON_SEATS_H
#define DAEMON_SEATS_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct lines;
struct seats;
struct thread;

/*
 * Once the maps are there.  From then on it looks at the seats now and then, from the event loop, and settles at most
 * one a look, for some milliseconds.  What the daemon before left half done, or processes that were there when a
 * snapshot was written, is settled at once.  -ENOMEM.
 */
int seats_new(struct daemon *daemon, struct seats **ret);
struct seats *seats_free(struct seats *seats);                  /* NULL is fine; returns NULL */

/* The daemon's own: what the runtime's functions are called with here, as their last argument. */
struct thread *seats_thread(struct seats *seats);

/* How many of SEATS_MAX are taken, the daemon's own among them. */
uint32_t seats_used(const struct seats *seats);

/* This process has ended: its seats are settled in the next turns, then they are free.  seats NULL is fine. */
void seats_end(struct seats *seats, const struct lines *lines);

/*
 * Is the thread of this seat (an index; any number) outside of all guards, or gone?  Then what it has reserved in a
 * ring, and has not submitted when that is read again after this answer, it never will.
 */
bool seats_outside(const struct seats *seats, uint32_t seat);

#endif
