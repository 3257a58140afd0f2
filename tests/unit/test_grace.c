/* SPDX-License-Identifier: MIT */
/* Reader lines and grace periods, with real processes as readers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/grace.h"
#include "daemon/lines.h"

#define GENERATION 7
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- what a daemon has ---- */

static struct dd_control *control;      /* shared with the readers */
static struct grace *grace;
static void (*drain_hook)(void);
static unsigned drains;

static void drain(void *userdata)
{
    drains++;
    if (drain_hook)
        drain_hook();
}

static int setup(void **state)
{
    control =
        mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (control == MAP_FAILED)
        return -1;
    control->epoch = DD_EPOCH(GENERATION, 1);
    drain_hook = NULL;
    drains = 0;
    return grace_new(control, drain, NULL, &grace);
}

static int teardown(void **state)
{
    grace_free(grace);
    munmap(control, sizeof(*control));
    return 0;
}

struct wait {
    struct grace_waiter waiter;         /* first */
    unsigned over, order;
};

static unsigned order;

static void on_over(struct grace_waiter *waiter)
{
    struct wait *wait = (struct wait *)waiter;

    wait->over++;
    wait->order = ++order;
}

static void ask(struct wait *wait)
{
    *wait = (struct wait){ .waiter.over = on_over };
    grace_wait(grace, &wait->waiter);
}

/* ---- what a worker has ---- */

struct process {
    int descriptor;
    struct dd_lines *map;               /* the worker's, read+write */
    struct lines *lines;                /* the daemon's */
    pid_t pid;
    int command, answer;                /* pipe ends of the parent */
};

