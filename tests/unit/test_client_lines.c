/* SPDX-License-Identifier: MIT */
/* Reader lines: handed out once, taken back when a thread ends, replaced under running guards, carried over a fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatchd.h"
#include "fork.h"
#include "lines.h"
#include "serialise.h"
#include "signals.h"

#define THREADS 200

/* A set of its own for each test. */
static struct lines *fresh_lines(void)
{
    struct lines *lines = NULL;

    assert_int_equal(barrier_register(), 0);
    assert_int_equal(lines_new(&lines), 0);
    assert_int_equal(lines_replace(lines), 0);
    return lines;
}

static struct dd_line *claim(void)
{
    sigset_t saved = signals_block();
    struct dd_line *line = lines_claim();

    signals_restore(&saved);
    return line;
}

static void release(struct dd_line *line)
{
    pthread_mutex_unlock(&line->owner);
}

/* A guard that has a line: there are enough. */
static struct dd_guard enter(void)
{
    struct dd_guard guard = dd_guard_enter();

    if (!guard.line)
        abort();
    return guard;
}

/* ---- handing out --------------------------------------------------------------------------------------- */

static pthread_barrier_t all_have_one;

static void *enter_once(void *ret)
{
    struct dd_guard guard = enter();

    *(struct dd_line **)ret = guard.line;
    pthread_barrier_wait(&all_have_one);
    dd_guard_leave(&guard);
    return NULL;
}

static int compare_pointers(const void *a, const void *b)
{
    const char *first = *(char *const *)a, *second = *(char *const *)b;

    return (first > second) - (first < second);
}

static void run_threads(struct dd_line *line[THREADS])
{
    pthread_t thread[THREADS];

    pthread_barrier_init(&all_have_one, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, enter_once, &line[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&all_have_one);
}

static void test_each_thread_has_its_own(void **state)
{
    struct lines *lines = fresh_lines();
    struct dd_line *line[THREADS];

    for (int round = 0; round < 3; round++) {
        run_threads(line);
        qsort(line, THREADS, sizeof *line, compare_pointers);
        for (int i = 0; i < THREADS; i++) {
            assert_non_null(line[i]);
            assert_true(lines_is_current(line[i]));
            assert_true(i == 0 || line[i] != line[i - 1]);
        }
        assert_int_equal(lines->map->used, THREADS);    /* taken back: the next round uses no more */
    }
}

/* ---- counters ------------------------------------------------------------------------------------------ */

static uint64_t read_counter(const struct lines *lines, size_t index)
{
    uint64_t value;

    assert_int_equal(pread(lines->memfd.number, &value, sizeof value, (off_t)DD_LINE_COUNTERS(index)), sizeof value);
    return value;
}

static void test_each_line_has_counters(void **state)
{
    struct lines *lines = fresh_lines();
    struct dd_line *first = claim(), *second = claim();
    uint64_t *counters = lines_counters(first);

    *counters = 7;
    counters[DD_LINE_COUNTERS_SIZE / sizeof *counters - 1] = 8;
    *(uint64_t *)lines_counters(second) = 9;
    assert_int_equal(read_counter(lines, 0), 7);
    assert_int_equal(read_counter(lines, 1), 9);
    release(first);
    first = claim();
    assert_ptr_equal(lines_counters(first), counters);      /* the next thread counts on */
    assert_int_equal(*counters, 7);
    release(first);
    release(second);
}

/* They are large: nothing of them is allocated before it is used, not even where all memory is locked. */
static void test_counters_in_locked_memory(void **state)
{
    struct lines *lines = fresh_lines();
    struct dd_line *line;
    struct stat status;

    if (mlockall(MCL_FUTURE) < 0)
        skip();
    line = claim();
    assert_non_null(line);
    *((char *)lines_counters(line) + DD_LINE_COUNTERS_SIZE - 1) = 1;
    munlockall();
    assert_int_equal(fstat(lines->memfd.number, &status), 0);
    assert_true((uint64_t)status.st_blocks * 512 < DD_LINE_COUNTERS_SIZE / 10);
    release(line);
}

static const struct dd_line_thread *thread_of(const struct dd_line *line)
{
    return (const struct dd_line_thread *)(const void *)((char *)lines_counters(line) + DD_LINE_THREAD);
}

/* Does the line say whose it is? */
static bool is_introduced(const struct dd_line *line)
{
    const struct dd_line_thread *thread = thread_of(line);
    const struct lines *lines = lines_current();
    struct stat status;

    if (fstat(lines->memfd.number, &status) < 0)
        return false;
    return thread->line == DD_LINE_NAME(status.st_ino, line - lines->map->line) && thread->process == (uint32_t)getpid() &&
           thread->id == (uint32_t)gettid();
}

static void *claim_and_introduce(void *unused)
{
    struct dd_line *line = claim();
    bool introduced = is_introduced(line);

    release(line);
    return introduced ? line : NULL;
}

static void test_each_line_names_its_thread(void **state)
{
    struct dd_line *first, *second;
    struct dd_line_thread *thread;
    uint64_t number;
    pthread_t other;
    void *taken;

    fresh_lines();
    first = claim();
    second = claim();
    assert_true(is_introduced(first));
    assert_true(is_introduced(second));
    assert_true(thread_of(first)->line != thread_of(second)->line);
    thread = (struct dd_line_thread *)(void *)((char *)lines_counters(first) + DD_LINE_THREAD);
    thread->seat = 5;
    number = thread->taken;
    assert_true(number > 0);
    release(first);
    assert_int_equal(pthread_create(&other, NULL, claim_and_introduce, NULL), 0);
    assert_int_equal(pthread_join(other, &taken), 0);
    assert_ptr_equal(taken, first);
    assert_int_equal(thread->seat, 5);          /* it is the line's */
    assert_int_equal(thread->taken, number + 1);
    release(second);
    fresh_lines();
    first = claim();
    assert_true(is_introduced(first));          /* by another name: another memfd */
    assert_true(thread_of(first)->line != thread->line);
    release(first);
}

/* Then nobody reads what a new thread counts, but it counts. */
static void test_counters_without_the_memfd(void **state)
{
    struct lines *lines = fresh_lines();
    struct dd_line *line;

    close(lines->memfd.number);
    line = claim();
    assert_non_null(line);
    *(uint64_t *)lines_counters(line) = 1;
    release(line);
}

static void test_file_size_limit(void **state)
{
    struct rlimit limit, lower;
    struct lines *lines = NULL;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    lower = limit;
    lower.rlim_cur = DD_LINES_FILE_SIZE - 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &lower), 0);
    assert_int_equal(lines_new(&lines), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_null(lines);
}

