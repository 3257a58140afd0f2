/* SPDX-License-Identifier: MIT */
/*
 * Pokes between processes: one entry is changed and settled as fast as it goes, while readers in
 * other processes execute it through the library's guard as fast as they can.
 *
 * Each version of the code is a decision tree of another length, and for each key a program of
 * another length: a chain of jumps, so that readers are inside it for a while.  What a version
 * replaced is released after a grace period, poisoned at once, and reused.  A reader knows which
 * versions it may see, so it finds old code, new code and freed code.
 *
 * --negative-control leaves out every wait; then readers must crash or find wrong results, or this
 * program finds nothing.
 *
 * The daemon's own modules are used: memory, image, entry, grace, lines.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/grace.h"
#include "daemon/lines.h"
#include "daemon/memory.h"
#include "jitcore/entry.h"
#include "poke.h"
#include "util.h"

#define GENERATION 1
#define TEXT_SIZE (16u << 20)
#define EXTRA_CASES 480         /* keys that nobody calls; with so many a tree leaves its home */
#define EXTRA_KEY 2000
#define LINGER 2000             /* jumps of a program in the negative control: microseconds */
#define LOOK_AFTER 256          /* changes between two looks whether the readers live */
#define GARBAGE 64

struct reader {
    pid_t pid;                  /* 0: gone */
    struct lines *lines;
};

struct poke {
    unsigned readers;
    uint64_t pokes_wanted, settles_wanted, executions_wanted;
    bool json, negative_control;

    struct memory *memory;
    struct image *image;
    struct grace *grace;
    struct entry *entry;
    struct poke_shared *shared;
    int shared_descriptor;
    struct reader reader[READERS_MAX];

    uint32_t serial;
    uint64_t program;           /* of the current version; IMAGE_NONE before the first */
    struct garbage {            /* what a wait makes free */
        struct entry_change *change;
        uint64_t program;       /* IMAGE_NONE: none */
    } garbage[GARBAGE];
    size_t garbages;
    bool over;                  /* the wait */

    uint64_t pokes, settles, crashes;
    uint64_t waits, wait_ns;
};

static _Noreturn void fail(const char *what, int r)
{
    fprintf(stderr, "poke: %s: %s\n", what, strerror(-r));
    exit(2);
}

static void check(const char *what, int r)
{
    if (r < 0)
        fail(what, r);
}

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 88172645463325252;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % limit;
}

/* ---- readers ---- */

static _Noreturn void exec_reader(const struct poke *poke, unsigned number, int socket)
{
    const int given[] = { socket, poke->memory->control_descriptor, poke->memory->text_descriptor,
                          poke->memory->arena_descriptor, poke->memory->linkage_descriptor[0],
                          poke->shared_descriptor };
    char path[4096], argument[4][24], *slash;
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof("/poke_reader"));
    int high[sizeof(given) / sizeof(given[0])];

    /* Out of the way first, then to the numbers that the reader knows. */
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        high[i] = fcntl(given[i], F_DUPFD_CLOEXEC, 100);
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        if (dup2(high[i], READER_SOCKET + (int)i) < 0)
            fail("descriptors of a reader", -errno);
    path[length > 0 ? length : 0] = '\0';
    slash = strrchr(path, '/');
    strcpy(slash ? slash : path, "/poke_reader");
    snprintf(argument[0], sizeof(argument[0]), "%u", number);
    snprintf(argument[1], sizeof(argument[1]), "%u", GENERATION);
    snprintf(argument[2], sizeof(argument[2]), "%u", TEXT_SIZE);
    snprintf(argument[3], sizeof(argument[3]), "%" PRIu64, entry_offset(poke->entry));
    execl(path, path, argument[0], argument[1], argument[2], argument[3], NULL);
    fail(path, -errno);
}

static int receive_descriptor(int socket)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
    struct iovec part = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *header;
    int descriptor;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
        return -EPIPE;
    header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
        return -EBADMSG;
    memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
    return descriptor;
}

/* Its lines are known before it is told to go on. */
static void start_reader(struct poke *poke, unsigned number)
{
    struct reader *reader = &poke->reader[number];
    const char *reason = "lines of a reader";
    int ends[2], descriptor;

    check("socket of a reader",
          RETURN_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)));
    reader->pid = fork();
    check("fork", RETURN_ERRNO(reader->pid));
    if (reader->pid == 0)
        exec_reader(poke, number, ends[1]);
    close(ends[1]);
    descriptor = receive_descriptor(ends[0]);
    check("lines of a reader", descriptor);
    check(reason, lines_new(descriptor, &reader->lines, &reason));
    close(descriptor);
    check("grace", grace_add(poke->grace, reader->lines));
    if (write(ends[0], "", 1) != 1)
        fail("starting a reader", -errno);
    close(ends[0]);
    while (__atomic_load_n(&poke->shared->reader[number].executions, __ATOMIC_RELAXED) == 0)
        if (waitpid(reader->pid, NULL, WNOHANG) != 0)
            fail("a reader ended before it began", -ECHILD);
}

