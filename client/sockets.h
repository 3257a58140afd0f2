/* SPDX-License-Identifier: MIT */
/*
 * Where a daemon may be, and which one a worker believes: it runs the code that the daemon gives it.
 *
 * That is one whose listener is of user root or of the process's own effective user, however its path was found: who
 * chooses a process's environment, or may write where its socket is expected, need not be one who may choose what it
 * runs.  The kernel tells who listens (SO_PEERCRED): for sockets of systemd's units that is systemd.  A user without a
 * number in the process's user namespace has the overflow uid there, 65534, and so is neither.
 */
#ifndef DISPATCHD_SOCKETS_H
#define DISPATCHD_SOCKETS_H

#include <stddef.h>

#include "conversation.h"

#define SOCKETS_MAX 2

struct sockets {
    char *path[SOCKETS_MAX];        /* in order of preference; NULL at the end */
    unsigned connected;             /* which of them the conversation is with */
};

/* The given one, or NULL: those that the environment tells of, and the system's.  -ENAMETOOLONG, -ENOMEM. */
int sockets_find(const char *given, struct sockets *ret);

void sockets_free(struct sockets *sockets);

/* Begin a conversation with the first that can be had.  `complaint`, at first "": of each that cannot, why. */
int sockets_connect(struct sockets *sockets, struct conversation *conversation, char *complaint, size_t size);

/* Only the one that is connected from now on. */
void sockets_stay(struct sockets *sockets);

#endif
