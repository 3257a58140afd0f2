/* SPDX-License-Identifier: MIT */
/* Queues and ring buffers: each value that was put in comes out once, those of one actor in their order. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "block.h"
#include "kill.h"
#include "runtime/queue.h"
#include "runtime/ring.h"

/* What an actor puts in: who and the how-manieth. */
#define VALUE(actor, number) ((uint64_t)((actor) + 1) << 32 | (number))
#define MAKER(value) ((unsigned)((value) >> 32) - 1)
#define NUMBER(value) ((uint32_t)(value))

/* ---- queues and stacks ---- */

static void put(struct actor *actor)
{
    struct record *record = actor->record;
    uint64_t value = VALUE(actor->index, record->put + 1);

    record->pending_value = value;
    __atomic_store_n(&record->pending, true, __ATOMIC_SEQ_CST);
    if (kill_result(actor, actor->fixture->kind->call_push(actor->fixture->map, &value, BPF_ANY, 0, 0, &actor->thread),
                    -E2BIG))
        record->put++;
    __atomic_store_n(&record->pending, false, __ATOMIC_SEQ_CST);
}

/* Killed between the two stores, it has not noted the value: a count that goes first would vouch for what is not there. */
static void note_taken(struct record *record, uint64_t value)
{
    record->taken_value[record->taken] = value;
    __atomic_store_n(&record->taken, record->taken + 1, __ATOMIC_RELEASE);
}

static void take(struct actor *actor)
{
    struct record *record = actor->record;
    uint64_t value = 0;

    record->pending_value = 0;
    __atomic_store_n(&record->pending, true, __ATOMIC_SEQ_CST);
    if (kill_result(actor, actor->fixture->kind->call_pop(actor->fixture->map, &value, 0, 0, 0, &actor->thread),
                    -ENOENT))
        note_taken(record, value);
    __atomic_store_n(&record->pending, false, __ATOMIC_SEQ_CST);
}

void kill_queue_act(struct actor *actor)
{
    if (random_percent(&actor->random, 50) && actor->record->put < VALUES - 1)
        put(actor);
    else if (actor->record->taken < VALUES)
        take(actor);
    else
        kill_result(actor, 0, 0);       /* its record is full: it only looks on for the rest of the round */
}

/* How often each value was taken: [maker][number]. */
static uint8_t times[ACTORS][VALUES + 1];

/* Of a queue, those of one maker come in their order. */
static void count_taken(const struct record *record, bool ordered)
{
    uint32_t last[ACTORS] = { 0 };

    for (uint32_t i = 0; i < record->taken; i++) {
        unsigned maker = MAKER(record->taken_value[i]);
        uint32_t number = NUMBER(record->taken_value[i]);

        if (maker >= ACTORS || number > VALUES)
            fixture_fail("%#llx was taken and never put", (unsigned long long)record->taken_value[i]);
        if (ordered && number <= last[maker])
            fixture_fail("actor %u's value %u came before its value %u", maker, last[maker], number);
        last[maker] = number;
        times[maker][number]++;
    }
}

/* The victim's last push may have happened or not; its last pop may have taken one value with it. */
void kill_queue_check(struct actor *parent, unsigned victim)
{
    uint32_t lost = 0, may_be_lost = 0;

    for (uint32_t left; (left = queue_count(parent->fixture->map)) > 0;) {
        take(parent);           /* nobody else is there: it cannot be refused */
        if (queue_count(parent->fixture->map) != left - 1)
            fixture_fail("%u values are left that cannot be taken", left);
    }
    memset(times, 0, sizeof(times));
    for (unsigned i = 0; i <= ACTORS; i++)
        count_taken(&parent->all[i], parent->fixture->map->kind == BPF_MAP_TYPE_QUEUE);
    if (victim < ACTORS && parent->all[victim].pending) {
        struct record *record = &parent->all[victim];

        if (record->pending_value == 0)
            may_be_lost = 1;
        else
            record->put += times[victim][record->put + 1];
    }
    for (unsigned maker = 0; maker < ACTORS; maker++)
        for (uint32_t number = 1; number <= VALUES; number++) {
            if (times[maker][number] > (number <= parent->all[maker].put))
                fixture_fail("actor %u's value %u was taken %u times", maker, number, times[maker][number]);
            lost += number <= parent->all[maker].put && times[maker][number] == 0;
        }
    if (lost > may_be_lost)
        fixture_fail("%u values are lost", lost);
    for (unsigned i = 0; i <= ACTORS; i++)
        parent->all[i].taken = parent->all[i].put = 0;
}

/* ---- ring buffers ---- */

#define LENGTH_MAX 200          /* bytes */

static bool put_reserved(struct actor *actor, uint32_t length, uint64_t value)
{
    const struct map *map = actor->fixture->map;
    uint64_t *data = ring_reserve(map, length, 0, 0, 0, &actor->thread);

    if (!data)
        return kill_result(actor, -EAGAIN, -EAGAIN);
    memset(data, (uint8_t)value, length);
    *data = value;
    if (random_percent(&actor->random, 20)) {
        ring_discard(data, 0, map);
        return kill_result(actor, -EAGAIN, -EAGAIN);
    }
    return kill_result(actor, ring_submit(data, 0, map), 0);
}

static bool put_whole(struct actor *actor, uint32_t length, uint64_t value)
{
    uint64_t data[LENGTH_MAX / 8 + 1];

    memset(data, (uint8_t)value, sizeof(data));
    data[0] = value;
    return kill_result(actor, ring_output(actor->fixture->map, data, length, 0, 0, &actor->thread), -EAGAIN);
}

void kill_ring_act(struct actor *actor)
{
    struct record *record = actor->record;
    uint32_t length = 8 + random_below(&actor->random, LENGTH_MAX - 8);
    uint64_t value = VALUE(actor->index, record->put + 1);

    record->pending_value = value;
    __atomic_store_n(&record->pending, true, __ATOMIC_SEQ_CST);
    if (random_percent(&actor->random, 50) ? put_reserved(actor, length, value) : put_whole(actor, length, value))
        record->put++;
    __atomic_store_n(&record->pending, false, __ATOMIC_SEQ_CST);
}

/* The parent has taken values 1 to own[maker] of each. */
void kill_ring_attend(struct actor *parent)
{
    uint8_t buffer[LENGTH_MAX];
    uint32_t length;

    while (ring_take(parent->fixture->map, buffer, sizeof(buffer), &length) == 0) {
        uint64_t value;

        memcpy(&value, buffer, sizeof(value));
        if (length < 8 || MAKER(value) >= ACTORS)
            fixture_fail("a record of %u bytes and %#llx", length, (unsigned long long)value);
        for (uint32_t i = 8; i < length; i++)
            if (buffer[i] != (uint8_t)value)
                fixture_fail("half of a record");
        if (NUMBER(value) != parent->record->own[MAKER(value)] + 1)
            fixture_fail("actor %u's record %u follows on %llu", MAKER(value), NUMBER(value),
                         (unsigned long long)parent->record->own[MAKER(value)]);
        parent->record->own[MAKER(value)]++;
    }
}

void kill_ring_check(struct actor *parent, unsigned victim)
{
    kill_ring_attend(parent);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct record *record = &parent->all[i];
        uint64_t taken = parent->record->own[i];

        if (taken == record->put + 1 && i == victim && record->pending)
            record->put++;
        if (taken != record->put)
            fixture_fail("actor %u has put %u records, and %llu came", i, record->put, (unsigned long long)taken);
    }
    if (ring_query(parent->fixture->map, BPF_RB_AVAIL_DATA) != 0)
        fixture_fail("records are left that nobody can take");
}
