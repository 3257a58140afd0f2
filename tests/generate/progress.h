/* SPDX-License-Identifier: MIT */
/* How far a long run over random programs is, in all its processes together: a line on stderr every 10,000 programs. */
#ifndef TESTS_GENERATE_PROGRESS_H
#define TESTS_GENERATE_PROGRESS_H

struct progress;

/*
 * Shared with the processes that are forked later; lasts until the process ends.  `failures`: what the tests look for,
 * as "escapes"; borrowed.  Also tells malloc() to keep what is freed, as each program needs as much again.  NULL: no
 * memory.
 */
struct progress *progress_new(const char *failures);

/* Another program is done; another one failed. */
void progress_done(struct progress *progress);
void progress_failed(struct progress *progress);

unsigned long progress_failures(const struct progress *progress);

#endif
