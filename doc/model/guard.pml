/* SPDX-License-Identifier: MIT */
/*
 * guard.pml - guard, wait, poke and settle.
 *
 * One hook is changed and settled for ever by the daemon while reader threads call it for ever; thread 0 also has a
 * signal handler that calls the hook, between any two of the thread's steps.  Shown: no thread ever executes bytes
 * that are poisoned, half written, replaced before or mixed from two versions, no byte is rewritten while a thread
 * is in it, and no wait of the daemon lasts for ever once the threads are idle.  Nothing is bounded: neither the
 * calls nor the changes.
 *
 * Memory of the readers.  x86-TSO: each thread's line stores pass through a FIFO store buffer (two stores deep: a
 * leave and the next enter, tso.pml) that empties at any moment.  Loads are steps of their own.
 *
 * Instructions.  Per reader and code location, the SET of contents that a fetch may still return: everything that
 * the location has held since the reader last serialised, in any order (weaker than any cache: nothing orders two
 * fetches).  With FETCH_AHEAD=1 that includes locations which the reader has not executed since then.  Checks are on
 * the whole set, which is the same as following each fetch by itself.
 *
 * Daemon.  Its stores are visible in program order (TSO), and it loads nothing of the readers between a store and
 * the membarrier, so it needs no buffer.  The membarrier empties one reader's buffer after the other, with anything
 * in between.  It does NOT serialise, and serialising does NOT empty the buffer: both are the weaker assumption.
 *
 * Epochs are held as ages, which makes the model finite without a bound: CURRENT, PREVIOUS, OLD (older).  Bumping
 * the epoch ages every value that anybody holds.  Two different OLD values compare equal, which can only skip a
 * serialise, so a protocol that holds here holds with real counts.
 *
 * Options (-D): READERS 1 or 2; HANDLER 0 or 1; MAY_STOP 0 or 1; FETCH_AHEAD 0 or 1; FRESH_BYTES (another daemon
 * script, below); and the mutations, each at its place in the text.
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
#ifndef FETCH_AHEAD
#define FETCH_AHEAD 1
#endif
#ifndef OMIT_WAIT
#define OMIT_WAIT 0             /* 1 to 4: that wait of the change is left out */
#endif
#define CONTEXTS (READERS + HANDLER)    /* what can hold registers: each thread, and thread 0's handler */

/* Code locations (bits, so that they form sets). */
#define HOME 1                  /* the room behind the slot; the slot leads here when it is a nop */
#define COPY 2                  /* the room elsewhere; the slot leads here when it is a jmp */
#define SLOT 4                  /* the slot itself */

/* Contents of HOME and COPY (bits). */
#define VERSION_A 1
#define VERSION_B 2
#define POISON    4             /* freed, half written or never written */

/* Ages of an epoch; 0 in a line: not in a guard. */
#define OLD      1
#define PREVIOUS 2
#define CURRENT  3

/* Shared memory. */
byte slot = HOME;
byte home = VERSION_A;
byte copy = POISON;
byte retired;                   /* versions that a wait has declared quiescent */
byte line[READERS];

#define TO_MEMORY(r, x) line[r] = x
#include "tso.pml"

/* Thread state. */
byte last[READERS];             /* the epoch at which the thread last serialised */
bit  in_handler[READERS];       /* the handler runs, so the thread itself does not */
byte may_lead[READERS];         /* places to which a fetch of the slot may lead */
byte home_may_hold[READERS], copy_may_hold[READERS];
#if !FETCH_AHEAD
byte executed[READERS];         /* locations executed since the thread last serialised */
#define WAS_EXECUTED(r, place) (executed[r] & (place))
#else
#define WAS_EXECUTED(r, place) true
#endif

/* Context state. */
byte outer[CONTEXTS];           /* the line as this guard found it */
byte value[CONTEXTS];           /* register: `last` to be stored, then the epoch that was loaded */
byte inside[CONTEXTS];          /* places in which this context may be executing */
#ifdef ENTRY_BEFORE_LINE
byte entry[CONTEXTS];
#endif

/* ---- memory and instruction fetch ---- */

