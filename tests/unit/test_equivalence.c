/* SPDX-License-Identifier: MIT */
/*
 * Random tables against a plain model, in each shape, while they are changed in every way that an entry knows:
 * replaced, settled, edited, sampled, and emptied in a full image, where nothing else is to be had.
 *
 * Programs return a number of the context, natives one that depends on the key, and natives destroy all registers that
 * they may.  What each link counts is compared too.
 *
 * EQUIVALENCE_TABLES=100000 takes minutes; SEED=N goes on elsewhere: `make equivalence`.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/counters.h"
#include "jitcore/entry.h"
#include "text.h"

#define TEXT_SIZE (1 << 20)
#define PROGRAMS 8
#define FUNCTIONS 16            /* programs and natives */
#define VERDICTS 9              /* 0 to 8: one more than a counter_block has room for */
#define CASES_MAX 300
#define LINKS_MAX 4             /* of a case */
#define EDITS_MAX 4
#define PROBES 100
#define COUNTERS_MAX (CASES_MAX * LINKS_MAX + 16)
#define SHAPES 3

struct link {
    unsigned function;
    struct dispatcher_target target;
};

struct links {
    struct link link[LINKS_MAX];
    size_t count;
};

struct model_case {
    uint32_t first, last;
    struct links links;
};

struct model {
    struct model_case cases[CASES_MAX + EDITS_MAX * 8];
    size_t count;
    struct links otherwise;
    uint32_t default_verdict, miss_counters;
    uint32_t counters;          /* blocks in use */
};

static struct text text;
static int64_t code[FUNCTIONS];
static int64_t counters_stub;
static struct {
    union {
        struct sample_ring ring;
        char bytes[COUNTERS_BLOCKS];
    } head;
    struct counter_block block[COUNTERS_MAX];
} counters;
static struct counter_block expected[COUNTERS_MAX];

static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(((uint64_t)(uint32_t)rand() << 16 ^ (uint64_t)(uint32_t)rand()) % bound);
}

static bool one_in(uint32_t n)
{
    return random_below(n) == 0;
}

/* ---- what can be called ---- */

/* mov eax, [rdi + 4 * i]; ret */
static void emit_program(struct emitter *emitter, uint8_t i)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x8b, 0x47, (uint8_t)(4 * i), 0xc3 }, 4);
}

/* lea eax, [rsi + n]; and eax, 7; and all else that a function may change */
static void emit_native(struct emitter *emitter, uint8_t n)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x8d, 0x46, n, 0x83, 0xe0, 0x07 }, 6);
    emit_bytes(emitter, (const uint8_t[]){ 0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, 0x31, 0xc9 }, 8);
    emit_bytes(emitter, (const uint8_t[]){ 0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9 }, 6);
    emit_bytes(emitter, (const uint8_t[]){ 0x45, 0x31, 0xd2, 0x45, 0x31, 0xdb, 0xc3 }, 7);
}

/* movabs r11, counters; ret */
static void emit_counters_stub(struct emitter *emitter)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x49, 0xbb }, 2);
    emit_64(emitter, (uintptr_t)&counters);
    emit_8(emitter, 0xc3);
}

/* Private code is the same in both mappings, each with its own copy. */
static void fill_private(int mapping)
{
    char *private = text.execute[mapping] - TEXT_PRIVATE;
    struct emitter emitter;

    emitter_init(&emitter, private, TEXT_PRIVATE, 0);
    counters_stub = (int64_t)emitter_position(&emitter) - TEXT_PRIVATE;
    emit_counters_stub(&emitter);
    for (unsigned i = PROGRAMS; i < FUNCTIONS; i++) {
        code[i] = (int64_t)emitter_position(&emitter) - TEXT_PRIVATE;
        emit_native(&emitter, (uint8_t)(i - PROGRAMS));
    }
    assert_int_equal(emitter.error, 0);
    assert_int_equal(mprotect(private, TEXT_PRIVATE, PROT_READ | PROT_EXEC), 0);
}

