/* SPDX-License-Identifier: MIT */
/*
 * rehome.pml - a worker that has closed all its descriptors moves to a new daemon.
 *
 * It cannot send its reader lines again, so it makes a second set of them, announces that to the new daemon, and then
 * moves as in move.pml.  The old set is seen by nobody but the worker itself any more.  Each thread has to go over from
 * its line in set 1 to one in set 2 by itself, whatever it is doing: in no guard, in one (whose code may be on the
 * stack, in window 1), in a signal handler that interrupted either, or that interrupted this going over.  So a guard
 * carries the line that it stored, `last` lies in the line, and the thread's own pointer to its line changes at any
 * level of nesting.  Shown: as in move.pml.  The new daemon knows set 2 only.
 *
 * With EPOCHS_AGAIN the threads may have seen the new window's epochs before: the daemon counts its generations from anew,
 * or the process comes back to a daemon that does not know it any more.  Window 1 is then the default one, which runs no
 * program and is never unmapped.  (Without, a new epoch alone makes each thread go over, and the steps that are there
 * for this case are not needed.)
 *
 * `word` and `last` of a line are stores that pass through the store buffer; the mover writes `last`, too.
 *
 * Options (-D): READERS 1 or 2; HANDLER 0 or 1; MAY_STOP 0 or 1; and the mutations, each at its place.
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
#ifndef ONLY_OUTERMOST
#define ONLY_OUTERMOST 0        /* 1: a nested guard does not go over */
#endif
#ifndef FORGOTTEN
#define FORGOTTEN UNSEEN        /* the `last` of a line that its thread is to leave; mutation: 0 */
#endif
#define CONTEXTS (READERS + HANDLER)

/* Where a slot leads (bits), and where a context may be. */
#define OLD_CODE    1
#define NEW_CODE    2
#define IN_WINDOW_1 4           /* window 1 is not changed any more: its daemon is gone */

/* Epochs: generation << 2 | count, never 0.  UNSEEN is older than all of them. */
#define UNSEEN  1
#define EARLIER ((1 << 2) | 0)
#define EPOCH_1 ((1 << 2) | 1)
#define EPOCH_2 ((2 << 2) | 1)
#define GENERATION(epoch) ((epoch) >> 2)

byte base = 1;                  /* the number of the window that hooks go through */
byte current = 1;               /* the number of the set that lines are taken from */
bit  mapped_1 = 1;
byte epoch_2 = EPOCH_2;
byte slot = OLD_CODE;           /* window 2's */
bit  announced;                 /* the mover sent set 2 to the new daemon */
bit  freed;                     /* window 2's old code */
byte word_1[READERS], last_1[READERS];          /* the line of set 1 */
byte word_2[READERS], last_2[READERS];          /* the line of set 2 */

/* A store: what << 4 | value. */
#define WORD_1 0
#define WORD_2 1
#define LAST_1 2
#define LAST_2 3
#define STORE_OF(what, v) ((what) << 4 | (v))
#define IS_STORE_OF(x, what) ((x) >> 4 == (what))
#define VALUE_OF(x) ((x) & 15)
#define TO_MEMORY(r, x) \
    if \
    :: IS_STORE_OF(x, WORD_1) -> word_1[r] = VALUE_OF(x) \
    :: IS_STORE_OF(x, WORD_2) -> word_2[r] = VALUE_OF(x) \
    :: IS_STORE_OF(x, LAST_1) -> last_1[r] = VALUE_OF(x) \
    :: IS_STORE_OF(x, LAST_2) -> last_2[r] = VALUE_OF(x) \
    fi
#include "tso.pml"

/* What a thread loads: its own newest store, else memory. */
#define OWN(r, what, memory) \
    (pending[r] == 2 && IS_STORE_OF(second[r], what) -> VALUE_OF(second[r]) : \
    (pending[r] >= 1 && IS_STORE_OF(first[r], what) -> VALUE_OF(first[r]) : memory))
#define OWN_WORD(r, set) (set == 1 -> OWN(r, WORD_1, word_1[r]) : OWN(r, WORD_2, word_2[r]))
#define OWN_LAST(r, set) (set == 1 -> OWN(r, LAST_1, last_1[r]) : OWN(r, LAST_2, last_2[r]))
#define WORD(set) (set == 1 -> WORD_1 : WORD_2)
#define LAST(set) (set == 1 -> LAST_1 : LAST_2)

