/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that the application may close behind our back, and whose number it may then reuse: daemons close
 * all descriptors that they do not know.  So a number alone is not ours; the file behind it is.  Ask before each use.
 * (Between the question and the use another thread may still close it: that cannot be had otherwise.)
 */
#ifndef DISPATCHD_DESCRIPTOR_H
#define DISPATCHD_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/types.h>

/* A file with an inode of its own (memfd, socket; not an epoll or a timer, which all share one). */
struct descriptor {
    int number;             /* -EBADF: none */
    dev_t device;
    ino_t inode;
};

#define DESCRIPTOR_NONE ((struct descriptor){ .number = -EBADF })

/* Remember which file `number` is.  -EBADF and others of fstat(2). */
int descriptor_remember(int number, struct descriptor *ret);

/* Is the number still that file? */
bool descriptor_is_ours(const struct descriptor *descriptor);

/* Close the number if it is still ours; then it is DESCRIPTOR_NONE. */
void descriptor_close(struct descriptor *descriptor);

#endif