static int setup(void **state)
{
    struct emitter emitter;
    uint64_t offset;

    if (text_new(TEXT_SIZE, &text) < 0)
        return -1;
    fill_private(0);
    fill_private(1);
    assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_FRESH, &offset), 0);
    emitter_init(&emitter, image_write(text.image, offset), IMAGE_GRANULE, offset);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        code[i] = (int64_t)emitter_position(&emitter);
        emit_program(&emitter, (uint8_t)i);
    }
    assert_int_equal(emitter.error, 0);
    image_commit(text.image, offset);
    return 0;
}

static int teardown(void **state)
{
    text_done(&text);
    return 0;
}

/* ---- the model ---- */

static uint32_t run_function(unsigned function, const uint32_t *context, uint32_t key)
{
    return function < PROGRAMS ? context[function] : (key + (function - PROGRAMS)) & 7;
}

static void count_verdict(struct counter_block *block, uint32_t verdict)
{
    for (int i = 0; i < COUNTER_VERDICTS; i++) {
        if (block->verdict[i].verdict == 0)
            block->verdict[i].verdict = COUNTER_VERDICT(verdict);
        if (block->verdict[i].verdict == COUNTER_VERDICT(verdict)) {
            block->verdict[i].count++;
            return;
        }
    }
    block->other++;
}

static void count_run(const struct dispatcher_target *target, uint32_t verdict)
{
    struct counter_block *block = &expected[(target->counters - COUNTERS_BLOCKS) / sizeof(struct counter_block)];

    if (target->counted & COUNT_RUNS)
        block->runs++;
    if (target->counted & COUNT_VERDICTS && !target->jumped_to)
        count_verdict(block, verdict);
    if (target->counted & COUNT_HISTOGRAM && !target->jumped_to)
        block->bucket[0]++;             /* how many, in whichever bucket */
}

static bool proceeds(const struct dispatcher_target *target, uint32_t verdict)
{
    for (unsigned i = 0; i < target->proceeds; i++)
        if (target->proceed[i] == verdict)
            return true;
    return false;
}

static uint32_t run_links(const struct links *links, const uint32_t *context, uint32_t key)
{
    uint32_t verdict = 0;

    for (size_t i = 0; i < links->count; i++) {
        verdict = run_function(links->link[i].function, context, key);
        if (links->link[i].target.counters > 0)
            count_run(&links->link[i].target, verdict);
        if (!proceeds(&links->link[i].target, verdict))
            break;
    }
    return verdict;
}

static uint32_t run_model(const struct model *model, const uint32_t *context, uint32_t key)
{
    for (size_t i = 0; i < model->count; i++)
        if (key >= model->cases[i].first && key <= model->cases[i].last)
            return run_links(&model->cases[i].links, context, key);
    if (model->miss_counters > 0)
        expected[(model->miss_counters - COUNTERS_BLOCKS) / sizeof(struct counter_block)].runs++;
    return model->otherwise.count > 0 ? run_links(&model->otherwise, context, key) : model->default_verdict;
}

/* ---- random models ---- */

static uint32_t new_counters(struct model *model)
{
    if (model->counters == COUNTERS_MAX)
        return 0;
    return COUNTERS_BLOCKS + model->counters++ * (uint32_t)sizeof(struct counter_block);
}

static void random_link(struct model *model, bool plain, bool last, struct link *ret)
{
    struct dispatcher_target *target = &ret->target;

    *ret = (struct link){ .function = random_below(FUNCTIONS) };
    target->code = code[ret->function];
    if (plain)
        return;
    for (uint32_t v = 0; v < VERDICTS && target->proceeds < PROCEED_MAX; v++)
        if (!last && one_in(2))
            target->proceed[target->proceeds++] = v;
    if (one_in(4)) {
        target->counters = new_counters(model);
        target->counted = target->counters > 0 ? random_below(16) : 0;
    }
    target->jumped_to = last && ret->function >= PROGRAMS && one_in(4);
}

static void random_links(struct model *model, bool plain, struct links *ret)
{
    ret->count = plain || one_in(2) ? 1 : 1 + random_below(LINKS_MAX);
    for (size_t i = 0; i < ret->count; i++)
        random_link(model, plain, i + 1 == ret->count && !one_in(4), &ret->link[i]);
}

