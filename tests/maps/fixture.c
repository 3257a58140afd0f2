/* SPDX-License-Identifier: MIT */
/* One map without a daemon. */
#include "fixture.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "block.h"
#include "runtime/ring.h"

#define PAGE 4096u
#define WHOLE_PAGES(size) (((size) + PAGE - 1) / PAGE * PAGE)
#define INODE 4711u             /* of lines that do not exist */

void fixture_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("# ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void allow(uint8_t *at, size_t size)
{
    if (mprotect(at, size, PROT_READ | PROT_WRITE) < 0)
        fixture_fail("mprotect: %s", strerror(errno));
}

void fixture_make(const struct map_definition *definition, struct fixture *ret)
{
    struct jit_error error = { 0 };
    struct map map = { 0 };
    uint8_t *base, *descriptor, *head, *memory;
    size_t size, whole;

    if (map_lay_out(definition, &map, &error) < 0)
        fixture_fail("a map of kind %u is refused: %s", definition->kind, error.text);
    size = WHOLE_PAGES(map.size);
    whole = PAGE + PAGE + PAGE + ARENA_HEAD_SIZE + PAGE + size + PAGE;
    base = mmap(NULL, whole, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        fixture_fail("mmap of %zu bytes: %s", whole, strerror(errno));
    descriptor = base + PAGE;
    head = descriptor + 2 * PAGE;
    memory = head + ARENA_HEAD_SIZE + PAGE + size - map.size;
    allow(descriptor, PAGE);
    allow(head, ARENA_HEAD_SIZE);
    allow(head + ARENA_HEAD_SIZE + PAGE, size);
    map.number = 1;
    map.seed = 0x243f6a8885a308d3;
    map.memory = memory - descriptor;
    map.arena = head - descriptor;
    memcpy(descriptor, &map, sizeof(map));
    mprotect(descriptor, PAGE, PROT_READ);
    *ret = (struct fixture){ block_kind(definition->kind), (const struct map *)(void *)descriptor,
                             (struct arena_head *)(void *)head, memory, base, whole };
}

void fixture_clear(struct fixture *fixture)
{
    if (fixture->base)
        munmap(fixture->base, fixture->size);
    *fixture = (struct fixture){ 0 };
}

void fixture_reset(struct fixture *fixture)
{
    memset(fixture->head, 0, sizeof(*fixture->head));
    memset(fixture->memory, 0, fixture->map->size);
}

void fixture_copy(const struct fixture *from, const struct fixture *to)
{
    memcpy(to->head, from->head, sizeof(*to->head));
    memcpy(to->memory, from->memory, to->map->size);
}

struct thread fixture_thread(unsigned index)
{
    return (struct thread){ .line = SEAT_LINE(INODE, index), .process = 100 + index, .id = 100 + index };
}

struct seat *fixture_seat(const struct fixture *fixture, unsigned index)
{
    for (unsigned i = 0; i < SEATS_MAX; i++)
        if (fixture->head->seat[i].owner == SEAT_LINE(INODE, index))
            return &fixture->head->seat[i];
    return NULL;
}

void fixture_recover(const struct fixture *fixture, unsigned index)
{
    struct seat *seat = fixture_seat(fixture, index);
    struct ring_walk walk = { 0 };

    if (!seat)
        return;
    if (seat->journal.map != 0)
        map_recover(fixture->map, seat);
    if (fixture->map->kind == BPF_MAP_TYPE_RINGBUF)
        ring_abandon(fixture->map, (uint32_t)(seat - fixture->head->seat), &walk, UINT32_MAX);
    seat->owner = 0;
}
