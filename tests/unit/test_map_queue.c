/* SPDX-License-Identifier: MIT */
/* Queues and stacks: what the kernel's do, at any instruction of a killed change too, whatever lies in the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "maps/block.h"
#include "maps/fixture.h"
#include "runtime/queue.h"
#include "stepping.h"

#define VALUE_SIZE 13           /* bytes: no multiple of anything */
#define ENTRIES 3

struct value {
    uint8_t byte[VALUE_SIZE];
};

static struct value value(unsigned number)
{
    struct value value;

    memset(&value, (int)number, sizeof(value));
    return value;
}

static struct fixture new_map(uint32_t kind, uint32_t entries)
{
    struct map_definition definition = { kind, 0, VALUE_SIZE, entries, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

static long push(const struct fixture *fixture, unsigned number, uint64_t flags, struct thread *thread)
{
    struct value pushed = value(number);

    return fixture->kind->call_push(fixture->map, &pushed, flags, 0, 0, thread);
}

/* The number of what is popped or peeked; negative errno, and then the value is zeros. */
static long number_of(long r, const struct value *got)
{
    struct value wanted = value(r < 0 ? 0 : got->byte[0]);

    assert_memory_equal(got, &wanted, sizeof(wanted));
    return r < 0 ? r : got->byte[0];
}

static long pop(const struct fixture *fixture, struct thread *thread)
{
    struct value got = value(0xee);
    long r = fixture->kind->call_pop(fixture->map, &got, 0, 0, 0, thread);

    return number_of(r, &got);
}

static long peek(const struct fixture *fixture)
{
    struct value got = value(0xee);
    long r = fixture->kind->call_peek(fixture->map, &got, 0, 0, 0, NULL);

    return number_of(r, &got);
}

/* ---- what they do ---- */

static const struct step {
    enum { PUSH, POP, PEEK } what;
    unsigned number;
    uint64_t flags;
    long queue, stack;          /* what it returns */
} steps[] = {
    { POP, 0, 0, -ENOENT, -ENOENT },
    { PEEK, 0, 0, -ENOENT, -ENOENT },
    { PUSH, 1, BPF_NOEXIST, -EINVAL, -EINVAL },
    { PUSH, 1, BPF_EXIST + 1, -EINVAL, -EINVAL },
    { PUSH, 1, UINT64_C(1) << 32, -EINVAL, -EINVAL },
    { PUSH, 1, BPF_ANY, 0, 0 },
    { PEEK, 0, 0, 1, 1 },
    { PUSH, 2, BPF_EXIST, 0, 0 },
    { PUSH, 3, BPF_ANY, 0, 0 },
    { PUSH, 4, BPF_ANY, -E2BIG, -E2BIG },
    { PEEK, 0, 0, 1, 3 },
    { PUSH, 5, BPF_EXIST, 0, 0 },       /* 1 goes, from both */
    { POP, 0, 0, 2, 5 },
    { POP, 0, 0, 3, 3 },
    { PEEK, 0, 0, 5, 2 },
    { POP, 0, 0, 5, 2 },
    { POP, 0, 0, -ENOENT, -ENOENT },
};

static void run_steps(const struct fixture *fixture, bool stack, struct thread *thread)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const struct step *step = &steps[i];
        long r = step->what == PUSH ? push(fixture, step->number, step->flags, thread) :
                 step->what == POP  ? pop(fixture, thread) :
                                      peek(fixture);

        if (r != (stack ? step->stack : step->queue))
            fail_msg("step %zu: %ld, not %ld", i, r, stack ? step->stack : step->queue);
    }
}

/* Again and again: the values wander through all places. */
static void test_steps(void **state)
{
    static const uint32_t kinds[] = { BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK };

    for (unsigned i = 0; i < 2; i++) {
        struct fixture fixture = new_map(kinds[i], ENTRIES);
        struct thread thread = fixture_thread(0);

        for (unsigned round = 0; round < 2 * (ENTRIES + 1); round++)
            run_steps(&fixture, i == 1, &thread);
        fixture_clear(&fixture);
    }
}

/* Of any length, at any address: all bytes of the value, and none behind it. */
static void test_bytes(void **state)
{
    for (uint32_t size = 1; size <= 40; size++) {
        struct map_definition definition = { BPF_MAP_TYPE_QUEUE, 0, size, 1, 0 };
        uint8_t value[40], got[1 + 40 + 1] = { 0 };
        struct thread thread = fixture_thread(0);
        struct fixture fixture;

        for (uint32_t i = 0; i < size; i++)
            value[i] = (uint8_t)(1 + i);
        fixture_make(&definition, &fixture);
        assert_int_equal(queue_push(fixture.map, value, BPF_ANY, 0, 0, &thread), 0);
        assert_int_equal(queue_pop(fixture.map, got + 1, 0, 0, 0, &thread), 0);
        assert_memory_equal(got + 1, value, size);
        assert_int_equal(got[0] | got[1 + size], 0);
        fixture_clear(&fixture);
    }
}