byte home[READERS];             /* the set in which the thread's own pointer finds its line */
bit  in_handler[READERS];
byte may_lead[READERS];

byte line[CONTEXTS];            /* the set of the line that this guard stored */
byte outer[CONTEXTS];           /* that line's word as the guard found it */
byte value[CONTEXTS];           /* register: the `last` that is stored */
byte window[CONTEXTS];          /* register: the base that was loaded */
byte seen[CONTEXTS];            /* register: the epoch that was loaded */
byte inside[CONTEXTS];

#ifdef COMPARE_STORED
#define COMPARED(r, c) value[c]                 /* what step 2 loaded and stored */
#else
#define COMPARED(r, c) OWN_LAST(r, line[c])     /* loaded again, after the base */
#endif

inline serialise(r) { may_lead[r] = slot }

#define STEP(runs, action)       atomic { runs -> action }
#define PUT(runs, r, what, v)    atomic { runs && MAY_STORE(r) -> store(r, STORE_OF(what, v)) }
#define LOAD_BASE(c, runs)       STEP(runs, window[c] = base)
#define LOAD_EPOCH(c, runs)      STEP(runs, assert(window[c] == 2 || mapped_1); \
                                            seen[c] = (window[c] == 1 -> EPOCH_1 : epoch_2))

/*
 * enter, short:  1 line = home; if its word is not 0: long
 *                2 value = last; word = value
 *                3 window = base; seen = its epoch; if (seen != value) { word = 0; long }
 * enter, long:   4 line = home; outer = word
 *                5 if (!outer) { value = last; word = value }
 *                6 window = base; seen = its epoch; if (seen != last) renew, and again from 6
 * renew:         7 home is not in the current set: take a line there (signals blocked)
 *                8 line is not home: go over.  outer' = word of home; if (!outer') word of home = its last;
 *                  last of line = UNSEEN; word of line = outer; line = home; outer = outer'
 *                9 serialise
 *               10 last of line = seen
 *               11 line is not home, or not in the current set any more: again from 7
 * call:         12 execute
 * leave:        13 word of line = outer
 */
