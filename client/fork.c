/* SPDX-License-Identifier: MIT */
/*
 * See fork.h.
 *
 * A child runs the parent's window from its first instruction, so the daemon must know its lines before the fork:
 *
 *   prepare   1 take the library's lock and block all signals, so that nobody sees a half of what follows
 *             2 make the child's lines: this thread's line is in them, with its guard if it is inside one
 *             3 send them to the daemon, with the daemon's end of the child's socket; wait for no answer: a daemon that
 *               waits for its readers drains our socket and finds them
 *   parent    close the child's descriptors, unlock
 *   child     4 map its lines where the parent's were (those are not inherited), so that guards which are open
 *               at the fork find theirs at the same address
 *             5 own its line, register for barriers
 *             6 say who it is (Adopt) on its own socket; go on with a move that the parent had begun
 *             7 start its own background thread, unlock
 *
 * vfork() and posix_spawn() run in the parent's memory: nothing to do.  exec: the kernel marks the lines' owners dead.
 */
#include "fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "background.h"
#include "dispatchd.h"
#include "library.h"
#include "lines.h"
#include "stubs.h"
#include "serialise.h"
#include "stream.h"
#include "thread.h"
#include "util.h"

#define TELL_TIMEOUT_MS 1000
#define PAGE 4096u

/* From prepare to parent or child, under the library's lock. */
static struct {
    int lines;              /* memfd of the child's lines */
    int socket;             /* the child's end; -EBADF: the daemon does not know of the child */
    bool live;              /* a daemon may change the code that the child runs */
} forking = { -EBADF, -EBADF, false };

/* 1 in this process; the kernel clears it in a child (MADV_WIPEONFORK). */
static volatile unsigned char *mark;

int fork_prepare(void)
{
    void *page;

    if (mark)
        return 0;
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    if (madvise(page, PAGE, MADV_WIPEONFORK) < 0) {
        munmap(page, PAGE);
        return -ENOMEM;
    }
    mark = page;
    *mark = 1;
    return 0;
}

/* ---- the parent ---------------------------------------------------------------------------------------- */

static void announce(void)
{
    struct membership *membership = &library.membership;
    _cleanup_close_ int theirs = -EBADF, childs = -EBADF;
    const int timeout_ms = membership->deaf ? 0 : TELL_TIMEOUT_MS;
    int pair[2], r = -ETIMEDOUT;

    /* Only where the application closed our socket and we have not noticed yet does this wait for a daemon. */
    if (membership->phase != MEMBERSHIP_JOINED || !conversation_is_alive(&membership->conversation))
        membership_rejoin(membership, timeout_ms);
    if (membership->phase == MEMBERSHIP_JOINED) {
        if (stream_pair(pair) < 0)
            return;
        theirs = pair[0];
        childs = pair[1];
        r = conversation_tell(&membership->conversation, "Fork", (const int[]){ forking.lines, theirs }, 2, timeout_ms);
    }
    membership->deaf = r == -ETIMEDOUT;
    if (r == 0)
        forking.socket = TAKE_DESCRIPTOR(childs);
}

static void prepare(void)
{
    int saved_errno = errno;

    library_lock();                                                             /* 1 */
    forking.live = library.open && membership_is_live(&library.membership);
    if (lines_current() && lines_prepare_fork(&forking.lines) == 0 && forking.live) {   /* 2 */
        announce();                                                             /* 3 */
        if (forking.socket < 0) {       /* because the daemon is gone? */
            membership_process(&library.membership);
            forking.live = membership_is_live(&library.membership);
        }
    }
    errno = saved_errno;
}

static void parent(void)
{
    int saved_errno = errno;

    close_descriptor(&forking.lines);
    close_descriptor(&forking.socket);
    forking.lines = forking.socket = -EBADF;
    library_unlock();
    errno = saved_errno;
}

/* ---- the child ----------------------------------------------------------------------------------------- */

/* live: as membership_after_fork() says. */
static int become_child(int lines, int given, bool live)
{
    bool closing = library.busy && !library.open;       /* another thread was in dd_close(); it does not exist here */
    _cleanup_close_ int socket = given;
    int r;

    *mark = 1;
    stubs_after_fork();
    library.busy = library.thread_running = false;
    if (lines_after_fork(lines) < 0) {                                          /* 4, 5 */
        close_descriptor(&socket);
        socket = -EBADF;
    }
    r = barrier_register();
    if (closing)
        membership_end(&library.membership);            /* what it still waited for, dd_open() waits for */
    if (!library.open)
        return r;
    membership_after_fork(&library.membership, TAKE_DESCRIPTOR(socket), live);  /* 6 */
    if (r < 0) {
        membership_end(&library.membership);
        library.open = false;
        return r;
    }
    return library.flags & DD_NO_THREAD ? 0 : background_start();               /* 7 */
}

static void child(void)
{
    int lines = forking.lines, socket = forking.socket;
    int saved_errno = errno;

    forking.lines = forking.socket = -EBADF;
    if (lines_current())
        become_child(lines, socket, forking.live);
    library_unlock();
    errno = saved_errno;
}

int dd_after_fork(void)
{
    int saved_errno = errno;
    int r = 0;

    if (!mark || *mark == 1)
        return 0;
    library_lock_afresh();
    thread_forget_line();
    if (lines_current()) {
        lines_forget_thread();
        r = become_child(-EBADF, -EBADF, true);
    }
    library_unlock();
    errno = saved_errno;
    return r;
}

/* So early that in the child ours come before those of the application, which may call hooks. */
__attribute__((constructor(101))) static void register_handlers(void)
{
    pthread_atfork(prepare, parent, child);
}
