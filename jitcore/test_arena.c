/* SPDX-License-Identifier: MIT */
/* What a program's data and maps lie in, for tests. */

#include "test_arena.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "map.h"

#define PAGE ((size_t)getpagesize())
#define TRACE_SIZE 65536u       /* bytes */
#define COUNTERS_SIZE (THREAD_AT + sizeof(struct thread))
#define DESCRIPTORS_SIZE ((TEST_ARENA_MAPS + 1) * sizeof(struct map))

/* ---- services ---- */

static __thread uint64_t now;

/* The frame of a function begins behind its return address and the caller's frame pointer. */
#define IS_ALIGNED() ((uintptr_t)__builtin_frame_address(0) % 16 == 0)

static uint64_t read_clock(void)
{
    return IS_ALIGNED() ? now += 1000 : TEST_ARENA_MISALIGNED;
}

static uint64_t processor(void)
{
    return IS_ALIGNED() ? 3 : TEST_ARENA_MISALIGNED;
}

uint64_t test_arena_native(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    return IS_ALIGNED() ? a + 2 * b + 3 * c + 4 * d + 5 * e : TEST_ARENA_MISALIGNED;
}

uint64_t (*const test_arena_service[SERVICES])(void) = {
    [SERVICE_CLOCK] = read_clock,
    [SERVICE_BOOT_CLOCK] = read_clock,
    [SERVICE_PROCESSOR] = processor,
};

/* ---- rooms ---- */

static size_t pages(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

/* Memory between two pages that fault, its end at one of them.  Called twice: without `base` it only counts. */
struct rooms {
    uint8_t *base;
    size_t used;                /* bytes of address space, with the page behind the last one */
    int error;
};

static uint8_t *open_room(struct rooms *rooms, size_t size)
{
    size_t at = rooms->used;
    uint8_t *first;

    rooms->used += pages(size) + PAGE;
    if (!rooms->base)
        return NULL;
    first = rooms->base + at;
    if (size > 0 && mprotect(first, pages(size), PROT_READ | PROT_WRITE) < 0)
        rooms->error = -errno;
    return first + pages(size) - (size + 7) / 8 * 8;
}

/* ---- maps ---- */

static bool holds_maps(const struct bytecode_region *region)
{
    return region->kind == REGION_MAP &&
           (region->map_type == BPF_MAP_TYPE_ARRAY_OF_MAPS || region->map_type == BPF_MAP_TYPE_HASH_OF_MAPS);
}

static int lay_out(const struct bytecode_region *region, uint32_t number, struct map *ret, struct jit_error *error)
{
    const struct map_definition definition = {
        .kind = region->map_type, .key_size = region->key_size, .value_size = region->value_size,
        .max_entries = region->max_entries, .flags = region->map_flags,
    };
    int r = map_lay_out(&definition, ret, error);

    ret->number = number;
    ret->seed = 0x5eed;
    return r;
}

/* All descriptors, with what they are apart from where their memory is; at `map` those of trace and of arena->maps. */
static int lay_out_all(const struct bytecode *bytecode, struct map *map, struct test_arena *arena,
                       struct jit_error *error)
{
    const struct bytecode_region trace = { .map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = TRACE_SIZE };
    int r = lay_out(&trace, 1, &map[TEST_ARENA_MAPS], error);

    arena->maps = bytecode->regions;
    for (uint32_t i = 0; r == 0 && i < bytecode->regions; i++) {
        const struct bytecode_region *region = &bytecode->region[i];

        arena->region[i] = i;
        if (region->kind == REGION_MAP)
            r = lay_out(region, 2 + i, &map[i], error);
        for (unsigned n = 0; r == 0 && holds_maps(region) && n < TEST_ARENA_INNER; n++) {
            arena->region[arena->maps] = region->inner;
            r = lay_out(&bytecode->region[region->inner], 2 + arena->maps, &map[arena->maps], error);
            arena->maps++;
        }
    }
    return r;
}

static void connect(struct map *map, const uint8_t *memory, const uint8_t *head)
{
    map->memory = memory - (const uint8_t *)map;
    map->arena = head - (const uint8_t *)map;
}

/* ---- all of it ---- */

/* Counts, or where there is a base opens, all rooms; the descriptors in `from` are copied to theirs. */
static void open_rooms(const struct bytecode *bytecode, const struct map *from, struct test_arena *arena,
                       struct rooms *rooms)
{
    struct map *descriptor = (struct map *)(void *)open_room(rooms, DESCRIPTORS_SIZE);
    uint8_t *head = open_room(rooms, ARENA_HEAD_SIZE), *memory;

    arena->counters = open_room(rooms, COUNTERS_SIZE);
    if (rooms->base && rooms->error == 0)
        memcpy(descriptor, from, DESCRIPTORS_SIZE);
    for (uint32_t i = 0; i <= TEST_ARENA_MAPS && rooms->error == 0; i++) {
        size_t size = from[i].kind ? from[i].size : 0;

        if (i < bytecode->regions && bytecode->region[i].kind == REGION_DATA)
            size = bytecode->region[i].size;
        if (size == 0)
            continue;
        memory = open_room(rooms, size);
        if (!rooms->base || rooms->error < 0)
            continue;
        if (from[i].kind)
            connect(&descriptor[i], memory, head);
        if (i < bytecode->regions) {
            arena->memory[i] = memory;
            arena->memory_size[i] = size;
        }
        if (from[i].kind && i < TEST_ARENA_MAPS)
            arena->map[i] = &descriptor[i];
    }
    arena->trace = rooms->base ? &descriptor[TEST_ARENA_MAPS] : NULL;
}

/* The thread whose programs run: the same in each run. */
static void fill_thread(struct test_arena *arena)
{
    arena->thread = (struct thread *)(void *)(arena->counters + THREAD_AT);
    *arena->thread = (struct thread){ .line = SEAT_LINE(1, 1), .process = 1000, .id = 1001, .random = 1 };
    now = 0;
}

static int fill_maps_of_maps(const struct bytecode *bytecode, struct test_arena *arena)
{
    uint32_t inner = bytecode->regions;
    long r = 0;

    for (uint32_t i = 0; i < bytecode->regions; i++)
        for (uint32_t n = 0; holds_maps(&bytecode->region[i]) && n < TEST_ARENA_INNER; n++, inner++) {
            uint8_t key[512] = { (uint8_t)n };
            int64_t distance = (uint8_t *)arena->map[inner] - (uint8_t *)arena->map[i];
            const struct map_kind *kind = map_kind_find(arena->map[i]->kind);

            r = kind->call_update(arena->map[i], key, &distance, 0, 0, arena->thread);
            if (r < 0 && r != -E2BIG)           /* a map of one entry */
                return (int)r;
        }
    return 0;
}

static void fill_regions(const struct bytecode *bytecode, const struct test_arena *arena)
{
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        uint8_t *bytes = test_arena_bytes(arena, i);

        if (bytes && bytecode->region[i].contents)
            memcpy(bytes, bytecode->region[i].contents, bytecode->region[i].size);
    }
}

