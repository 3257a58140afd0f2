/* SPDX-License-Identifier: MIT */
/* See window.h. */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "dispatchd.h"
#include "util.h"

#define PAGE 4096u

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* ---- the default window -------------------------------------------------------------------------------- */

/* Generation 0; neither 0 (outside) nor DD_LINE_UNSEEN. */
#define DEFAULT_EPOCH DD_EPOCH(0, 2)

static const struct {
    struct dd_window_head head;
    char padding[DD_WINDOW_CONTROL - sizeof(struct dd_window_head)];
    struct dd_control control;
} default_window __attribute__((aligned(PAGE))) = {
    .head = { .size = DD_WINDOW_CONTROL + sizeof(struct dd_control) },
    .control = { .epoch = DEFAULT_EPOCH, .magic = DD_CONTROL_MAGIC, .layout_version = DD_LAYOUT_VERSION },
};

_Static_assert(offsetof(__typeof__(default_window), control) == DD_WINDOW_CONTROL, "the guard loads the epoch there");

char *dd_window_base = (char *)&default_window;

/* ---- its place ----------------------------------------------------------------------------------------- */

#define ALIGNMENT ((size_t)2 << 20)     /* bytes: a huge page */
#define REACH ((size_t)0x7c000000)      /* bytes: of a relative branch, but for 64 MiB of callers */
#define HEAP_ROOM ((size_t)1 << 30)     /* bytes */

/* At this address; NULL: anywhere. */
static char *reserve(void *address, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address ? MAP_FIXED_NOREPLACE : 0);

    return mmap(address, size, PROT_NONE, flags, -1, 0);
}

/*
 * A branch to a target whose upper address bits are other than its own costs more (3 cycles a call on AMD's Zen 3, a
 * third of a hook call), and without indirect branches 2 GiB are all that a call reaches.  So a window lies below its
 * callers, where nothing grows (the heap begins behind its program), or, for a program at the bottom of the address
 * space, above and out of its heap's way; where there is no room, anywhere.  Of the window, callers need to reach the
 * first `reached` bytes: the arena is behind the text, and for it alone.
 */
static char *reserve_near(const void *callers, size_t size, size_t reached)
{
    uintptr_t address = (uintptr_t)callers & ~(uintptr_t)(ALIGNMENT - 1);
    size_t step = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    char *base = callers ? MAP_FAILED : reserve(NULL, size);

    for (size_t distance = step; base == MAP_FAILED && distance <= REACH && distance < address; distance += step)
        base = reserve((void *)(address - distance), size);
    for (size_t distance = HEAP_ROOM; base == MAP_FAILED && distance + reached <= REACH; distance += step)
        base = reserve((void *)(address + distance), size);
    return base != MAP_FAILED ? base : reserve(NULL, size);
}

/* ---- mapping ------------------------------------------------------------------------------------------- */

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)  /* nobody can shrink it under us */
#define SEALS_ALL (SEALS_SIZE | F_SEAL_FUTURE_WRITE)            /* nor write to it, but for the daemon */

/* A memfd with these seals, of this size? */
static bool memfd_is_sealed(int memfd, int wanted, uint64_t size)
{
    struct stat status;
    int seals = fcntl(memfd, F_GET_SEALS);

    return seals >= 0 && (seals & wanted) == wanted && fstat(memfd, &status) == 0 &&
           status.st_size >= 0 && (uint64_t)status.st_size == size;
}

static const char *find_mistake(const struct window_files *files, uint64_t generation, uint64_t text_size)
{
    if (generation == 0 || generation >= (uint64_t)1 << 31)
        return "the generation is out of range";
    if (text_size == 0 || text_size > DD_TEXT_SIZE_MAX || text_size % PAGE != 0)
        return "the size of the text is out of range";
    if (!memfd_is_sealed(files->control, SEALS_ALL, DD_CONTROL_SIZE))
        return "the control page is no sealed memfd of its size";
    if (!memfd_is_sealed(files->text, SEALS_ALL, text_size))
        return "the text is no sealed memfd of its size";
    if (!memfd_is_sealed(files->arena, SEALS_SIZE, DD_ARENA_SIZE))
        return "the arena is no sealed memfd of its size";
    if (!memfd_is_sealed(files->linkage, SEALS_ALL, DD_LINKAGE_SIZE))
        return "the linkage is no sealed memfd of its size";
    return NULL;
}