/* A thread sees its own stores at once. */
#define OWN_LINE(r) (pending[r] == 2 -> second[r] : (pending[r] == 1 -> first[r] : line[r]))

inline serialise(r)
{
    may_lead[r] = slot; home_may_hold[r] = home; copy_may_hold[r] = copy;
#if !FETCH_AHEAD
    executed[r] = 0
#endif
}

inline spread_slot(r) { may_lead[r] = (WAS_EXECUTED(r, SLOT) -> may_lead[r] : 0) | slot }
inline spread_home(r) { home_may_hold[r] = (WAS_EXECUTED(r, HOME) -> home_may_hold[r] : 0) | home }
inline spread_copy(r) { copy_may_hold[r] = (WAS_EXECUTED(r, COPY) -> copy_may_hold[r] : 0) | copy }

inline poke(place) { d_step { slot = place; spread_slot(0); spread_slot(READERS - 1) } }

#define NOBODY_IN(place) (((inside[0] | inside[READERS - 1] | inside[CONTEXTS - 1]) & (place)) == 0)

inline write_home(content)
{
    d_step { assert(NOBODY_IN(HOME)); home = content; spread_home(0); spread_home(READERS - 1) }
}

inline write_copy(content)
{
    d_step { assert(NOBODY_IN(COPY)); copy = content; spread_copy(0); spread_copy(READERS - 1) }
}

/* Every content that a fetch may return must be one whole version, the same for all fetches, and not retired. */
#define RUNNABLE(set) (((set) == VERSION_A || (set) == VERSION_B) && ((set) & retired) == 0)

inline execute(c, r, leads_to)
{
    inside[c] = leads_to;
    assert(!(inside[c] & HOME) || RUNNABLE(home_may_hold[r]));
    assert(!(inside[c] & COPY) || RUNNABLE(copy_may_hold[r]));
#if !FETCH_AHEAD
    executed[r] = executed[r] | SLOT | inside[c]
#endif
}

/* ---- reader: one hook call; `runs` says that this context may take a step ---- */

#define CHECK_EPOCH(r, c, runs) \
    /* 3 */ atomic { runs -> value[c] = CURRENT }; \
    /* 4 */ if \
            :: atomic { runs && value[c] != last[r] -> FIRST_HALF(r, c) }; \
               atomic { runs -> SECOND_HALF(r, c); value[c] = 0 } \
            :: atomic { runs && value[c] == last[r] -> value[c] = 0 } \
            fi
#ifdef LAST_BEFORE_SERIALISE
#define FIRST_HALF(r, c)  last[r] = value[c]
#define SECOND_HALF(r, c) serialise(r)
#else
#define FIRST_HALF(r, c)  serialise(r)
#define SECOND_HALF(r, c) last[r] = value[c]
#endif

/*
 * enter:  1 outer = line; value = last
 *         2 if (!outer) line = value                     (a nested enter leaves the line alone)
 *         3 value = epoch
 *         4 if (value != last) { serialise; last = value }       (a nested enter does this too)
 * call:   5 execute the slot and what it leads to; the code may go through the slot again (a chain, a tail call)
 * leave:  6 line = outer
 *
 * A recursive call by the code itself is a handler that interrupts step 5.
 */
