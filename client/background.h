/* SPDX-License-Identifier: MIT */
/*
 * The background thread: drives the membership where the application's event loop does not.  All signals are blocked
 * in it, and it calls no hooks.  All functions are called with the library's lock.
 */
#ifndef DISPATCHD_BACKGROUND_H
#define DISPATCHD_BACKGROUND_H

/* -EAGAIN: no thread. */
int background_start(void);

/* Stop it and wait for its end; drops and retakes the lock.  Nothing where it does not run. */
void background_stop(void);

#endif