static void *claim_and_die(void *ret)
{
    struct dd_line *line = claim();

    line->word = 99;                    /* as if inside a guard */
    *(struct dd_line **)ret = line;
    return NULL;
}

static void test_dead_owner(void **state)
{
    struct lines *lines = fresh_lines();
    struct dd_line *line;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, claim_and_die, &line), 0);
    pthread_join(thread, NULL);
    assert_int_equal(line->word, 99);
    assert_true(lines_are_past(5));     /* the kernel has marked the owner dead */
    assert_ptr_equal(claim(), line);
    assert_int_equal(line->word, 0);
    assert_int_equal(line->last, DD_LINE_UNSEEN);
    assert_int_equal(lines->map->used, 1);
    release(line);
}

static void test_memfd_is_sealed(void **state)
{
    struct lines *lines = fresh_lines();
    struct stat status;

    assert_int_equal(fcntl(lines->memfd.number, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(fstat(lines->memfd.number, &status), 0);
    assert_int_equal(status.st_size, DD_LINES_FILE_SIZE);
    assert_int_equal(fcntl(lines->memfd.number, F_GETFD), FD_CLOEXEC);
    assert_int_equal(lines->map->magic, DD_LINES_MAGIC);
    assert_int_equal(lines->map->layout_version, DD_LAYOUT_VERSION);
}

/* ---- what the mover asks ------------------------------------------------------------------------------- */

static void test_past(void **state)
{
    struct dd_line *line;

    fresh_lines();
    line = claim();
    assert_true(lines_are_past(5));
    line->word = DD_EPOCH(5, 3);
    assert_true(lines_are_past(5));
    assert_false(lines_are_past(6));
    assert_false(lines_are_past(4));
    line->word = DD_LINE_UNSEEN;
    assert_false(lines_are_past(5));
    assert_false(lines_are_past(0));
    line->word = 0;
    release(line);
}

static void test_past_looks_at_older_sets(void **state)
{
    struct dd_line *line;

    fresh_lines();
    line = claim();
    line->word = DD_EPOCH(5, 3);
    fresh_lines();
    assert_false(lines_are_past(6));
    line->word = 0;
    assert_true(lines_are_past(6));
    release(line);
}

/* ---- waiting for guards -------------------------------------------------------------------------------- */

static void test_wait_for_guards(void **state)
{
    struct lines_wait wait = { 0 };
    struct dd_line *old, *line;

    fresh_lines();
    old = claim();
    old->word = DD_LINE_UNSEEN;
    fresh_lines();
    line = claim();
    line->word = line->last = DD_EPOCH(5, 3);
    assert_false(lines_wait_step(&wait));
    assert_false(lines_wait_step(&wait));
    line->word = 0;
    assert_false(lines_wait_step(&wait));       /* the older set's */
    line->word = DD_EPOCH(5, 3);                /* a later guard is nobody's business */
    assert_false(lines_wait_step(&wait));
    old->word = DD_EPOCH(5, 3);                 /* another guard than the one that was there */
    assert_true(lines_wait_step(&wait));
    old->word = line->word = 0;
    release(old);
    release(line);
}

static void test_guards_that_follow_on_each_other(void **state)
{
    struct lines_wait wait = { 0 };
    struct dd_line *line;

    fresh_lines();
    line = claim();
    line->word = line->last = DD_EPOCH(5, 3);
    assert_false(lines_wait_step(&wait));
    line->word = line->last;                    /* the same thread enters again, and was never seen outside */
    assert_true(lines_wait_step(&wait));
    line->word = 0;
    release(line);
}

static void test_nobody_waits_for_the_dead(void **state)
{
    struct lines_wait wait = { 0 };
    struct dd_line *line;
    pthread_t thread;

    fresh_lines();
    assert_int_equal(pthread_create(&thread, NULL, claim_and_die, &line), 0);
    pthread_join(thread, NULL);
    assert_true(lines_wait_step(&wait));
    line->word = 0;
}

/* ---- replacing ----------------------------------------------------------------------------------------- */

static void *go_over(void *unused)
{
    struct dd_guard outer, nested;
    struct dd_line *old;

    outer = enter();
    old = outer.line;
    fresh_lines();
    assert_true(old->word != 0);
    nested = enter();                          /* a nested guard takes a line of the new set, as its outermost */
    assert_true(nested.line != old && lines_is_current(nested.line));
    assert_int_equal(nested.outer, 0);
    assert_true(nested.line->word != 0 && old->word != 0);
    dd_guard_leave(&nested);
    assert_int_equal(nested.line->word, 0);
    assert_true(old->word != 0);                        /* the outer guard still stands where it began */
    dd_guard_leave(&outer);
    assert_int_equal(old->word, 0);
    assert_int_equal(old->last, DD_LINE_UNSEEN);
    outer = enter();
    assert_ptr_equal(outer.line, nested.line);
    dd_guard_leave(&outer);
    return NULL;
}

static void test_replaced_inside_a_guard(void **state)
{
    pthread_t thread;

    fresh_lines();
    assert_int_equal(pthread_create(&thread, NULL, go_over, NULL), 0);
    pthread_join(thread, NULL);
}

/*
 * The program under the outer guard goes on, in the name of the line that it is inside of: until that is over the
 * thread has its counters.  Over two newer sets.
 */
static void *keep_counters(void *unused)
{
    struct dd_guard outer = enter(), nested;
    void *counters = lines_counters(outer.line);

    assert_ptr_equal(dd_thread_self.counters, counters);
    for (int i = 0; i < 2; i++) {
        fresh_lines();
        for (int n = 0; n < 2; n++) {                   /* goes over; has gone over */
            nested = enter();
            assert_true(lines_is_current(nested.line));
            assert_ptr_equal(dd_thread_self.counters, counters);
            dd_guard_leave(&nested);
        }
    }
    assert_ptr_equal(dd_thread_self.counters, counters);
    dd_guard_leave(&outer);
    outer = enter();
    assert_ptr_equal(outer.line, nested.line);
    assert_ptr_equal(dd_thread_self.line, nested.line);
    assert_ptr_equal(dd_thread_self.counters, lines_counters(nested.line));
    dd_guard_leave(&outer);
    fresh_lines();
    outer = enter();                                    /* the outermost one goes over: at once */
    assert_ptr_equal(dd_thread_self.counters, lines_counters(outer.line));
    assert_ptr_equal(dd_thread_self.line, outer.line);
    dd_guard_leave(&outer);
    return NULL;
}

static void test_counters_inside_a_guard(void **state)
{
    pthread_t thread;

    fresh_lines();
    assert_int_equal(pthread_create(&thread, NULL, keep_counters, NULL), 0);
    pthread_join(thread, NULL);
}

/*
 * The one that is easy to get wrong: a signal handler takes the thread over to a newer line between the load of
 * the thread's pointer and the store to the line.  Here the interrupted half is written out.
 */
static void *interrupted_enter(void *unused)
{
    struct dd_guard guard = enter(), handler;
    uint64_t epoch;

    dd_guard_leave(&guard);
    guard = (struct dd_guard){ dd_thread_self.line, dd_thread_self.line->word };        /* has loaded both ... */
    fresh_lines();
    handler = enter();                                                         /* ... a handler runs ... */
    dd_guard_leave(&handler);
    __atomic_store_n(&guard.line->word, guard.line->last, __ATOMIC_RELAXED);            /* ... and it goes on */
    assert_int_equal(guard.line->word, DD_LINE_UNSEEN);         /* inside: what it loads now must stay */
    epoch = *(volatile uint64_t *)(void *)(dd_window_base + DD_WINDOW_CONTROL);
    assert_true(epoch != guard.line->last);                                             /* so it must ask */
    guard = dd_thread_renew(guard, epoch);
    assert_true(lines_is_current(guard.line));
    assert_int_equal(guard.outer, 0);
    assert_true(guard.line->word != 0);
    assert_int_equal(guard.line->last, epoch);
    dd_guard_leave(&guard);
    assert_int_equal(guard.line->word, 0);
    return NULL;
}

static void test_replaced_by_a_handler(void **state)
{
    pthread_t thread;

    fresh_lines();
    assert_int_equal(pthread_create(&thread, NULL, interrupted_enter, NULL), 0);
    pthread_join(thread, NULL);
}

/* The linker puts this in the place of serialise(): what a handler does in the middle of dd_thread_renew(). */
void __real_serialise(void);
void __wrap_serialise(void);

static void (*interrupt)(void);

void __wrap_serialise(void)
{
    void (*once)(void) = interrupt;

    interrupt = NULL;
    if (once)
        once();
    __real_serialise();
}

static void enter_in_a_newer_set(void)
{
    struct dd_guard handler;

    fresh_lines();
    handler = enter();
    dd_guard_leave(&handler);
}

/* The thread has gone over to another line while it renewed the old one, which then gets its `last` back for a moment. */
static void *interrupted_renew(void *unused)
{
    struct dd_guard guard = enter();
    struct dd_line *old = guard.line;

    dd_guard_leave(&guard);
    old->last = DD_LINE_UNSEEN;
    interrupt = enter_in_a_newer_set;
    guard = enter();
    assert_null(interrupt);
    assert_true(guard.line != old && lines_is_current(guard.line));
    assert_true(guard.line->word != 0);
    assert_int_equal(old->word, 0);
    assert_int_equal(old->last, DD_LINE_UNSEEN);
    dd_guard_leave(&guard);
    assert_int_equal(guard.line->word, 0);
    return NULL;
}

static void test_replaced_while_renewing(void **state)
{
    pthread_t thread;

    fresh_lines();
    assert_int_equal(pthread_create(&thread, NULL, interrupted_renew, NULL), 0);
    pthread_join(thread, NULL);
}

static int stop;

static void *call_until_stopped(void *unused)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        struct dd_guard guard = enter();

        if (__atomic_load_n(&guard.line->word, __ATOMIC_RELAXED) == 0)
            abort();
        dd_guard_leave(&guard);
    }
    return NULL;
}

