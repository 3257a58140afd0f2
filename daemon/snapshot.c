/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <dispatchd/layout.h>

#include "arena.h"
#include "runtime/seat.h"
#include "util.h"

#define NAME "arena.snapshot"
#define NEW_NAME NAME ".new"
#define CHUNK ((size_t)1 << 20)         /* bytes read and written at once */

struct extent {
    uint64_t offset, size;
};

/* A file that is written or read from begin to end, and its digest so far. */
struct file {
    int descriptor;
    struct sha256_ctx digest;
    uint8_t *chunk;                     /* CHUNK bytes */
};

static void file_done(struct file *file)
{
    close_descriptor(&file->descriptor);
    free(file->chunk);
}

static int file_open(struct file *file, int directory, const char *name, int flags)
{
    *file = (struct file){ .chunk = malloc(CHUNK) };
    file->descriptor = openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    sha256_init(&file->digest);
    if (file->descriptor < 0)
        return -errno;
    return file->chunk ? 0 : -ENOMEM;
}

static int open_directory(const char *path)
{
    return RETURN_ERRNO(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static int put(struct file *file, const void *bytes, size_t size)
{
    sha256_update(&file->digest, size, bytes);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(file->descriptor, (const uint8_t *)bytes + done, size - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

struct writing {
    struct file file;
    int memfd;
    size_t bytes;
    int result;
};

static int put_extent(struct writing *writing, struct extent extent)
{
    int r = put(&writing->file, &extent, sizeof(extent));

    for (uint64_t at = extent.offset, end = at + extent.size; r >= 0 && at < end;) {
        ssize_t n = pread(writing->memfd, writing->file.chunk, end - at < CHUNK ? end - at : CHUNK, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        r = put(&writing->file, writing->file.chunk, (size_t)n);
        at += (uint64_t)n;
    }
    writing->bytes += extent.size;
    return r;
}

/* What was written to of one range.  Workers may move the file's position meanwhile: only what a call returns counts. */
static void put_range(void *userdata, uint64_t offset, size_t size)
{
    struct writing *writing = userdata;
    uint64_t end = offset + size;

    while (writing->result >= 0 && offset < end) {
        off_t data = lseek(writing->memfd, (off_t)offset, SEEK_DATA), hole;

        if (data < (off_t)offset || (uint64_t)data >= end)
            return;
        hole = lseek(writing->memfd, data, SEEK_HOLE);
        offset = hole > data && (uint64_t)hole < end ? (uint64_t)hole : end;
        writing->result = put_extent(writing, (struct extent){ (uint64_t)data, offset - (uint64_t)data });
    }
}

static int put_all(struct writing *writing, const struct arena *arena, const char *identity)
{
    struct snapshot_head head = {
        .magic = SNAPSHOT_MAGIC, .arena_version = ARENA_VERSION, .layout_version = DD_LAYOUT_VERSION, .arena_size = DD_ARENA_SIZE,
    };
    uint8_t digest[SHA256_DIGEST_SIZE];

    snprintf(head.identity, sizeof(head.identity), "%s", identity);
    writing->result = put(&writing->file, &head, sizeof(head));
    arena_each(arena, put_range, writing);
    if (writing->result >= 0)
        writing->result = put(&writing->file, &(struct extent){ 0 }, sizeof(struct extent));
    sha256_digest(&writing->file.digest, sizeof(digest), digest);
    if (writing->result >= 0)
        writing->result = put(&writing->file, digest, sizeof(digest));
    if (writing->result >= 0 && fsync(writing->file.descriptor) < 0)
        writing->result = -errno;
    return writing->result;
}

int snapshot_write(const char *path, const struct arena *arena, int memfd, const char *identity, size_t *ret_bytes)
{
    _cleanup_close_ int directory = open_directory(path);
    struct writing writing = { .memfd = memfd };
    int r;

    if (directory < 0)
        return directory;
    r = file_open(&writing.file, directory, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC);
    if (r >= 0)
        r = put_all(&writing, arena, identity);
    if (r >= 0 && renameat(directory, NEW_NAME, directory, NAME) < 0)
        r = -errno;
    if (r >= 0 && fsync(directory) < 0)
        r = -errno;
    file_done(&writing.file);
    if (r < 0) {
        unlinkat(directory, NEW_NAME, 0);
        unlinkat(directory, NAME, 0);
        return r;
    }
    *ret_bytes = writing.bytes;
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* All of `size`, or -EBADMSG. */
static int get(struct file *file, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(file->descriptor, (uint8_t *)bytes + done, size - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EBADMSG;
        done += n < 0 ? 0 : (size_t)n;
    }
    sha256_update(&file->digest, size, bytes);
    return 0;
}

static int get_head(struct file *file, struct snapshot_head *ret)
{
    int r = get(file, ret, sizeof(*ret));

    if (r < 0)
        return r;
    if (ret->magic != SNAPSHOT_MAGIC || !memchr(ret->identity, 0, sizeof(ret->identity)))
        return -EBADMSG;
    return ret->arena_version == ARENA_VERSION && ret->layout_version == DD_LAYOUT_VERSION &&
           ret->arena_size == DD_ARENA_SIZE ? 0 : -EPROTO;
}

static int get_extent(struct file *file, const struct extent *extent, int memfd)
{
    for (uint64_t done = 0; done < extent->size;) {
        size_t size = extent->size - done < CHUNK ? extent->size - done : CHUNK;
        ssize_t n;
        int r = get(file, file->chunk, size);

        if (r < 0)
            return r;
        n = pwrite(memfd, file->chunk, size, (off_t)(extent->offset + done));
        if (n != (ssize_t)size)
            return n < 0 ? -errno : -ENOSPC;
        done += size;
    }
    return 0;
}

static int get_extents(struct file *file, int memfd, size_t *ret_bytes)
{
    uint64_t end = 0;                   /* of the extent before */
    struct extent extent;
    size_t bytes = 0;
    int r;

    for (;;) {
        r = get(file, &extent, sizeof(extent));
        if (r < 0)
            return r;
        if (extent.size == 0)
            break;
        if (extent.offset < end || extent.offset > DD_ARENA_SIZE || extent.size > DD_ARENA_SIZE - extent.offset)
            return -EBADMSG;
        r = get_extent(file, &extent, memfd);
        if (r < 0)
            return r;
        end = extent.offset + extent.size;
        bytes += extent.size;
    }
    *ret_bytes = bytes;
    return 0;
}

/* What it is of the file before it, it must say itself. */
static int check_digest(struct file *file)
{
    uint8_t wanted[SHA256_DIGEST_SIZE], found[SHA256_DIGEST_SIZE];
    int r;

    sha256_digest(&file->digest, sizeof(wanted), wanted);
    r = get(file, found, sizeof(found));
    if (r < 0)
        return r;
    return memcmp(wanted, found, sizeof(wanted)) == 0 ? 0 : -EBADMSG;
}

/* memfd -1: the head alone. */
static int read_file(const char *path, int memfd, struct snapshot_head *ret, size_t *ret_bytes)
{
    _cleanup_close_ int directory = open_directory(path);
    struct file file;
    int r;

    if (directory < 0)
        return directory;
    r = file_open(&file, directory, NAME, O_RDONLY);
    if (r >= 0)
        r = get_head(&file, ret);
    if (r >= 0 && memfd >= 0)
        r = get_extents(&file, memfd, ret_bytes);
    if (r >= 0 && memfd >= 0)
        r = check_digest(&file);
    file_done(&file);
    return r;
}

int snapshot_identity(const char *directory, char identity[SNAPSHOT_IDENTITY_MAX])
{
    struct snapshot_head head;
    int r = read_file(directory, -1, &head, NULL);

    if (r >= 0)
        memcpy(identity, head.identity, sizeof(head.identity));
    return r;
}

int snapshot_read(const char *directory, int memfd, size_t *ret_bytes)
{
    struct snapshot_head head;

    return read_file(directory, memfd, &head, ret_bytes);
}

int snapshot_remove(const char *path)
{
    _cleanup_close_ int directory = open_directory(path);

    if (directory < 0)
        return directory;
    if (unlinkat(directory, NAME, 0) < 0)
        return errno == ENOENT ? 0 : -errno;
    return RETURN_ERRNO(fsync(directory));
}