static int make(const struct bytecode *bytecode, const struct map *map, size_t room, struct test_arena *arena)
{
    struct rooms rooms = { .used = room + PAGE };

    open_rooms(bytecode, map, arena, &rooms);
    arena->size = rooms.used;
    arena->base = mmap(NULL, arena->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena->base == MAP_FAILED) {
        arena->base = NULL;
        return -errno;
    }
    rooms = (struct rooms){ .base = arena->base, .used = room + PAGE };
    open_rooms(bytecode, map, arena, &rooms);
    if (rooms.error < 0)
        return rooms.error;
    fill_thread(arena);
    fill_regions(bytecode, arena);
    return fill_maps_of_maps(bytecode, arena);
}

int test_arena_new(const struct bytecode *bytecode, size_t room, struct test_arena *ret, struct jit_error *error)
{
    struct test_arena arena = { .base = NULL };
    struct map map[TEST_ARENA_MAPS + 1] = { { 0 } };
    int r = lay_out_all(bytecode, map, &arena, error);

    if (r == 0)
        r = make(bytecode, map, room, &arena);
    if (r < 0)
        test_arena_clear(&arena);
    else
        *ret = arena;
    return r;
}

uint8_t *test_arena_bytes(const struct test_arena *arena, uint32_t region)
{
    const struct map *map = arena->map[region];

    if (!map)
        return arena->memory[region];
    return map->kind == BPF_MAP_TYPE_ARRAY ? arena->memory[region] + map->elements_at : NULL;
}

void test_arena_copy_trace(const struct test_arena *arena, struct map *to)
{
    int64_t moved = (const uint8_t *)arena->trace - (const uint8_t *)to;

    *to = *arena->trace;
    to->memory += moved;
    to->arena += moved;
}

void test_arena_clear(struct test_arena *arena)
{
    if (arena->base)
        munmap(arena->base, arena->size);
    *arena = (struct test_arena){ .base = NULL };
}
