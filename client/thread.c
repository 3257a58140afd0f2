/* SPDX-License-Identifier: MIT */
/*
 * See thread.h.
 *
 * What runs here may interrupt anything, itself included: a signal handler may enter its first guard while the
 * thread enters its own.  So whatever takes more than one store is done with all signals blocked, and what was read
 * before is read again.  (One thing is beyond us: glibc's list of robust mutexes.  A thread whose very first
 * guard is in a handler that interrupted an operation of the application on a robust mutex may lose that list's end.)
 */
#include "thread.h"

#include <errno.h>
#include <signal.h>

#include "dispatchd.h"
#include "lines.h"
#include "serialise.h"
#include "signals.h"
#include "stubs.h"

__thread struct dd_thread dd_thread_self;

/*
 * home: the line in which the thread's next guard begins.
 *
 * former: the line that the thread had before, while outer guards are open on it; else NULL.  Programs under these go
 * on, and change maps in the name that is among the counters: so the thread keeps its former line's counters until they
 * have ended.  With the new line's name, whose word is 0 once the handler's own guard is over, what they are in the
 * middle of would pass for abandoned (daemon/seats.c).  Nothing tells of the end of an outer guard: so for as long
 * `dd_thread_self.line` is NULL, and each guard comes to dd_thread_join(), which looks.  (The thread's pointer to its
 * line, of which doc/model speaks, is `home`.)
 *
 * In the initial thread-local block: their first use allocates nothing.
 */
static __thread struct dd_line *home __attribute__((tls_model("initial-exec")));
static __thread struct dd_line *former __attribute__((tls_model("initial-exec")));

/*
 * All signals are blocked: line and counters belong together.  The thread itself writes its lines' words, so it sees
 * the last of them; what its programs did in the former line's name came before the 0 there (dd_guard_leave: release).
 */
static void take_counters(void)
{
    dd_thread_self.line = NULL;
    if (former && __atomic_load_n(&former->word, __ATOMIC_RELAXED) != 0)
        return;
    former = NULL;
    if (home)
        dd_thread_self.counters = lines_counters(home);
    dd_thread_self.line = home;
}

/* The same. */
static void set_line(struct dd_line *line)
{
    if (!former)
        former = dd_thread_self.line;
    home = line;
    take_counters();
}

struct dd_line *thread_line(void)
{
    return home;
}

void thread_forget_line(void)
{
    dd_thread_self.line = home = former = NULL;
    dd_thread_self.nested = 0;
}

struct dd_line *dd_thread_join(void)
{
    struct dd_line *line;
    int saved_errno = errno;
    sigset_t saved;

    if (!lines_current())
        return NULL;
    saved = signals_block();
    if (former)
        take_counters();
    else if (!dd_thread_self.line)      /* a handler may have been faster */
        set_line(lines_claim());
    line = home;
    signals_restore(&saved);
    errno = saved_errno;
    return line;
}

/* ---- renew --------------------------------------------------------------------------------------------- */

/*
 * The thread's line is one of an older set: take one of the current set.  The old line stays locked, as outer guards
 * may still use it.  false: no line is left.
 */
__attribute__((noinline)) static bool take_newer_line(void)
{
    int saved_errno = errno;
    sigset_t saved = signals_block();
    struct dd_line *line = home;

    if (!lines_is_current(line)) {      /* a handler may have been faster */
        line = lines_claim();
        if (line)
            set_line(line);
    }
    signals_restore(&saved);
    errno = saved_errno;
    return line != NULL;
}

/*
 * Enter on the thread's line, as the inline guard does, and then leave the old one: at no time is neither stored.  No
 * guard is to pass on the old line any more: step 3 below may have undone what lines_replace() did to its `last`.
 */
static struct dd_guard go_over(struct dd_guard old)
{
    struct dd_guard guard = { home, 0 };

    guard.outer = __atomic_load_n(&guard.line->word, __ATOMIC_RELAXED);
    if (guard.outer == 0) {
        __atomic_store_n(&guard.line->word, guard.line->last, __ATOMIC_RELAXED);
        guard.line->stack = old.line->stack;
    }
    __atomic_store_n(&old.line->last, DD_LINE_UNSEEN, __ATOMIC_RELAXED);
    dd_guard_leave(&old);
    return guard;
}

/* Where no outer guard is left on the former line. */
__attribute__((noinline)) static void leave_former_line(void)
{
    int saved_errno = errno;
    sigset_t saved = signals_block();

    take_counters();
    signals_restore(&saved);
    errno = saved_errno;
}

/*
 * Calls nothing of the C library but for a newer line: that would be an indirect branch (dispatchd/direct.h).
 *
 *   1 go over to the thread's newest line, if this guard is on an older one, and take its counters too if this was the
 *     outermost there;
 *   2 serialise: what the thread fetched before the daemon's poke is not executed after; and forget what stubs know, if
 *     the directory has changed: the epoch is loaded before its version;
 *   3 only then remember the epoch: a handler between 2 and 3 serialises once more, the other order would let
 *     it run stale code;
 *   4 look again: a handler, or the membership in the middle of lines_replace(), may have made this line an old one,
 *     and step 3 has undone the DD_LINE_UNSEEN that they left in `last`.
 */
struct dd_guard dd_thread_renew(struct dd_guard guard, uint64_t epoch)
{
    do {
        if (!lines_is_current(home) && !take_newer_line()) {
            dd_guard_leave(&guard);
            guard.line = NULL;
            break;
        }
        if (guard.line != home)
            guard = go_over(guard);                                         /* 1 */
        if (former)
            leave_former_line();
        serialise();                                                        /* 2 */
        stubs_follow();
        __atomic_store_n(&guard.line->last, epoch, __ATOMIC_RELAXED);       /* 3 */
        DD_COMPILER_BARRIER_();
    } while (guard.line != home || !lines_is_current(guard.line));          /* 4 */
    return guard;
}

/* ---- leaked guards ------------------------------------------------------------------------------------- */

static bool on_alternate_stack(void)
{
    stack_t stack;

    return sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK) != 0;
}

/*
 * An alternate signal stack lies anywhere, so a handler's guard there proves nothing.  A leak lasts as long as its
 * thread, so it is counted once: the mark goes where no frame is above it.
 */
void dd_thread_leaked(struct dd_line *line)
{
    int saved_errno = errno;

    if (!on_alternate_stack()) {
        line->leaked++;
        line->stack += UINT32_C(1) << 30;
    }
    errno = saved_errno;
}
