/* SPDX-License-Identifier: MIT */
/* See descriptor.h. */
#include "descriptor.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

int descriptor_remember(int number, struct descriptor *ret)
{
    struct stat status;

    if (fstat(number, &status) < 0)
        return -errno;
    *ret = (struct descriptor){ number, status.st_dev, status.st_ino };
    return 0;
}

bool descriptor_is_ours(const struct descriptor *descriptor)
{
    struct stat status;

    return descriptor->number >= 0 && fstat(descriptor->number, &status) == 0 &&
           status.st_dev == descriptor->device && status.st_ino == descriptor->inode;
}

void descriptor_close(struct descriptor *descriptor)
{
    if (descriptor_is_ours(descriptor))
        close(descriptor->number);
    *descriptor = DESCRIPTOR_NONE;
}
