/* SPDX-License-Identifier: MIT */
/* The atomic replacement of one instruction slot, and the check that this host can do it. */
#include "poke.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Linux 6.3, include/uapi/linux/memfd.h */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

int poke_slot(struct image *image, uint64_t slot, uint64_t expect, uint64_t want)
{
    uint64_t *quadword = image_write(image, slot);

    assert(slot % SLOT_SIZE == 0);
    if (__atomic_load_n(quadword, __ATOMIC_RELAXED) != expect)                          /* 1 */
        return -ESTALE;
    /*
     * Release: the code that the slot leads to is in memory before the slot leads there.  Its
     * partner is the reader's instruction fetch, which on x86 sees stores in their order.  Without
     * it a thread could jump into bytes not yet written.
     */
    __atomic_store_n(quadword, want, __ATOMIC_RELEASE);                                 /* 2 */
    return 0;                                                                           /* 3, 4 */
}

int poke_slots(struct image *image, const struct slot_change *changes, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count; i++) {
        r = poke_slot(image, changes[i].slot, changes[i].expect, changes[i].want);
        if (r < 0) {
            while (i-- > 0)
                poke_slot(image, changes[i].slot, changes[i].want, changes[i].expect);
            break;
        }
    }
    return r;
}

int poke_check_slots(struct image *image, const struct slot_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (__atomic_load_n((const uint64_t *)image_write(image, changes[i].slot), __ATOMIC_RELAXED) != changes[i].expect)
            return -ESTALE;
    return 0;
}

/* ---- the check of the host ---- */

#define CHECK_SIZE 0x10000      /* bytes of the image that is executed */
#define CHECK_COPIES 7          /* pieces of code besides the one behind the slot */
#define CHECK_EXECUTIONS 1000   /* then the child yields, in case it has the parent's processor */
#define CHECK_POKES_LEAST 60    /* however long they take */
#define CHECK_NANOSECONDS 250000000     /* then no more */
#define CHECK_POKES 3           /* then the child must have executed; odd: it meets all in turn */

/* One page, shared with the child. */
struct check_shared {
    uint64_t executions;        /* written by the child */
    uint32_t stop;              /* written by the parent */
};

struct check {
    int descriptor;             /* of the image's memory */
    void *write;
    struct check_shared *shared;
    struct image *image;
    uint64_t entry;             /* landing pad; the slot and the first piece of code follow */
    uint64_t copy[CHECK_COPIES];
    pid_t child;
};

/* Code that returns `verdict`: a tree without keys. */
static int emit_verdict(struct check *check, uint64_t at, uint32_t verdict)
{
    struct fallback fallback = { .verdict = verdict };
    struct emitter emitter;

    emitter_init(&emitter, image_write(check->image, at), IMAGE_GRANULE - 2 * SLOT_SIZE, at);
    image_architecture(check->image)->emit_tree(&emitter, NULL, 0, &fallback);
    return emitter.error;
}

static int check_emit(struct check *check)
{
    const struct architecture *architecture = image_architecture(check->image);
    struct emitter emitter;
    int r = image_reserve(check->image, IMAGE_GRANULE, IMAGE_FRESH, &check->entry);

    if (r < 0)
        return r;
    emitter_init(&emitter, image_write(check->image, check->entry), 2 * SLOT_SIZE,
                 check->entry);
    architecture->emit_landing(&emitter);
    emit_64(&emitter, architecture->slot_fall_through());
    r = emitter.error ? emitter.error : emit_verdict(check, check->entry + 2 * SLOT_SIZE, 1);
    for (unsigned i = 0; i < CHECK_COPIES && r >= 0; i++) {
        r = image_reserve(check->image, IMAGE_GRANULE, IMAGE_FRESH, &check->copy[i]);
        if (r >= 0)
            r = emit_verdict(check, check->copy[i], 2 + i);
    }
    return r;
}

static int nothing_to_populate(void *userdata, uint64_t offset, size_t size)
{
    (void)userdata;
    (void)offset;
    (void)size;
    return 0;
}

