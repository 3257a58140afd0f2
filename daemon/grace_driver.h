/* SPDX-License-Identifier: MIT */
/* Grace periods on the event loop: polls them at once, and then by a timer that backs off while a reader holds them. */
#ifndef DAEMON_GRACE_DRIVER_H
#define DAEMON_GRACE_DRIVER_H

#include "grace.h"

struct event_base;
struct grace_driver;

/* -ENOMEM.  `grace` is borrowed. */
int grace_driver_new(struct event_base *base, struct grace *grace, struct grace_driver **ret);
struct grace_driver *grace_driver_free(struct grace_driver *driver);    /* NULL is fine; returns NULL */

/* As grace_wait; the waiter is called from the event loop, never from inside this. */
void grace_driver_wait(struct grace_driver *driver, struct grace_waiter *waiter);

struct grace *grace_driver_grace(struct grace_driver *driver);

#endif
