/* SPDX-License-Identifier: MIT */
/*
 * A table that is changed while threads call it: each answer must be one that was valid at some time between the call
 * and its return.
 *
 * The main thread writes down what the next version answers, commits it, and then waits until no reader is in what was
 * replaced, and each has serialised since (membarrier), as the daemon's grace period does.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "jitcore/entry.h"
#include "jitcore/perfect_hash.h"
#include "text.h"

#define TEXT_SIZE (4 << 20)
#define VERSIONS 6000
#define KEYS 48                 /* 0 to KEYS - 1 are called; even ones are close together, odd ones far apart */
#define TARGETS 32
#define NATIVES 4               /* of them, the last ones: private code of each mapping */
#define READERS 2

static struct text text;
static struct dispatcher_target target[TARGETS];        /* target i returns i + 1 */

static struct {
    struct entry *entry;
    uint8_t answer[VERSIONS + 1][KEYS];
    uint32_t announced, committed;
    bool stop;
    struct {
        _Alignas(64) uint64_t calls;            /* one more before and after each call: odd inside */
        uint64_t wrong;
    } reader[READERS];
} world;

static uint32_t key_of(uint32_t i)
{
    return i % 2 == 0 ? 1000 + i : 0x10000000u * (i / 8) + 77777 * i;
}

/* ---- readers ---- */

static bool was_valid(uint32_t first, uint32_t last, uint32_t key, uint32_t verdict)
{
    for (uint32_t v = first; v <= last; v++)
        if (world.answer[v][key] == verdict)
            return true;
    return false;
}

