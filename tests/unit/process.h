/* SPDX-License-Identifier: MIT */
/* What unit tests ask of their own process, and how their children end. */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* A descriptor of a file of its own, so that its inode tells which it is; negative: there is none. */
static inline int open_some_file(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    close(ends[1]);
    return ends[0];
}

/* 0: it is not open. */
static inline ino_t inode_of(int descriptor)
{
    struct stat status;

    return fstat(descriptor, &status) < 0 ? 0 : status.st_ino;
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
