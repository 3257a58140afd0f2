/* SPDX-License-Identifier: MIT */
/* The image of a new generation, from the database. */
#ifndef DAEMON_RESTORE_H
#define DAEMON_RESTORE_H

#include <stddef.h>

#include "daemon.h"

/*
 * Fill registry and image with what the database holds, settled.  Before any worker has the image, so no wait is
 * needed.  Negative errno, with `text` naming the object and the reason; the database is left as it is.
 */
int restore(struct daemon *daemon, char *text, size_t size);

#endif
