/* SPDX-License-Identifier: MIT */
/* See lines.h. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util.h"

/* Shrinking would be SIGBUS here; growing and unsealing are not expected of anybody. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct lines {
    const struct dd_lines *map;
    int descriptor;
    uint64_t inode;
    uint64_t passed;
    bool adopted, end_of_file, dead;
};

/* The futex word is what the kernel marks (get_robust_list(2)); glibc keeps it first. */
_Static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0, "the owner's futex word comes first");

/* NULL: as it should be. */
static const char *find_flaw(int descriptor)
{
    struct statfs filesystem;
    struct stat status;
    int seals = fcntl(descriptor, F_GET_SEALS);

    if (seals < 0)
        return "the descriptor of the reader lines is no memfd";
    if (fstatfs(descriptor, &filesystem) < 0 || filesystem.f_type != TMPFS_MAGIC)
        return "the memfd of the reader lines has huge pages";
    if ((seals & SEALS) != SEALS)
        return "the memfd of the reader lines lacks seals (shrink, grow, seal)";
    if (fstat(descriptor, &status) < 0 || status.st_size != (off_t)DD_LINES_FILE_SIZE)
        return "the memfd of the reader lines has another size";
    return NULL;
}

int lines_new(int descriptor, struct lines **ret, const char **reterr_reason)
{
    _cleanup_free_ struct lines *lines = calloc(1, sizeof(*lines));
    const char *flaw = find_flaw(descriptor);
    _cleanup_close_ int own = -EBADF;
    struct stat status;
    void *map;

    if (!lines)
        return -ENOMEM;
    if (flaw) {
        *reterr_reason = flaw;
        return -EINVAL;
    }
    own = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    if (own < 0 || fstat(own, &status) < 0)
        return -errno;
    map = mmap(NULL, DD_LINES_SIZE, PROT_READ, MAP_SHARED, descriptor, 0);
    if (map == MAP_FAILED)
        return -errno;
    lines->map = map;
    if (__atomic_load_n(&lines->map->magic, __ATOMIC_RELAXED) != DD_LINES_MAGIC ||
        __atomic_load_n(&lines->map->layout_version, __ATOMIC_RELAXED) != DD_LAYOUT_VERSION) {
        munmap(map, DD_LINES_SIZE);
        *reterr_reason = "the memfd of the reader lines has another layout";
        return -EINVAL;
    }
    lines->inode = status.st_ino;
    lines->descriptor = TAKE_DESCRIPTOR(own);
    *ret = TAKE_POINTER(lines);
    return 0;
}

struct lines *lines_free(struct lines *lines)
{
    if (!lines)
        return NULL;
    munmap((void *)(uintptr_t)lines->map, DD_LINES_SIZE);
    close(lines->descriptor);
    free(lines);
    return NULL;
}

void lines_set_adopted(struct lines *lines)
{
    lines->adopted = true;
}

void lines_set_end_of_file(struct lines *lines)
{
    lines->end_of_file = true;
}

void lines_set_dead(struct lines *lines)
{
    lines->dead = true;
}

/* ---- one line ---- */

/*
 * Acquire, here and for the word: what comes after the look at a line (poison over the code that
 * its thread has left) stays after it.  For the word the partner is the release store of
 * dd_guard_leave, for the owner the kernel's walk over the robust list of a dead thread, or the
 * unlock of one that gave the line back.  Without it the code could be overwritten under the last
 * instructions of a guard.
 */
static uint32_t owner_of(const struct dd_line *line)
{
    return (uint32_t)__atomic_load_n(&line->owner.__data.__lock, __ATOMIC_ACQUIRE);
}

static bool owner_is_alive(uint32_t owner)
{
    return owner != 0 && !(owner & FUTEX_OWNER_DIED);
}

/*
 * The word first, and the owner only where it matters.  In between the line may have gone to
 * another thread: then that thread took it after the wait's membarrier, sees the wait's epoch in
 * its first guard, and is none of those waited for.
 * The owner is read after end of file was seen, since end_of_file is set before this is called: the
 * other order takes a child that takes its line between the two for one that never did.
 */
static uint64_t line_oldest(const struct lines *lines, const struct dd_line *line,
                            uint64_t generation)
{
    uint64_t word = __atomic_load_n(&line->word, __ATOMIC_ACQUIRE);
    uint32_t owner;

    if (word == 0)
        return LINES_NOBODY;
    owner = owner_of(line);
    if (owner & FUTEX_OWNER_DIED)
        return LINES_NOBODY;
    if (owner == 0 && lines->end_of_file && !lines->adopted)
        return LINES_NOBODY;
    /*
     * A guard of another generation may be in that generation's text or, before it has seen ours,
     * anywhere.
     */
    return DD_EPOCH_GENERATION(word) == generation ? word : 0;
}

/* ---- all lines ---- */

/*
 * Lines at and above `used` were never handed out.  It is raised before a thread's first guard, so
 * a guard that began before the wait's membarrier is below it; any other sees the wait's epoch.
 */
uint32_t lines_used(const struct lines *lines)
{
    uint32_t used = __atomic_load_n(&lines->map->used, __ATOMIC_ACQUIRE);

    return used < DD_LINES_MAX ? used : DD_LINES_MAX;
}

