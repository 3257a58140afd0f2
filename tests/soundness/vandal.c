/* SPDX-License-Identifier: MIT */
#include "vandal.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generate/random.h"

#define PAGE 4096u
#define MEMORY_SIZE (16u << 20)         /* bytes: more than the maps of generated programs need */
#define RANGES_MAX (TEST_ARENA_MAPS + 2)
#define IN_A_ROW 16                     /* words */

/* Shared by both processes.  A range that is half written is one of the memory still: sizes are looked at. */
struct vandal_board {
    uint32_t ranges;
    struct range {
        uint32_t offset, size;          /* bytes, multiples of 8 */
    } range[RANGES_MAX];
};

static uint32_t garbage(struct random *random, uint32_t bytes)
{
    switch (random_below(random, 4)) {
    case 0:
        return (uint32_t)random_edge(random);
    case 1:
        return random_below(random, bytes + 1);
    case 2:
        return 1u << random_below(random, 32);
    default:
        return random_below(random, 8);
    }
}

/* A range's beginning, where most says how the rest is read, as often as all of it. */
static void spoil(struct random *random, uint8_t *memory, uint32_t offset, uint32_t size)
{
    uint32_t words = size / 4, within = random_percent(random, 50) && words > 64 ? 64 : words, first;

    if (words == 0 || offset > MEMORY_SIZE || size > MEMORY_SIZE - offset)
        return;
    first = random_below(random, within);
    for (uint32_t i = first; i < words && i < first + IN_A_ROW; i++)
        __atomic_store_n((uint32_t *)(void *)(memory + offset) + i, garbage(random, size), __ATOMIC_RELAXED);
}

__attribute__((noreturn))
static void spoil_for_ever(const struct vandal_board *board, uint8_t *memory)
{
    struct random random = { 1 };

    for (;;) {
        uint32_t ranges = __atomic_load_n(&board->ranges, __ATOMIC_RELAXED);
        const struct range *range = &board->range[ranges ? random_below(&random, ranges) : 0];

        spoil(&random, memory, __atomic_load_n(&range->offset, __ATOMIC_RELAXED),
              __atomic_load_n(&range->size, __ATOMIC_RELAXED));
    }
}

static void *map_shared(int descriptor, size_t size)
{
    int flags = MAP_SHARED | (descriptor < 0 ? MAP_ANONYMOUS : 0);

    return mmap(NULL, size, PROT_READ | PROT_WRITE, flags, descriptor, 0);
}

int vandal_start(struct vandal *ret)
{
    struct vandal vandal = { .descriptor = memfd_create("vandal", MFD_CLOEXEC) };
    uint8_t *memory;

    if (vandal.descriptor < 0 || ftruncate(vandal.descriptor, MEMORY_SIZE) < 0)
        return -errno;
    vandal.board = map_shared(-1, sizeof(*vandal.board));
    memory = map_shared(vandal.descriptor, MEMORY_SIZE);
    if (vandal.board == MAP_FAILED || memory == MAP_FAILED)
        return -errno;
    vandal.process = fork();
    if (vandal.process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        spoil_for_ever(vandal.board, memory);
    }
    munmap(memory, MEMORY_SIZE);
    if (vandal.process < 0)
        return -errno;
    *ret = vandal;
    return 0;
}

void vandal_end(struct vandal *vandal)
{
    kill(vandal->process, SIGKILL);
    waitpid(vandal->process, NULL, 0);
    munmap(vandal->board, sizeof(*vandal->board));
    close(vandal->descriptor);
}

void vandal_wake(const struct vandal *vandal)
{
    kill(vandal->process, SIGCONT);
}

void vandal_rest(const struct vandal *vandal)
{
    kill(vandal->process, SIGSTOP);
}

/* The pages of these bytes, which end at one's end. */
static int expose(const struct vandal *vandal, void *bytes, size_t size, uint32_t *used)
{
    uintptr_t first = (uintptr_t)bytes & ~(uintptr_t)(PAGE - 1);
    uint32_t before = (uint32_t)((uintptr_t)bytes - first), pages;
    struct vandal_board *board = vandal->board;

    if (size == 0)
        return 0;
    if (size > MEMORY_SIZE / 2)
        return -E2BIG;
    pages = (before + (uint32_t)size + PAGE - 1) / PAGE * PAGE;
    if (*used + pages > MEMORY_SIZE || board->ranges == RANGES_MAX)
        return -E2BIG;
    if (mmap((void *)first, pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, vandal->descriptor, *used) ==
        MAP_FAILED)
        return -errno;
    board->range[board->ranges] = (struct range){ *used + before, (uint32_t)size & ~7u };
    /* Release: who sees that there is one more range sees the range. */
    __atomic_store_n(&board->ranges, board->ranges + 1, __ATOMIC_RELEASE);
    *used += pages;
    return 0;
}

static int expose_map(const struct vandal *vandal, const struct map *map, uint32_t *used)
{
    return map ? expose(vandal, map_memory(map), map->size, used) : 0;
}

int vandal_expose(const struct vandal *vandal, const struct interpreter *interpreter)
{
    const struct test_arena *arena = &interpreter->arena;
    const struct bytecode *bytecode = interpreter->bytecode;
    uint8_t *head = (uint8_t *)arena->trace + arena->trace->arena;
    uint32_t used = 0;
    int r;

    __atomic_store_n(&vandal->board->ranges, 0, __ATOMIC_RELAXED);
    r = expose(vandal, head, ARENA_HEAD_SIZE, &used);
    if (r == 0)
        r = expose_map(vandal, arena->trace, &used);
    for (uint32_t i = 0; r == 0 && i < arena->maps; i++)
        if (!bytecode_map_of_maps(&bytecode->region[arena->region[i]]))
            r = expose_map(vandal, arena->map[i], &used);
    for (uint32_t i = 0; r == 0 && i < bytecode->regions; i++)
        if (bytecode->region[i].kind == REGION_DATA)
            r = expose(vandal, arena->memory[i], arena->memory_size[i], &used);
    return r;
}
