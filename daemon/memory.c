/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "architecture.h"
#include "util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U         /* Linux 6.3 */
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010      /* Linux 5.1 */
#endif

const char memory_forbidden[] =
    "this host forbids executable memory files: set sysctl vm.memfd_noexec to 0 or 1 in this pid namespace, "
    "and allow execmem and memfd execution in its SELinux policy";

/* `executable_flag` is MFD_EXEC or MFD_NOEXEC_SEAL; kernels before 6.3 know neither and need neither. */
static int create_file(const char *name, size_t size, unsigned executable_flag)
{
    _cleanup_close_ int descriptor = -EBADF;

    descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | executable_flag);
    if (descriptor < 0 && errno == EINVAL)
        descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0)
        return -errno;
    if (ftruncate(descriptor, (off_t)size) < 0)
        return -errno;
    return TAKE_DESCRIPTOR(descriptor);
}

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/*
 * Map read+write, then seal.  The order is the point: F_SEAL_FUTURE_WRITE spares mappings that exist and forbids all
 * later ones, also through /proc/PID/fd and also to root.  The mode keeps other users from even opening it again.
 */
static int map_and_seal(int descriptor, size_t size, mode_t mode, int seals, void **ret)
{
    void *memory;

    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (fchmod(descriptor, mode) < 0 || fcntl(descriptor, F_ADD_SEALS, seals) < 0) {
        int result = -errno;

        munmap(memory, size);
        return result;
    }
    *ret = memory;
    return 0;
}

/* A worker that may not map the text executable would die of it later: try it here, once. */
static int try_executable(int descriptor, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, descriptor, 0);

    if (memory == MAP_FAILED)
        return -errno;
    munmap(memory, size);
    return 0;
}

static int create_text(struct memory *memory, const char **reterr_text)
{
    int r;

    memory->text_descriptor = create_file("dispatchd-text", memory->text_size, MFD_EXEC);
    if (memory->text_descriptor < 0) {
        if (memory->text_descriptor == -EACCES)
            *reterr_text = memory_forbidden;
        return memory->text_descriptor;
    }
    r = try_executable(memory->text_descriptor, memory->text_size);
    if (r < 0) {
        if (r == -EACCES || r == -EPERM)
            *reterr_text = memory_forbidden;
        return r;
    }
    return map_and_seal(memory->text_descriptor, memory->text_size, 0500,
                        SEALS_SIZE | F_SEAL_FUTURE_WRITE, &memory->text);
}

static int create_control(struct memory *memory, uint64_t generation)
{
    void *control;
    int r;

    memory->control_descriptor = create_file("dispatchd-control", DD_CONTROL_SIZE, MFD_NOEXEC_SEAL);
    if (memory->control_descriptor < 0)
        return memory->control_descriptor;
    if (fallocate(memory->control_descriptor, 0, 0, DD_CONTROL_SIZE) < 0)
        return -errno;
    r = map_and_seal(memory->control_descriptor, DD_CONTROL_SIZE, 0400, SEALS_SIZE | F_SEAL_FUTURE_WRITE, &control);
    if (r < 0)
        return r;
    memory->control = control;
    memory->directory = (void *)((char *)control + DD_CONTROL_DIRECTORY);
    memory->control->magic = DD_CONTROL_MAGIC;
    memory->control->layout_version = DD_LAYOUT_VERSION;
    memory->control->generation = generation;
    memory->control->text_size = memory->text_size;
    memory->control->epoch = DD_EPOCH(generation, 1);
    return 0;
}

/* Offsets from the beginning of the text: the linkage and its data lie before it. */
#define LINKAGE_OFFSET ((uint64_t)DD_WINDOW_LINKAGE - DD_WINDOW_TEXT)
#define DATA_OFFSET(member) ((uint64_t)DD_WINDOW_DATA - DD_WINDOW_TEXT + offsetof(struct dd_linkage_data, member))

_Static_assert(DD_SERVICES == SERVICES, "the shared layout knows them all");
_Static_assert(LINKAGE_STUBS + DD_LINKAGE_MAX * LINKAGE_STUB_SIZE <= DD_LINKAGE_SIZE, "the shared layout has room");

static int emit_linkage(void *write, bool no_indirect)
{
    const struct linkage linkage = {
        .counters = DATA_OFFSET(counters), .resolve = DATA_OFFSET(resolve), .leave = DATA_OFFSET(leave),
        .service = DATA_OFFSET(service), .target = DATA_OFFSET(target),
        .stubs = DD_LINKAGE_MAX, .no_indirect = no_indirect,
    };
    struct emitter emitter;

    emitter_init(&emitter, write, DD_LINKAGE_SIZE, LINKAGE_OFFSET);
    architecture_native()->emit_linkage(&emitter, &linkage);
    return emitter.error;
}

/* The one mapping through which it can be written goes at once. */
static int create_linkage(struct memory *memory, bool no_indirect)
{
    int descriptor = create_file("dispatchd-linkage", DD_LINKAGE_SIZE, MFD_EXEC);
    void *write;
    int r;

    memory->linkage_descriptor[no_indirect] = descriptor;
    if (descriptor < 0)
        return descriptor;
    if (fallocate(descriptor, 0, 0, DD_LINKAGE_SIZE) < 0)
        return -errno;
    r = map_and_seal(descriptor, DD_LINKAGE_SIZE, 0500, SEALS_SIZE | F_SEAL_FUTURE_WRITE, &write);
    if (r < 0)
        return r;
    r = emit_linkage(write, no_indirect);
    munmap(write, DD_LINKAGE_SIZE);
    return r;
}