#define LINES_PAGE 4096
#define LINES_FIRST_PAGE ((LINES_PAGE - offsetof(struct dd_lines, line)) / sizeof(struct dd_line))

/*
 * The first line from `index` on for which there is memory, and where the next ones without begin.  To look at a line
 * without memory would give it some, on the daemon's account, and who says that it has used all need not have any.
 * None of its lines is in a guard: a thread's store to its line, which brings the memory, comes before the wait's
 * membarrier.
 */
static uint32_t next_present(const struct lines *lines, uint32_t index, uint32_t *end)
{
    off_t begin = (off_t)offsetof(struct dd_lines, line[index]), data, hole;

    if (index < *end || index >= DD_LINES_MAX)
        return index;
    if (index < LINES_FIRST_PAGE) {
        *end = LINES_FIRST_PAGE;        /* the head is there too; few processes have more threads */
        return index;
    }
    data = lseek(lines->descriptor, begin, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        data = (off_t)DD_LINES_SIZE;
    hole = data < 0 ? -1 : lseek(lines->descriptor, data, SEEK_HOLE);
    if (data < 0 || hole < 0) {
        *end = DD_LINES_MAX;            /* not told: all of them, to be safe */
        return index;
    }
    *end = hole < (off_t)DD_LINES_SIZE
        ? (uint32_t)(((uint64_t)hole - offsetof(struct dd_lines, line)) / sizeof(struct dd_line)) : DD_LINES_MAX;
    return data <= begin ? index
        : (uint32_t)(((uint64_t)data - offsetof(struct dd_lines, line)) / sizeof(struct dd_line));
}

uint64_t lines_oldest(const struct lines *lines, uint64_t generation)
{
    uint64_t oldest = LINES_NOBODY;
    uint32_t used = lines->dead ? 0 : lines_used(lines), end = 0;

    for (uint32_t i = 0; (i = next_present(lines, i, &end)) < used && oldest > 0; i++) {
        uint64_t epoch = line_oldest(lines, &lines->map->line[i], generation);

        if (epoch < oldest)
            oldest = epoch;
    }
    return oldest;
}

void lines_set_passed(struct lines *lines, uint64_t epoch)
{
    lines->passed = epoch;
}

uint64_t lines_passed(const struct lines *lines)
{
    return lines->passed;
}

/* The kernel knows which pages there are: it is asked once or twice a line that has some. */
uint32_t lines_next_counted(const struct lines *lines, uint32_t index, size_t offset, size_t size)
{
    uint32_t used = lines_used(lines);

    while (index < used) {
        off_t data = lseek(lines->descriptor, (off_t)(DD_LINE_COUNTERS(index) + offset), SEEK_DATA);
        uint64_t line, inside;

        if (data < 0)
            break;
        line = ((uint64_t)data - DD_LINES_SIZE) / DD_LINE_COUNTERS_SIZE;
        inside = ((uint64_t)data - DD_LINES_SIZE) % DD_LINE_COUNTERS_SIZE;
        if (line == index && inside < offset + size)
            return index;
        if (line >= used)
            break;
        index = (uint32_t)line + (inside >= offset + size);
    }
    return used;
}

int lines_read_counters(const struct lines *lines, uint32_t index, size_t offset, void *ret, size_t size)
{
    ssize_t n = pread(lines->descriptor, ret, size, (off_t)(DD_LINE_COUNTERS(index) + offset));

    if (n < 0)
        return -errno;
    return (size_t)n == size ? 0 : -EIO;
}

uint64_t lines_inode(const struct lines *lines)
{
    return lines->inode;
}

/* The generation counts for nothing here: a line is 0 outside of guards whatever it says inside. */
bool lines_outside(const struct lines *lines, uint32_t index)
{
    return lines->dead || index >= DD_LINES_MAX || line_oldest(lines, &lines->map->line[index], 0) == LINES_NOBODY;
}

/*
 * As a file, like all counters.  The kernel's copy is made where the call stands: after the loads before it, as x86-64
 * makes loads in their order, and before those behind the fence, which keeps the compiler from moving them up.
 */
uint64_t lines_taken(const struct lines *lines, uint32_t index)
{
    uint64_t taken;

    if (lines_read_counters(lines, index, DD_LINE_THREAD + offsetof(struct dd_line_thread, taken), &taken,
                            sizeof(taken)) < 0)
        return 0;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return taken;
}

bool lines_holding(const struct lines *lines, uint64_t epoch)
{
    return lines_oldest(lines, DD_EPOCH_GENERATION(epoch)) < epoch;
}

unsigned lines_threads(const struct lines *lines)
{
    uint32_t used = lines->dead ? 0 : lines_used(lines), end = 0;
    unsigned threads = 0;

    for (uint32_t i = 0; (i = next_present(lines, i, &end)) < used; i++)
        threads += owner_is_alive(owner_of(&lines->map->line[i]));
    return threads;
}

unsigned lines_leaked(const struct lines *lines)
{
    uint32_t used = lines_used(lines), end = 0;
    unsigned leaked = 0;

    for (uint32_t i = 0; (i = next_present(lines, i, &end)) < used; i++)
        leaked += __atomic_load_n(&lines->map->line[i].leaked, __ATOMIC_RELAXED);
    return leaked;
}