static uint32_t random_key(int kind)
{
    static const uint32_t ends[] = { 0,          1,          126,        127,        128,
                                     129,        0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001,
                                     0xffffff7e, 0xffffff7f, 0xffffff80, 0xfffffffe, 0xffffffff };
    uint32_t any = (uint32_t)rand() << 17 ^ (uint32_t)rand();

    switch (kind) {
    case 0:
        return 1000 + any % 64;
    case 1:
        return any % 2000;
    case 2:
        return any;
    case 3:
        return any << 20;
    default:
        return ends[any % (sizeof(ends) / sizeof(ends[0]))];
    }
}

static int compare_keys(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return (first > second) - (first < second);
}

/* Distinct keys in order; now and then two of them are the ends of a range. */
static void random_model(struct model *model)
{
    uint32_t key[CASES_MAX];
    size_t keys = one_in(32) ? CASES_MAX : one_in(16) ? random_below(CASES_MAX) : random_below(40), distinct = 0;
    int kind = (int)random_below(5);
    bool plain = one_in(3), ranges = one_in(2);

    *model = (struct model){ .default_verdict = one_in(2) ? 0 : 77 };
    if (one_in(4))
        model->miss_counters = new_counters(model);
    for (size_t i = 0; i < keys; i++)
        key[i] = random_key(kind);
    qsort(key, keys, sizeof(*key), compare_keys);
    for (size_t i = 0; i < keys; i++)
        if (distinct == 0 || key[i] != key[distinct - 1])
            key[distinct++] = key[i];
    for (size_t i = 0; i < distinct; i++) {
        struct model_case *c = &model->cases[model->count++];

        c->first = key[i];
        if (ranges && i + 1 < distinct && one_in(3))
            i++;
        c->last = key[i];
        random_links(model, plain, &c->links);
    }
    if (one_in(3))
        random_links(model, plain, &model->otherwise);
}

/* What the model is as a dispatcher: borrowed storage, one at a time. */
static struct dispatcher make_dispatcher(const struct model *model, enum dispatcher_shape shape)
{
    static struct dispatcher_case cases[CASES_MAX + EDITS_MAX * 8];
    static struct dispatcher_target targets[CASES_MAX + EDITS_MAX * 8 + 1][LINKS_MAX];
    struct dispatcher dispatcher = {
        .cases = cases, .count = model->count, .otherwise = targets[model->count], .otherwises = model->otherwise.count,
        .default_verdict = model->default_verdict, .miss_counters = model->miss_counters,
        .counters_stub = counters_stub,
        .plan = { .shape = shape, .hot = random_below(DISPATCHER_HOT_MAX + 1) },
    };

    for (size_t i = 0; i < model->count; i++) {
        const struct model_case *c = &model->cases[i];

        for (size_t j = 0; j < c->links.count; j++)
            targets[i][j] = c->links.link[j].target;
        cases[i] = (struct dispatcher_case){ c->first, c->last, targets[i], c->links.count,
                                             one_in(4) ? random_below(100000) : 0 };
    }
    for (size_t j = 0; j < model->otherwise.count; j++)
        targets[model->count][j] = model->otherwise.link[j].target;
    for (unsigned i = 0; i < dispatcher.plan.hot; i++)
        dispatcher.plan.hot_key[i] =
            model->count > i ? model->cases[random_below((uint32_t)model->count)].first : random_key(2);
    for (unsigned i = 1; i < dispatcher.plan.hot; i++)
        for (unsigned j = 0; j < i; j++)
            if (dispatcher.plan.hot_key[j] == dispatcher.plan.hot_key[i])
                dispatcher.plan.hot = i;
    return dispatcher;
}

/* ---- comparing ---- */

static uint32_t probe_key(const struct model *model)
{
    const struct model_case *c;

    if (model->count == 0 || one_in(4))
        return one_in(2) ? random_key((int)random_below(5)) : random_key(2);
    c = &model->cases[random_below((uint32_t)model->count)];
    return (one_in(2) ? c->first : c->last) + random_below(3) - 1;
}

