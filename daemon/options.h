/* SPDX-License-Identifier: MIT */
/* The command line. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct options {
    char runtime_directory[PATH_MAX];   /* the sockets */
    char state_directory[PATH_MAX];     /* the database */
    size_t text_size;                   /* bytes */
    size_t arena_quota;                 /* bytes of the arena that one user may have */
    unsigned planning_interval_ms;      /* from one table's sample to the next; 0: never */
    unsigned translation_seconds;       /* that one process may take to read or compile an object */
    bool no_indirect;                   /* policy: no indirect branch in any table's code */
    bool user, no_host_check, debug;
    const char *forget_program;         /* of the arguments: take it out of the database, and end; NULL: none */
};

/*
 * Parse.  0: go on; 1: --help or --version were answered, exit successfully; -EINVAL: a message was printed.
 */
int options_parse(int argc, char **argv, struct options *ret);

#endif
