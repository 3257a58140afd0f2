/* SPDX-License-Identifier: MIT */
/*
 * rehome.pml - a worker that has closed all its descriptors moves to a new daemon.
 *
 * It cannot send its reader memfd again, so it makes a second one: set 1 is the old set of lines, which nobody but the
 * worker itself can see any more, set 2 the new one, which the mover announces to the new daemon.  Each thread has to
 * get from its line in set 1 to one in set 2 by itself, at any moment of its calls.  Two protocols for that:
 *
 *   default          the thread keeps one line, its home, and changes it when it first meets the new window
 *   LINE_PER_WINDOW  the thread has a line and a `last` in each window's set, and the window decides which one it uses
 *
 * Readers, handler, mover, new daemon, memory and checks: as in move.pml.  The new daemon knows set 2 only.
 *
 * Options (-D): READERS 1 or 2; HANDLER 0 or 1; MAY_STOP 0 or 1; LINE_PER_WINDOW; and the mutations, each at its place.
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
#ifndef NESTED_KEEPS_ONE_LINE
#define NESTED_KEEPS_ONE_LINE 0         /* 1: a nested enter only checks the epoch, whichever set its line is in */
#endif
#define CONTEXTS (READERS + HANDLER)

/* Where a slot leads (bits), and where a context may be. */
#define OLD_CODE    1
#define NEW_CODE    2
#define IN_WINDOW_1 4           /* window 1 is not changed any more: its daemon is gone */

/* Epochs: generation << 2 | count.  Never 0: the line would say that its thread is in no guard. */
#define EARLIER ((1 << 2) | 0)
#define EPOCH_1 ((1 << 2) | 1)
#define NEVER_2 ((2 << 2) | 0)
#define EPOCH_2 ((2 << 2) | 1)

byte base = 1;                  /* the number of the window that hooks go through, and of the set that belongs to it */
bit  mapped_1 = 1;
byte epoch_2 = EPOCH_2;
byte slot = OLD_CODE;           /* window 2's */
bit  announced;                 /* the mover sent set 2 to the new daemon */
bit  freed;                     /* window 2's old code */
byte line_1[READERS], line_2[READERS];          /* in memory */
byte own_1[READERS], own_2[READERS];            /* the same as their own thread sees them */

#define TO_SET_2 64             /* in a store: the line of set 2 is meant */
#define TO_MEMORY(r, x) if :: (x) >= TO_SET_2 -> line_2[r] = (x) - TO_SET_2 :: else -> line_1[r] = x fi
#include "tso.pml"

byte last_1[READERS], last_2[READERS];          /* the default protocol has only one, last_1 */
byte home[READERS];             /* the set in which the thread's line is */
bit  in_handler[READERS];
byte may_lead[READERS];

byte set[CONTEXTS];             /* register: the set whose line this guard uses */
byte outer[CONTEXTS];           /* that line as the guard found it */
byte value[CONTEXTS];           /* register: `last` as it was before the line was stored */
byte window[CONTEXTS];          /* register: the base that was loaded */
byte seen[CONTEXTS];            /* register: the epoch that was loaded */
bit  both[CONTEXTS];            /* this guard holds a line in both sets */
byte outer_2[CONTEXTS];         /* then, that of set 2 as the guard found it */
byte inside[CONTEXTS];

inline serialise(r) { may_lead[r] = slot }

#define OWN_LINE(r, s) (s == 2 -> own_2[r] : own_1[r])

inline put(r, s, v)             /* needs MAY_STORE(r) */
{
    if
    :: s == 2 -> own_2[r] = v; store(r, (v + TO_SET_2))
    :: else -> own_1[r] = v; store(r, v)
    fi
}

#define STEP(runs, action)  atomic { runs -> action }
#define PUT(runs, r, s, v)  atomic { runs && MAY_STORE(r) -> put(r, s, v) }
#define LOAD_BASE(c, runs)  STEP(runs, window[c] = base)
#define LOAD_EPOCH(c, runs) STEP(runs, assert(window[c] == 2 || mapped_1); seen[c] = (window[c] == 1 -> EPOCH_1 : epoch_2))

