/* SPDX-License-Identifier: MIT */
/* Ring buffers: records come out whole and in order, also of killed producers, whatever lies in the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "maps/block.h"
#include "maps/fixture.h"
#include "runtime/ring.h"
#include "stepping.h"

#define SIZE 4096u              /* bytes of the ring */

static struct fixture new_ring(void)
{
    struct map_definition definition = { BPF_MAP_TYPE_RINGBUF, 0, 0, SIZE, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

/* A record of `length` bytes, all of them `byte`. */
static long put(const struct fixture *fixture, unsigned byte, uint32_t length, struct thread *thread)
{
    uint8_t data[SIZE];

    memset(data, (int)byte, sizeof(data));
    return ring_output(fixture->map, data, length, 0, 0, thread);
}

/* The byte that the next record is full of; its length must be that.  Negative errno: of ring_take. */
static long take(const struct fixture *fixture, uint32_t length)
{
    uint8_t data[SIZE] = { 0 };
    uint32_t got;
    int r = ring_take(fixture->map, data, sizeof(data), &got);

    if (r < 0)
        return r;
    assert_int_equal(got, length);
    for (uint32_t i = 1; i < got; i++)
        assert_int_equal(data[i], data[0]);
    return data[0];
}

/* ---- what they do ---- */

static void test_order(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);

    assert_int_equal(take(&fixture, 0), -EAGAIN);
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 1; i <= 5; i++)
            assert_int_equal(put(&fixture, i, 37 * i + round % 101, &thread), 0);
        for (unsigned i = 1; i <= 5; i++)
            assert_int_equal(take(&fixture, 37 * i + round % 101), i);
        assert_int_equal(take(&fixture, 0), -EAGAIN);
    }
    assert_int_equal(ring_lost(fixture.map), 0);
    fixture_clear(&fixture);
}

static void test_reserved(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);
    uint8_t *first = ring_reserve(fixture.map, 3, 0, 0, 0, &thread);
    uint8_t *second = ring_reserve(fixture.map, 4, 0, 0, 0, &thread);
    uint8_t *third = ring_reserve(fixture.map, 0, 0, 0, 0, &thread);

    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(third);
    assert_int_equal((uintptr_t)first % 8, 0);
    memset(first, 1, 3);
    memset(second, 2, 4);
    assert_int_equal(ring_submit(second, BPF_RB_NO_WAKEUP, fixture.map), 0);
    assert_int_equal(take(&fixture, 0), -EBUSY);        /* the first is before it */
    assert_int_equal(ring_submit(first, BPF_RB_FORCE_WAKEUP, fixture.map), 0);
    assert_int_equal(take(&fixture, 3), 1);
    assert_int_equal(take(&fixture, 4), 2);
    assert_int_equal(take(&fixture, 0), -EBUSY);
    assert_int_equal(ring_discard(third, 0, fixture.map), 0);
    assert_int_equal(take(&fixture, 0), -EAGAIN);
    assert_int_equal(ring_lost(fixture.map), 0);
    fixture_clear(&fixture);
}

/* What is longer than the daemon takes out is refused, as the kernel refuses what is too long for it. */
static void test_longest(void **state)
{
    struct map_definition definition = { .kind = BPF_MAP_TYPE_RINGBUF, .max_entries = 4 * RING_RECORD_MAX };
    uint8_t *data = calloc(2, RING_RECORD_MAX);
    struct thread thread = fixture_thread(0);
    struct fixture fixture;
    uint32_t length;

    assert_non_null(data);
    fixture_make(&definition, &fixture);
    assert_int_equal(ring_output(fixture.map, data, RING_RECORD_MAX + 1, 0, 0, &thread), -EAGAIN);
    assert_null(ring_reserve(fixture.map, RING_RECORD_MAX + 1, 0, 0, 0, &thread));
    assert_int_equal(ring_lost(fixture.map), 2);
    assert_int_equal(ring_output(fixture.map, data, RING_RECORD_MAX, 0, 0, &thread), 0);
    assert_int_equal(ring_take(fixture.map, data, RING_RECORD_MAX, &length), 0);
    assert_int_equal(length, RING_RECORD_MAX);
    fixture_clear(&fixture);
    free(data);
}

