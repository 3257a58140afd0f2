/* SPDX-License-Identifier: MIT */
/* One process of the example server: HTTP requests in, table on_request asked, answers out. */
#ifndef EXAMPLES_SERVE_H
#define EXAMPLES_SERVE_H

#include <stdint.h>

/* A route: its number is the key of table on_request.  Prefix "/" is that page alone; others match the path itself and
 * all that is below it; NULL, the last, is every other path. */
struct route {
    const char *prefix;
    uint32_t number;
    uint32_t status;        /* of an answer that no program changed */
};

extern const struct route routes[];

/*
 * Serve on a listening socket, shared with other processes, until SIGTERM or SIGINT arrives.  The two signals come in
 * blocked and are unblocked here.  Returns an exit status.
 */
int serve(int listener);

#endif