/* How did it end, if it did? */
static void look_after_reader(struct poke *poke, struct reader *reader, int options)
{
    int status;

    if (!reader->pid || waitpid(reader->pid, &status, options) != reader->pid)
        return;
    reader->pid = 0;
    grace_remove(poke->grace, reader->lines);
    reader->lines = lines_free(reader->lines);
    if (WIFSIGNALED(status))
        poke->crashes++;
    else if (WEXITSTATUS(status) != 0)
        fail("a reader failed", -ECHILD);
}

/* Returns whether one is left. */
static bool look_after_readers(struct poke *poke)
{
    bool left = false;

    for (unsigned i = 0; i < poke->readers; i++) {
        look_after_reader(poke, &poke->reader[i], WNOHANG);
        left |= poke->reader[i].pid != 0;
    }
    return left;
}

static void stop_readers(struct poke *poke)
{
    __atomic_store_n(&poke->shared->stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < poke->readers; i++)
        look_after_reader(poke, &poke->reader[i], 0);
}

static uint64_t sum_executions(const struct poke *poke)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < poke->readers; i++)
        sum += __atomic_load_n(&poke->shared->reader[i].executions, __ATOMIC_RELAXED);
    return sum;
}

static uint64_t sum_wrong(const struct poke *poke)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < poke->readers; i++)
        sum += __atomic_load_n(&poke->shared->reader[i].wrong, __ATOMIC_RELAXED);
    return sum;
}

/* ---- waiting ---- */

struct waiter {
    struct grace_waiter waiter; /* first */
    struct poke *poke;
};

static void on_over(struct grace_waiter *waiter)
{
    ((struct waiter *)waiter)->poke->over = true;
}

static void wait_for_readers(struct poke *poke)
{
    struct waiter waiter = { .waiter.over = on_over, .poke = poke };
    uint64_t start = now_ns();

    poke->over = false;
    grace_wait(poke->grace, &waiter.waiter);
    while (grace_poll(poke->grace))
        sched_yield();
    assert(poke->over);
    poke->waits++;
    poke->wait_ns += now_ns() - start;
}

static void release_garbage(struct poke *poke)
{
    while (poke->garbages > 0) {
        struct garbage *garbage = &poke->garbage[--poke->garbages];

        entry_change_release(garbage->change);
        if (garbage->program != IMAGE_NONE)
            image_release(poke->image, garbage->program);
    }
}

/*
 * A grace period, and what it makes possible: garbage is released and poisoned, released bytes are
 * fresh.
 */
static void pass_grace_period(struct poke *poke)
{
    bool refreshing = image_refresh_begin(poke->image);

    if (!poke->negative_control)
        wait_for_readers(poke);
    if (refreshing)
        image_refresh_end(poke->image);
    release_garbage(poke);
}

/* ---- versions ---- */

/* A tree with one key, which leads to what follows it: one jump, on every architecture. */
static void emit_link(const struct poke *poke, struct emitter *emitter, uint32_t key)
{
    const struct architecture *architecture = image_architecture(poke->image);
    struct branch link = { .first = key, .last = key, .code = (int64_t)emitter->final };
    struct fallback fallback = { 0 };
    struct emitter count;

    emitter_init(&count, NULL, 0, emitter->final);
    architecture->emit_tree(&count, &link, 1, &fallback);
    link.code = (int64_t)(emitter_position(emitter) + count.size);
    architecture->emit_tree(emitter, &link, 1, &fallback);
}

/* The programs of a version, one a key.  ret_target: where each begins. */
static void emit_programs(const struct poke *poke, struct emitter *emitter, const unsigned *links,
                          struct dispatcher_target *ret_target)
{
    for (uint32_t k = 0; k < KEYS; k++) {
        ret_target[k].code = (int64_t)emitter_position(emitter);
        for (unsigned i = 0; i < links[k]; i++)
            emit_link(poke, emitter, poke_keys[k]);
        image_architecture(poke->image)->emit_tree(emitter, NULL, 0,
                                                   &(struct fallback){ .verdict = verdict_of(poke->serial, k) });
    }
}

