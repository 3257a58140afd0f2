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
 * All signals are blocked: line and counters belong together.
 * A guard on the line before may go on in the new counters.
 */
static void set_line(struct dd_line *line)
{
    if (line)
        dd_thread_self.counters = lines_counters(line);
    dd_thread_self.line = line;
}

void thread_forget_line(void)
{
    dd_thread_self.line = NULL;
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
    if (!dd_thread_self.line)           /* a handler may have been faster */
        set_line(lines_claim());
    line = dd_thread_self.line;
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
    struct dd_line *line = dd_thread_self.line;

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
    struct dd_guard guard = { dd_thread_self.line, 0 };

    guard.outer = __atomic_load_n(&guard.line->word, __ATOMIC_RELAXED);
    if (guard.outer == 0) {
        __atomic_store_n(&guard.line->word, guard.line->last, __ATOMIC_RELAXED);
        guard.line->stack = old.line->stack;
    }
    __atomic_store_n(&old.line->last, DD_LINE_UNSEEN, __ATOMIC_RELAXED);
    dd_guard_leave(&old);
    return guard;
}

/*
 * Calls nothing of the C library but for a newer line: that would be an indirect branch (dispatchd/direct.h).
 *
 *   1 go over to the thread's newest line, if this guard is on an older one;
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
        if (!lines_is_current(dd_thread_self.line) && !take_newer_line()) {
            dd_guard_leave(&guard);
            guard.line = NULL;
            break;
        }
        if (guard.line != dd_thread_self.line)
            guard = go_over(guard);                                         /* 1 */
        serialise();                                                        /* 2 */
        stubs_follow();
        __atomic_store_n(&guard.line->last, epoch, __ATOMIC_RELAXED);       /* 3 */
        DD_COMPILER_BARRIER_();
    } while (guard.line != dd_thread_self.line || !lines_is_current(guard.line));   /* 4 */
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
