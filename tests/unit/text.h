/* SPDX-License-Identifier: MIT */
/*
 * For tests that execute what they emit: one memfd, written through one mapping and executed
 * through two others.
 */
#ifndef TESTS_TEXT_H
#define TESTS_TEXT_H

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jitcore/dispatcher.h"
#include "jitcore/image.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define TEXT_PRIVATE 4096       /* bytes that each mapping has before it, not shared; as tests fill them */

struct text {
    size_t size;
    char *write;                /* read+write */
    char *execute[2];           /* read+execute, at two addresses; their private bytes are read+write */
    struct image *image;
};

static int text_populate(void *userdata, uint64_t offset, size_t size)
{
    (void)userdata;
    (void)offset;
    (void)size;
    return 0;
}

static inline int text_new(size_t size, struct text *ret)
{
    int descriptor = memfd_create("test-text", MFD_CLOEXEC | MFD_EXEC);

    if (descriptor < 0)
        descriptor = memfd_create("test-text", MFD_CLOEXEC);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)size) < 0)
        return -errno;
    *ret = (struct text){ .size = size };
    ret->write = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    for (int i = 0; i < 2; i++) {
        char *both = mmap(NULL, TEXT_PRIVATE + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (both == MAP_FAILED || mmap(both + TEXT_PRIVATE, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED,
                                       descriptor, 0) == MAP_FAILED)
            return -errno;
        ret->execute[i] = both + TEXT_PRIVATE;
    }
    close(descriptor);
    if (ret->write == MAP_FAILED)
        return -errno;
    return image_new(ret->write, size, architecture_native(), text_populate, NULL, &ret->image);
}

static inline void text_done(struct text *text)
{
    image_free_all(text->image);
    munmap(text->write, text->size);
    for (int i = 0; i < 2; i++)
        munmap(text->execute[i] - TEXT_PRIVATE, TEXT_PRIVATE + text->size);
}

/* Make these targets: number i returns i + 1.  They stay with the image. */
static inline int text_make_targets(const struct text *text, struct dispatcher_target *ret_target, uint32_t targets)
{
    for (uint32_t i = 0; i < targets; i++) {
        struct emitter emitter;
        uint64_t offset;
        int r = image_reserve(text->image, IMAGE_GRANULE, IMAGE_FRESH, &offset);

        if (r < 0)
            return r;
        emitter_init(&emitter, image_write(text->image, offset), IMAGE_GRANULE, offset);
        architecture_native()->emit_tree(&emitter, NULL, 0, &(struct fallback){ .verdict = i + 1 });
        image_commit(text->image, offset);
        ret_target[i].code = (int64_t)offset;
    }
    return 0;
}

/* Call what stands at `offset` as a hook does, through mapping 0 or 1. */
static inline uint32_t text_call(const struct text *text, int mapping, uint64_t offset,
                                 void *context, uint32_t key)
{
    uint32_t (*code)(void *, uint32_t) =
        (uint32_t(*)(void *, uint32_t))(uintptr_t)(text->execute[mapping] + offset);

    return code(context, key);
}

#endif