static int check_begin(struct check *check, const struct architecture *architecture)
{
    check->descriptor = memfd_create("dispatchd-poke-check", MFD_CLOEXEC | MFD_EXEC);
    if (check->descriptor < 0 && errno == EINVAL)       /* before Linux 6.3 all are executable */
        check->descriptor = memfd_create("dispatchd-poke-check", MFD_CLOEXEC);
    if (check->descriptor < 0 || ftruncate(check->descriptor, CHECK_SIZE) < 0)
        return -errno;
    check->write = mmap(NULL, CHECK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, check->descriptor, 0);
    if (check->write == MAP_FAILED)
        return -errno;
    check->shared = mmap(NULL, sizeof(*check->shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check->shared == MAP_FAILED)
        return -errno;
    return image_new(check->write, CHECK_SIZE, architecture, nothing_to_populate, NULL,
                     &check->image);
}

static void check_end(struct check *check)
{
    int saved = errno;

    image_free_all(check->image);
    if (check->shared != MAP_FAILED)
        munmap(check->shared, sizeof(*check->shared));
    if (check->write != MAP_FAILED)
        munmap(check->write, CHECK_SIZE);
    if (check->descriptor >= 0)
        close(check->descriptor);
    errno = saved;
}

/*
 * The child's life: exit status 0 all verdicts were right, EIO one was wrong, else why it could not
 * execute.
 */
static _Noreturn void check_execute(const struct check *check, pid_t parent)
{
    const int crashes[] = { SIGILL, SIGTRAP, SIGSEGV, SIGBUS };
    char *text;
    uint32_t (*code)(void *context, uint32_t key);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);          /* a crash is a result here, and leaves no core */
    if (getppid() != parent)
        _exit(ESRCH);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        signal(crashes[i], SIG_DFL);
    /* The write mapping was inherited: nothing is ever mapped writable and executable at once. */
    munmap(check->write, CHECK_SIZE);
    text = mmap(NULL, CHECK_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, check->descriptor, 0);
    if (text == MAP_FAILED)
        _exit(errno);
    code = (uint32_t (*)(void *, uint32_t))(uintptr_t)(text + check->entry);
    while (!__atomic_load_n(&check->shared->stop, __ATOMIC_RELAXED)) {
        uint32_t verdict = code(NULL, 0);
        uint64_t executions;

        if (verdict < 1 || verdict > 1 + CHECK_COPIES)
            _exit(EIO);
        executions = __atomic_add_fetch(&check->shared->executions, 1, __ATOMIC_RELAXED);
        if (executions % CHECK_EXECUTIONS == 0)
            sched_yield();
    }
    _exit(0);
}

/* 0 the child still executes; else how it ended, and it is gone. */
static int check_reap(struct check *check, int options)
{
    int status;
    pid_t pid;

    do
        pid = waitpid(check->child, &status, options);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return 0;
    check->child = 0;
    if (pid < 0)
        return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/*
 * Wait until the child has executed once more; where there is one processor it needs ours for that.
 */
static int check_wait(struct check *check)
{
    uint64_t executions = __atomic_load_n(&check->shared->executions, __ATOMIC_RELAXED);
    int r = 0;

    while (r == 0 && __atomic_load_n(&check->shared->executions, __ATOMIC_RELAXED) == executions) {
        sched_yield();
        r = check_reap(check, WNOHANG);
    }
    return r == 0 && !check->child ? -EIO : r;
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/*
 * On a busy host the child waits long for its turn:
 * a daemon that starts late for that would be worse than a shorter check.
 */
static bool check_enough(int64_t start, unsigned pokes)
{
    return pokes >= CHECK_POKES_LEAST && now() - start > CHECK_NANOSECONDS;
}

/* Nop to jump, jump to jump, jump to nop. */
static int check_poke(struct check *check, unsigned pokes)
{
    const struct architecture *architecture = image_architecture(check->image);
    uint64_t slot = check->entry + SLOT_SIZE, old = architecture->slot_fall_through(), want;
    int64_t start = now();
    int r = 0;

    for (unsigned i = 0; i < pokes && r == 0 && !check_enough(start, i); i++) {
        unsigned code = i % (CHECK_COPIES + 1);

        if (code < CHECK_COPIES)
            want = architecture->slot_jump(slot, check->copy[code]);
        else
            want = architecture->slot_fall_through();
        if (i % CHECK_POKES == 0)
            r = check_wait(check);
        if (r == 0)
            r = poke_slot(check->image, slot, old, want);
        old = want;
    }
    return r;
}

static int check_run(struct check *check, unsigned pokes)
{
    pid_t parent = getpid();
    int r;

    check->child = fork();
    if (check->child < 0)
        return -errno;
    if (check->child == 0)
        check_execute(check, parent);
    r = check_poke(check, pokes);
    __atomic_store_n(&check->shared->stop, 1, __ATOMIC_RELAXED);
    if (check->child) {
        int ended = check_reap(check, 0);

        if (r == 0)
            r = ended;
    }
    return r;
}

int poke_check_host(const struct architecture *architecture, unsigned pokes)
{
    struct check check = { .descriptor = -1, .write = MAP_FAILED, .shared = MAP_FAILED };
    int r = check_begin(&check, architecture);

    if (r >= 0)
        r = check_emit(&check);
    if (r >= 0)
        r = check_run(&check, pokes);
    check_end(&check);
    return r;
}