static uint64_t place_programs(const struct poke *poke, struct dispatcher_target *ret_target)
{
    static const unsigned lengths[] = { 0, 0, 0, 1, 2, 5, 12, 40 };
    unsigned links[KEYS];
    struct emitter emitter;
    uint64_t offset;

    for (int k = 0; k < KEYS; k++)
        links[k] = poke->negative_control ? LINGER : lengths[random_below(ARRAY_LENGTH(lengths))];
    emitter_init(&emitter, NULL, 0, 0);
    emit_programs(poke, &emitter, links, ret_target);
    check("image", image_reserve(poke->image, emitter.size, IMAGE_FRESH, &offset));
    emitter_init(&emitter, image_write(poke->image, offset), emitter.size, offset);
    emit_programs(poke, &emitter, links, ret_target);
    check("program", emitter.error);
    image_commit(poke->image, offset);
    return offset;
}

/* The keys that are called, and between them others. */
static size_t make_cases(struct dispatcher_case *cases, const struct dispatcher_target *target, uint32_t extra)
{
    size_t count = 0;

    for (int k = 0; k < KEYS; k++) {
        bool extra_is_next = k > 0 && poke_keys[k - 1] < EXTRA_KEY && poke_keys[k] > EXTRA_KEY;

        for (uint32_t i = 0; extra_is_next && i < extra; i++)
            cases[count++] = (struct dispatcher_case){ EXTRA_KEY + 3 * i, EXTRA_KEY + 3 * i, &target[i % KEYS], 1, 0 };
        cases[count++] = (struct dispatcher_case){ poke_keys[k], poke_keys[k], &target[k], 1, 0 };
    }
    return count;
}

/* Poke the entry to a new version, and make it live. */
static void change(struct poke *poke, uint32_t extra)
{
    struct dispatcher_case cases[KEYS + EXTRA_CASES];
    struct dispatcher_target target[KEYS] = { 0 };
    struct dispatcher dispatcher = { .cases = cases, .default_verdict = DEFAULT_VERDICT };
    struct entry_change *prepared;
    uint64_t program;

    poke->serial++;
    program = place_programs(poke, target);
    dispatcher.count = make_cases(cases, target, extra);
    check("prepare", entry_prepare(poke->entry, &dispatcher, &prepared));
    __atomic_store_n(&poke->shared->newest, poke->serial, __ATOMIC_RELEASE);
    check("commit", entry_change_commit(prepared));
    poke->pokes++;
    assert(poke->garbages < GARBAGE);
    poke->garbage[poke->garbages++] = (struct garbage){ prepared, poke->program };
    poke->program = program;
    if (poke->negative_control)
        return;
    grace_publish(poke->grace);
    __atomic_store_n(&poke->shared->live, poke->serial, __ATOMIC_RELEASE);
}

static void settle(struct poke *poke)
{
    while (entry_unsettled(poke->entry)) {
        pass_grace_period(poke);
        poke->pokes += entry_state(poke->entry) == ENTRY_WRITTEN;
        check("settle", entry_settle(poke->entry));
    }
    poke->settles++;
}

/* ---- the run ---- */

static bool is_done(const struct poke *poke)
{
    if (poke->negative_control)
        return poke->pokes >= poke->pokes_wanted || sum_wrong(poke) > 0;
    return poke->pokes >= poke->pokes_wanted && poke->settles >= poke->settles_wanted &&
           sum_executions(poke) >= poke->executions_wanted;
}

/* One change in ten is settled before the next one; of the others, some are too long for it. */
static void run(struct poke *poke)
{
    for (uint64_t i = 1; !is_done(poke); i++) {
        bool to_settle = i % 10 == 0;

        bool large = !to_settle && random_below(16) == 0;

        change(poke, large ? EXTRA_CASES - random_below(100) : random_below(60));
        if (to_settle)
            settle(poke);
        else if (random_below(4) == 0 || poke->negative_control)
            pass_grace_period(poke);
        if (i % LOOK_AFTER == 0 || poke->negative_control)
            if (!look_after_readers(poke))
                break;
    }
    stop_readers(poke);
}

static void no_sockets_to_drain(void *userdata)
{
    (void)userdata;
}

static void set_up(struct poke *poke)
{
    const char *reason = "memory";

    check(reason, memory_new(GENERATION, TEXT_SIZE, -EBADF, &poke->memory, &reason));
    check("image", image_new(poke->memory->text, TEXT_SIZE, architecture_native(), memory_populate,
                             poke->memory, &poke->image));
    check("membarrier", grace_new(poke->memory->control, no_sockets_to_drain, NULL, &poke->grace));
    check("entry", entry_new(poke->image, DEFAULT_VERDICT, &poke->entry));
    poke->program = IMAGE_NONE;
    poke->shared_descriptor = memfd_create("poke-shared", MFD_CLOEXEC);
    check("shared counts", RETURN_ERRNO(ftruncate(poke->shared_descriptor, sizeof(*poke->shared))));
    poke->shared = mmap(NULL, sizeof(*poke->shared), PROT_READ | PROT_WRITE, MAP_SHARED,
                        poke->shared_descriptor, 0);
    if (poke->shared == MAP_FAILED)
        fail("shared counts", -errno);
    for (unsigned i = 0; i < poke->readers; i++)
        start_reader(poke, i);
}

