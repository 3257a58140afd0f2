/* SPDX-License-Identifier: MIT */
/*
 * move.pml - a worker moves from the window of generation 1 to that of generation 2.
 *
 * Reader threads call the hook for ever; thread 0 has a signal handler that calls it too, between any two steps.  The
 * worker's own mover switches from window 1 to window 2 and unmaps window 1 (text and control).  The new daemon changes
 * the hook in window 2 at any time: poke, wait, free.  With OLD_DAEMON=1 the old one does the same in window 1, and
 * may be killed at any step.  Shown: nobody is in freed code, nobody touches an unmapped window, and the waits of mover
 * and new daemon end once the threads are idle.
 *
 * The wait that the worker itself uses (the mover's step 3 and 4): membarrier, then poll its OWN lines until each is 0
 * or of the new generation.  It bumps no epoch and asks no daemon: a line holds the epoch of the thread's last
 * serialise, so a value of the new generation means that the thread has loaded the new base before, and one
 * thread never loads the old base after the new one.
 *
 * Memory, store buffers, stale fetches of the slots and what a check covers: as in guard.pml.  Here the code is not
 * rewritten, so only the slots can be stale; epochs are real counts, since each daemon changes the hook once.
 *
 * Options (-D): READERS 1 or 2; HANDLER 0 or 1; MAY_STOP 0 or 1; OLD_DAEMON 0 or 1; and the mutations, each at its
 * place.
 */
#ifndef READERS
#define READERS 1
#endif
#ifndef HANDLER
#define HANDLER 1
#endif
#ifndef MAY_STOP
#define MAY_STOP 1
#endif
#ifndef OLD_DAEMON
#define OLD_DAEMON 0
#endif
#define CONTEXTS (READERS + HANDLER)

/* Where a slot leads and where a context may be (bits): old and new code of each window. */
#define OLD_CODE 1
#define NEW_CODE 2
#define IN_WINDOW_1(codes) (codes)
#define IN_WINDOW_2(codes) ((codes) << 2)

/* Epochs: generation << 2 | count. */
#define GENERATION(epoch) ((epoch) >> 2)
#define EARLIER ((1 << 2) | 0)  /* an epoch of generation 1 that is over */
#define EPOCH_1 ((1 << 2) | 1)
#ifdef SAME_GENERATION          /* the new daemon reuses the number, and its count starts lower */
#define EPOCH_2 EARLIER
#else
#define EPOCH_2 ((2 << 2) | 1)
#endif

byte base = 1;                  /* the number of the window that hooks go through */
bit  mapped_1 = 1;
byte epoch[3];                  /* by window; in its control page */
byte slot[3];                   /* by window; in its text */
bit  announced;                 /* the mover sent the lines to the new daemon */
byte line[READERS];

#define TO_MEMORY(r, x) line[r] = x
#include "tso.pml"

byte last[READERS];
bit  in_handler[READERS];
byte may_lead_1[READERS], may_lead_2[READERS];  /* code to which a fetch of each window's slot may lead */

byte outer[CONTEXTS];
byte value[CONTEXTS];           /* register: `last` to be stored, then the epoch that was loaded */
byte window[CONTEXTS];          /* register: the base that was loaded */
byte inside[CONTEXTS];
#ifdef SEPARATE_ENTRY
byte entry_window = 1;          /* the hook's own pointer, switched by the mover beside the base */
#endif

#define OWN_LINE(r) (pending[r] == 2 -> second[r] : (pending[r] == 1 -> first[r] : line[r]))
#define NOBODY_IN(codes) (((inside[0] | inside[READERS - 1] | inside[CONTEXTS - 1]) & (codes)) == 0)

inline serialise(r) { may_lead_1[r] = slot[1]; may_lead_2[r] = slot[2] }

/* ---- reader ---- */

#define LOAD_BASE(c, runs)  atomic { runs -> window[c] = base }
#define LOAD_EPOCH(c, runs) atomic { runs -> assert(window[c] == 2 || mapped_1); value[c] = epoch[window[c]] }

/*
 * enter:  1 outer = line; value = last
 *         2 if (!outer) line = value
 *         3 window = base
 *         4 value = window's epoch
 *         5 if (value != last) { serialise; last = value }
 * call:   6 execute window's slot and what it leads to
 * leave:  7 line = outer
 */
inline hook_call(r, c, runs)
{
#ifdef BASE_BEFORE_LINE
    LOAD_BASE(c, runs);
#endif
#ifdef EPOCH_BEFORE_LINE
    LOAD_BASE(c, runs);
    LOAD_EPOCH(c, runs);
    atomic { runs -> outer[c] = OWN_LINE(r) };
    if
    :: outer[c] == 0 -> atomic { runs && MAY_STORE(r) -> store(r, last[r]) }
    :: else
    fi;
#else
    atomic { runs -> outer[c] = OWN_LINE(r); value[c] = last[r] };
    if
    :: outer[c] == 0 -> atomic { runs && MAY_STORE(r) -> store(r, value[c]); value[c] = 0 }
    :: else -> value[c] = 0
    fi;
#ifndef BASE_BEFORE_LINE
    LOAD_BASE(c, runs);
#endif
    LOAD_EPOCH(c, runs);
#endif
    if
    :: atomic { runs && value[c] != last[r] -> serialise(r) };
       atomic { runs -> last[r] = value[c]; value[c] = 0 }
    :: atomic { runs && value[c] == last[r] -> value[c] = 0 }
    fi;
    atomic {
        runs ->
#ifdef SEPARATE_ENTRY
        window[c] = entry_window;
#endif
        if
        :: window[c] == 1 -> assert(mapped_1); inside[c] = IN_WINDOW_1(may_lead_1[r])
        :: else -> inside[c] = IN_WINDOW_2(may_lead_2[r])
        fi;
        window[c] = 0;
        assert((inside[c] & freed) == 0)
    };
    atomic {
        runs && MAY_STORE(r) ->
        inside[c] = 0;
        store(r, outer[c]);
        outer[c] = 0;
        if :: c >= READERS -> in_handler[r] = 0 :: else fi      /* the handler returns */
    }
}

