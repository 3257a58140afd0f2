/* SPDX-License-Identifier: MIT */
/*
 * life.pml - fork, exec, thread and process death, closed descriptors: which lines a wait must look at, and when a
 * line whose owner is silent may be taken for gone.
 *
 * Process 0 has joined the daemon; it may fork process 1, which may fork process 2, each inside or outside a guard.
 * Process 0 also has a helper thread that may end at any step, after which another thread takes over its line.  Each
 * process may be killed, or exec, at any step, and may close all its descriptors.  Meanwhile the daemon changes the
 * hook once: poke, wait, free.  Shown: no running thread is in freed code, and the wait ends.  Calls are unbounded.
 *
 * What a process leaves behind comes in the kernel's order: its threads stop; each robust mutex that they hold is
 * marked (exit and exec alike: futex_exit_release, in do_exit through exit_mm_release, in exec through
 * exec_mm_release); its descriptors are closed; and, unless it was an exec, its pidfd says that it ended.  Messages
 * that were sent stay readable after their sender is gone.  A robust list may be damaged by its process, and then
 * nothing is marked.
 *
 * Lines and slot are sequentially consistent here; store buffers and stale fetches are in guard.pml.
 */
#ifndef FORKS
#define FORKS 2                 /* how deep the tree of processes grows, 1 or 2 */
#endif
#ifndef HELPERS
#define HELPERS 1               /* 1: process 0 has a second line, held by one thread after the other */
#endif
#ifndef MAY_STOP
#define MAY_STOP 0              /* 1: a thread may stop calling for ever; then a wait that does not end is found */
#endif
#define PROCESSES 3
#define LINES     4
#define HELPER    3             /* the helper's line; the other lines have the number of their process */

/* Process states. */
#define UNBORN  0
#define RUNNING 1
#define ENDED   2               /* by death or exec: its threads take no further step */

/* Robust mutex of a line. */
#define NONE 0                  /* never locked */
#define HELD 1
#define DIED 2                  /* marked by the kernel */

/* Where the hand-over of a process's reader memfd and socket waits for the daemon. */
#define UNSENT      0
#define ON_SOCKET   1           /* in its parent's worker socket */
#define ON_LISTENER 2           /* in a new connection that was not accepted yet */
#define RECEIVED    3

/* Code that a thread is in, and to which the slot leads. */
#define NOWHERE  0
#define OLD_CODE 1
#define NEW_CODE 2

byte slot = OLD_CODE;
byte epoch = 1;                 /* 0 in a line: not in a guard */
byte line[LINES];
byte owner[LINES];
byte inside[LINES];

byte state[PROCESSES];
byte holders[PROCESSES];        /* processes that hold the worker's end of this process's socket; 0 is end of file */
bit  has_socket[PROCESSES];     /* this process holds its own end */
bit  has_childs[PROCESSES];     /* it holds the child's end too: between prepare and the parent handler */
bit  forked[PROCESSES];
bit  pidfd_ended[PROCESSES];
bit  done;                      /* the old code is freed: nothing is left to be shown */
byte handover[PROCESSES];

/* ---- workers ---- */

/* The kernel's walk over the robust lists of the threads of process p, and the end of their execution. */
inline mark(p)
{
    if :: owner[p] == HELD -> owner[p] = DIED :: else fi;
    if :: p == 0 && owner[HELPER] == HELD -> owner[HELPER] = DIED :: else fi
}

inline close_all(p)
{
    atomic {
        if :: has_socket[p] -> has_socket[p] = 0; holders[p]-- :: else fi;
        if :: has_childs[p] -> has_childs[p] = 0; holders[p + 1]-- :: else fi
    }
}

inline send_handover(p)
{
    if
    :: has_socket[p] -> handover[p + 1] = ON_SOCKET
#ifndef CLOSED_FORKS_UNHEARD
    :: !has_socket[p] -> handover[p + 1] = ON_LISTENER
#else
    :: !has_socket[p]
#endif
    fi
}

/*
 * fork:  1 prepare handler: make the child's reader memfd with the forking thread's line copied, and its socket
 *        2 prepare handler: send both to the daemon, on the worker's socket; if that is closed, on a new connection
 *        3 fork, which may fail
 *        4 parent handler: close the child's end
 *        5 child handler: lock the mutex of the line (in Main, below)
 */
inline do_fork(p)
{
    atomic {                                                    /* 1 */
        forked[p] = 1; has_childs[p] = 1; holders[p + 1] = 1;
#ifndef CHILD_WITHOUT_COPY
        line[p + 1] = line[p]
#endif
    };
#ifndef SEND_AFTER_FORK
    send_handover(p);                                           /* 2 */
#endif
    if                                                          /* 3 */
    :: atomic {
           holders[p + 1] = holders[p + 1] + has_childs[p]; has_socket[p + 1] = has_childs[p];
           inside[p + 1] = inside[p]; state[p + 1] = RUNNING;
           run Main(p + 1); run Kernel(p + 1)
       }
    :: skip
    fi;
#ifdef SEND_AFTER_FORK
    send_handover(p);
#endif
    atomic { if :: has_childs[p] -> has_childs[p] = 0; holders[p + 1]-- :: else fi }     /* 4 */
}

#define MAY_FORK(p) (p < FORKS && !forked[p])

proctype Main(byte p)
{
    {
        atomic {
            owner[p] = HELD;                                    /* fork 5; for process 0, its join */
            if :: inside[p] != NOWHERE -> goto in_guard :: else fi
        };
        do
        :: line[p] = epoch;
           inside[p] = slot;
in_guard:  do
           :: MAY_FORK(p) -> do_fork(p)
           :: has_socket[p] -> close_all(p)
           :: atomic { inside[p] = NOWHERE; line[p] = 0; break }
           od
        :: MAY_FORK(p) -> do_fork(p)
        :: has_socket[p] -> close_all(p)
        :: MAY_STOP -> break                                    /* it runs on, but calls no more */
        od
    } unless { state[p] == ENDED || done }
}