inline hook_call(r, c, runs)
{
#ifdef SERIALISE_BEFORE_LINE
    atomic { runs -> outer[c] = OWN_LINE(r) };
    CHECK_EPOCH(r, c, runs);
    atomic { runs -> value[c] = last[r] };
#else
    atomic { runs -> outer[c] = OWN_LINE(r); value[c] = last[r] };
#endif
#ifdef ENTRY_BEFORE_LINE
    atomic { runs -> entry[c] = slot };         /* where the slot leads is read here, and used in step 5 */
#endif
    if
    :: outer[c] == 0 -> atomic { runs && MAY_STORE(r) -> store(r, value[c]); value[c] = 0 }
    :: else -> value[c] = 0
    fi;
#ifndef SERIALISE_BEFORE_LINE
#ifdef NESTED_WITHOUT_CHECK
    if :: outer[c] != 0 -> goto checked :: else fi;
#endif
    CHECK_EPOCH(r, c, runs);
#endif
#ifdef NESTED_WITHOUT_CHECK
checked:
#endif
#ifdef ENTRY_BEFORE_LINE
    atomic { runs -> execute(c, r, entry[c]); entry[c] = 0 };
#else
    atomic { runs -> execute(c, r, may_lead[r]) };
    do
    :: atomic { runs -> execute(c, r, may_lead[r]) }
    :: break
    od;
#endif
    atomic {
        runs && MAY_STORE(r) ->
        inside[c] = 0;
#ifdef LEAVE_STORES_ZERO
        store(r, 0);
#elif defined(LEAVE_STORES_NOTHING)
        skip;
#else
        store(r, outer[c]);
#endif
        outer[c] = 0;
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

/* ---- daemon ---- */

inline age(v) { v = (v > OLD -> v - 1 : v) }
inline age_thread(r) { age(line[r]); age(first[r]); age(second[r]); age(last[r]) }
inline age_context(c) { age(outer[c]); age(value[c]) }

inline bump()
{
    d_step {
        age_thread(0); age_context(0);
#if READERS == 2
        age_thread(1); age_context(1);
#endif
#if HANDLER
        age_context(READERS)
#endif
    }
}

#define QUIESCENT(r) (line[r] == 0 || line[r] == CURRENT)

inline poll()
{
    QUIESCENT(0);
#if READERS == 2
    QUIESCENT(1);
#endif
}

/* wait:  1 bump the epoch  2 membarrier  3 poll each line  (4, draining the sockets, is in life.pml) */
inline wait()
{
#ifdef BARRIER_BEFORE_BUMP
    membarrier(); bump(); poll()
#elif defined(BARRIER_AFTER_POLL)
    bump(); poll(); membarrier()
#elif defined(NO_BARRIER)
    bump(); poll()
#elif defined(NO_POLL)
    bump(); membarrier()
#elif defined(BUMP_BEFORE_POKE)         /* the bump is in poke_and_wait() */
    membarrier(); poll()
#else
    bump(); membarrier(); poll()
#endif
}

inline poke_and_wait(place)
{
#ifdef BUMP_BEFORE_POKE
    bump();
#endif
    poke(place)
}

proctype Daemon()
{
    byte old = VERSION_A, new = VERSION_B;

#ifdef FRESH_BYTES
    /* Bytes never written or executed before are poked to at once, without a wait after writing them. */
    write_copy(VERSION_B);
    poke_and_wait(COPY);
    wait();
    retired = VERSION_A;
    write_home(POISON)
#else
    /* Change and settle, for ever:
     *  1 write the new code into the copy (poison first: a write takes time)
     *  2 wait 1: the copy's bytes were executed in the last round, so each thread must serialise
     *  3 poke the slot: jmp copy
     *  4 wait 2: nobody is in the old code any more
     *  5 write the new code behind the slot
     *  6 wait 3: as wait 1
     *  7 poke the slot back to nop
     *  8 wait 4: nobody is in the copy any more
     *  9 free the copy
     */
    do
    :: atomic { write_copy(POISON); retired = retired & ~new };
       write_copy(new);
       if :: OMIT_WAIT != 1 -> wait() :: OMIT_WAIT == 1 fi;
       poke_and_wait(COPY);
       if :: OMIT_WAIT != 2 -> wait() :: OMIT_WAIT == 2 fi;
       retired = retired | old;
       write_home(POISON);
       write_home(new);
       if :: OMIT_WAIT != 3 -> wait() :: OMIT_WAIT == 3 fi;
       poke_and_wait(HOME);
       if :: OMIT_WAIT != 4 -> wait() :: OMIT_WAIT == 4 fi;
       atomic { write_copy(POISON); old = new; new = VERSION_A + VERSION_B - old }
    od
#endif
}

init {
    atomic {
        if                      /* each thread was here in this epoch, or not */
        :: last[0] = CURRENT
        :: last[0] = OLD
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
        run Daemon()
    }
}