static void check_counters(const struct model *model)
{
    for (uint32_t i = 0; i < model->counters; i++) {
        uint64_t timed = 0;

        for (int b = 0; b < COUNTER_BUCKETS; b++)
            timed += counters.block[i].bucket[b];
        assert_int_equal(counters.block[i].runs, expected[i].runs);
        assert_int_equal(timed, expected[i].bucket[0]);
        assert_memory_equal(counters.block[i].verdict, expected[i].verdict, sizeof(expected[i].verdict));
        assert_int_equal(counters.block[i].other, expected[i].other);
    }
}

static void check(const struct entry *entry, const struct model *model, int probes)
{
    bool samples = entry_sampled(entry);
    uint64_t position = counters.head.ring.position;
    uint32_t context[PROGRAMS], key, verdict;

    memset(counters.block, 0, model->counters * sizeof(counters.block[0]));
    memset(expected, 0, model->counters * sizeof(expected[0]));
    for (int i = 0; i < probes; i++) {
        for (int j = 0; j < PROGRAMS; j++)
            context[j] = random_below(VERDICTS);
        key = probe_key(model);
        verdict = run_model(model, context, key);
        assert_int_equal(text_call(&text, i % 2, entry_offset(entry), context, key), verdict);
        if (samples)
            assert_int_equal(counters.head.ring.key[position++ % SAMPLE_KEYS], key);
    }
    assert_int_equal(counters.head.ring.position, position);
    assert_false(samples && entry_state(entry) == ENTRY_FILTERED);
    check_counters(model);
}

/* ---- changing ---- */

static unsigned edited, rebuilt, removed, refused, sampled, shapes[SHAPES];

static void commit(struct entry_change *change)
{
    assert_int_equal(entry_change_commit(change), 0);
    assert_null(entry_change_release(change));          /* nobody else executes: the wait is over */
}

static void replace(struct entry *entry, const struct model *model, enum dispatcher_shape shape)
{
    struct dispatcher dispatcher = make_dispatcher(model, shape);
    struct entry_change *change;

    assert_int_equal(entry_prepare(entry, &dispatcher, &change), 0);
    if (one_in(8)) {
        entry_change_abort(change);
        assert_int_equal(entry_prepare(entry, &dispatcher, &change), 0);
    }
    commit(change);
    shapes[entry_shape(entry)]++;
}

static void settle(struct entry *entry, const struct model *model)
{
    for (uint32_t steps = random_below(5); steps > 0 && entry_unsettled(entry); steps--) {
        assert_int_equal(entry_settle(entry), 0);
        check(entry, model, 10);
    }
}

static void sample(struct entry *entry, const struct model *model)
{
    struct entry_change *change;
    int r = entry_prepare_sample(entry, !entry_sampled(entry), counters_stub, &change);

    if (r < 0) {
        assert_true(entry_unsettled(entry) || entry_state(entry) == ENTRY_FILTERED);
        return;
    }
    commit(change);
    sampled += entry_sampled(entry);
    check(entry, model, 10);
}

/* Where `key` is or would be; SIZE_MAX: a range has it. */
static size_t find_case(const struct model *model, uint32_t key)
{
    size_t i = 0;

    while (i < model->count && model->cases[i].last < key)
        i++;
    if (i < model->count && model->cases[i].first <= key && model->cases[i].first != model->cases[i].last)
        return SIZE_MAX;
    return i;
}

static void remove_case(struct model *model, size_t i)
{
    memmove(&model->cases[i], &model->cases[i + 1], (--model->count - i) * sizeof(model->cases[0]));
}