byte freed;                     /* codes that a daemon has freed */

/* With MAY_STOP a thread may stop calling for ever: then a wait that depends on it must still end. */
proctype Thread(byte me)
{
    do
    :: hook_call(me, me, !in_handler[me])
    :: MAY_STOP -> break
    od
}

proctype Handler()
{
    do
    :: atomic { !in_handler[0] -> in_handler[0] = 1 };
       hook_call(0, READERS, true)
    :: MAY_STOP -> break
    od
}

/* ---- the worker's mover ---- */

#ifdef POLL_UNTIL_ZERO
#define LEFT_WINDOW_1(r) (line[r] == 0)         /* stronger than needed: a busy line may never be seen at 0 */
#else
#define LEFT_WINDOW_1(r) (line[r] == 0 || GENERATION(line[r]) == GENERATION(EPOCH_2))
#endif

/*
 * move:  1 announce the lines to the new daemon
 *        2 switch the base
 *        3 membarrier (of the own process is enough)
 *        4 poll the own lines until each is 0 or of the new generation
 *        5 unmap the old window
 */
proctype Mover()
{
#ifndef ANNOUNCE_AFTER_SWITCH
    announced = 1;
#endif
#ifdef SEPARATE_ENTRY
#ifdef BASE_FIRST
    base = 2; entry_window = 2;
#else
    entry_window = 2; base = 2;
#endif
#else
    base = 2;
#endif
#ifdef ANNOUNCE_AFTER_SWITCH
    announced = 1;
#endif
#ifndef MOVE_WITHOUT_WAIT
#ifndef MOVE_WITHOUT_BARRIER
    membarrier();
#endif
#ifndef MOVE_WITHOUT_POLL
    LEFT_WINDOW_1(0);
#if READERS == 2
    LEFT_WINDOW_1(1);
#endif
#endif
#endif
    atomic {
        assert(NOBODY_IN(IN_WINDOW_1(OLD_CODE | NEW_CODE)));
        mapped_1 = 0
    }
}

/* ---- daemons: change the hook once, in their own window ---- */

inline poke_1() { d_step { slot[1] = NEW_CODE; may_lead_1[0] = may_lead_1[0] | NEW_CODE;
                           may_lead_1[READERS - 1] = may_lead_1[READERS - 1] | NEW_CODE } }
inline poke_2() { d_step { slot[2] = NEW_CODE; may_lead_2[0] = may_lead_2[0] | NEW_CODE;
                           may_lead_2[READERS - 1] = may_lead_2[READERS - 1] | NEW_CODE } }
inline free_code(codes) { d_step { assert(NOBODY_IN(codes)); freed = freed | (codes) } }

/* A line of another generation than the daemon's own counts as active. */
#define OF_GENERATION(r, w) (GENERATION(line[r]) == GENERATION(epoch[w]))
#ifdef FOREIGN_IS_QUIESCENT
#define QUIESCENT(r, w) (line[r] == 0 || !OF_GENERATION(r, w) || line[r] >= epoch[w])
#else
#define QUIESCENT(r, w) (line[r] == 0 || OF_GENERATION(r, w) && line[r] >= epoch[w])
#endif

inline poll(w)
{
    QUIESCENT(0, w);
#if READERS == 2
    QUIESCENT(1, w);
#endif
}

proctype NewDaemon()
{
    bit known;

    poke_2();
    epoch[2]++;
    membarrier();
    do
    :: if :: known -> poll(2) :: else fi;
       if :: atomic { announced && !known -> known = 1 } :: atomic { known || !announced -> break } fi  /* drain */
    od;
    free_code(IN_WINDOW_2(OLD_CODE))
}

#if OLD_DAEMON
proctype OldDaemon()            /* killed at any step: the model need not say so, for it may just take no further one */
{
end1:
    poke_1();
    epoch[1]++;
    membarrier();
end2:
    QUIESCENT(0, 1);
#if READERS == 2
end3:
    QUIESCENT(1, 1);
#endif
    free_code(IN_WINDOW_1(OLD_CODE))
}
#endif

init {
    atomic {
        epoch[1] = EPOCH_1; epoch[2] = EPOCH_2;
        slot[1] = OLD_CODE; slot[2] = OLD_CODE;
        if                      /* each thread was here in the old daemon's present epoch, or not */
        :: last[0] = EPOCH_1
        :: last[0] = EARLIER
        fi;
        last[READERS - 1] = last[0];
        d_step { serialise(0); serialise(READERS - 1) };
        run StoreBuffers();
        run Thread(0);
#if READERS == 2
        run Thread(1);
#endif
#if HANDLER
        run Handler();
#endif
#if OLD_DAEMON
        run OldDaemon();
#endif
        run Mover();
        run NewDaemon()
    }
}