static void test_count(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_QUEUE, 2);
    struct thread thread = fixture_thread(0);

    assert_int_equal(queue_count(fixture.map), 0);
    assert_int_equal(push(&fixture, 1, BPF_ANY, &thread), 0);
    assert_int_equal(push(&fixture, 2, BPF_ANY, &thread), 0);
    assert_int_equal(push(&fixture, 3, BPF_EXIST, &thread), 0);
    assert_int_equal(queue_count(fixture.map), 2);
    fixture_clear(&fixture);
}

/* Who has the lock and does not go on keeps others from changing, and from nothing else. */
static void test_lock_is_held(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_QUEUE, ENTRIES);
    struct thread thread = fixture_thread(0), nobody = { 0 };
    struct queue_memory *memory = (void *)fixture.memory;

    assert_int_equal(push(&fixture, 1, BPF_ANY, &thread), 0);
    memory->lock = 77;
    assert_int_equal(push(&fixture, 2, BPF_ANY, &thread), -EBUSY);
    assert_int_equal(pop(&fixture, &thread), -EBUSY);
    assert_int_equal(peek(&fixture), 1);
    memory->lock = 0;
    assert_int_equal(push(&fixture, 2, BPF_ANY, &nobody), -ENOSPC);
    assert_int_equal(pop(&fixture, &nobody), -ENOSPC);
    assert_int_equal(pop(&fixture, &thread), 1);
    assert_int_equal(pop(&fixture, &thread), -ENOENT);
    fixture_clear(&fixture);
}

static void test_definitions(void **state)
{
    static const struct {
        struct map_definition definition;
        int r;
    } cases[] = {
        { { BPF_MAP_TYPE_QUEUE, 0, 8, 1, 0 }, 0 },
        { { BPF_MAP_TYPE_STACK, 0, 1, 1000, BPF_F_RDONLY_PROG }, 0 },
        { { BPF_MAP_TYPE_QUEUE, 4, 8, 1, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_QUEUE, 0, 0, 1, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_QUEUE, 0, 8, 0, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_QUEUE, 0, (1 << 20) + 1, 1, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_STACK, 0, 8, UINT32_MAX, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_STACK, 0, 8, 1, BPF_F_NO_PREALLOC }, -EOPNOTSUPP },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jit_error error;
        struct map map;

        assert_int_equal(map_lay_out(&cases[i].definition, &map, &error), cases[i].r);
    }
}

/* ---- a change that is killed at any instruction ---- */

struct killing {
    struct fixture fixture, copy;
    struct thread thread;
    void (*act)(struct killing *killing);
    bool done;                  /* what was seen after the last instruction is what the change makes */
    char before[16], after[16];
    unsigned looks;
};

/* The numbers in it, from the oldest on, as text; read from the layout and nothing else. */
static void walk(const struct fixture *fixture, char ret[16])
{
    const struct queue_memory *memory = (void *)fixture->memory;
    uint32_t oldest = (uint32_t)(memory->range >> 32), count = (uint32_t)memory->range;

    assert_true(oldest <= fixture->map->max_entries && count <= fixture->map->max_entries);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *got = fixture->memory + fixture->map->elements_at +
                             (oldest + i) % (fixture->map->max_entries + 1) * fixture->map->stride;
        struct value wanted = value(got[0]);

        assert_memory_equal(got, &wanted, sizeof(wanted));
        *ret++ = (char)('0' + got[0]);
    }
    *ret = 0;
}

static void act(void *argument)
{
    struct killing *killing = argument;

    killing->act(killing);
}

/* Killed now: what is there is as before the change or as after it, and others go on. */
static void look(void *argument)
{
    struct killing *killing = argument;
    struct thread other = fixture_thread(1);
    char now[16];

    fixture_copy(&killing->fixture, &killing->copy);
    fixture_recover(&killing->copy, 0);
    walk(&killing->copy, now);
    if (strcmp(now, killing->done ? killing->after : killing->before) != 0) {
        assert_string_equal(now, killing->after);
        killing->done = true;
    }
    assert_int_equal(peek(&killing->fixture) >= 0, now[0] != 0);
    assert_int_equal(push(&killing->copy, 9, BPF_EXIST, &other), 0);
    killing->looks++;
}