/* One key that is set or taken out, in the model and as an edit. */
static bool random_edit(struct model *model, int kind, struct model_case *ret)
{
    bool known = model->count > 0 && one_in(2);
    uint32_t key = known ? model->cases[random_below((uint32_t)model->count)].first : random_key(kind);
    size_t i = find_case(model, key);
    bool exists = i != SIZE_MAX && i < model->count && model->cases[i].first == key;

    if (i == SIZE_MAX || model->count + 1 >= CASES_MAX + EDITS_MAX * 8)
        return false;
    *ret = (struct model_case){ .first = key, .last = key };
    if (exists && one_in(2)) {
        remove_case(model, i);
        return true;
    }
    random_links(model, !one_in(16), &ret->links);
    if (!exists)
        memmove(&model->cases[i + 1], &model->cases[i], (model->count++ - i) * sizeof(model->cases[0]));
    model->cases[i] = *ret;
    return true;
}

static size_t random_edits(struct model *model, int kind, struct model_case *ret)
{
    size_t count = 0, wanted = 1 + random_below(EDITS_MAX);

    while (count < wanted && random_edit(model, kind, &ret[count])) {
        for (size_t i = 0; i < count; i++)
            if (ret[i].first == ret[count].first) {
                ret[i] = ret[count];    /* the same key again: only the last counts */
                count--;
            }
        count++;
    }
    return count;
}

static void edit(struct entry *entry, const struct model *model, enum dispatcher_shape shape,
                 const struct model_case *edits, size_t count)
{
    struct dispatcher_target target[EDITS_MAX][LINKS_MAX];
    struct dispatcher_case cases[EDITS_MAX];
    struct entry_change *change;
    int r;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < edits[i].links.count; j++)
            target[i][j] = edits[i].links.link[j].target;
        cases[i] = (struct dispatcher_case){ edits[i].first, edits[i].last, target[i], edits[i].links.count, 0 };
    }
    r = entry_prepare_edit(entry, cases, count, &change);
    if (r >= 0 && one_in(8)) {
        entry_change_abort(change);
        r = entry_prepare_edit(entry, cases, count, &change);
    }
    if (r < 0) {
        assert_int_equal(r, -EOPNOTSUPP);
        rebuilt++;
        replace(entry, model, shape);
    } else {
        edited++;
        commit(change);
    }
    check(entry, model, 30);
}

/* ---- a full image ---- */

static uint64_t filler[TEXT_SIZE / IMAGE_GRANULE];
static size_t fillers;

static void fill(void)
{
    for (size_t size = TEXT_SIZE / 2; size >= IMAGE_GRANULE; size /= 2)
        while (image_reserve(text.image, size, IMAGE_ANY, &filler[fillers]) == 0)
            fillers++;
}

static void unfill(void)
{
    while (fillers > 0)
        image_abort(text.image, filler[--fillers]);
}

static void remove_link(struct links *links)
{
    size_t i = random_below((uint32_t)links->count);

    memmove(&links->link[i], &links->link[i + 1], (--links->count - i) * sizeof(links->link[0]));
}

static size_t count_links(const struct model *model)
{
    size_t links = model->otherwise.count;

    for (size_t i = 0; i < model->count; i++)
        links += model->cases[i].links.count;
    return links;
}

static void random_removal(struct model *model)
{
    size_t i = random_below((uint32_t)model->count + 1);

    if (i == model->count) {
        if (model->otherwise.count > 0)
            remove_link(&model->otherwise);
        return;
    }
    remove_link(&model->cases[i].links);
    if (model->cases[i].links.count == 0)
        remove_case(model, i);
}

static struct links *random_links_of(struct model *model)
{
    size_t i = random_below((uint32_t)model->count + 1);

    return i < model->count ? &model->cases[i].links : &model->otherwise;
}

/* Another target, one more, or one that is counted otherwise; false: this is not to be had here. */
static bool change_links(struct model *model, struct links *links)
{
    uint32_t i = random_below((uint32_t)links->count + 1);

    if (links->count < LINKS_MAX && one_in(3)) {
        memmove(&links->link[i + 1], &links->link[i], (links->count++ - i) * sizeof(links->link[0]));
        random_link(model, false, false, &links->link[i]);
        return true;
    }
    if (i == links->count)
        return false;
    if (one_in(2)) {
        links->link[i].function = (links->link[i].function + 1) % FUNCTIONS;
        links->link[i].target.code = code[links->link[i].function];
        return true;
    }
    if (links->link[i].target.counters == 0)
        links->link[i].target.counters = new_counters(model);
    links->link[i].target.counted ^= COUNT_RUNS;
    return links->link[i].target.counters > 0;
}