inline execute(r, c)
{
    if
    :: window[c] == 1 -> assert(mapped_1); inside[c] = IN_WINDOW_1
    :: else -> inside[c] = may_lead[r]; assert(!(freed && (inside[c] & OLD_CODE)))
    fi
}

#ifdef LINE_PER_WINDOW
/*
 * enter:  1 window = base
 *         2 outer = line of this window's set; value = last of this window
 *         3 if (!outer) line = value
 *         4 if (base != window) { line = outer; again from 1 }
 *         5 seen = epoch of the window
 *         6 if (seen != value) { serialise; last of this window = seen }
 * call:   7 execute
 * leave:  8 line = outer
 */
#define LAST(r, w) (w == 2 -> last_2[r] : last_1[r])
inline hook_call(r, c, runs)
{
    do
    :: LOAD_BASE(c, runs);
       STEP(runs, outer[c] = OWN_LINE(r, window[c]); value[c] = LAST(r, window[c]));
       if :: outer[c] == 0 -> PUT(runs, r, window[c], value[c]) :: else fi;
#ifdef BASE_NOT_CHECKED_AGAIN
       break
#else
       if
       :: STEP(runs && base == window[c], break)
       :: atomic { runs && base != window[c] && MAY_STORE(r) -> put(r, window[c], outer[c]); outer[c] = 0; value[c] = 0 }
       fi
#endif
    od;
    LOAD_EPOCH(c, runs);
    if
    :: STEP(runs && seen[c] != value[c], serialise(r));
       atomic { runs -> if :: window[c] == 2 -> last_2[r] = seen[c] :: else -> last_1[r] = seen[c] fi }
    :: STEP(runs && seen[c] == value[c], skip)
    fi;
    STEP(runs, seen[c] = 0; value[c] = 0; execute(r, c));
    atomic {
        runs && MAY_STORE(r) ->
        inside[c] = 0;
        put(r, window[c], outer[c]);
        window[c] = 0; outer[c] = 0;
        if :: c >= READERS -> in_handler[r] = 0 :: else fi
    }
}
#else
/*
 * enter:  1 value = last; then set = home, outer = line of that set
 *         2 if (!outer) line = value
 *         3 window = base
 *         4 seen = epoch of the window
 *         5 if (seen != value): the slow path.  It compares with the VALUE of step 1: a handler that changed home and last
 *           in between, so that this guard has stored the wrong line, is found out by this.
 *           a  window's set is this set:        serialise; last = seen
 *           b  it is not, and outer is 0:       change home.  line of set 2 = value; home = 2; line of set 1 = 0; fence;
 *                                               set = 2, and again from 3
 *           c  it is not, and outer is not 0:   an image address of the outer guard may be on the stack, and set 1
 *                                               protects it.  Hold both lines for the length of this guard: outer_2 =
 *                                               line of set 2; if (!outer_2) line of set 2 = value; fence; serialise.
 *                                               `last` is left alone, so that the next outermost enter does b.
 * call:   6 execute
 * leave:  7 if both: line of set 2 = outer_2, else: line of the set = outer
 */
