/* SPDX-License-Identifier: MIT */
/*
 * Processes that change one map, one of which is killed or stopped at any instruction.  What each has done stands in a
 * record of its own that outlives it: what it was about to do, and what was done when the function returned.
 */
#ifndef TESTS_MAPS_KILL_H
#define TESTS_MAPS_KILL_H

#include <stdbool.h>
#include <stdint.h>

#include "fixture.h"
#include "generate/random.h"

#define ACTORS 4
#define OWN_KEYS 8              /* of each actor, which nobody else changes */
#define SHARED_KEYS 8
#define VALUES (1u << 18)       /* that an actor puts into a queue, or takes out, in one round */

/* All of it is shared memory; an actor writes its own record only. */
struct record {
    uint64_t attempts, successes;       /* since the map was made */
    uint32_t failure;           /* errno that no operation may return; 0: none */
    uint32_t sequence;          /* of the last value that it made up */
    bool pending;               /* an operation has begun, and is not known to have ended: */
    uint32_t pending_key;       /* with keys: of own[]; OWN_KEYS: a shared one */
    uint64_t pending_value;     /* what it writes; 0: it deletes, or takes */
    uint64_t own[OWN_KEYS];     /* values of the keys that are its own; 0: deleted */
    uint32_t put;               /* into a stream: values 1 to put are in */
    uint32_t taken;             /* out of one: how many of taken_value[] */
    uint64_t taken_value[VALUES];
};

struct actor {
    const struct fixture *fixture;
    struct record *record;
    struct record *all;         /* records of all actors */
    struct thread thread;
    struct random random;
    unsigned index;             /* ACTORS: the parent, who checks */
};

struct subject {
    const char *name;
    struct map_definition definition;
    void (*act)(struct actor *actor);           /* one operation, recorded */
    void (*attend)(struct actor *parent);       /* NULL, or what the parent does all the time: taking from a ring */
    /*
     * Is what the records say what the map has?  Nobody else is there.  `victim` is the actor whose last operation may
     * have happened or not; ACTORS: none.  Ends the process with a message.
     */
    void (*check)(struct actor *parent, unsigned victim);
};

/* A value that names its maker and has not been there before; never 0. */
uint64_t kill_value(struct actor *actor, uint32_t key);

/* Count the attempt; what else than `allowed` (0: nothing) and -EBUSY fails the test.  Was it done? */
bool kill_result(struct actor *actor, long result, long allowed);

void kill_keyed_act(struct actor *actor);
void kill_keyed_check(struct actor *parent, unsigned victim);
/* More keys than the map has elements: all that can be said is that a value is its key's. */
void kill_crowded_act(struct actor *actor);
void kill_crowded_check(struct actor *parent, unsigned victim);
void kill_queue_act(struct actor *actor);
void kill_queue_check(struct actor *parent, unsigned victim);
void kill_ring_act(struct actor *actor);
void kill_ring_attend(struct actor *parent);
void kill_ring_check(struct actor *parent, unsigned victim);

#endif
