/* SPDX-License-Identifier: MIT */
/*
 * Why the daemon could not start: its exit codes, which dispatchd(8) lists.
 * Each comes with one line that says what to do.
 */
#ifndef DAEMON_STARTUP_H
#define DAEMON_STARTUP_H

enum startup_failure {
    STARTUP_OTHER = 1,                  /* out of memory and the like */
    STARTUP_USAGE = 2,                  /* command line */
    STARTUP_SOCKET = 3,                 /* a socket is in use, or cannot be made */
    STARTUP_DATABASE_NEWER = 4,         /* the database was written by a newer dispatchd; it is left as it is */
    STARTUP_DATABASE = 5,               /* locked by another daemon, damaged, not ours */
    STARTUP_PERMISSION = 6,             /* a directory or file may not be written */
    STARTUP_MEMORY = 7,                 /* no executable memory files on this host */
    STARTUP_HOST = 8,                   /* the host does not execute poked code correctly, or has no membarrier */
    STARTUP_RESTORE = 9,                /* the database has what this dispatchd cannot run */
};

#endif