inline hook_call(r, c, runs)
{
    STEP(runs, value[c] = last_1[r]);
    STEP(runs, set[c] = home[r]; outer[c] = OWN_LINE(r, set[c]));
    if :: outer[c] == 0 -> PUT(runs, r, set[c], value[c]) :: else fi;
    do
    :: LOAD_BASE(c, runs);
       LOAD_EPOCH(c, runs);
#ifdef COMPARE_WITH_LAST
#define COMPARED last_1[r]
#else
#define COMPARED value[c]
#endif
       if
       :: STEP(runs && seen[c] == COMPARED, break)
       :: STEP(runs && seen[c] != COMPARED, skip);
          if
          :: (window[c] == set[c] || NESTED_KEEPS_ONE_LINE && outer[c] != 0) ->                 /* a */
             STEP(runs, serialise(r));
             STEP(runs, last_1[r] = seen[c]);
             break
          :: (window[c] != set[c] && outer[c] == 0) ->                                          /* b */
#ifdef CLEAR_OLD_LINE_FIRST
             PUT(runs, r, 1, 0);
             PUT(runs, r, 2, value[c]);
             STEP(runs, home[r] = 2);
#elif defined(HOME_AFTER_CLEAR)
             PUT(runs, r, 2, value[c]);
             PUT(runs, r, 1, 0);
             STEP(runs, home[r] = 2);
#else
             PUT(runs, r, 2, value[c]);
             STEP(runs, home[r] = 2);
             PUT(runs, r, 1, 0);
#endif
#ifndef NO_FENCE
             STEP(runs, empty_buffer(r));
#endif
             STEP(runs, set[c] = 2)
#ifdef NO_RELOAD
             ; STEP(runs, serialise(r));
             STEP(runs, last_1[r] = seen[c]);
             break
#endif
          :: (window[c] != set[c] && outer[c] != 0 && !NESTED_KEEPS_ONE_LINE) ->                /* c */
             STEP(runs, outer_2[c] = own_2[r]; both[c] = 1);
             if :: outer_2[c] == 0 -> PUT(runs, r, 2, value[c]) :: else fi;
#ifndef NO_FENCE
             STEP(runs, empty_buffer(r));
#endif
             STEP(runs, serialise(r));
#ifdef NESTED_SETS_LAST
             STEP(runs, last_1[r] = seen[c]);
#endif
             break
          fi
       fi
    od;
    STEP(runs, seen[c] = 0; value[c] = 0; execute(r, c); window[c] = 0);
    atomic {
        runs && MAY_STORE(r) ->
        inside[c] = 0;
        if
        :: both[c] -> put(r, 2, outer_2[c])
        :: else -> put(r, set[c], outer[c])
        fi;
        both[c] = 0; outer_2[c] = 0; outer[c] = 0; set[c] = 0;
        if :: c >= READERS -> in_handler[r] = 0 :: else fi      /* the handler returns */
    }
}
#endif

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

#define NOBODY_IN(codes) (((inside[0] | inside[READERS - 1] | inside[CONTEXTS - 1]) & (codes)) == 0)

/*
 * move:  1 announce set 2 to the new daemon
 *        2 switch the base, and with it the set
 *        3 membarrier
 *        4 poll the own lines of set 1 until each is 0 (a thread that calls on soon changes its home)
 *        5 unmap window 1
 */
proctype Mover()
{
#ifdef ANNOUNCE_AFTER_SWITCH
    base = 2; announced = 1;
#else
    announced = 1; base = 2;
#endif
#ifndef MOVE_WITHOUT_BARRIER
    membarrier();
#endif
#ifndef MOVE_WITHOUT_POLL
    line_1[0] == 0;
#if READERS == 2
    line_1[1] == 0;
#endif
#endif
    atomic { assert(NOBODY_IN(IN_WINDOW_1)); mapped_1 = 0 }
}

#define QUIESCENT(r) (line_2[r] == 0 || line_2[r] >= epoch_2)   /* generation 1 is less: it counts as active */

proctype NewDaemon()
{
    bit known;

    d_step {
        slot = NEW_CODE;
        may_lead[0] = may_lead[0] | NEW_CODE;
        may_lead[READERS - 1] = may_lead[READERS - 1] | NEW_CODE
    };
    epoch_2++;
    membarrier();
    do
    :: if
       :: known ->
          QUIESCENT(0);
#if READERS == 2
          QUIESCENT(1);
#endif
       :: else
       fi;
       if :: atomic { announced && !known -> known = 1 } :: atomic { known || !announced -> break } fi  /* drain */
    od;
    atomic { assert(NOBODY_IN(OLD_CODE)); freed = 1 }
}

init {
    atomic {
        if                      /* each thread was here in the old daemon's last epoch, or not */
        :: last_1[0] = EPOCH_1
        :: last_1[0] = EARLIER
        fi;
        last_1[READERS - 1] = last_1[0];
#ifdef LINE_PER_WINDOW
        last_2[0] = NEVER_2; last_2[READERS - 1] = NEVER_2;
#else
        home[0] = 1; home[READERS - 1] = 1;
#endif
        d_step { serialise(0); serialise(READERS - 1) };
        run StoreBuffers();
        run Thread(0);
#if READERS == 2
        run Thread(1);
#endif
#if HANDLER
        run Handler();
#endif
        run Mover();
        run NewDaemon()
    }
}