static void *read_table(void *argument)
{
    size_t reader = (size_t)(uintptr_t)argument;
    unsigned seed = (unsigned)reader + 1;
    uint32_t first, key, verdict;

    while (!__atomic_load_n(&world.stop, __ATOMIC_ACQUIRE)) {
        key = (uint32_t)rand_r(&seed) % KEYS;
        __atomic_add_fetch(&world.reader[reader].calls, 1, __ATOMIC_SEQ_CST);
        first = __atomic_load_n(&world.committed, __ATOMIC_ACQUIRE);
        verdict = text_call(&text, (int)reader % 2, entry_offset(world.entry), NULL, key_of(key));
        world.reader[reader].wrong +=
            !was_valid(first, __atomic_load_n(&world.announced, __ATOMIC_ACQUIRE), key, verdict);
        __atomic_add_fetch(&world.reader[reader].calls, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Whoever is inside leaves, and whoever comes has serialised. */
static void wait_for_readers(void)
{
    assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
    for (int i = 0; i < READERS; i++) {
        uint64_t calls = __atomic_load_n(&world.reader[i].calls, __ATOMIC_SEQ_CST);

        while (calls % 2 == 1 && __atomic_load_n(&world.reader[i].calls, __ATOMIC_SEQ_CST) == calls)
            sched_yield();
    }
    assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
}

/* ---- versions ---- */

/*
 * Which target each key has, 0: none; a key may have a chain of two, whose first one proceeds.  Neighbours of one target
 * may be one range.
 */
struct version {
    uint8_t target[KEYS];
    bool chained[KEYS];
    enum dispatcher_shape shape;
    bool ranges;
};

static int compare_cases(const void *a, const void *b)
{
    uint32_t first = ((const struct dispatcher_case *)a)->first, second = ((const struct dispatcher_case *)b)->first;

    return (first > second) - (first < second);
}

/* The last one of the even keys from i on that have the same target, all without chains; or i itself. */
static uint32_t last_of_range(const struct version *version, uint32_t i)
{
    uint32_t last = i;

    while (version->ranges && i % 2 == 0 && last + 2 < KEYS && version->target[last + 2] == version->target[i] &&
           !version->chained[i] && !version->chained[last + 2])
        last += 2;
    return last;
}

/* Is it in the range of the one before it? */
static bool is_in_range(const struct version *version, uint32_t i)
{
    return i >= 2 && last_of_range(version, i - 2) > i - 2;
}

static struct dispatcher make_dispatcher(const struct version *version, struct dispatcher_case *cases,
                                         struct dispatcher_target chain[][2])
{
    struct dispatcher dispatcher = { .cases = cases, .plan = { .shape = version->shape, .hot = (unsigned)rand() % 4 } };

    for (uint32_t i = 0; i < KEYS; i++) {
        const struct dispatcher_target *last = &target[version->target[i] ? version->target[i] - 1 : 0];

        if (!version->target[i] || is_in_range(version, i))
            continue;
        chain[i][0] = target[0];
        chain[i][0].proceed[chain[i][0].proceeds++] = 1;
        chain[i][1] = *last;
        cases[dispatcher.count++] = (struct dispatcher_case){
            key_of(i), key_of(last_of_range(version, i)), &chain[i][!version->chained[i]], 1 + version->chained[i], 0
        };
    }
    qsort(cases, dispatcher.count, sizeof(*cases), compare_cases);
    for (unsigned i = 0; i < dispatcher.plan.hot; i++)
        dispatcher.plan.hot_key[i] = key_of(2 * i + 1);
    return dispatcher;
}

static void commit(const struct version *version, struct entry_change *change)
{
    uint32_t number = world.announced + 1;

    memcpy(world.answer[number], version->target, KEYS);
    __atomic_store_n(&world.announced, number, __ATOMIC_SEQ_CST);
    assert_int_equal(entry_change_commit(change), 0);
    __atomic_store_n(&world.committed, number, __ATOMIC_SEQ_CST);
    wait_for_readers();
    entry_change_release(change);
}

/* Up to eight even keys get one target. */
static void fill_even(uint8_t *targets, uint8_t first, uint8_t value)
{
    for (uint32_t i = first & ~1u; i < KEYS && i < first + 16u; i += 2)
        targets[i] = value;
}

static void replace(struct version *version)
{
    struct dispatcher_case cases[KEYS];
    struct dispatcher_target chain[KEYS][2];
    struct dispatcher dispatcher;
    struct entry_change *change;

    version->shape = (enum dispatcher_shape)(rand() % 3);
    version->ranges = rand() % 2 == 0;
    for (int i = 0; i < KEYS; i++) {
        if (rand() % 8 == 0)
            version->target[i] = rand() % 4 == 0 ? 0 : (uint8_t)(1 + rand() % TARGETS);
        version->chained[i] = rand() % 8 == 0;
    }
    if (version->ranges)
        fill_even(version->target, (uint8_t)(rand() % KEYS), (uint8_t)(rand() % (TARGETS + 1)));
    dispatcher = make_dispatcher(version, cases, chain);
    assert_int_equal(entry_prepare(world.entry, &dispatcher, &change), 0);
    commit(version, change);
}

/* False: not in place, and nothing changed.  Nobody removes a part of a range. */
static bool edit(struct version *version)
{
    struct version changed = *version;
    struct dispatcher_case cases[4] = { 0 };
    struct entry_change *change;
    size_t count = 1 + (size_t)rand() % 4, first = (size_t)rand() % (KEYS - 4);

    for (size_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)(first + i);

        if (is_in_range(version, key) || last_of_range(version, key) > key)
            return false;
        changed.target[key] = rand() % 3 == 0 ? 0 : (uint8_t)(1 + rand() % TARGETS);
        changed.chained[key] = false;
        cases[i] = (struct dispatcher_case){ key_of(key), key_of(key), NULL, changed.target[key] > 0, 0 };
        if (changed.target[key] > 0)
            cases[i].target = &target[changed.target[key] - 1];
    }
    if (entry_prepare_edit(world.entry, cases, count, &change) < 0)
        return false;
    *version = changed;
    commit(version, change);
    return true;
}

static void settle(void)
{
    if (!entry_unsettled(world.entry))
        return;
    wait_for_readers();
    assert_int_equal(entry_settle(world.entry), 0);
    wait_for_readers();
}

static void refresh(void)
{
    if (!image_refresh_begin(text.image))
        return;
    wait_for_readers();
    image_refresh_end(text.image);
}

static void test_each_answer_was_valid(void **state)
{
    struct version version = { .shape = DISPATCHER_HASH };
    pthread_t thread[READERS];
    unsigned edits = 0;

    srand(1);
    assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
    assert_int_equal(entry_new(text.image, 0, &world.entry), 0);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_table, (void *)(uintptr_t)i), 0);
    while (world.announced < VERSIONS) {
        if (rand() % 8 == 0)
            replace(&version);
        else
            edits += edit(&version);
        if (rand() % 4 == 0)
            settle();
        refresh();
    }
    __atomic_store_n(&world.stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(world.reader[i].wrong, 0);
        assert_true(world.reader[i].calls > 0);
    }
    print_message("# %u versions, %u of them edits in place\n", world.announced, edits);
    assert_true(edits > VERSIONS / 4);
    entry_free(world.entry);
}

