/* SPDX-License-Identifier: MIT */
/*
 * Processes, named for ever by pid and start time, and watched by pidfds (pidfd_open(2)).
 * No function keeps state: any thread may call them, none in a signal handler.
 */
#ifndef DISPATCHD_PROCESS_H
#define DISPATCHD_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* When it started, in clock ticks since boot.  -ENOENT: there is none; -EBADMSG; of open(2). */
int process_start_time(pid_t pid, uint64_t *ret);

/* A pidfd, the caller's, of the process that has this pid now.  Errors of pidfd_open(2): -ESRCH if there is none. */
int process_pidfd(pid_t pid);

/* The same of the process that has this pid and start time.  -ESRCH: it is gone; of pidfd_open(2). */
int process_open(pid_t pid, uint64_t start_time);

/*
 * The same of the process that connected `socket`, a Unix socket; `pid` is what SO_PEERCRED says of it.  Kernels before
 * 6.5 have no SO_PEERPIDFD: there the pid may have passed to another process meanwhile.
 */
int process_peer_pidfd(int socket, pid_t pid);

#endif
