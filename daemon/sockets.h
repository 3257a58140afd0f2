/* SPDX-License-Identifier: MIT */
/* The two listening sockets: systemd's where it has them, else our own; and what systemd kept of the daemon before. */
#ifndef DAEMON_SOCKETS_H
#define DAEMON_SOCKETS_H

struct sockets {
    int control, worker;        /* listening; owned */
    int arena;                  /* from systemd's descriptor store; -EBADF: it has none; whoever takes it sets this */
    int lock;                   /* of the runtime directory, held while we live; -EBADF with systemd's sockets */
    int failed;                 /* enum startup_failure */
    char text[512];             /* and in words */
};

/*
 * Take descriptors named "control" and "worker" from systemd, or bind DIRECTORY/control (mode 0660: those who may
 * change what runs) and DIRECTORY/worker (0666: any process may be a worker).  "arena" is taken where systemd has it.
 * A stale socket of a dead daemon is replaced; that of a living one is not.  On failure negative errno, with `failed`
 * and `text`.
 */
int sockets_open(const char *directory, struct sockets *ret);
void sockets_close(struct sockets *sockets);

#endif
