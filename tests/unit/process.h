/* SPDX-License-Identifier: MIT */
/* What unit tests ask of their own process, and how their children end. */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many descriptors are open, and always the same few for the counting itself. */
static inline unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned n = 0;

    while (directory && readdir(directory))
        n++;
    if (directory)
        closedir(directory);
    return n;
}

/* End a forked child, by exec: valgrind would count as lost what is its parent's. */
static inline void leave(bool fine)
{
    execlp(fine ? "true" : "false", fine ? "true" : "false", (char *)NULL);
    _exit(127);
}

/* valgrind imitates limits on descriptors in part: the kernel does not know them. */
static inline bool runs_under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "vgpreload");
}

#endif