/* More than removals; false: it came to nothing. */
static bool random_addition(struct model *model)
{
    uint32_t key = random_key((int)random_below(5));
    size_t i = find_case(model, key);

    if (one_in(8)) {
        model->default_verdict ^= 1;
        return true;
    }
    if (one_in(2))
        return change_links(model, random_links_of(model));
    if (i == SIZE_MAX || (i < model->count && model->cases[i].first <= key) ||
        model->count + 1 >= CASES_MAX + EDITS_MAX * 8)
        return false;
    memmove(&model->cases[i + 1], &model->cases[i], (model->count++ - i) * sizeof(model->cases[0]));
    model->cases[i] = (struct model_case){ .first = key, .last = key };
    random_links(model, one_in(2), &model->cases[i].links);
    return true;
}

/* What is not only gone finds no room, and nothing changes. */
static void add_in_vain(struct entry *entry, const struct model *model, enum dispatcher_shape shape)
{
    static struct model changed;
    struct image_usage before, after;
    struct dispatcher dispatcher;
    struct entry_change *change;

    changed = *model;
    if (!random_addition(&changed))
        return;
    image_usage(text.image, &before);
    dispatcher = make_dispatcher(&changed, shape);
    assert_int_equal(entry_prepare(entry, &dispatcher, &change), -ENOSPC);
    image_usage(text.image, &after);
    assert_memory_equal(&after, &before, sizeof(before));
    refused++;
    check(entry, model, 10);
}

/* Whatever is removed, in whichever order, finds its way, and all can be removed. */
static void empty(struct entry *entry, struct model *model, enum dispatcher_shape shape, bool all)
{
    uint32_t rounds = all ? UINT32_MAX : random_below(6), gone;
    struct dispatcher dispatcher;
    struct entry_change *change;
    size_t before;

    fill();
    while (rounds-- > 0 && (before = count_links(model)) > 0) {
        if (one_in(2))
            add_in_vain(entry, model, shape);
        for (gone = 1 + random_below(3); gone > 0; gone--)
            random_removal(model);
        if (count_links(model) == before)
            continue;
        dispatcher = make_dispatcher(model, shape);
        assert_int_equal(entry_prepare(entry, &dispatcher, &change), 0);
        if (one_in(4)) {
            entry_change_abort(change);
            assert_int_equal(entry_prepare(entry, &dispatcher, &change), 0);
        }
        commit(change);
        removed++;
        check(entry, model, 20);
    }
    unfill();
}

static void edit_some(struct entry *entry, struct model *model, enum dispatcher_shape shape, uint32_t rounds)
{
    struct model_case edits[EDITS_MAX];
    int kind = (int)random_below(5);
    size_t count;

    for (; rounds > 0; rounds--) {
        count = random_edits(model, kind, edits);
        if (count > 0)
            edit(entry, model, shape, edits, count);
        if (one_in(4))
            settle(entry, model);
        if (one_in(8))
            sample(entry, model);
    }
}

static void try_model(struct entry *entry, const struct model *model, enum dispatcher_shape shape)
{
    static struct model changed;

    changed = *model;
    replace(entry, model, shape);
    check(entry, model, PROBES);
    settle(entry, model);
    if (one_in(4))
        sample(entry, model);
    edit_some(entry, &changed, shape, random_below(8));
    if (one_in(3)) {
        empty(entry, &changed, shape, changed.count < 40 && one_in(3));
        edit_some(entry, &changed, shape, random_below(2));
    }
}