static void tear_down(struct poke *poke)
{
    release_garbage(poke);
    entry_free(poke->entry);
    grace_free(poke->grace);
    image_free_all(poke->image);
    memory_free(poke->memory);
    munmap(poke->shared, sizeof(*poke->shared));
    close(poke->shared_descriptor);
}

static void report(const struct poke *poke, uint64_t ns)
{
    uint64_t pokes_per_s = (uint64_t)((double)poke->pokes * 1e9 / (double)ns);

    if (poke->json) {
        printf("[{\"pokes\":%" PRIu64 ",\"settles\":%" PRIu64 ",\"executions\":%" PRIu64
               ",\"wrong\":%" PRIu64 ",\"crashes\":%" PRIu64 ",\"pokes_per_s\":%" PRIu64 "}]\n",
               poke->pokes, poke->settles, sum_executions(poke), sum_wrong(poke), poke->crashes,
               pokes_per_s);
        return;
    }
    printf("%-16s%12" PRIu64 "   %" PRIu64 " a second\n", "pokes", poke->pokes, pokes_per_s);
    printf("%-16s%12" PRIu64 "\n", "settles", poke->settles);
    printf("%-16s%12" PRIu64 "   in %u processes\n", "executions", sum_executions(poke),
           poke->readers);
    printf("%-16s%12" PRIu64 "   %" PRIu64 " ns each\n", "waits", poke->waits,
           poke->waits ? poke->wait_ns / poke->waits : 0);
    printf("%-16s%12" PRIu64 "\n", "wrong", sum_wrong(poke));
    printf("%-16s%12" PRIu64 "\n", "crashes", poke->crashes);
    printf("%-16s%12.1f\n", "seconds", (double)ns / 1e9);
}

/* ---- options ---- */

static const char help[] =
    "Usage: poke [OPTION...]\n"
    "Change and settle a table's code while other processes execute it.\n"
    "Exit status: 0 no wrong result and no crash, 1 there was one (with --negative-control: the\n"
    "other way round), 2 it could not be run.\n"
    "\n"
    "  --readers N            processes that execute, 1 to 16 (default: all processors but one)\n"
    "  --pokes N              at least so many (default 1000000)\n"
    "  --settles N            at least so many (default 100000)\n"
    "  --executions N         at least so many (default 100000000)\n"
    "  --negative-control     leave out all waits: this must fail, or the test proves nothing\n"
    "  --json                 write an array with one object\n"
    "  --help                 show this\n";

static uint64_t parse_count(const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < low || value > high) {
        fprintf(stderr, "poke: --%s: \"%s\" is not a number from %" PRIu64 " to %" PRIu64 "\n",
                option, text, low, high);
        exit(2);
    }
    return value;
}

static unsigned default_readers(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return processors < 2 ? 1 : processors > READERS_MAX ? READERS_MAX : (unsigned)processors - 1;
}

static void parse_options(struct poke *poke, int argc, char **argv)
{
    static const struct option options[] = {
        { "readers", required_argument, NULL, 'r' },
        { "pokes", required_argument, NULL, 'p' },
        { "settles", required_argument, NULL, 's' },
        { "executions", required_argument, NULL, 'e' },
        { "negative-control", no_argument, NULL, 'n' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const uint64_t most = 200000000;    /* serial numbers have 28 bits */

    for (int letter; (letter = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (letter) {
        case 'r':
            poke->readers = (unsigned)parse_count("readers", optarg, 1, READERS_MAX);
            break;
        case 'p':
            poke->pokes_wanted = parse_count("pokes", optarg, 1, most);
            break;
        case 's':
            poke->settles_wanted = parse_count("settles", optarg, 1, most / 10);
            break;
        case 'e':
            poke->executions_wanted = parse_count("executions", optarg, 1, UINT64_MAX);
            break;
        case 'n':
            poke->negative_control = true;
            break;
        case 'j':
            poke->json = true;
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            fputs("poke: try --help\n", stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "poke: unexpected argument \"%s\"; try --help\n", argv[optind]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static struct poke poke = {
        .pokes_wanted = 1000000, .settles_wanted = 100000, .executions_wanted = 100000000,
    };
    bool failed;
    uint64_t start;

    poke.readers = default_readers();
    parse_options(&poke, argc, argv);
    set_up(&poke);
    start = now_ns();
    run(&poke);
    report(&poke, now_ns() - start);
    failed = sum_wrong(&poke) > 0 || poke.crashes > 0;
    tear_down(&poke);
    return failed != poke.negative_control;
}
