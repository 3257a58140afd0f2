/* SPDX-License-Identifier: MIT */
/* Forking: the handlers of pthread_atfork, and dd_after_fork(). */
#ifndef DISPATCHD_FORK_H
#define DISPATCHD_FORK_H

/* Once, at dd_open(): what dd_after_fork() knows a child by.  -ENOMEM. */
int fork_prepare(void);

#endif
