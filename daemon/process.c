/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77                 /* Linux 6.5 */
#endif

/* Field 22 of /proc/PID/stat; the command's name before it may contain anything, so count from its last ')'. */
int process_start_time(pid_t pid, uint64_t *ret)
{
    char path[64], text[1024], *field;
    FILE *file;
    size_t length;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return -errno;
    length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = 0;
    field = strrchr(text, ')');
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    if (!field)
        return -EBADMSG;
    *ret = strtoull(field, NULL, 10);
    return 0;
}

int process_pidfd(pid_t pid)
{
    return RETURN_ERRNO((int)syscall(SYS_pidfd_open, pid, 0));
}

int process_open(pid_t pid, uint64_t start_time)
{
    _cleanup_close_ int pidfd = process_pidfd(pid);
    uint64_t found = 0;

    if (pidfd >= 0 && (process_start_time(pid, &found) < 0 || found != start_time))
        return -ESRCH;
    return TAKE_DESCRIPTOR(pidfd);
}

int process_peer_pidfd(int socket, pid_t pid)
{
    int pidfd;
    socklen_t length = sizeof(pidfd);

    if (!getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length))
        return pidfd;
    return process_pidfd(pid);
}
