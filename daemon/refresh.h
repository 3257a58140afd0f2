/* SPDX-License-Identifier: MIT */
/* Keeps the image's stock of fresh bytes, which every change needs, by a grace period of its own now and then.  Then
 * filtered tables get new code. */
#ifndef DAEMON_REFRESH_H
#define DAEMON_REFRESH_H

#include "daemon.h"

/* Bytes were released: begin a refresh if it is worth one and none is under way.  Allocates nothing. */
void refresh(struct daemon *daemon);

#endif
