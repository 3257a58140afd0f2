/* SPDX-License-Identifier: MIT */
/* Work that comes back, and whose length workers decide: it gets at most a twentieth of the daemon's time. */
#ifndef DAEMON_PACE_H
#define DAEMON_PACE_H

#include <stdint.h>
#include <sys/time.h>

/* Microseconds of CLOCK_MONOTONIC. */
int64_t pace_now_us(void);

/* How long to wait after work that began at `begin_us` and ends now, and that should come back every `interval_us`. */
struct timeval pace_delay(int64_t begin_us, int64_t interval_us);

#endif
