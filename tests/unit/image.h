/* SPDX-License-Identifier: MIT */
/*
 * What a daemon sends, made by hand: a control page, a text with real code, an arena, sealed.
 * For the client's unit tests.
 */
#ifndef TESTS_IMAGE_H
#define TESTS_IMAGE_H

#include <dispatchd/layout.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_TEXT_SIZE 0x2000u
#define IMAGE_ENTRY 0x40u               /* offset of the first entry; IMAGE_ENTRY_DISTANCE apart */
#define IMAGE_ENTRY_DISTANCE 0x40u
#define IMAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x0010 /* F_SEAL_FUTURE_WRITE */)
#define IMAGE_ARENA_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct image {
    int control, text, arena, linkage;
    struct dd_control *page;            /* writable: mapped before the seal */
};

static inline int image_memfd(const char *name, size_t size)
{
    int memfd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    return memfd >= 0 && ftruncate(memfd, (off_t)size) < 0 ? -errno : memfd;
}

/* An entry that returns a constant: endbr64; mov eax, verdict; ret. */
static inline void image_write_entry(int text, unsigned entry, uint32_t verdict)
{
    uint8_t code[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 0, 0, 0, 0, 0xc3 };

    memcpy(&code[5], &verdict, sizeof verdict);
    if (pwrite(text, code, sizeof code, IMAGE_ENTRY + entry * IMAGE_ENTRY_DISTANCE) != sizeof code)
        _exit(99);
}

/* Not sealed yet. */
static inline struct image image_new(uint64_t generation, uint32_t verdict)
{
    struct image image = {
        image_memfd("control", DD_CONTROL_SIZE), image_memfd("text", IMAGE_TEXT_SIZE),
        image_memfd("arena", DD_ARENA_SIZE), image_memfd("linkage", DD_LINKAGE_SIZE), NULL,
    };

    image.page = mmap(NULL, DD_CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, image.control, 0);
    if (image.control < 0 || image.text < 0 || image.arena < 0 || image.page == MAP_FAILED)
        _exit(99);
    *image.page = (struct dd_control){
        .epoch = DD_EPOCH(generation, 1),
        .magic = DD_CONTROL_MAGIC,
        .layout_version = DD_LAYOUT_VERSION,
        .generation = generation,
        .text_size = IMAGE_TEXT_SIZE,
    };
    for (unsigned entry = 0; entry < 8; entry++)
        image_write_entry(image.text, entry, verdict + entry);
    return image;
}

static inline void image_seal(const struct image *image)
{
    if (fcntl(image->control, F_ADD_SEALS, IMAGE_SEALS) < 0 || fcntl(image->text, F_ADD_SEALS, IMAGE_SEALS) < 0 ||
        fcntl(image->arena, F_ADD_SEALS, IMAGE_ARENA_SEALS) < 0 ||
        fcntl(image->linkage, F_ADD_SEALS, IMAGE_SEALS) < 0)
        _exit(99);
}

static inline struct image image_sealed(uint64_t generation, uint32_t verdict)
{
    struct image image = image_new(generation, verdict);

    image_seal(&image);
    return image;
}

static inline void image_done(struct image *image)
{
    munmap(image->page, DD_CONTROL_SIZE);
    close(image->control);
    close(image->text);
    close(image->arena);
    close(image->linkage);
}

#endif