#if HELPERS
/* One thread after the other takes the line, calls, and may end anywhere. */
proctype Helper()
{
    do
    :: owner[HELPER] != HELD ->                                 /* a new thread takes the line */
       owner[HELPER] = HELD;
       line[HELPER] = 0         /* its dead owner may have left a value, which would look like an outer guard */
    :: owner[HELPER] == HELD ->
       line[HELPER] = epoch;
       inside[HELPER] = slot;
#ifdef OTHER_THREAD_CLOSES
       if :: close_all(0) :: skip fi;
#endif
       if
       :: atomic { inside[HELPER] = NOWHERE; line[HELPER] = 0 }
       :: atomic { inside[HELPER] = NOWHERE; owner[HELPER] = DIED }
       fi
    :: owner[HELPER] == HELD -> owner[HELPER] = DIED
    :: MAY_STOP -> break                                        /* it runs on, but calls no more */
    od unless { state[0] == ENDED || done }
}
#endif

/*
 * The end of a process, at any step: its threads stop and their mutexes are marked; later comes end of file.  That is
 * a kill or an exec.  The third possibility is a kill after the process damaged its robust list: nothing is marked,
 * but its pidfd ends, if the daemon has one (that of process 0).
 */
proctype Kernel(byte p)
{
    bit unmarked;

    atomic {
        if
        :: mark(p)
        :: p == 0 -> unmarked = 1
        :: MAY_STOP -> goto lives
        fi;
        state[p] = ENDED; inside[p] = NOWHERE; forked[p] = 0;
        if :: p == 0 -> inside[HELPER] = NOWHERE :: else fi
    };
    atomic { close_all(p); pidfd_ended[p] = unmarked; unmarked = 0 };
lives:
    skip
}

/* ---- daemon ---- */

/* One step here; their order is a matter of guard.pml. */
inline poke_and_bump() { atomic { slot = NEW_CODE; epoch = 2 } }

#define QUIESCENT(l) (line[l] == 0 || line[l] == epoch)

/*
 * Each alternative is one observation, enough by itself; the daemon looks again until one of them is made.
 *
 * End of file: the socket showed it, and then the line still had no owner.  So the child never was, or died before it
 * took the line.  (A thread of a running process that takes a line later starts after the poke.)
 */
#ifdef NO_OWNER_RULE
#define MARKED(l) false
#else
#define MARKED(l) (owner[l] == DIED)
#endif
#ifdef NO_PIDFD_RULE
#define OVER(p) false
#else
#define OVER(p) pidfd_ended[p]
#endif
#define UNKNOWN(p) (handover[p] != RECEIVED)

inline poll_line(l, p)
{
    if
    :: UNKNOWN(p) || QUIESCENT(l) || MARKED(l) || OVER(p)
#ifdef END_OF_FILE_IS_DEATH
    :: holders[p] == 0
#elif defined(OWNER_THEN_END_OF_FILE)
    :: owner[l] == NONE -> (holders[p] == 0 || QUIESCENT(l))
#elif !defined(NO_END_OF_FILE_RULE)
    :: holders[p] == 0 -> (owner[l] == NONE || QUIESCENT(l) || MARKED(l) || OVER(p))
#endif
    fi
}

inline poll()
{
    poll_line(0, 0);
#if HELPERS
    poll_line(HELPER, 0);
#endif
    poll_line(1, 1);
#if FORKS == 2
    poll_line(2, 2)
#endif
}

/* Only what was sent by a known worker, or came by the listening socket, can be received. */
#ifdef DRAIN_WITHOUT_LISTENER
#define ARRIVED(c) (handover[c] == ON_SOCKET && handover[c - 1] == RECEIVED)
#else
#define ARRIVED(c) (handover[c] == ON_SOCKET && handover[c - 1] == RECEIVED || handover[c] == ON_LISTENER)
#endif
inline receive(c)
{
    if :: atomic { ARRIVED(c) -> handover[c] = RECEIVED; found = 1 } :: !ARRIVED(c) fi
}

inline drain()
{
    receive(1);
#if FORKS == 2
    receive(2)
#endif
}

/*
 * wait:  1 bump the epoch  2 membarrier (in guard.pml)  3 poll all known lines  4 drain the sockets of the workers and
 *        the listening socket; if that brought new lines, again from 3
 */
proctype Daemon()
{
    bit found;

#ifdef DRAIN_BEFORE_BUMP
    drain(); poke_and_bump(); poll();
#elif defined(DRAIN_AFTER_POLL_ONCE)
    poke_and_bump(); poll(); drain();
#elif defined(DRAIN_BEFORE_POLL_ONCE)
    poke_and_bump(); drain(); poll();
#else
    poke_and_bump();
    do
    :: poll();
       drain();
       if :: !found -> break :: else -> found = 0 fi
    od;
#endif
    atomic {                                                    /* free the old code */
        assert(inside[0] != OLD_CODE && inside[1] != OLD_CODE && inside[2] != OLD_CODE);
        assert(inside[HELPER] != OLD_CODE);
        done = 1
    }
}

init {
    atomic {
        state[0] = RUNNING; has_socket[0] = 1; holders[0] = 1; handover[0] = RECEIVED;
        run Main(0); run Kernel(0); run Daemon();
#if HELPERS
        run Helper()
#endif
    }
}