/* ---- one slot, two keys ---- */

#define HANDOVERS 50000

static struct {
    uint32_t key[2];            /* of which one at most is in the table, in the same slot; key i runs target i */
    uint64_t wrong[2];
    bool stop;
} shared;

static void *read_slot(void *argument)
{
    size_t i = (size_t)(uintptr_t)argument;

    while (!__atomic_load_n(&shared.stop, __ATOMIC_ACQUIRE))
        for (int n = 0; n < 100; n++)
            shared.wrong[i] += text_call(&text, 0, entry_offset(world.entry), NULL, shared.key[i]) == 2 - i;
    return NULL;
}

static void set_key(size_t i, bool present)
{
    struct dispatcher_case edit = { shared.key[i], shared.key[i], &target[i], present, 0 };
    struct entry_change *change;

    assert_int_equal(entry_prepare_edit(world.entry, &edit, 1, &change), 0);
    assert_int_equal(entry_change_commit(change), 0);
    entry_change_release(change);       /* data only: nothing that a reader could be in goes */
}

/* Whoever finds a key in the slot never goes where the slot's next key leads. */
static void test_a_slot_changes_hands(void **state)
{
    uint32_t keys[] = { 1, 7, 1000, 123456 };
    struct dispatcher_case cases[4];
    struct dispatcher dispatcher = { .cases = cases, .count = 4, .plan.shape = DISPATCHER_HASH };
    struct perfect_hash hash;
    struct entry_change *change;
    pthread_t thread[2];

    for (int i = 0; i < 4; i++)
        cases[i] = (struct dispatcher_case){ keys[i], keys[i], &target[i == 2 ? 0 : 9], 1, 0 };
    assert_int_equal(perfect_hash_new(keys, 4, &hash), 0);
    shared.key[0] = keys[2];
    for (shared.key[1] = 2000; perfect_hash_slot(&hash, shared.key[1]) != perfect_hash_slot(&hash, keys[2]);)
        shared.key[1]++;
    perfect_hash_done(&hash);
    assert_int_equal(entry_new(text.image, 0, &world.entry), 0);
    assert_int_equal(entry_prepare(world.entry, &dispatcher, &change), 0);
    assert_int_equal(entry_change_commit(change), 0);
    entry_change_release(change);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_slot, (void *)(uintptr_t)i), 0);
    for (int n = 0; n < HANDOVERS; n++)
        for (size_t i = 0; i < 2; i++) {
            set_key(i, false);
            set_key(1 - i, true);
        }
    __atomic_store_n(&shared.stop, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(shared.wrong[i], 0);
    }
    entry_free(world.entry);
}

/* mov eax, i + 1; ret: for each mapping by itself. */
static int make_natives(void)
{
    for (int mapping = 0; mapping < 2; mapping++) {
        char *private = text.execute[mapping] - TEXT_PRIVATE;
        struct emitter emitter;

        emitter_init(&emitter, private, TEXT_PRIVATE, 0);
        for (uint32_t i = TARGETS - NATIVES; i < TARGETS; i++) {
            target[i].code = (int64_t)emitter_position(&emitter) - TEXT_PRIVATE;
            emit_8(&emitter, 0xb8);
            emit_32(&emitter, i + 1);
            emit_8(&emitter, 0xc3);
        }
        if (mprotect(private, TEXT_PRIVATE, PROT_READ | PROT_EXEC) < 0)
            return -1;
    }
    return 0;
}

static int setup(void **state)
{
    return text_new(TEXT_SIZE, &text) < 0 || text_make_targets(&text, target, TARGETS) < 0 || make_natives() < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    text_done(&text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_answer_was_valid),
        cmocka_unit_test(test_a_slot_changes_hands),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
