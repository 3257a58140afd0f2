/* SPDX-License-Identifier: MIT */
/* See library.h; and dispatchd.h for the functions that workers call. */
#include "library.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "background.h"
#include "dispatchd.h"
#include "fork.h"
#include "lines.h"
#include "native.h"
#include "serialise.h"
#include "signals.h"
#include "table.h"

#define DEFAULT_TIMEOUT_MS 1000
#define CLOSE_POLL_NS 1000000

struct library library;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sigset_t lock_saved;             /* signal mask of the holder */

void library_lock(void)
{
    sigset_t saved = signals_block();

    pthread_mutex_lock(&lock);
    lock_saved = saved;
}

void library_unlock(void)
{
    sigset_t saved = lock_saved;

    pthread_mutex_unlock(&lock);
    signals_restore(&saved);
}

void library_lock_afresh(void)
{
    sigset_t saved = signals_block();

    pthread_mutex_init(&lock, NULL);
    pthread_mutex_lock(&lock);
    lock_saved = saved;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* Members that the caller does not know are 0; members that we do not know must be 0. */
static int read_options(const struct dd_options *given, struct dd_options *ret)
{
    struct dd_options options = { 0 };
    size_t size = given && given->size ? given->size : sizeof options;
    size_t known = size < sizeof options ? size : sizeof options;

    if (given)
        memcpy(&options, given, known);
    for (size_t i = sizeof options; i < size; i++)
        if (((const char *)given)[i] != 0)
            return -EINVAL;
    if (size < offsetof(struct dd_options, socket) || (options.flags & ~(uint64_t)DD_NO_THREAD))
        return -EINVAL;
    *ret = options;
    return 0;
}

static int make_lines(void)
{
    struct lines *lines;
    int r;

    if (lines_current())                /* from before a dd_close(): threads hold lines of it */
        return 0;
    r = lines_new(&lines);
    return r < 0 ? r : lines_replace(lines);
}

static bool exiting;

static void note_exit(void)
{
    __atomic_store_n(&exiting, true, __ATOMIC_RELAXED);
}

static bool is_exiting(void)
{
    return __atomic_load_n(&exiting, __ATOMIC_RELAXED);
}

/* exit() calls it before any destructor of the process that unregisters a native. */
static int watch_exit(void)
{
    static bool watching;

    if (!watching && atexit(note_exit) != 0)
        return -ENOMEM;
    watching = true;
    return 0;
}

static int begin(const struct dd_options *options)
{
    int r;

    r = barrier_register();
    if (r == 0)
        r = watch_exit();
    if (r == 0)
        r = fork_prepare();
    if (r == 0)
        r = make_lines();
    if (r == 0)
        r = membership_begin(&library.membership, options->socket, options->name ?: program_invocation_short_name);
    return r;
}

static void settle(int64_t timeout_ms)
{
    int64_t deadline = wakeup_now() + timeout_ms;

    for (;;) {
        int64_t left = deadline - wakeup_now();
        int epoll;

        membership_process(&library.membership);
        if (membership_is_settled(&library.membership) || left <= 0)
            return;
        epoll = library.membership.wakeup.epoll;
        library_unlock();
        wakeup_wait(epoll, (int)left);
        library_lock();
    }
}

/* Until no guard can see a window that we have left.  Drops and retakes the lock. */
static void finish_move(void)
{
    while (!mover_step(&library.membership.mover)) {
        library_unlock();
        nanosleep(&(struct timespec){ .tv_nsec = CLOSE_POLL_NS }, NULL);
        library_lock();
    }
}

/*
 * Drops and retakes the lock.  The daemon is told only when no thread is in its code any more:
 * it forgets the lines then.
 */
static void leave(void)
{
    library.open = false;
    membership_unhook(&library.membership);
    finish_move();
    membership_leave(&library.membership);
    membership_end(&library.membership);
}

static int open_library(const struct dd_options *options)
{
    int64_t timeout = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    int r;

    if (library.open || library.busy)
        return -EALREADY;
    if (library.membership.mover.moving) {              /* the child of a fork in the course of dd_close() */
        if (lines_in_guard())
            return -EDEADLK;
        library.busy = true;
        finish_move();
        library.busy = false;
    }
    r = begin(options);
    if (r < 0)
        return r;
    library.open = library.busy = true;
    library.flags = options->flags;
    settle(timeout);
    r = library.flags & DD_NO_THREAD ? 0 : background_start();
    if (r < 0)
        leave();
    library.busy = false;
    return r;
}

int dd_open(const struct dd_options *given)
{
    struct dd_options options;
    int saved_errno = errno;
    int r;

    r = read_options(given, &options);
    if (r < 0)
        return r;
    library_lock();
    r = open_library(&options);
    library_unlock();
    errno = saved_errno;
    return r;
}

static int close_library(void)
{
    if (!library.open || library.busy)
        return -EALREADY;
    if (lines_in_guard())
        return -EDEADLK;
    library.busy = true;
    background_stop();
    leave();
    library.busy = false;
    return 0;
}

int dd_close(void)
{
    int saved_errno = errno;
    int r;

    library_lock();
    r = close_library();
    library_unlock();
    errno = saved_errno;
    return r;
}

/* What this process declared wrongly stays true whatever a daemon says. */
static void write_error(char ret[sizeof(((struct dd_status *)0)->error)])
{
    const char *refusal = library.membership.error;

    strcpy(ret, library.mistake);
    if (library.mistakes > 1)
        sprintf(ret + strlen(ret), " (and %u before it)", library.mistakes - 1);
    if (*ret && *refusal)
        strcat(ret, "; ");
    strncat(ret, refusal, sizeof(((struct dd_status *)0)->error) - strlen(ret) - 1);
}

int dd_status(struct dd_status *ret_status)
{
    struct dd_status status = { .size = sizeof status };
    const struct window *window;

    if (!ret_status || ret_status->size < offsetof(struct dd_status, error))
        return -EINVAL;
    library_lock();
    window = library.membership.mover.current;
    status.state = library.open ? membership_state(&library.membership) : DD_CLOSED;
    status.generation = window ? window->generation : 0;
    write_error(status.error);
    library_unlock();
    status.size = ret_status->size < sizeof status ? ret_status->size : sizeof status;
    memcpy(ret_status, &status, status.size);
    return 0;
}

/* ---- event loops --------------------------------------------------------------------------------------- */

static bool is_without_thread(void)
{
    return library.open && (library.flags & DD_NO_THREAD);
}

int dd_fd(void)
{
    int saved_errno = errno;
    int r = -EBADF;

    library_lock();
    if (is_without_thread()) {
        if (!wakeup_is_ours(&library.membership.wakeup))
            membership_process(&library.membership);
        r = library.membership.wakeup.epoll;
    }
    library_unlock();
    errno = saved_errno;
    return r;
}

int dd_process(void)
{
    int saved_errno = errno;
    int r = -EBADF;

    library_lock();
    if (is_without_thread()) {
        membership_process(&library.membership);
        r = 0;
    }
    library_unlock();
    errno = saved_errno;
    return r;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

static void declare_soon(void)
{
    if (library.open && wakeup_is_ours(&library.membership.wakeup))
        wakeup_at(&library.membership.wakeup, 0);
}

/* Those before it are counted: whoever mends this one sees the next. */
static void note_mistake(const char *kind, const char *name, const char *mistake)
{
    snprintf(library.mistake, sizeof library.mistake, "%s \"%.40s\": %s", kind, name ?: "", mistake);
    library.mistakes++;
}

static int register_table(struct dd_table *table)
{
    const char *mistake = table_mistake(table);
    int r;

    if (mistake) {
        note_mistake(table->prototype ? "call" : "table", table->name, mistake);
        return -EINVAL;
    }
    r = table_add(table);
    if (r == 0) {
        if (table->direct)
            mover_point(&library.membership.mover);
        declare_soon();
    }
    return r;
}

int dd_table_register(struct dd_table *table)
{
    int saved_errno = errno;
    int r;

    if (!table)
        return -EINVAL;
    library_lock();
    r = register_table(table);
    library_unlock();
    errno = saved_errno;
    return r;
}

void dd_table_unregister(struct dd_table *table)
{
    int saved_errno = errno;

    if (!table)
        return;
    library_lock();
    table_remove(table);
    mover_refresh(&library.membership.mover);
    library_unlock();
    errno = saved_errno;
}

/* ---- natives ------------------------------------------------------------------------------------------- */

/* Hooks that lead to it already are pointed at it at once, without the daemon. */
static int register_native(struct dd_native *native)
{
    const char *mistake = native_mistake(native);
    int r;

    if (mistake) {
        note_mistake("native", native->name, mistake);
        return -EINVAL;
    }
    r = native_add(native);
    if (r == 0) {
        mover_refresh(&library.membership.mover);
        declare_soon();
    }
    return r;
}

int dd_native_register(struct dd_native *native)
{
    int saved_errno = errno;
    int r;

    if (!native)
        return -EINVAL;
    library_lock();
    r = register_native(native);
    library_unlock();
    errno = saved_errno;
    return r;
}

/*
 * Nobody finds the native any more, neither in the list nor in what stubs remember.  The barrier orders that before the
 * look at the lines: a guard that the look misses has begun after it, and finds nothing.  While the process exits
 * nothing is unmapped, and threads may be stopped anywhere.  Drops and retakes the lock.
 */
static int wait_for_guards(void)
{
    struct lines_wait wait = { 0 };
    int r;

    if (!lines_current() || is_exiting())
        return 0;
    if (lines_in_guard())
        return -EDEADLK;
    r = barrier_process();
    while (r == 0 && !is_exiting() && !lines_wait_step(&wait)) {
        library_unlock();
        nanosleep(&(struct timespec){ .tv_nsec = CLOSE_POLL_NS }, NULL);
        library_lock();
    }
    return r;
}

int dd_native_unregister(struct dd_native *native)
{
    int saved_errno = errno;
    int r;

    if (!native)
        return 0;
    library_lock();
    native_remove(native);
    mover_refresh(&library.membership.mover);
    r = wait_for_guards();
    library_unlock();
    errno = saved_errno;
    return r;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

/* It records no stack pointer, as the fast path does not. */
struct dd_guard dd_hook_enter_slowly(char **ret_base)
{
    struct dd_guard guard = dd_guard_enter_window(ret_base);

    if (guard.outer)
        dd_thread_self.nested++;
    else if (guard.line)
        guard.line->stack = 0;
    return guard;
}

void dd_hook_leave_slowly(struct dd_guard *guard)
{
    if (guard->outer)
        dd_thread_self.nested--;
    dd_guard_leave(guard);
}

uint32_t dd_table_call(struct dd_table *table, uint32_t key, void *context)
{
    char *base;
    struct dd_guard guard = dd_hook_enter_slowly(&base);
    dd_entry *entry = __atomic_load_n(&table->entry[guard.line ? ((struct dd_window_head *)(void *)base)->slot : 0],
                                      __ATOMIC_RELAXED);
    uint32_t verdict = entry ? entry(context, key) : table->default_verdict;

    dd_hook_leave_slowly(&guard);
    return verdict;
}