static void test_refused(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0), nobody = { 0 };
    struct ring_memory *memory = (void *)fixture.memory;

    assert_null(ring_reserve(fixture.map, 8, 1, 0, 0, &thread));
    assert_int_equal(ring_output(fixture.map, "x", 1, 4, 0, &thread), -EINVAL);
    assert_int_equal(ring_lost(fixture.map), 0);
    assert_null(ring_reserve(fixture.map, SIZE - 7, 0, 0, 0, &thread));
    assert_null(ring_reserve(fixture.map, UINT64_MAX, 0, 0, 0, &thread));
    assert_null(ring_reserve(fixture.map, UINT64_C(1) << 32, 0, 0, 0, &thread));
    assert_int_equal(ring_lost(fixture.map), 3);
    assert_int_equal(put(&fixture, 1, 1, &nobody), -ENOSPC);
    memory->lock = 77;
    assert_int_equal(put(&fixture, 1, 1, &thread), -EBUSY);
    memory->lock = 0;
    assert_int_equal(ring_lost(fixture.map), 5);
    assert_int_equal(take(&fixture, 0), -EAGAIN);
    assert_int_equal(put(&fixture, 1, 1, &thread), 0);
    assert_int_equal(take(&fixture, 1), 1);
    fixture_clear(&fixture);
}

static void test_full(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);

    for (unsigned i = 0; i < SIZE / 64; i++)
        assert_int_equal(put(&fixture, i, 56, &thread), 0);
    assert_int_equal(put(&fixture, 0, 0, &thread), -EAGAIN);
    assert_int_equal(ring_query(fixture.map, BPF_RB_AVAIL_DATA), SIZE);
    assert_int_equal(ring_lost(fixture.map), 1);
    for (unsigned i = 0; i < SIZE / 64; i++)
        assert_int_equal(take(&fixture, 56), i);
    assert_int_equal(put(&fixture, 3, SIZE - 8, &thread), 0);
    assert_int_equal(take(&fixture, SIZE - 8), 3);
    fixture_clear(&fixture);
}

/* One that fits into an empty ring, but not before its end, finds room when all before it was taken. */
static void test_long_record(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);

    assert_int_equal(put(&fixture, 1, 2000, &thread), 0);
    assert_int_equal(put(&fixture, 2, 3000, &thread), -EAGAIN);
    assert_int_equal(take(&fixture, 2000), 1);
    assert_int_equal(take(&fixture, 0), -EAGAIN);
    assert_int_equal(put(&fixture, 2, 3000, &thread), 0);
    assert_int_equal(take(&fixture, 3000), 2);
    fixture_clear(&fixture);
}

static void test_query(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);

    assert_int_equal(put(&fixture, 1, 20, &thread), 0);
    assert_int_equal(take(&fixture, 20), 1);
    assert_int_equal(put(&fixture, 1, 1, &thread), 0);
    assert_int_equal(ring_query(fixture.map, BPF_RB_AVAIL_DATA), 16);
    assert_int_equal(ring_query(fixture.map, BPF_RB_RING_SIZE), SIZE);
    assert_int_equal(ring_query(fixture.map, BPF_RB_CONS_POS), 32);
    assert_int_equal(ring_query(fixture.map, BPF_RB_PROD_POS), 48);
    assert_int_equal(ring_query(fixture.map, 4), 0);
    fixture_clear(&fixture);
}

/* A consumer without so much room may ask again, or let it go. */
static void test_buffer_too_small(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);
    uint32_t length = 0;
    uint8_t data[20];

    assert_int_equal(put(&fixture, 1, 20, &thread), 0);
    assert_int_equal(put(&fixture, 2, 20, &thread), 0);
    assert_int_equal(ring_take(fixture.map, data, 19, &length), -EMSGSIZE);
    assert_int_equal(length, 20);
    assert_int_equal(ring_take(fixture.map, data, 20, &length), 0);
    assert_int_equal(data[19], 1);
    assert_int_equal(ring_drop(fixture.map), 0);
    assert_int_equal(ring_drop(fixture.map), -EAGAIN);
    assert_int_equal(ring_lost(fixture.map), 1);
    fixture_clear(&fixture);
}