static int make_memfd(uint32_t magic, size_t size, int seals)
{
    const struct dd_lines head = { .magic = magic, .layout_version = DD_LAYOUT_VERSION };
    int descriptor = memfd_create("test-lines", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (descriptor < 0 || pwrite(descriptor, &head, DD_CACHE_LINE, 0) != DD_CACHE_LINE ||
        ftruncate(descriptor, (off_t)size) < 0 || fcntl(descriptor, F_ADD_SEALS, seals) < 0)
        return -1;
    return descriptor;
}

static void init_owner(pthread_mutex_t *owner)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(owner, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* Lines as they are before anybody owns one. */
static void process_init(struct process *process, uint32_t used)
{
    const char *reason = NULL;

    *process = (struct process){ .descriptor = make_memfd(DD_LINES_MAGIC, DD_LINES_FILE_SIZE, SEALS) };
    assert_true(process->descriptor >= 0);
    process->map =
        mmap(NULL, DD_LINES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, process->descriptor, 0);
    assert_ptr_not_equal(process->map, MAP_FAILED);
    process->map->used = used;
    for (uint32_t i = 0; i < used; i++)
        init_owner(&process->map->line[i].owner);
    assert_int_equal(lines_new(process->descriptor, &process->lines, &reason), 0);
}

static void process_done(struct process *process)
{
    int status;

    if (process->pid) {
        close(process->command);
        close(process->answer);
        kill(process->pid, SIGKILL);
        waitpid(process->pid, &status, 0);
    }
    lines_free(process->lines);
    munmap(process->map, DD_LINES_SIZE);
    close(process->descriptor);
}

static void set_word(struct process *process, uint64_t word)
{
    __atomic_store_n(&process->map->line[0].word, word, __ATOMIC_RELEASE);
}

/*
 * A reader does what it is told, one letter at a time, and answers each: (o)wn line 0, (e)nter,
 * (l)eave, e(x)ec. At (x) the pipe's end of file is the answer.
 */
static _Noreturn void reader_main(struct process *process, int command, int answer)
{
    char letter;

    while (read(command, &letter, 1) == 1) {
        switch (letter) {
        case 'o':
            pthread_mutex_lock(&process->map->line[0].owner);
            break;
        case 'e':
            set_word(process, __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE));
            break;
        case 'l':
            set_word(process, 0);
            break;
        case 'x':
            execlp("sleep", "sleep", "1000", NULL);
            _exit(1);
        }
        if (write(answer, &letter, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static void process_start(struct process *process)
{
    int command[2], answer[2];

    process_init(process, 1);
    assert_int_equal(pipe2(command, O_CLOEXEC) + pipe2(answer, O_CLOEXEC), 0);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(command[1]);
        close(answer[0]);
        reader_main(process, command[0], answer[1]);
    }
    close(command[0]);
    close(answer[1]);
    process->command = command[1];
    process->answer = answer[0];
}

static void tell(struct process *process, const char *letters)
{
    for (; *letters; letters++) {
        char answer = 0;

        assert_int_equal(write(process->command, letters, 1), 1);
        assert_int_equal(read(process->answer, &answer, 1), *letters == 'x' ? 0 : 1);
    }
}

static void process_kill(struct process *process)
{
    siginfo_t info;

    kill(process->pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT), 0);
}

/* ---- lines: what is accepted ---- */

static void check_refused(int descriptor)
{
    struct lines *lines = NULL;
    const char *reason = NULL;

    assert_true(descriptor >= 0);
    assert_int_equal(lines_new(descriptor, &lines, &reason), -EINVAL);
    assert_null(lines);
    assert_non_null(reason);
    close(descriptor);
}

static void test_bad_descriptors_are_refused(void **state)
{
    FILE *file = tmpfile();
    int ends[2], huge;

    check_refused(make_memfd(DD_LINES_MAGIC, DD_LINES_FILE_SIZE - 4096, SEALS));
    check_refused(make_memfd(DD_LINES_MAGIC, DD_LINES_FILE_SIZE + 4096, SEALS));
    check_refused(make_memfd(DD_LINES_MAGIC, DD_LINES_FILE_SIZE, F_SEAL_GROW | F_SEAL_SEAL));
    check_refused(make_memfd(DD_LINES_MAGIC, DD_LINES_FILE_SIZE, F_SEAL_SHRINK | F_SEAL_SEAL));
    check_refused(make_memfd(DD_LINES_MAGIC, DD_LINES_FILE_SIZE, F_SEAL_SHRINK | F_SEAL_GROW));
    check_refused(make_memfd(DD_LINES_MAGIC + 1, DD_LINES_FILE_SIZE, SEALS));
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), DD_LINES_FILE_SIZE), 0);
    check_refused(dup(fileno(file)));
    fclose(file);
    assert_int_equal(pipe(ends), 0);
    check_refused(ends[0]);
    check_refused(ends[1]);
    check_refused(open("/dev/zero", O_RDONLY));
    huge = memfd_create("test-lines", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (huge >= 0) /* kernels without huge pages have nothing to refuse */
        check_refused(huge);
}

static void test_hostile_words_are_bounded(void **state)
{
    struct process process;

    process_init(&process, 1);
    process.map->used = UINT32_MAX;
    process.map->line[DD_LINES_MAX - 1].word = 5;
    process.map->line[DD_LINES_MAX - 1].leaked = UINT32_MAX;
    assert_true(lines_holding(process.lines, DD_EPOCH(GENERATION, 1)));
    assert_int_equal(lines_oldest(process.lines, GENERATION), 0);
    assert_int_equal(lines_threads(process.lines), 0);
    assert_int_equal(lines_leaked(process.lines), UINT32_MAX);
    process_done(&process);
}

/* ---- lines: which of them count ---- */

static void test_line_counts_by_epoch(void **state)
{
    struct process process;
    uint64_t awaited = DD_EPOCH(GENERATION, 10);

    process_init(&process, 2);
    assert_false(lines_holding(process.lines, awaited));
    set_word(&process, awaited - 1);
    assert_true(lines_holding(process.lines, awaited));
    set_word(&process, awaited);
    assert_false(lines_holding(process.lines, awaited));
    set_word(&process, awaited + 1);
    assert_false(lines_holding(process.lines, awaited));
    set_word(&process, DD_LINE_UNSEEN);
    assert_true(lines_holding(process.lines, awaited));
    set_word(&process, DD_EPOCH(GENERATION - 1, 11));
    assert_true(lines_holding(process.lines, awaited));
    set_word(&process, DD_EPOCH(GENERATION + 1, 11));
    assert_true(lines_holding(process.lines, awaited));
    lines_set_dead(process.lines);
    assert_false(lines_holding(process.lines, awaited));
    process_done(&process);
}

static void test_oldest_of_several(void **state)
{
    struct process process;

    process_init(&process, 3);
    process.map->line[0].word = DD_EPOCH(GENERATION, 5);
    process.map->line[1].word = DD_EPOCH(GENERATION, 3);
    process.map->line[2].word = DD_EPOCH(GENERATION, 4);
    assert_int_equal(lines_oldest(process.lines, GENERATION), DD_EPOCH(GENERATION, 3));
    process.map->used = 1;
    assert_int_equal(lines_oldest(process.lines, GENERATION), DD_EPOCH(GENERATION, 5));
    process_done(&process);
}

static void check_quiescent_after(void (*end)(struct process *process))
{
    struct process process;
    struct wait wait;

    process_start(&process);
    assert_int_equal(grace_add(grace, process.lines), 0);
    tell(&process, "oe");
    assert_int_equal(lines_threads(process.lines), 1);
    ask(&wait);
    assert_true(grace_poll(grace));
    assert_true(lines_holding(process.lines, grace_awaited(grace)));
    end(&process);
    assert_false(grace_poll(grace));
    assert_int_equal(wait.over, 1);
    assert_int_equal(lines_threads(process.lines), 0);
    grace_remove(grace, process.lines);
    process_done(&process);
}

static void end_by_exec(struct process *process)
{
    tell(process, "x");
}

static void test_killed_owner_is_quiescent(void **state)
{
    check_quiescent_after(process_kill);
}

static void test_owner_that_executes_another_program_is_quiescent(void **state)
{
    check_quiescent_after(end_by_exec);
}

/* A forked child's lines, made with the forking thread's guard in them. */
static void start_child(struct process *process, struct wait *wait)
{
    process_start(process);
    set_word(process, control->epoch);
    assert_int_equal(grace_add(grace, process->lines), 0);
    ask(wait);
    assert_true(grace_poll(grace));
}

static void end_child(struct process *process)
{
    grace_remove(grace, process->lines);
    process_done(process);
}

static void test_lines_that_nobody_took_count_until_end_of_file(void **state)
{
    struct process process;
    struct wait wait;

    start_child(&process, &wait);
    lines_set_end_of_file(process.lines);
    assert_false(grace_poll(grace));
    assert_int_equal(wait.over, 1);
    end_child(&process);
}

/*
 * The child takes its lines after they were seen without an owner, and then closes its socket: it
 * lives.
 */
static void test_lines_taken_before_end_of_file_count(void **state)
{
    struct process process;
    struct wait wait;

    start_child(&process, &wait);
    tell(&process, "o");
    lines_set_end_of_file(process.lines);
    assert_true(grace_poll(grace));
    tell(&process, "l");
    assert_false(grace_poll(grace));
    end_child(&process);
}

static void test_child_that_took_its_lines_and_died(void **state)
{
    struct process process;
    struct wait wait;

    start_child(&process, &wait);
    tell(&process, "o");
    lines_set_end_of_file(process.lines);
    assert_true(grace_poll(grace));
    process_kill(&process);
    assert_false(grace_poll(grace));
    end_child(&process);
}

static void test_end_of_file_means_nothing_for_adopted_lines(void **state)
{
    struct process process;
    struct wait wait;

    start_child(&process, &wait);
    lines_set_adopted(process.lines);
    lines_set_end_of_file(process.lines);
    assert_true(grace_poll(grace));
    lines_set_dead(process.lines);
    assert_false(grace_poll(grace));
    end_child(&process);
}

/* ---- grace periods ---- */

static void test_wait_without_readers(void **state)
{
    struct wait wait;
    uint64_t before = control->epoch;

    assert_false(grace_poll(grace));
    ask(&wait);
    assert_int_equal(control->epoch, before);
    assert_int_equal(wait.over, 0);
    assert_false(grace_poll(grace));
    assert_int_equal(wait.over, 1);
    assert_int_equal(control->epoch, before + 1);
    assert_int_equal(grace_completed(grace), 1);
    assert_int_equal(drains, 1);
}

static void test_waits_share_an_epoch(void **state)
{
    struct wait wait[3];
    uint64_t before = control->epoch;

    for (int i = 0; i < 3; i++)
        ask(&wait[i]);
    assert_false(grace_poll(grace));
    assert_int_equal(control->epoch, before + 1);
    assert_int_equal(grace_completed(grace), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait[i].over, 1);
    assert_true(wait[0].order < wait[1].order && wait[1].order < wait[2].order);
}

static void test_publish_begins_what_was_asked_for(void **state)
{
    struct wait early, late;
    uint64_t before = control->epoch;

    ask(&early);
    grace_publish(grace);
    assert_int_equal(grace_awaited(grace), before + 1);
    ask(&late);
    assert_int_equal(early.over + late.over, 0);
    assert_false(grace_poll(grace));
    assert_int_equal(control->epoch, before + 2);
    assert_true(early.over && late.over);
}

static void test_stopped_reader_delays_only_waits(void **state)
{
    struct process process;
    struct wait first, second, third;
    uint64_t epoch;
    int status;

    process_start(&process);
    assert_int_equal(grace_add(grace, process.lines), 0);
    tell(&process, "oe");
    kill(process.pid, SIGSTOP);
    assert_int_equal(waitpid(process.pid, &status, WUNTRACED), process.pid);
    ask(&first);
    assert_true(grace_poll(grace));
    epoch = control->epoch;
    grace_publish(grace);                       /* returns: the poke is live */
    assert_int_equal(control->epoch, epoch + 1);
    ask(&second);
    for (int i = 0; i < 10; i++)
        assert_true(grace_poll(grace));
    assert_true(lines_holding(process.lines, grace_awaited(grace)));
    assert_int_equal(first.over + second.over, 0);
    /*
     * It goes on, and enters again before the daemon looks: the waits up to then are over, in
     * order.
     */
    kill(process.pid, SIGCONT);
    tell(&process, "le");
    ask(&third);
    assert_true(grace_poll(grace));
    assert_true(first.over && second.over && !third.over && first.order < second.order);
    tell(&process, "l");
    assert_false(grace_poll(grace));
    assert_int_equal(third.over, 1);
    grace_remove(grace, process.lines);
    process_done(&process);
}

/* The one who stays behind for the first wait does not make the others be looked at again for it. */
static void test_waits_end_together_when_their_holder_leaves(void **state)
{
    struct process quick, slow;
    struct wait first, second;

    process_start(&quick);
    process_start(&slow);
    assert_int_equal(grace_add(grace, quick.lines) + grace_add(grace, slow.lines), 0);
    tell(&slow, "oe");
    ask(&first);
    assert_true(grace_poll(grace));
    tell(&quick, "oe");
    ask(&second);
    assert_true(grace_poll(grace));
    tell(&slow, "l");
    assert_true(grace_poll(grace));
    assert_int_equal(first.over, 1);
    assert_int_equal(second.over, 0);           /* the quick one is in it since before */
    tell(&quick, "l");
    assert_false(grace_poll(grace));
    assert_int_equal(second.over, 1);
    tell(&slow, "e");
    ask(&first);
    assert_true(grace_poll(grace));
    ask(&second);
    assert_true(grace_poll(grace));
    tell(&slow, "l");
    assert_false(grace_poll(grace));
    assert_int_equal(first.over + second.over, 2);
    grace_remove(grace, quick.lines);
    grace_remove(grace, slow.lines);
    process_done(&quick);
    process_done(&slow);
}

/* As hostile workers may say: all lines of each are used. */
static void test_a_poll_looks_at_so_many_lines(void **state)
{
    enum { PROCESSES = 40 };                    /* 655,320 lines */
    struct process process[PROCESSES];
    unsigned polls = 1;
    struct wait wait;

    for (size_t i = 0; i < PROCESSES; i++) {
        process_init(&process[i], 1);
        process[i].map->used = UINT32_MAX;
        assert_int_equal(grace_add(grace, process[i].lines), 0);
    }
    ask(&wait);
    while (grace_poll(grace) && polls < 10)
        polls++;
    assert_int_equal(wait.over, 1);
    assert_int_equal(polls, 3);
    set_word(&process[PROCESSES - 1], DD_LINE_UNSEEN);          /* it is found wherever it stands */
    ask(&wait);
    for (unsigned i = 0; i < 10; i++)
        assert_true(grace_poll(grace));
    set_word(&process[PROCESSES - 1], 0);
    while (grace_poll(grace))
        ;
    assert_int_equal(wait.over, 1);
    for (size_t i = 0; i < PROCESSES; i++) {
        grace_remove(grace, process[i].lines);
        process_done(&process[i]);
    }
}

static blkcnt_t blocks(const struct process *process)
{
    struct stat status;

    assert_int_equal(fstat(process->descriptor, &status), 0);
    return status.st_blocks;
}

static void test_lines_without_memory_get_none(void **state)
{
    struct process process;
    blkcnt_t before;

    process_init(&process, 1);
    process.map->used = UINT32_MAX;
    process.map->line[62].leaked = 1;           /* the last of the head's page; then one in the middle */
    process.map->line[8000].leaked = 1;
    before = blocks(&process);
    assert_int_equal(lines_oldest(process.lines, GENERATION), LINES_NOBODY);
    assert_int_equal(lines_leaked(process.lines), 2);
    assert_int_equal(lines_threads(process.lines), 0);
    assert_int_equal(blocks(&process), before);
    for (uint32_t i = 0; i < DD_LINES_MAX; i += i < 200 ? 1 : 61) {
        process.map->line[i].word = DD_EPOCH(GENERATION, 5);
        assert_int_equal(lines_oldest(process.lines, GENERATION), DD_EPOCH(GENERATION, 5));
        process.map->line[i].word = 0;
    }
    process_done(&process);
}

static void test_removed_lines_hold_nothing(void **state)
{
    struct process process[3];
    struct wait wait;

    for (int i = 0; i < 3; i++) {
        process_init(&process[i], 1);
        set_word(&process[i], control->epoch);
        assert_int_equal(grace_add(grace, process[i].lines), 0);
    }
    ask(&wait);
    for (int i = 0; i < 3; i++) {
        assert_true(grace_poll(grace));
        grace_remove(grace, process[i].lines);
        process_done(&process[i]);
    }
    assert_false(grace_poll(grace));
    assert_int_equal(wait.over, 1);
}

/* ---- draining ---- */

static struct process forked;
static unsigned forks;

static void drain_brings_lines(void)
{
    if (forks++)
        return;
    process_init(&forked, 1);
    set_word(&forked, DD_EPOCH(GENERATION, 1));
    assert_int_equal(grace_add(grace, forked.lines), 0);
}

static void test_lines_that_come_while_draining_are_waited_for(void **state)
{
    struct wait wait;

    forks = 0;
    drain_hook = drain_brings_lines;
    ask(&wait);
    assert_true(grace_poll(grace));
    assert_int_equal(wait.over, 0);
    set_word(&forked, 0);
    assert_false(grace_poll(grace));
    assert_int_equal(wait.over, 1);
    grace_remove(grace, forked.lines);
    process_done(&forked);
}

static struct process busy;
static struct wait inner;

/*
 * After the lines were looked at, a reader enters; then a message makes the daemon poke, and wait.
 */
static void drain_begins_another_wait(void)
{
    drain_hook = NULL;
    set_word(&busy, control->epoch);
    ask(&inner);
    grace_publish(grace);
}

static void test_wait_that_begins_while_draining_is_not_over(void **state)
{
    struct wait wait;

    process_init(&busy, 1);
    assert_int_equal(grace_add(grace, busy.lines), 0);
    drain_hook = drain_begins_another_wait;
    ask(&wait);
    assert_true(grace_poll(grace));
    assert_int_equal(wait.over, 1);
    assert_int_equal(inner.over, 0);
    set_word(&busy, 0);
    assert_false(grace_poll(grace));
    assert_int_equal(inner.over, 1);
    grace_remove(grace, busy.lines);
    process_done(&busy);
}

static void free_waiter(struct grace_waiter *waiter)
{
    free(waiter);
}

static void wait_again(struct grace_waiter *waiter)
{
    struct wait *next = malloc(sizeof(*next));

    assert_non_null(next);
    ask(next);
    next->waiter.over = free_waiter;
    free(waiter);
}

static void test_over_may_wait_again_and_free(void **state)
{
    struct wait *wait = malloc(sizeof(*wait));

    assert_non_null(wait);
    ask(wait);
    wait->waiter.over = wait_again;
    assert_true(grace_poll(grace));
    assert_false(grace_poll(grace));
    assert_int_equal(grace_completed(grace), 2);
}

/* ---- the barriers ---- */

/*
 * A reader as fast as it can: inside a guard that began in epoch e, no wait for a later one may be
 * over.  Only the membarrier makes this true.  Stores that miss the cache keep the one to the line
 * waiting in the store buffer, so that without the membarrier this test fails.
 */
struct race {
    uint64_t over;              /* the epoch up to which waits are over */
    uint64_t guards, wrong;
    uint64_t overlaps;          /* guards during which a wait began */
    uint32_t stop;
};

static struct race *race;

#define COLD_SIZE (16 << 20)
#define COLD_STORES 32
#define RACE_LOOKS 1000         /* in each guard */
#define RACE_OVERLAPS 2000
#define RACE_WAITS 1000000      /* give up: one processor has no store buffers to race */

static void store_cold(volatile char *cold)
{
    static size_t at;

    for (int i = 0; i < COLD_STORES; i++)
        cold[at = (at + 4096 + 64) % COLD_SIZE] = 1;
}

static _Noreturn void racing_reader(struct process *process)
{
    struct dd_line *line = &process->map->line[0];
    uint64_t last = DD_LINE_UNSEEN, epoch, over;
    static char cold[COLD_SIZE];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(cold, 1, COLD_SIZE);
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0)
        _exit(1);
    pthread_mutex_lock(&line->owner);
    while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
        store_cold(cold);
        __atomic_store_n(&line->word, last, __ATOMIC_RELAXED);
        __asm__ volatile("" ::: "memory");
        epoch = __atomic_load_n(&control->epoch, __ATOMIC_RELAXED);
        for (int i = 0; i < RACE_LOOKS; i++) {
            over = __atomic_load_n(&race->over, __ATOMIC_RELAXED);
            race->wrong += over > epoch;
        }
        race->overlaps += __atomic_load_n(&control->epoch, __ATOMIC_RELAXED) != epoch;
        last = epoch;
        __atomic_store_n(&line->word, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&race->guards, race->guards + 1, __ATOMIC_RELAXED);
    }
    _exit(0);
}