static void push_one(struct killing *killing)
{
    push(&killing->fixture, 7, BPF_EXIST, &killing->thread);
}

static void pop_one(struct killing *killing)
{
    pop(&killing->fixture, &killing->thread);
}

static void try_killing(uint32_t kind, unsigned values, void (*act_of)(struct killing *killing), const char *after)
{
    struct killing killing = { new_map(kind, ENTRIES), new_map(kind, ENTRIES), fixture_thread(0), act_of,
                               .before = "", .after = "" };

    for (unsigned i = 1; i <= values; i++)
        assert_int_equal(push(&killing.fixture, i, BPF_ANY, &killing.thread), 0);
    walk(&killing.fixture, killing.before);
    strcpy(killing.after, after);
    stepping_run(act, look, &killing);
    assert_true(killing.done);
    assert_true(killing.looks > 50);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

static void test_killed(void **state)
{
    if (!stepping_works())
        skip();
    try_killing(BPF_MAP_TYPE_QUEUE, 0, push_one, "7");
    try_killing(BPF_MAP_TYPE_QUEUE, 2, push_one, "127");
    try_killing(BPF_MAP_TYPE_QUEUE, 3, push_one, "237");
    try_killing(BPF_MAP_TYPE_QUEUE, 3, pop_one, "23");
    try_killing(BPF_MAP_TYPE_QUEUE, 1, pop_one, "");
    try_killing(BPF_MAP_TYPE_STACK, 3, push_one, "237");
    try_killing(BPF_MAP_TYPE_STACK, 3, pop_one, "12");
}

/* ---- a peek that is overtaken at any instruction ---- */

struct peeking {
    struct fixture fixture;
    struct thread thread;
    struct value *got;          /* shared */
};

static void begin_peeking(void *argument)
{
    struct peeking *peeking = argument;

    fixture_reset(&peeking->fixture);
    assert_int_equal(push(&peeking->fixture, 1, BPF_ANY, &peeking->thread), 0);
}

static void peek_shared(void *argument)
{
    struct peeking *peeking = argument;

    peeking->fixture.kind->call_peek(peeking->fixture.map, peeking->got, 0, 0, 0, NULL);
}

/* Twice, and the value has the place again that it had. */
static void exchange_twice(void *argument)
{
    struct peeking *peeking = argument;

    for (unsigned i = 2; i <= 3; i++) {
        assert_true(pop(&peeking->fixture, &peeking->thread) > 0);
        assert_int_equal(push(&peeking->fixture, i, BPF_ANY, &peeking->thread), 0);
    }
}

static void check_peeked(void *argument)
{
    struct peeking *peeking = argument;

    assert_int_equal(number_of(0, peeking->got) % 2, 1);
}

static void test_overtaken(void **state)
{
    struct peeking peeking = { new_map(BPF_MAP_TYPE_QUEUE, 1), fixture_thread(0), NULL };
    struct overtaking overtaking = { begin_peeking, peek_shared, exchange_twice, check_peeked, &peeking };

    if (!stepping_works())
        skip();
    peeking.got = mmap(NULL, sizeof(*peeking.got), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(peeking.got != MAP_FAILED);
    assert_true(stepping_overtake(&overtaking) > 50);
    munmap(peeking.got, sizeof(*peeking.got));
    fixture_clear(&peeking.fixture);
}

/* ---- hostile memory ---- */

static void scribble(const struct fixture *fixture)
{
    for (uint64_t i = 0; i < fixture->map->size; i++)
        fixture->memory[i] = (uint8_t)(rand() % 4 == 0 ? rand() : 0);
    ((struct queue_memory *)(void *)fixture->memory)->lock = 0;
}

/* Nothing is touched outside (guard pages), all ends, and what it makes of it is a queue again. */
static void test_hostile_memory(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_QUEUE, ENTRIES);
    struct thread thread = fixture_thread(0);
    struct value got;
    char ignored[16];

    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        scribble(&fixture);
        fixture.kind->call_peek(fixture.map, &got, 0, 0, 0, NULL);
        fixture.kind->call_pop(fixture.map, &got, 0, 0, 0, &thread);
        assert_true(queue_count(fixture.map) <= ENTRIES);
        assert_int_equal(push(&fixture, 1, BPF_EXIST, &thread), 0);
        while (queue_count(fixture.map) > 1)
            fixture.kind->call_pop(fixture.map, &got, 0, 0, 0, &thread);
        walk(&fixture, ignored);
        assert_int_equal(pop(&fixture, &thread), 1);
    }
    fixture_clear(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_lock_is_held),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_hostile_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