static const char *find_control_mistake(const struct window *window)
{
    const struct dd_control *control = (const void *)(window->base + DD_WINDOW_CONTROL);

    if (control->magic != DD_CONTROL_MAGIC)
        return "the control page has no magic number";
    if (control->layout_version != DD_LAYOUT_VERSION)
        return "the control page has another layout";
    if (control->generation != window->generation || DD_EPOCH_GENERATION(control->epoch) != window->generation)
        return "the control page is of another generation";
    if (control->text_size != window->text_size)
        return "the control page tells another size of the text";
    return NULL;
}

static int map_part(const struct window *window, uint64_t offset, uint64_t size, int protection, int flags, int memfd)
{
    void *part = mmap(window->base + offset, size, protection, flags | MAP_FIXED, memfd, 0);

    return part == MAP_FAILED ? -errno : 0;
}

static int map_private(const struct window *window, uint64_t offset, uint64_t size)
{
    return map_part(window, offset, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* The head is filled before it can be current, and read-only from then on. */
static int map_head(const struct window *window)
{
    int r = map_private(window, DD_WINDOW_HEAD, PAGE);

    if (r < 0)
        return r;
    *(struct dd_window_head *)(void *)window->base =
        (struct dd_window_head){ window->slot, window->generation, window->size };
    return mprotect(window->base, PAGE, PROT_READ) < 0 ? -errno : 0;
}

static int map_parts(const struct window *window, const struct window_files *files)
{
    int r;

    r = map_head(window);
    if (r == 0)
        r = map_part(window, DD_WINDOW_CONTROL, DD_CONTROL_SIZE, PROT_READ, MAP_SHARED, files->control);
    if (r == 0)
        r = map_part(window, DD_WINDOW_LINKAGE, DD_LINKAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, files->linkage);
    if (r == 0)
        r = map_private(window, DD_WINDOW_DATA, DD_LINKAGE_DATA_SIZE);
    if (r == 0)
        r = map_part(window, DD_WINDOW_TEXT, window->text_size, PROT_READ | PROT_EXEC, MAP_SHARED, files->text);
    if (r == 0)
        r = map_part(window, DD_WINDOW_TEXT + window->text_size, DD_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                     files->arena);
    return r;
}

static void unmap_window(struct window **window)
{
    window_unmap(*window);
}

/* One reservation, so that the distances are those of layout.h; what no part covers stays inaccessible. */
int window_map(const struct window_files *files, uint64_t generation, uint64_t text_size, unsigned slot,
               const void *callers, struct window **ret, const char **reterr_reason)
{
    _cleanup_(unmap_window) struct window *window = NULL;
    const char *mistake = find_mistake(files, generation, text_size);
    int r;

    if (!mistake) {
        window = calloc(1, sizeof *window);
        if (!window)
            return -ENOMEM;
        *window = (struct window){ NULL, DD_WINDOW_TEXT + text_size + DD_ARENA_SIZE, generation, text_size, slot };
        window->base = reserve_near(callers, window->size, DD_WINDOW_TEXT + text_size);
        if (window->base == MAP_FAILED) {
            window->base = NULL;
            return -errno;
        }
        r = map_parts(window, files);
        if (r < 0)
            return r;
        mistake = find_control_mistake(window);
    }
    if (mistake) {
        *reterr_reason = mistake;
        return -EBADMSG;
    }
    *ret = TAKE_POINTER(window);
    return 0;
}

struct dd_linkage_data *window_linkage(const struct window *window)
{
    return (struct dd_linkage_data *)(void *)(window->base + DD_WINDOW_DATA);
}

struct window *window_unmap(struct window *window)
{
    if (!window)
        return NULL;
    if (window->base)
        munmap(window->base, window->size);
    free(window);
    return NULL;
}

/* Release: the head, and the entry pointers of its slot, are there before anybody can find the base. */
void window_switch(const struct window *window)
{
    __atomic_store_n(&dd_window_base, window ? window->base : (char *)&default_window, __ATOMIC_RELEASE);
}
