/* SPDX-License-Identifier: MIT */
/*
 * The image's allocator: one bit a granule, one word of bits a page, first fit.  First fit keeps
 * code together, in few pages and few TLB entries.  The books stand beside the image and never in
 * it: what workers map holds code and poison only.
 */
#include "image.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_GRANULES (IMAGE_PAGE / IMAGE_GRANULE)

_Static_assert(PAGE_GRANULES == 64, "one bit of a uint64_t for each granule of a page");

/* The next reservation avoids the colours of so many before it. */
#define COLOURS 8

/* So many freed bytes are worth a grace period that makes them fresh, whatever the stock is. */
#define REFRESH_GRANULES (256 * 1024 / IMAGE_GRANULE)

/* Bit i of each word stands for granule i of the page. */
struct page {
    uint64_t free;              /* available; else reserved or committed */
    uint64_t executed;          /* not fresh */
    uint64_t resting;           /* free since before image_refresh_begin() */
    uint64_t last;              /* last granule of a reservation */
    uint64_t final;             /* ... of one that is committed */
    bool populated;
};

/* Free granules: fresh, not fresh, both. */
enum pool { POOL_FRESH, POOL_EXECUTED, POOL_FREE };

struct image {
    uint8_t *write;
    size_t granules;
    const struct architecture *architecture;
    image_populate *populate;
    void *userdata;
    size_t stock[2];            /* free granules, by POOL_FRESH and POOL_EXECUTED */
    bool refreshing, frozen;
    uint8_t colour[COLOURS];    /* of the latest reservations; colour[next_colour] is the oldest */
    unsigned next_colour;
    struct page page[];
};

static size_t image_pages(const struct image *image)
{
    return image->granules / PAGE_GRANULES;
}

int image_new(void *write, size_t size, const struct architecture *architecture,
              image_populate *populate, void *userdata, struct image **ret)
{
    struct image *image;

    assert(size > 0 && size % IMAGE_PAGE == 0);
    image = calloc(1, sizeof(*image) + size / IMAGE_PAGE * sizeof(image->page[0]));
    if (!image)
        return -ENOMEM;
    image->write = write;
    image->granules = size / IMAGE_GRANULE;
    image->architecture = architecture;
    image->populate = populate;
    image->userdata = userdata;
    image->stock[POOL_FRESH] = image->granules;
    memset(image->colour, UINT8_MAX, sizeof(image->colour));
    for (size_t i = 0; i < image_pages(image); i++)
        image->page[i].free = UINT64_MAX;
    *ret = image;
    return 0;
}

struct image *image_free_all(struct image *image)
{
    free(image);
    return NULL;
}

/* ---- searching ---- */