static void test_abandoned(void **state)
{
    struct fixture fixture = new_ring();
    struct thread dead = fixture_thread(0), other = fixture_thread(1);
    uint8_t *kept = ring_reserve(fixture.map, 3, 0, 0, 0, &other);
    struct ring_walk walk = { 0 };
    uint64_t position = 1;
    uint32_t seat;

    assert_non_null(kept);
    memset(kept, 7, 3);
    assert_non_null(ring_reserve(fixture.map, 100, 0, 0, 0, &dead));
    assert_int_equal(put(&fixture, 8, 5, &dead), 0);
    assert_non_null(ring_reserve(fixture.map, 0, 0, 0, 0, &dead));
    assert_int_equal(put(&fixture, 9, 6, &other), 0);
    assert_int_equal(ring_holder(fixture.map, &position, &seat), 0);
    assert_int_equal(position, 0);
    assert_int_equal(seat, fixture_seat(&fixture, 1) - fixture.head->seat);
    seat = (uint32_t)(fixture_seat(&fixture, 0) - fixture.head->seat);
    for (unsigned i = 0; i < 4; i++)
        assert_false(ring_abandon(fixture.map, seat, &walk, 1));
    assert_true(ring_abandon(fixture.map, seat, &walk, 1));
    assert_int_equal(take(&fixture, 0), -EBUSY);
    ring_submit(kept, 0, fixture.map);
    assert_int_equal(ring_holder(fixture.map, &position, &seat), -EAGAIN);
    assert_int_equal(take(&fixture, 3), 7);
    assert_int_equal(take(&fixture, 5), 8);
    assert_int_equal(take(&fixture, 6), 9);
    assert_int_equal(take(&fixture, 0), -EAGAIN);
    fixture_clear(&fixture);
}

/* The consumer gets past the walk, and the producer past its end: what comes there is another walk's. */
static void test_abandoned_meanwhile(void **state)
{
    struct fixture fixture = new_ring();
    struct thread dead = fixture_thread(0), other = fixture_thread(1);
    struct ring_walk walk = { 0 };
    uint32_t seat;

    assert_int_equal(put(&fixture, 8, 5, &other), 0);
    assert_int_equal(put(&fixture, 9, 6, &other), 0);
    assert_non_null(ring_reserve(fixture.map, 100, 0, 0, 0, &dead));
    seat = (uint32_t)(fixture_seat(&fixture, 0) - fixture.head->seat);
    assert_false(ring_abandon(fixture.map, seat, &walk, 1));
    assert_int_equal(take(&fixture, 5), 8);
    assert_int_equal(take(&fixture, 6), 9);
    assert_non_null(ring_reserve(fixture.map, 100, 0, 0, 0, &dead));
    assert_true(ring_abandon(fixture.map, seat, &walk, 2));
    assert_int_equal(take(&fixture, 0), -EBUSY);    /* the first is out of the way, the second came later */
    assert_true(ring_abandon(fixture.map, seat, &walk, 2));
    assert_int_equal(take(&fixture, 0), -EBUSY);
    fixture_clear(&fixture);
}

/* Only that one record, and only as long as it is the one that was meant. */
static void test_discard_next(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);
    uint8_t *first = ring_reserve(fixture.map, 1, 0, 0, 0, &thread), *second;
    uint64_t position;
    uint32_t seat;

    assert_non_null(first);
    second = ring_reserve(fixture.map, 2, 0, 0, 0, &thread);
    assert_non_null(second);
    memset(second, 5, 2);
    assert_int_equal(ring_holder(fixture.map, &position, &seat), 0);
    ring_discard_next(fixture.map, position, seat + 1);
    ring_discard_next(fixture.map, position + 16, seat);
    assert_int_equal(take(&fixture, 0), -EBUSY);
    ring_discard_next(fixture.map, position, seat);
    ring_discard_next(fixture.map, position, seat);
    assert_int_equal(take(&fixture, 0), -EBUSY);
    ring_submit(second, 0, fixture.map);
    assert_int_equal(take(&fixture, 2), 5);
    fixture_clear(&fixture);
}

