/* SPDX-License-Identifier: MIT */
/* See lines.h. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "serialise.h"
#include "util.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define PAGE 4096u

/* Written under the library's lock, read by all threads.  Release and acquire: who sees the pointer sees the set. */
static struct lines *current;

/*
 * Guards handing out.  Its holder has all signals blocked, so that no handler of the same thread can wait for it.
 * fork_child resets it: another thread of the parent may have held it.
 */
static unsigned char claiming;

static void claim_lock(void)
{
    while (__atomic_test_and_set(&claiming, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void claim_unlock(void)
{
    __atomic_clear(&claiming, __ATOMIC_RELEASE);
}

/* ---- sets ---------------------------------------------------------------------------------------------- */

static int make_memfd(int *ret)
{
    _cleanup_close_ int memfd = memfd_create("dispatchd-lines", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct rlimit limit;

    if (memfd < 0)
        return -errno;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < DD_LINES_FILE_SIZE)
        return -EFBIG;                  /* ftruncate would end the process with SIGXFSZ */
    if (ftruncate(memfd, DD_LINES_FILE_SIZE) < 0 || fcntl(memfd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    *ret = TAKE_DESCRIPTOR(memfd);
    return 0;
}

/*
 * Allocate the page at `address` of a map, before anybody relies on it: a full /dev/shm or memory group is an error now
 * and no SIGBUS later.  Page by page, as lines are handed out, since most processes have few threads and each
 * forked child has lines of its own.
 */
static int populate(const void *address)
{
    return madvise((void *)((uintptr_t)address & ~(uintptr_t)(PAGE - 1)), PAGE, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

/* address: NULL, or where the set was in the parent of a fork. */
static int map_lines(int memfd, void *address, struct dd_lines **ret)
{
    struct dd_lines *map;
    int r;

    map = mmap(address, DD_LINES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (address ? MAP_FIXED : 0), memfd, 0);
    if (map == MAP_FAILED)
        return -errno;
    r = populate(map);
    if (r < 0) {
        if (!address)
            munmap(map, DD_LINES_SIZE);
        return r;
    }
    map->magic = DD_LINES_MAGIC;
    map->layout_version = DD_LAYOUT_VERSION;
    *ret = map;
    return 0;
}

int lines_new(struct lines **ret)
{
    _cleanup_close_ int memfd = -EBADF;
    _cleanup_free_ struct lines *lines = calloc(1, sizeof *lines);
    int r;

    if (!lines)
        return -ENOMEM;
    r = make_memfd(&memfd);
    if (r < 0)
        return r;
    r = descriptor_remember(memfd, &lines->memfd);
    if (r < 0)
        return r;
    r = map_lines(memfd, NULL, &lines->map);
    if (r < 0)
        return r;
    if (madvise(lines->map, DD_LINES_SIZE, MADV_DONTFORK) < 0) {
        r = -errno;
        munmap(lines->map, DD_LINES_SIZE);
        return r;
    }
    TAKE_DESCRIPTOR(memfd);
    *ret = TAKE_POINTER(lines);
    return 0;
}

struct lines *lines_current(void)
{
    return __atomic_load_n(&current, __ATOMIC_ACQUIRE);
}

/*
 * Map the counters of a line.  address: NULL, or where they were in the parent of a fork.  Where the application has
 * closed the memfd they are private: nobody reads them until the process has new lines.  In a process that locks its
 * memory (mlockall) all of them would be allocated: so they may be accessed only once they are unlocked.
 */
static int map_counters(struct lines *lines, size_t index, void *address)
{
    bool ours = descriptor_is_ours(&lines->memfd);
    int flags = (ours ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) | (address ? MAP_FIXED : 0);
    void *map;
    int r;

    map = mmap(address, DD_LINE_COUNTERS_SIZE, PROT_NONE, flags, ours ? lines->memfd.number : -1,
               ours ? (off_t)DD_LINE_COUNTERS(index) : 0);
    if (map == MAP_FAILED)
        return -errno;
    munlock(map, DD_LINE_COUNTERS_SIZE);
    madvise(map, DD_LINE_COUNTERS_SIZE, MADV_DONTDUMP);         /* a core file would have them all */
    if (mprotect(map, DD_LINE_COUNTERS_SIZE, PROT_READ | PROT_WRITE) < 0 ||
        madvise(map, DD_LINE_COUNTERS_SIZE, MADV_DONTFORK) < 0) {
        r = -errno;
        munmap(map, DD_LINE_COUNTERS_SIZE);
        return r;
    }
    lines->counters[index] = map;
    if (lines->counted <= index)
        lines->counted = index + 1;
    return 0;
}

static bool contains(const struct lines *lines, const struct dd_line *line)
{
    return line >= lines->map->line && line < lines->map->line + DD_LINES_MAX;
}

bool lines_is_current(const struct dd_line *line)
{
    return contains(lines_current(), line);
}

/*
 *   0 is there a barrier at all?  Later it would be too late to go back;
 *   1 make the new set current;
 *   2 a barrier in all threads: a thread that has stored `last` into an old line, and then still saw the old set as
 *     the current one (dd_thread_renew), has made that store visible, so that step 3 comes after it;
 *   3 forget `last` in every old line, so that the next guard of its thread finds that it must go over.
 */
int lines_replace(struct lines *lines)
{
    struct lines *old = current;
    uint32_t used;
    int r;

    r = barrier_process();                                          /* 0 */
    if (r < 0)
        return r;
    lines->older = old;
    __atomic_store_n(&current, lines, __ATOMIC_RELEASE);            /* 1 */
    if (!old)
        return 0;
    barrier_process();                                              /* 2 */
    used = __atomic_load_n(&old->map->used, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < used; i++)                             /* 3 */
        __atomic_store_n(&old->map->line[i].last, DD_LINE_UNSEEN, __ATOMIC_RELAXED);
    return 0;
}

/* The futex word of a mutex, which glibc keeps first and the kernel knows. */
static uint32_t owner_of(const struct dd_line *line)
{
    return __atomic_load_n((const uint32_t *)(const void *)&line->owner, __ATOMIC_ACQUIRE);
}

static bool line_is_past(const struct dd_line *line, uint64_t generation)
{
    uint64_t word = __atomic_load_n(&line->word, __ATOMIC_ACQUIRE);

    if (word == 0 || (word != DD_LINE_UNSEEN && DD_EPOCH_GENERATION(word) == generation))
        return true;
    return (owner_of(line) & FUTEX_OWNER_DIED) != 0;
}

bool lines_are_past(uint64_t generation)
{
    for (const struct lines *lines = lines_current(); lines; lines = lines->older) {
        uint32_t used = __atomic_load_n(&lines->map->used, __ATOMIC_ACQUIRE);

        for (uint32_t i = 0; i < used; i++)
            if (!line_is_past(&lines->map->line[i], generation))
                return false;
    }
    return true;
}

/* The calling thread's line in a set; -1: it has none. */
static int find_own_line(const struct lines *lines)
{
    uint32_t used = __atomic_load_n(&lines->map->used, __ATOMIC_ACQUIRE);
    uint32_t thread = (uint32_t)gettid();

    for (uint32_t i = 0; i < used; i++)
        if ((owner_of(&lines->map->line[i]) & FUTEX_TID_MASK) == thread)
            return (int)i;
    return -1;
}

bool lines_in_guard(void)
{
    for (const struct lines *lines = lines_current(); lines; lines = lines->older) {
        int own = find_own_line(lines);

        if (own >= 0 && __atomic_load_n(&lines->map->line[own].word, __ATOMIC_RELAXED) != 0)
            return true;
    }
    return false;
}

/*
 * A thread enters each guard with what it remembers in `last`, so the word may be the same in the next: with `last`
 * forgotten that one differs, and is long enough to be seen where the time between two is not.  As in lines_replace(),
 * a store that the thread overwrites meanwhile is made again at the next look.
 */
static bool guard_has_ended(struct dd_line *line, uint64_t *word)
{
    uint64_t now = __atomic_load_n(&line->word, __ATOMIC_ACQUIRE);

    if (now == 0 || (*word && now != *word) || (owner_of(line) & FUTEX_OWNER_DIED))
        return true;
    *word = now;
    if (now != DD_LINE_UNSEEN)
        __atomic_store_n(&line->last, DD_LINE_UNSEEN, __ATOMIC_RELAXED);
    return false;
}

bool lines_wait_step(struct lines_wait *wait)
{
    if (!wait->lines)
        wait->lines = lines_current();
    for (; wait->lines; wait->lines = wait->lines->older, wait->index = 0) {
        struct dd_lines *map = wait->lines->map;

        for (; wait->index < __atomic_load_n(&map->used, __ATOMIC_ACQUIRE); wait->index++, wait->word = 0)
            if (!guard_has_ended(&map->line[wait->index], &wait->word))
                return false;
    }
    return true;
}

/* ---- handing out --------------------------------------------------------------------------------------- */

static int init_owner(pthread_mutex_t *owner)
{
    pthread_mutexattr_t attributes;
    int r;

    r = pthread_mutexattr_init(&attributes);
    if (r != 0)
        return -r;
    r = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (r == 0)
        r = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (r == 0)
        r = pthread_mutex_init(owner, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return -r;
}

/* Lock a line that nobody owns: it is fresh, or its thread has ended, perhaps inside a guard. */
static bool take_line(struct dd_line *line)
{
    int r = pthread_mutex_trylock(&line->owner);

    if (r == EOWNERDEAD)
        r = pthread_mutex_consistent(&line->owner);
    return r == 0;
}

/* The first line that was never handed out. */
static struct dd_line *take_fresh_line(struct dd_lines *map)
{
    uint32_t index = map->used;
    struct dd_line *line;

    if (index >= DD_LINES_MAX)
        return NULL;
    line = &map->line[index];
    if (((uintptr_t)line & (PAGE - 1)) == 0 && populate(line) < 0)
        return NULL;
    if (init_owner(&line->owner) < 0 || !take_line(line))
        return NULL;
    /* Before the thread's first store to the line's word, so that a daemon which sees too small a number and polls
     * after its membarrier misses no guard: a guard stored before that barrier lies below `used`, and one stored
     * after it sees the bumped epoch. */
    __atomic_store_n(&map->used, index + 1, __ATOMIC_RELEASE);
    return line;
}

static struct dd_line *take_any_line(struct dd_lines *map)
{
    for (uint32_t i = 0; i < map->used; i++)
        if (take_line(&map->line[i]))
            return &map->line[i];
    return take_fresh_line(map);
}

static bool has_counters(struct lines *lines, const struct dd_line *line)
{
    size_t index = (size_t)(line - lines->map->line);

    return lines->counters[index] || map_counters(lines, index, NULL) >= 0;
}

/*
 * Tell the image's code whose line it is.  All signals are blocked: a handler's program sees all of it or nothing.  The
 * seat, which it finds by the line's name, stays the line's, and so does a change that the line's former thread died
 * in: that this is another thread is told before it begins anything.  (doc/model need not know: no wait looks at it.)
 */
static void introduce_thread(const struct lines *lines, const struct dd_line *line)
{
    size_t index = (size_t)(line - lines->map->line);
    struct dd_line_thread *thread = (void *)((char *)lines->counters[index] + DD_LINE_THREAD);

    thread->line = lines->memfd.inode ? DD_LINE_NAME(lines->memfd.inode, index) : 0;
    thread->process = (uint32_t)getpid();
    thread->id = (uint32_t)gettid();
    __atomic_store_n(&thread->taken, thread->taken + 1, __ATOMIC_RELEASE);
}

struct dd_line *lines_claim(void)
{
    struct lines *lines = lines_current();
    struct dd_line *line;

    if (!lines)
        return NULL;
    claim_lock();
    line = take_any_line(lines->map);
    if (line && !has_counters(lines, line)) {
        pthread_mutex_unlock(&line->owner);
        line = NULL;
    }
    if (line) {
        __atomic_store_n(&line->word, 0, __ATOMIC_RELAXED);     /* a dead owner may have left a guard */
        line->last = DD_LINE_UNSEEN;
        line->leaked = 0;
        introduce_thread(lines, line);
    }
    claim_unlock();
    return line;
}

void *lines_counters(const struct dd_line *line)
{
    const struct lines *lines = lines_current();

    while (!contains(lines, line))
        lines = lines->older;
    return lines->counters[line - lines->map->line];
}

/* ---- forking ------------------------------------------------------------------------------------------- */

/* All lines up to the forking thread's are there and free, its own holds what it holds in the parent. */
static int fill_child_lines(const struct lines *parent, struct dd_lines *child)
{
    int r;

    for (int i = 0; i <= parent->forking; i++) {
        if (((uintptr_t)&child->line[i] & (PAGE - 1)) == 0) {
            r = populate(&child->line[i]);
            if (r < 0)
                return r;
        }
        if (i == parent->forking)
            child->line[i] = parent->copy;
        r = init_owner(&child->line[i].owner);
        if (r < 0)
            return r;
    }
    child->used = (uint32_t)(parent->forking + 1);
    return 0;
}

static void remember_own_lines(void)
{
    for (struct lines *lines = lines_current(); lines; lines = lines->older) {
        lines->forking = find_own_line(lines);
        if (lines->forking >= 0)
            lines->copy = lines->map->line[lines->forking];
    }
}

int lines_prepare_fork(int *ret_memfd)
{
    _cleanup_close_ int memfd = -EBADF;
    struct dd_lines *child;
    int r;

    remember_own_lines();
    r = make_memfd(&memfd);
    if (r < 0)
        return r;
    r = map_lines(memfd, NULL, &child);
    if (r < 0)
        return r;
    r = fill_child_lines(lines_current(), child);
    munmap(child, DD_LINES_SIZE);
    if (r < 0)
        return r;
    *ret_memfd = TAKE_DESCRIPTOR(memfd);
    return 0;
}

/*
 * The forking thread's line, with counters where the parent had them: the thread may have forked in a program that counts.
 * Nobody else has seen the line: it is free.
 */
static int take_own_line(struct lines *lines)
{
    int r;

    for (size_t i = 0; i < lines->counted; i++)
        if ((int)i != lines->forking)
            lines->counters[i] = NULL;
    if (lines->forking < 0)
        return 0;
    take_line(&lines->map->line[lines->forking]);
    r = map_counters(lines, (size_t)lines->forking, lines->counters[lines->forking]);
    if (r >= 0)
        introduce_thread(lines, &lines->map->line[lines->forking]);
    return r;
}

/* Private memory in the place of a set of the parent: guards that this thread is inside of can be left. */
static void map_private(struct lines *lines)
{
    void *map = mmap(lines->map, DD_LINES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    lines->memfd = DESCRIPTOR_NONE;
    if (map == MAP_FAILED)
        return;
    fill_child_lines(lines, lines->map);
    take_own_line(lines);
}

static int map_child_lines(struct lines *lines, int memfd, bool filled)
{
    int r;

    r = map_lines(memfd, lines->map, &lines->map);
    if (r < 0)
        return r;
    if (!filled) {
        r = fill_child_lines(lines, lines->map);
        if (r < 0)
            return r;
    }
    if (madvise(lines->map, DD_LINES_SIZE, MADV_DONTFORK) < 0)
        return -errno;
    r = descriptor_remember(memfd, &lines->memfd);
    return r < 0 ? r : take_own_line(lines);
}

void lines_forget_thread(void)
{
    for (struct lines *lines = lines_current(); lines; lines = lines->older)
        lines->forking = -1;
}

int lines_after_fork(int given)
{
    _cleanup_close_ int memfd = given;
    struct lines *lines = lines_current();
    int r = 0;

    claiming = 0;
    for (struct lines *old = lines->older; old; old = old->older) {
        descriptor_close(&old->memfd);
        map_private(old);
    }
    descriptor_close(&lines->memfd);
    if (memfd < 0)
        r = make_memfd(&memfd);
    if (r == 0)
        r = map_child_lines(lines, memfd, given >= 0);
    if (r < 0) {
        map_private(lines);
        return r;
    }
    TAKE_DESCRIPTOR(memfd);
    return 0;
}