static int create_arena(struct memory *memory)
{
    memory->arena_descriptor = create_file("dispatchd-arena", DD_ARENA_SIZE, MFD_NOEXEC_SEAL);
    if (memory->arena_descriptor < 0)
        return memory->arena_descriptor;
    return map_and_seal(memory->arena_descriptor, DD_ARENA_SIZE, 0600, SEALS_SIZE, &memory->arena);
}

static int map_arena(struct memory *memory)
{
    void *arena = mmap(NULL, DD_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory->arena_descriptor, 0);

    if (arena == MAP_FAILED)
        return -errno;
    memory->arena = arena;
    return 0;
}

/* Only memfds can have seals, so what has them is one; sealed in its size it gives nobody SIGBUS. */
const char *memory_arena_mistake(int descriptor)
{
    struct stat status;
    int seals = fcntl(descriptor, F_GET_SEALS);

    if (seals < 0)
        return "it is no memfd";
    if ((seals & SEALS_SIZE) != SEALS_SIZE)
        return "its size is not sealed";
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return "it is sealed against writing";
    if (fstat(descriptor, &status) < 0 || status.st_size != (off_t)DD_ARENA_SIZE)
        return "it has another size";
    if ((fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDWR)
        return "it is not open for reading and writing";
    return NULL;
}

int memory_reopen_arena(int descriptor)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    return RETURN_ERRNO(open(path, O_RDWR | O_CLOEXEC));
}

/*
 * Shared, so that it is in nobody's way: it is only ever asked for.  A worker that has locked the byte for itself gets
 * windows without the lock, and no more: it could as well take the lock from them.
 */
static int share_arena(struct memory *memory)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)memory->control->generation, .l_len = 1,
    };

    memory->arena_of_windows = memory_reopen_arena(memory->arena_descriptor);
    if (memory->arena_of_windows < 0)
        return memory->arena_of_windows;
    if (fcntl(memory->arena_of_windows, F_OFD_SETLK, &lock) < 0 && errno != EAGAIN && errno != EACCES)
        return -errno;
    return 0;
}

/* What would keep this open file from all lower bytes?  An answer that fails is the safe one. */
bool memory_has_earlier_windows(const struct memory *memory)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = (off_t)memory->control->generation };

    return fcntl(memory->arena_descriptor, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

int memory_new(uint64_t generation, size_t text_size, int arena, struct memory **ret, const char **reterr_text)
{
    struct memory *memory;
    int r;

    *reterr_text = "no shared memory";
    memory = calloc(1, sizeof(*memory));
    if (!memory) {
        close_descriptor(&arena);
        return -ENOMEM;
    }
    memory->text_descriptor = memory->control_descriptor = -EBADF;
    memory->arena_of_windows = -EBADF;
    memory->arena_descriptor = arena;
    memory->linkage_descriptor[0] = memory->linkage_descriptor[1] = -EBADF;
    memory->text_size = text_size;
    r = create_text(memory, reterr_text);
    if (r >= 0)
        r = create_control(memory, generation);
    for (int no_indirect = 0; r >= 0 && no_indirect < 2; no_indirect++)
        r = create_linkage(memory, no_indirect);
    if (r >= 0)
        r = arena >= 0 ? map_arena(memory) : create_arena(memory);
    if (r >= 0)
        r = share_arena(memory);
    if (r < 0) {
        memory_free(memory);
        return r;
    }
    *ret = memory;
    return 0;
}

struct memory *memory_free(struct memory *memory)
{
    if (!memory)
        return NULL;
    if (memory->text)
        munmap(memory->text, memory->text_size);
    if (memory->control)
        munmap(memory->control, DD_CONTROL_SIZE);
    if (memory->arena)
        munmap(memory->arena, DD_ARENA_SIZE);
    close_descriptor(&memory->text_descriptor);
    close_descriptor(&memory->control_descriptor);
    close_descriptor(&memory->arena_descriptor);
    close_descriptor(&memory->arena_of_windows);
    close_descriptor(&memory->linkage_descriptor[0]);
    close_descriptor(&memory->linkage_descriptor[1]);
    free(memory);
    return NULL;
}

int memory_populate(void *userdata, uint64_t offset, size_t size)
{
    struct memory *memory = userdata;

    return RETURN_ERRNO(fallocate(memory->text_descriptor, 0, (off_t)offset, (off_t)size));
}

/* A signal interrupts it, and has been noted by then. */
static int allocate(int descriptor, int mode, uint64_t offset, size_t size)
{
    int r;

    do
        r = RETURN_ERRNO(fallocate(descriptor, mode, (off_t)offset, (off_t)size));
    while (r == -EINTR);
    return r;
}

int memory_populate_arena(struct memory *memory, uint64_t offset, size_t size)
{
    return allocate(memory->arena_descriptor, 0, offset, size);
}

int memory_discard_arena(struct memory *memory, uint64_t offset, size_t size)
{
    return allocate(memory->arena_descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

int memory_mark_arena(struct memory *memory, uint64_t offset)
{
    static const char zero;
    ssize_t r;

    do
        r = RETURN_ERRNO(pwrite(memory->arena_descriptor, &zero, 1, (off_t)offset));
    while (r == -EINTR);
    return r < 0 ? (int)r : 0;
}

/* systemd may have this open file too, and move its position: what one call returns is all that counts. */
bool memory_arena_in_use(const struct memory *memory, uint64_t offset, uint64_t *ret_begin, uint64_t *end)
{
    off_t begin = lseek(memory->arena_descriptor, (off_t)offset, SEEK_DATA), hole;

    if (begin < (off_t)offset || begin >= (off_t)*end)
        return false;
    hole = lseek(memory->arena_descriptor, begin, SEEK_HOLE);
    *ret_begin = (uint64_t)begin;
    if (hole > begin && hole < (off_t)*end)
        *end = (uint64_t)hole;
    return true;
}