static void test_tables_are_as_the_model(void **state)
{
    const char *wanted = getenv("EQUIVALENCE_TABLES"), *seed = getenv("SEED");
    unsigned long tables = wanted ? strtoul(wanted, NULL, 10) : 2000;
    static struct model model;
    struct entry *entry[SHAPES];
    struct image_usage before, after;

    srand(seed ? (unsigned)strtoul(seed, NULL, 10) : 1);
    image_usage(text.image, &before);
    for (int s = 0; s < SHAPES; s++)
        assert_int_equal(entry_new(text.image, 0, &entry[s]), 0);
    for (unsigned long i = 0; i < tables; i++) {
        random_model(&model);
        for (int s = 0; s < SHAPES; s++)
            try_model(entry[s], &model, (enum dispatcher_shape)s);
        /* What was released is fresh again: nobody is inside, and so nobody was when it was. */
        if (image_refresh_begin(text.image))
            image_refresh_end(text.image);
    }
    for (int s = 0; s < SHAPES; s++)
        entry_free(entry[s]);
    image_usage(text.image, &after);
    assert_int_equal(after.used, before.used);
    print_message("# %lu tables: %u trees, %u hashes, %u dense; %u edits in place, %u not; "
                  "%u removals in a full image, %u changes refused there; sampled %u times\n",
                  tables, shapes[DISPATCHER_TREE], shapes[DISPATCHER_HASH], shapes[DISPATCHER_DENSE], edited, rebuilt,
                  removed, refused, sampled);
    assert_true(edited > tables / 10 && removed > tables / 10 && refused > tables / 10 && sampled > tables / 100);
}

/* ---- calls ---- */

/* Six arguments come to a target that is counted in all ways, and all 64 bits of what it returns come back. */
static void test_counting_is_not_noticed(void **state)
{
    static const unsigned counted[] = { 0, COUNT_RUNS, COUNT_RUNS | COUNT_VERDICTS, COUNT_RUNS | COUNT_TIME,
                                        COUNT_RUNS | COUNT_VERDICTS | COUNT_TIME | COUNT_HISTOGRAM };
    struct dispatcher_target target = { .counters = COUNTERS_BLOCKS };
    struct dispatcher dispatcher = { .otherwise = &target, .otherwises = 1, .counters_stub = counters_stub };
    struct entry_change *change;
    struct emitter emitter;
    struct entry *entry;
    uint64_t offset, (*call)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

    assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_FRESH, &offset), 0);
    emitter_init(&emitter, image_write(text.image, offset), IMAGE_GRANULE, offset);
    /* lea rax, [rdi + rsi * 2]; lea rax, [rax + rdx * 4]; lea rax, [rax + rcx * 8]; xor rax, r8; add rax, r9; ret */
    emit_bytes(&emitter, (const uint8_t[]){ 0x48, 0x8d, 0x04, 0x77, 0x48, 0x8d, 0x04, 0x90, 0x48, 0x8d, 0x04, 0xc8,
                                            0x4c, 0x31, 0xc0, 0x4c, 0x01, 0xc8, 0xc3 }, 19);
    image_commit(text.image, offset);
    target.code = (int64_t)offset;
    assert_int_equal(entry_new(text.image, 0, &entry), 0);
    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        target.counted = counted[i];
        memset(&counters.block[0], 0, sizeof(counters.block[0]));
        assert_int_equal(entry_prepare(entry, &dispatcher, &change), 0);
        commit(change);
        call = (uint64_t(*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t))(uintptr_t)(text.execute[1] +
                                                                                                  entry_offset(entry));
        assert_true(call(UINT64_C(1) << 40, UINT64_C(1) << 50, 3, UINT64_C(1) << 33, 5, 7) ==
                    (((UINT64_C(1) << 40) + (UINT64_C(1) << 51) + 12 + (UINT64_C(1) << 36)) ^ 5) + 7);
        assert_int_equal(counters.block[0].runs, !!(counted[i] & COUNT_RUNS));
        assert_int_equal(counters.block[0].verdict[0].count, !!(counted[i] & COUNT_VERDICTS));
        assert_int_equal(counters.block[0].cycles > 0, !!(counted[i] & COUNT_TIME));
    }
    entry_free(entry);
    image_release(text.image, offset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counting_is_not_noticed),
        cmocka_unit_test(test_tables_are_as_the_model),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