static void race_over(struct grace_waiter *waiter)
{
    __atomic_store_n(&race->over, waiter->epoch, __ATOMIC_RELAXED);
}

static void test_no_wait_is_over_inside_an_older_guard(void **state)
{
    struct grace_waiter waiter = { .over = race_over };
    struct process process;
    int status;

    race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(race, MAP_FAILED);
    process_init(&process, 1);
    assert_int_equal(grace_add(grace, process.lines), 0);
    process.pid = fork();
    assert_true(process.pid >= 0);
    if (process.pid == 0)
        racing_reader(&process);
    for (int i = 0;
         i < RACE_WAITS && __atomic_load_n(&race->overlaps, __ATOMIC_RELAXED) < RACE_OVERLAPS;
         i++) {
        grace_wait(grace, &waiter);
        while (grace_poll(grace))
            sched_yield();
        for (volatile int k = rand() % 1000; k > 0; k--) {}
    }
    __atomic_store_n(&race->stop, 1, __ATOMIC_RELAXED);
    assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
    assert_int_equal(status, 0);
    process.pid = 0;
    assert_true(race->guards > 0);
    assert_int_equal(race->wrong, 0);
    grace_remove(grace, process.lines);
    process_done(&process);
    munmap(race, sizeof(*race));
}

/* ---- counters ---- */