static void test_definitions(void **state)
{
    static const struct {
        struct map_definition definition;
        int r;
    } cases[] = {
        { { BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0 }, 0 },
        { { BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 27, 0 }, 0 },
        { { BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 28, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_RINGBUF, 0, 0, 2048, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_RINGBUF, 0, 0, 12288, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_RINGBUF, 4, 0, 4096, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_RINGBUF, 0, 8, 4096, 0 }, 0 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jit_error error;
        struct map map;

        assert_int_equal(map_lay_out(&cases[i].definition, &map, &error), cases[i].r);
    }
}

/* ---- killed at any instruction ---- */

struct killing {
    struct fixture fixture, copy;
    struct thread thread;
    uint32_t length;            /* of the record that is put in */
    bool done;
    unsigned looks;
};

static void act_put(void *argument)
{
    struct killing *killing = argument;

    put(&killing->fixture, 9, killing->length, &killing->thread);
}

/* Killed now: the one record of before is there, the new one is whole or is not there, and others go on. */
static void look_put(void *argument)
{
    struct killing *killing = argument;
    struct thread other = fixture_thread(1);
    uint32_t length;
    uint8_t data[SIZE];

    fixture_copy(&killing->fixture, &killing->copy);
    fixture_recover(&killing->copy, 0);
    assert_int_equal(put(&killing->copy, 3, 10, &other), 0);
    assert_int_equal(take(&killing->copy, 5), 1);
    assert_int_equal(ring_take(killing->copy.map, data, sizeof(data), &length), 0);
    if (length == killing->length) {
        killing->done = true;
        for (uint32_t i = 0; i < length; i++)
            assert_int_equal(data[i], 9);
        assert_int_equal(take(&killing->copy, 10), 3);
    } else {
        assert_false(killing->done);
        assert_int_equal(length, 10);
    }
    assert_int_equal(take(&killing->copy, 0), -EAGAIN);
    killing->looks++;
}

/* The ring is empty but for one record of 5 bytes, which begins at that byte of it. */
static void put_at(struct killing *killing, uint32_t at)
{
    if (at > 0) {
        assert_int_equal(put(&killing->fixture, 0, at - 8, &killing->thread), 0);
        assert_int_equal(take(&killing->fixture, at - 8), 0);
    }
    assert_int_equal(put(&killing->fixture, 1, 5, &killing->thread), 0);
}

static void try_killing(uint32_t at, uint32_t length, void (*act)(void *argument), void (*look)(void *argument))
{
    struct killing killing = { new_ring(), new_ring(), fixture_thread(0), length, .done = false };

    put_at(&killing, at);
    stepping_run(act, look, &killing);
    assert_true(killing.done);
    assert_true(killing.looks > 50);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

static void test_killed_producer(void **state)
{
    if (!stepping_works())
        skip();
    try_killing(0, 21, act_put, look_put);
    try_killing(SIZE - 16, 21, act_put, look_put);      /* the new one begins at the beginning */
    try_killing(SIZE - 64, 100, act_put, look_put);     /* after a discarded one */
}

static void act_take(void *argument)
{
    struct killing *killing = argument;

    take(&killing->fixture, 5);
}

/* The consumer is killed: the record is there or was taken. */
static void look_take(void *argument)
{
    struct killing *killing = argument;
    struct thread other = fixture_thread(1);

    fixture_copy(&killing->fixture, &killing->copy);
    assert_int_equal(put(&killing->copy, 3, 10, &other), 0);
    if (ring_query(killing->copy.map, BPF_RB_AVAIL_DATA) > 24) {
        assert_false(killing->done);
        assert_int_equal(take(&killing->copy, 5), 1);
    } else {
        killing->done = true;
    }
    assert_int_equal(take(&killing->copy, 10), 3);
    killing->looks++;
}

static void test_killed_consumer(void **state)
{
    if (!stepping_works())
        skip();
    try_killing(0, 0, act_take, look_take);
}

/* ---- hostile memory ---- */

/* Positions that are true, nearly true, or anything; headers that are records, nearly, or anything. */
static void scribble(const struct fixture *fixture)
{
    struct ring_memory *memory = (void *)fixture->memory;
    uint32_t *word = (uint32_t *)(void *)(fixture->memory + fixture->map->elements_at);
    uint64_t base = (uint64_t)rand() << 33;

    memory->consumer = base + (uint64_t)(rand() % SIZE);
    memory->producer = memory->consumer + (uint64_t)(rand() % (2 * (int)SIZE)) - SIZE / 2;
    if (rand() % 2) {
        memory->consumer &= ~(uint64_t)7;
        memory->producer &= ~(uint64_t)7;
    }
    for (unsigned i = 0; i < SIZE / 4; i++)
        word[i] = (uint32_t)(rand() % 64) * (uint32_t)(rand() % 3 ? 1 : rand()) | (uint32_t)(rand() % 4) << 30;
}

/* Nothing is touched outside, all ends, and after what is nonsense was given up it is a ring buffer again. */
static void test_hostile_memory(void **state)
{
    struct fixture fixture = new_ring();
    struct thread thread = fixture_thread(0);
    uint8_t *begin = fixture.memory + fixture.map->elements_at, data[SIZE];

    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        struct ring_walk walk = { rand() % 2, (uint64_t)rand() % (2 * SIZE), (uint64_t)rand() % (2 * SIZE) };
        uint32_t size = (uint32_t)rand() % SIZE, length;
        uint8_t *record;

        scribble(&fixture);
        record = ring_reserve(fixture.map, size, 0, 0, 0, &thread);
        if (record) {
            assert_true(record >= begin && record + size <= begin + SIZE);
            memset(record, 0xff, size);
            ring_submit(record, 0, fixture.map);
        }
        ring_abandon(fixture.map, 0, &walk, (uint32_t)rand() % 8);
        ring_discard(fixture.memory + rand(), 0, fixture.map);
        while (ring_take(fixture.map, data, sizeof(data), &length) == 0)
            assert_true(length <= SIZE);
        ((struct ring_memory *)(void *)fixture.memory)->producer |= 4;
        assert_int_equal(ring_take(fixture.map, data, sizeof(data), &length), -EBADMSG);
        assert_int_equal(put(&fixture, 5, 100, &thread), 0);
        assert_int_equal(take(&fixture, 100), 5);
    }
    fixture_clear(&fixture);
}

/* What cannot be is given up, all of it, and counted. */
static void test_nonsense(void **state)
{
    static const struct {
        uint64_t consumer, producer;
        uint32_t word;
        int r;
    } cases[] = {
        { 0, 16, 8, 0 },
        { 0, 16, 9, -EBADMSG },                         /* ends behind the producer's position */
        { 0, 16, RING_BUSY | 9, -EBADMSG },
        { 0, 16, RING_DISCARDED | 9, -EBADMSG },
        { 0, 16, RING_LENGTH_MAX, -EBADMSG },
        { SIZE - 8, SIZE + 8, 8, -EBADMSG },            /* goes over the end */
        { 0, SIZE + 8, 8, -EBADMSG },
        { 8, 0, 8, -EBADMSG },
        { 4, 20, 8, -EBADMSG },
        { 0, 20, 8, -EBADMSG },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture = new_ring();
        struct ring_memory *memory = (void *)fixture.memory;
        struct thread thread = fixture_thread(0);
        uint8_t data[SIZE];
        uint32_t length;

        memory->consumer = cases[i].consumer;
        memory->producer = cases[i].producer;
        memcpy(fixture.memory + fixture.map->elements_at + cases[i].consumer % SIZE / 8 * 8, &cases[i].word, 4);
        assert_int_equal(ring_take(fixture.map, data, sizeof(data), &length), cases[i].r);
        assert_int_equal(ring_lost(fixture.map), cases[i].r < 0);
        assert_int_equal(ring_take(fixture.map, data, sizeof(data), &length), -EAGAIN);
        assert_int_equal(put(&fixture, 5, 100, &thread), 0);
        assert_int_equal(take(&fixture, 100), 5);
        fixture_clear(&fixture);
    }
}

/* Discarded records without end are passed over in bounded steps. */
static void test_many_discarded(void **state)
{
    struct map_definition definition = { BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 16, 0 };
    struct thread thread = fixture_thread(0);
    struct fixture fixture;
    unsigned calls = 0;

    fixture_make(&definition, &fixture);
    for (unsigned i = 0; i < (1 << 16) / 8; i++)
        ring_discard(ring_reserve(fixture.map, 0, 0, 0, 0, &thread), 0, fixture.map);
    while (take(&fixture, 0) == -EINTR)
        calls++;
    assert_int_equal(calls, (1 << 16) / 8 / (RING_SKIP_MAX + 1));
    fixture_clear(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_long_record),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_buffer_too_small),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_abandoned_meanwhile),
        cmocka_unit_test(test_discard_next),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_killed_producer),
        cmocka_unit_test(test_killed_consumer),
        cmocka_unit_test(test_hostile_memory),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_many_discarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