inline hook_call(r, c, runs)
{
    if
    :: STEP(runs, line[c] = home[r]);                                                           /* 1 */
       if
       :: STEP(runs && OWN_WORD(r, line[c]) == 0, value[c] = OWN_LAST(r, line[c]));             /* 2 */
          PUT(runs, r, WORD(line[c]), value[c]);
          LOAD_BASE(c, runs);                                                                   /* 3 */
          LOAD_EPOCH(c, runs);
          if
          :: STEP(runs && seen[c] == COMPARED(r, c), skip); goto entered
          :: atomic { runs && seen[c] != COMPARED(r, c) && MAY_STORE(r) -> store(r, STORE_OF(WORD(line[c]), 0)) }
          fi
       :: STEP(runs && OWN_WORD(r, line[c]) != 0, skip)
       fi
    :: skip                                                             /* an explicit guard */
    fi;

    STEP(runs, value[c] = 0; window[c] = 0; seen[c] = 0; line[c] = home[r]; outer[c] = OWN_WORD(r, line[c]));    /* 4 */
    if
    :: outer[c] == 0 ->
       STEP(runs, value[c] = OWN_LAST(r, line[c]));                                             /* 5 */
       PUT(runs, r, WORD(line[c]), value[c])
    :: else
    fi;
    do
    :: LOAD_BASE(c, runs);                                                                      /* 6 */
       LOAD_EPOCH(c, runs);
       if
       :: STEP(runs && seen[c] == OWN_LAST(r, line[c]), break)
       :: STEP(runs && seen[c] != OWN_LAST(r, line[c]), skip);
          do
          :: STEP(runs, if
                        :: home[r] != current && !(ONLY_OUTERMOST && outer[c] != 0) ->          /* 7 */
                           empty_buffer(r); home[r] = current; word_2[r] = 0; last_2[r] = UNSEEN
                        :: else
                        fi);
             if
             :: line[c] != home[r] ->                                                           /* 8 */
#ifdef OLD_LINE_FIRST
                PUT(runs, r, WORD_1, outer[c]);
#endif
                STEP(runs, outer[c] = outer[c] << 4 | OWN_WORD(r, 2); value[c] = OWN_LAST(r, 2));
                if
                :: VALUE_OF(outer[c]) == 0 -> PUT(runs, r, WORD_2, value[c])
                :: else
                fi;
#ifndef OLD_LAST_KEPT
                PUT(runs, r, LAST_1, FORGOTTEN);
#endif
#ifndef OLD_LINE_FIRST
                PUT(runs, r, WORD_1, (outer[c] >> 4));
#endif
                STEP(runs, line[c] = 2; outer[c] = VALUE_OF(outer[c]))
             :: else
             fi;
             STEP(runs, serialise(r));                                                          /* 9 */
             PUT(runs, r, LAST(line[c]), seen[c]);                                              /* 10 */
#ifdef NO_LOOK_AGAIN
             break
#else
             if                                                                                 /* 11 */
             :: STEP(runs && line[c] == home[r] && (line[c] == current || ONLY_OUTERMOST && outer[c] != 0), break)
             :: STEP(runs && !(line[c] == home[r] && (line[c] == current || ONLY_OUTERMOST && outer[c] != 0)), skip)
             fi
#endif
          od
#ifdef NO_RELOAD
          ; break
#endif
       fi
    od;
entered:
    atomic {
        runs ->                                                                                 /* 12 */
        if
        :: window[c] == 1 -> assert(mapped_1); inside[c] = IN_WINDOW_1
        :: else -> inside[c] = may_lead[r]; assert(!(freed && (inside[c] & OLD_CODE)))
        fi;
        seen[c] = 0; value[c] = 0; window[c] = 0
    };
    atomic {
        runs && MAY_STORE(r) ->                                                                 /* 13 */
        inside[c] = 0;
        store(r, STORE_OF(WORD(line[c]), outer[c]));
        outer[c] = 0; line[c] = 0;
        if :: c >= READERS -> in_handler[r] = 0 :: else fi      /* the handler returns */
    }
}

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

#define LEFT_WINDOW_1(w) (w == 0 || GENERATION(w) == GENERATION(EPOCH_2))

/*
 * move:  1 make set 2 the current one
 *        2 membarrier
 *        3 last of each line of set 1 = UNSEEN, so that its thread goes over at its next guard, whatever the epoch is
 *          (0 will not do: an enter would store it, and be in no guard while it loads the epoch from a window that goes)
 *        4 announce set 2 to the new daemon
 *        5 switch the base
 *        6 membarrier
 *        7 poll the own lines, of both sets, until each is 0 or of the new generation
 *        8 unmap window 1
 */
proctype Mover()
{
#ifdef ANNOUNCE_AFTER_SWITCH
    base = 2;
#endif
#ifdef SWITCH_BEFORE_NEW_SET
    announced = 1;
    base = 2;
#endif
    current = 2;
#ifndef REPLACE_WITHOUT_BARRIER
    membarrier();
#endif
#ifndef REPLACE_WITHOUT_FORGET
    last_1[0] = FORGOTTEN;
#if READERS == 2
    last_1[1] = FORGOTTEN;
#endif
#endif
    announced = 1;
    base = 2;
#ifndef MOVE_WITHOUT_BARRIER
    membarrier();
#endif
#ifndef MOVE_WITHOUT_POLL
    LEFT_WINDOW_1(word_2[0]);
    LEFT_WINDOW_1(word_1[0]);
#if READERS == 2
    LEFT_WINDOW_1(word_2[1]);
    LEFT_WINDOW_1(word_1[1]);
#endif
#endif
#ifndef EPOCHS_AGAIN
    atomic { assert(NOBODY_IN(IN_WINDOW_1)); mapped_1 = 0 }
#endif
}

#define QUIESCENT(r) (word_2[r] == 0 || word_2[r] >= epoch_2)   /* less is older, UNSEEN or of generation 1: active */

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
#ifdef EPOCHS_AGAIN
        :: last_1[0] = EPOCH_2
#endif
        fi;
        last_1[READERS - 1] = last_1[0];
        home[0] = 1; home[READERS - 1] = 1;
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