static void handle_signal(int number)
{
    DD_GUARDED {
        DD_GUARDED {
        }
    }
}

/* Sets replaced under threads that enter all the time, and signals: all words are 0 in the end. */
static void test_replaced_under_load(void **state)
{
    pthread_t thread[2];

    fresh_lines();
    signal(SIGUSR1, handle_signal);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, call_until_stopped, NULL), 0);
    for (int i = 0; i < 100; i++) {
        for (int n = 0; n < 20; n++)
            pthread_kill(thread[n % 2], SIGUSR1);
        fresh_lines();
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (const struct lines *lines = lines_current(); lines; lines = lines->older)
        for (uint32_t i = 0; i < lines->map->used; i++)
            assert_int_equal(lines->map->line[i].word, 0);
}

/* ---- fork ---------------------------------------------------------------------------------------------- */

/* What is not copied by fork, or any clone: a line belongs to one process. */
static void test_not_inherited(void **state)
{
    struct lines *lines = fresh_lines();
    unsigned char residency;
    pid_t child;
    int status;

    assert_int_equal(mincore(lines->map, 4096, &residency), 0);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(mincore(lines->map, 4096, &residency) < 0 && errno == ENOMEM ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* 0, or which check failed. */
static int check_child(const struct dd_guard *guard, struct dd_line *line, uint64_t word, pid_t parent)
{
    struct stat status;

    if (dd_thread_self.line != line || guard->line != line)
        return 1;
    if (line->word != word || (*(uint32_t *)(void *)&line->owner & 0x3fffffff) != (uint32_t)getpid())
        return 2;
    if (!lines_in_guard() || lines_are_past(77))
        return 3;
    if (fstat(lines_current()->memfd.number, &status) < 0 || status.st_size != DD_LINES_FILE_SIZE)
        return 4;
    if (lines_current()->map->used != (uint32_t)(line - lines_current()->map->line) + 1)
        return 5;
    if (*(uint64_t *)lines_counters(line) != 0)     /* where the parent has its own: the thread may be counting there */
        return 6;
    *(uint64_t *)lines_counters(line) = 2;
    if (!is_introduced(line))
        return 9;
    return getppid() == parent ? 0 : 7;
}

/* Holds the first lines for as long as the test runs, so that ours is not the first. */
static void *hold_lines(void *barrier)
{
    struct dd_line *held[3];

    for (int i = 0; i < 3; i++)
        held[i] = claim();
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    for (int i = 0; i < 3; i++)
        release(held[i]);
    return NULL;
}

static void test_fork_inside_a_guard(void **state)
{
    pthread_barrier_t barrier;
    pthread_t holder;
    struct dd_guard guard;
    struct dd_line *line;
    pid_t child, parent = getpid();
    uint64_t word;
    int status;

    fresh_lines();
    dd_thread_self.line = NULL;
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&holder, NULL, hold_lines, &barrier), 0);
    pthread_barrier_wait(&barrier);
    guard = enter();
    line = guard.line;
    assert_ptr_equal(line, &lines_current()->map->line[3]);
    word = line->word;
    *(uint64_t *)lines_counters(line) = 1;
    child = fork();
    if (child == 0) {
        int r = check_child(&guard, line, word, parent);

        dd_guard_leave(&guard);
        _exit(r != 0 ? r : line->word != 0 || lines_in_guard() ? 8 : 0);
    }
    assert_int_equal(line->word, word);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(line->word, word);                 /* the child left its own */
    assert_int_equal(*(uint64_t *)lines_counters(line), 1);
    dd_guard_leave(&guard);
    pthread_barrier_wait(&barrier);
    pthread_join(holder, NULL);
}

