/* SPDX-License-Identifier: MIT */
/*
 * Serialising instructions and barriers: what the guard and the mover need of the processor and the kernel.
 */
#ifndef DISPATCHD_SERIALISE_H
#define DISPATCHD_SERIALISE_H

/*
 * Execute a serialising instruction (Intel SDM volume 3A, "Serializing Instructions"): whatever this thread fetched
 * before is not executed after.  Async-signal-safe.
 */
void serialise(void);

/*
 * Register this process for the daemon's barrier (membarrier GLOBAL_EXPEDITED, without which its waits would not see
 * our lines) and for our own.  A process that could not register must not join.  -ENOSYS, -EPERM, -EINVAL.
 */
int barrier_register(void);

/* A full memory barrier in every running thread of this process.  Negative errno: there was none (a filter that the
 * application installed after dd_open() forbids it). */
int barrier_process(void);

#endif