static uint64_t pool_bits(const struct page *page, enum pool pool)
{
    switch (pool) {
    case POOL_FRESH:
        return page->free & ~page->executed;
    case POOL_EXECUTED:
        return page->free & page->executed;
    case POOL_FREE:
        break;
    }
    return page->free;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* First granule of [from, to) that is in the pool (`member`) or is not; `to`: none. */
static size_t find_granule(const struct image *image, enum pool pool, bool member, size_t from, size_t to)
{
    for (size_t i = from; i < to; i = (i | (PAGE_GRANULES - 1)) + 1) {
        uint64_t bits = pool_bits(&image->page[i / PAGE_GRANULES], pool);

        bits = (member ? bits : ~bits) >> (i % PAGE_GRANULES);
        if (bits)
            return smaller(i + (size_t)__builtin_ctzll(bits), to);
    }
    return to;
}

static bool colour_is_recent(const struct image *image, size_t granule)
{
    return memchr(image->colour, (int)(granule % PAGE_GRANULES), COLOURS);
}

/* Where in the free run [start, end) to put `count` granules: room comes before colour. */
static size_t choose_colour(const struct image *image, size_t start, size_t end, size_t count)
{
    for (size_t i = start; i + count <= end && i <= start + COLOURS; i++)
        if (!colour_is_recent(image, i))
            return i;
    return start;
}

/*
 * First granule of a place for `count` granules of the pool; image->granules: none.  No more of a free run is looked at
 * than choose_colour() does: most of an image is one.
 */
static size_t find_place(const struct image *image, enum pool pool, size_t count)
{
    for (size_t start, end = 0;;) {
        start = find_granule(image, pool, true, end, image->granules);
        if (start == image->granules)
            return start;
        end = find_granule(image, pool, false, start, smaller(image->granules, start + count + COLOURS));
        if (end - start >= count)
            return choose_colour(image, start, end, count);
    }
}

/* ---- marking ---- */

static struct page *page_of(struct image *image, size_t granule, uint64_t *ret_bit)
{
    *ret_bit = UINT64_C(1) << (granule % PAGE_GRANULES);
    return &image->page[granule / PAGE_GRANULES];
}

static enum pool pool_of(const struct page *page, uint64_t bit)
{
    return page->executed & bit ? POOL_EXECUTED : POOL_FRESH;
}

/* Granules of the reservation that begins at `offset`; any other offset is a mistake of ours. */
static size_t reservation(struct image *image, uint64_t offset, bool committed)
{
    size_t start = offset / IMAGE_GRANULE, i = start;
    uint64_t bit;
    struct page *page;

    assert(offset % IMAGE_GRANULE == 0 && start < image->granules);
    if (start > 0) {
        page = page_of(image, start - 1, &bit);
        assert((page->free | page->last) & bit);
    }
    for (page = page_of(image, i, &bit); !(page->last & bit); page = page_of(image, ++i, &bit))
        assert(!(page->free & bit));
    assert(!(page->free & bit) && !(page->final & bit) == !committed);
    return i - start + 1;
}

static void take(struct image *image, size_t start, size_t count)
{
    struct page *page;
    uint64_t bit;

    for (size_t i = start; i < start + count; i++) {
        page = page_of(image, i, &bit);
        page->free &= ~bit;
        page->resting &= ~bit;
        image->stock[pool_of(page, bit)]--;
    }
    page = page_of(image, start + count - 1, &bit);
    page->last |= bit;
    image->colour[image->next_colour] = start % PAGE_GRANULES;
    image->next_colour = (image->next_colour + 1) % COLOURS;
}

static void give_back(struct image *image, uint64_t offset, size_t count)
{
    size_t start = offset / IMAGE_GRANULE;

    if (!image->frozen)
        image->architecture->poison(image->write + offset, count * IMAGE_GRANULE);
    for (size_t i = start; i < start + count; i++) {
        uint64_t bit;
        struct page *page = page_of(image, i, &bit);

        page->free |= bit;
        page->last &= ~bit;
        page->final &= ~bit;
        image->stock[pool_of(page, bit)]++;
    }
}

/* ---- transactions ---- */

static int populate_pages(struct image *image, size_t start, size_t count)
{
    for (size_t i = start / PAGE_GRANULES; i <= (start + count - 1) / PAGE_GRANULES; i++) {
        int r;

        if (image->page[i].populated)
            continue;
        r = image->populate(image->userdata, i * IMAGE_PAGE, IMAGE_PAGE);
        if (r < 0)
            return r;
        image->architecture->poison(image->write + i * IMAGE_PAGE, IMAGE_PAGE);
        image->page[i].populated = true;
    }
    return 0;
}

int image_reserve(struct image *image, size_t size, enum image_bytes kind, uint64_t *ret_offset)
{
    size_t count = size / IMAGE_GRANULE + (size % IMAGE_GRANULE != 0);
    size_t start = image->granules;
    int r;

    assert(size > 0);
    if (kind == IMAGE_ANY)
        start = find_place(image, POOL_EXECUTED, count);
    if (start == image->granules)
        start = find_place(image, kind == IMAGE_FRESH ? POOL_FRESH : POOL_FREE, count);
    if (start == image->granules)
        return -ENOSPC;
    r = populate_pages(image, start, count);
    if (r < 0)
        return r;
    take(image, start, count);
    *ret_offset = (uint64_t)start * IMAGE_GRANULE;
    return 0;
}

void *image_write(struct image *image, uint64_t offset)
{
    assert(offset < (uint64_t)image->granules * IMAGE_GRANULE);
    return image->write + offset;
}

void image_commit(struct image *image, uint64_t offset)
{
    size_t start = offset / IMAGE_GRANULE, count = reservation(image, offset, false);
    struct page *page;
    uint64_t bit;

    for (size_t i = start; i < start + count; i++) {
        page = page_of(image, i, &bit);
        page->executed |= bit;
    }
    page = page_of(image, start + count - 1, &bit);
    page->final |= bit;
}

void image_abort(struct image *image, uint64_t offset)
{
    give_back(image, offset, reservation(image, offset, false));
}

void image_release(struct image *image, uint64_t offset)
{
    give_back(image, offset, reservation(image, offset, true));
}

/* ---- the stock of fresh bytes ---- */

bool image_refresh_begin(struct image *image)
{
    size_t gain = image->stock[POOL_EXECUTED];

    assert(!image->refreshing);
    if (gain < REFRESH_GRANULES && gain <= image->stock[POOL_FRESH])
        return false;
    for (size_t i = 0; i < image_pages(image); i++)
        image->page[i].resting = pool_bits(&image->page[i], POOL_EXECUTED);
    image->refreshing = true;
    return true;
}

void image_refresh_end(struct image *image)
{
    assert(image->refreshing);
    for (size_t i = 0; i < image_pages(image); i++) {
        size_t count = (size_t)__builtin_popcountll(image->page[i].resting);

        image->stock[POOL_EXECUTED] -= count;
        image->stock[POOL_FRESH] += count;
        image->page[i].executed &= ~image->page[i].resting;
        image->page[i].resting = 0;
    }
    image->refreshing = false;
}

void image_usage(const struct image *image, struct image_usage *ret)
{
    size_t largest = 0;

    for (size_t start = 0, end; start < image->granules; start = end) {
        start = find_granule(image, POOL_FREE, true, start, image->granules);
        end = find_granule(image, POOL_FREE, false, start, image->granules);
        if (end - start > largest)
            largest = end - start;
    }
    ret->size = image->granules * IMAGE_GRANULE;
    ret->fresh = image->stock[POOL_FRESH] * IMAGE_GRANULE;
    ret->used = ret->size - ret->fresh - image->stock[POOL_EXECUTED] * IMAGE_GRANULE;
    ret->largest = largest * IMAGE_GRANULE;
}

const struct architecture *image_architecture(const struct image *image)
{
    return image->architecture;
}

void image_freeze(struct image *image)
{
    image->frozen = true;
}