/* No descriptor to be had: the child has no lines that a daemon could see, and goes on with defaults. */
static void test_fork_without_descriptors(void **state)
{
    struct rlimit limit, none;
    struct dd_guard guard;
    pid_t child;
    int status;

    fresh_lines();
    guard = enter();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    child = fork();
    if (child == 0) {
        if (lines_current()->memfd.number >= 0 || dd_thread_self.line != guard.line)
            _exit(1);
        dd_guard_leave(&guard);
        for (int i = 0; i < 10; i++)
            DD_GUARDED {
            }
        _exit(guard.line->word == 0 ? 0 : 2);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    dd_guard_leave(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_thread_has_its_own),
        cmocka_unit_test(test_dead_owner),
        cmocka_unit_test(test_memfd_is_sealed),
        cmocka_unit_test(test_each_line_has_counters),
        cmocka_unit_test(test_counters_in_locked_memory),
        cmocka_unit_test(test_each_line_names_its_thread),
        cmocka_unit_test(test_counters_without_the_memfd),
        cmocka_unit_test(test_file_size_limit),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_past_looks_at_older_sets),
        cmocka_unit_test(test_wait_for_guards),
        cmocka_unit_test(test_guards_that_follow_on_each_other),
        cmocka_unit_test(test_nobody_waits_for_the_dead),
        cmocka_unit_test(test_replaced_inside_a_guard),
        cmocka_unit_test(test_counters_inside_a_guard),
        cmocka_unit_test(test_replaced_by_a_handler),
        cmocka_unit_test(test_replaced_while_renewing),
        cmocka_unit_test(test_replaced_under_load),
        cmocka_unit_test(test_not_inherited),
        cmocka_unit_test(test_fork_inside_a_guard),
        cmocka_unit_test(test_fork_without_descriptors),
    };

    if (fork_prepare() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