static void write_counter(const struct process *process, uint32_t line, size_t offset)
{
    const uint64_t word = 1;

    assert_int_equal(pwrite(process->descriptor, &word, sizeof(word), (off_t)(DD_LINE_COUNTERS(line) + offset)),
                     sizeof(word));
}

/* Pages decide: what was never written is not looked at. */
static void test_lines_that_count(void **state)
{
    struct process process;
    const size_t near = 64 * 1024, size = 4096;

    process_init(&process, 9);
    assert_int_equal(lines_next_counted(process.lines, 0, near, size), 9);
    write_counter(&process, 0, 0);
    write_counter(&process, 2, 2 * near);
    write_counter(&process, 4, 0);
    write_counter(&process, 4, near);
    write_counter(&process, 5, near + 8);
    write_counter(&process, 9, near);           /* in no line that was handed out */
    assert_int_equal(lines_next_counted(process.lines, 0, near, size), 4);
    assert_int_equal(lines_next_counted(process.lines, 4, near, size), 4);
    assert_int_equal(lines_next_counted(process.lines, 5, near, size), 5);
    assert_int_equal(lines_next_counted(process.lines, 6, near, size), 9);
    assert_int_equal(lines_next_counted(process.lines, 0, 0, size), 0);
    assert_int_equal(lines_next_counted(process.lines, 1, 0, size), 4);
    process_done(&process);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_that_count),
        TEST(test_bad_descriptors_are_refused),
        TEST(test_hostile_words_are_bounded),
        TEST(test_line_counts_by_epoch),
        TEST(test_oldest_of_several),
        TEST(test_killed_owner_is_quiescent),
        TEST(test_owner_that_executes_another_program_is_quiescent),
        TEST(test_lines_that_nobody_took_count_until_end_of_file),
        TEST(test_lines_taken_before_end_of_file_count),
        TEST(test_child_that_took_its_lines_and_died),
        TEST(test_end_of_file_means_nothing_for_adopted_lines),
        TEST(test_wait_without_readers),
        TEST(test_waits_share_an_epoch),
        TEST(test_publish_begins_what_was_asked_for),
        TEST(test_stopped_reader_delays_only_waits),
        TEST(test_waits_end_together_when_their_holder_leaves),
        TEST(test_a_poll_looks_at_so_many_lines),
        TEST(test_lines_without_memory_get_none),
        TEST(test_removed_lines_hold_nothing),
        TEST(test_lines_that_come_while_draining_are_waited_for),
        TEST(test_wait_that_begins_while_draining_is_not_over),
        TEST(test_over_may_wait_again_and_free),
        TEST(test_no_wait_is_over_inside_an_older_guard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
