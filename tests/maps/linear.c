/* SPDX-License-Identifier: MIT */
/*
 * Three actors do a few operations on one map at once; what they were answered must be linearisable.  Again and again.
 * Each has a stack and a seat of its own, and the processor's trap flag set; at the trap behind an instruction another may
 * go on, as random numbers have it.  So they meet in the middle of operations, however few processors there are.
 *
 *      linear [HISTORIES [SEED]]
 *
 * The same is done with maps that are broken on purpose (a replacement that is a delete and an insert, a pop that is two
 * steps), whose histories must be found wrong: else the test sees nothing.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "block.h"
#include "fixture.h"
#include "generate/random.h"
#include "history.h"
#include "runtime/queue.h"
#include "util.h"

#define HISTORIES 40
#define ACTORS 3
#define OPERATIONS 3            /* of each actor */
#define KEYS 3
#define LIMIT 2                 /* elements of the map */
#define VALUE_MAX 16            /* bytes */
#define STEPS_MAX 100           /* instructions of one actor before another has its turn */
#define STACK 65536             /* bytes */
#define TRAP_FLAG "0x100"

struct subject {
    const char *name;
    uint32_t kind;              /* enum bpf_map_type */
    uint32_t value_size;        /* bytes: 8 are written in place, more by a spare element */
    enum operation_kind first, last;
    bool broken;
};

static const struct subject subjects[] = {
    { "hash", BPF_MAP_TYPE_HASH, 8, UPDATE, LOOKUP, false },
    { "hash with spare elements", BPF_MAP_TYPE_HASH, VALUE_MAX, UPDATE, LOOKUP, false },
    { "queue", BPF_MAP_TYPE_QUEUE, 8, PUSH, PEEK, false },
    { "a hash that replaces in two steps", BPF_MAP_TYPE_HASH, 8, UPDATE, LOOKUP, true },
    { "a queue that pops in two steps", BPF_MAP_TYPE_QUEUE, 8, PUSH, PEEK, true },
};

static struct contest {
    const struct subject *subject;
    struct fixture fixture;
    struct random random;
    struct thread thread[ACTORS];
    struct operation operation[ACTORS * OPERATIONS];
    uint64_t instant;
    /* who runs: */
    ucontext_t main, actor[ACTORS];
    unsigned current, running;  /* an actor; a bit for each that has not ended */
    uint32_t steps;             /* instructions that the current one may go on */
    _Alignas(16) uint8_t stack[ACTORS][STACK];
} contest;

/* ---- operations ---- */

/*
 * The value is read after the element was found, which may be another's by then: so it counts if the same element is found
 * again, and is then the key's at one of the two instants, or between.
 */
static uint64_t lookup(const struct map *map, uint32_t key)
{
    for (;;) {
        const uint64_t *value = hash_lookup(map, &key);
        uint64_t found = value ? __atomic_load_n(value, __ATOMIC_SEQ_CST) : 0;

        if (hash_lookup(map, &key) == value)
            return found;
    }
}

static void run_keyed(struct operation *operation, const struct map *map, struct thread *thread, bool broken)
{
    uint64_t flags = operation->kind == INSERT ? BPF_NOEXIST : operation->kind == REPLACE ? BPF_EXIST : BPF_ANY;
    const uint64_t value[VALUE_MAX / 8] = { operation->value, operation->value };

    if (operation->kind == LOOKUP) {
        operation->value = lookup(map, operation->key);
        return;
    }
    if (operation->kind == DELETE) {
        operation->result = hash_delete(map, &operation->key, 0, 0, 0, thread);
        return;
    }
    if (broken && operation->kind == UPDATE)
        hash_delete(map, &operation->key, 0, 0, 0, thread);
    operation->result = hash_update(map, &operation->key, value, flags, 0, thread);
}

static void run_queue(struct operation *operation, const struct map *map, struct thread *thread, bool broken)
{
    uint64_t value = 0;

    if (operation->kind == PUSH) {
        operation->result = queue_push(map, &operation->value, BPF_ANY, 0, 0, thread);
        return;
    }
    if (operation->kind == PEEK || broken)
        operation->result = queue_peek(map, &operation->value);
    if (operation->kind == POP)
        operation->result = queue_pop(map, broken ? &value : &operation->value, 0, 0, 0, thread);
}

/* One instruction, so that no two are the same. */
static uint64_t instant(void)
{
    return __atomic_add_fetch(&contest.instant, 1, __ATOMIC_SEQ_CST);
}

static void run_all(unsigned index)
{
    const struct subject *subject = contest.subject;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct operation *operation = &contest.operation[index * OPERATIONS + i];

        operation->called = instant();
        if (operation->kind <= LOOKUP)
            run_keyed(operation, contest.fixture.map, &contest.thread[index], subject->broken);
        else
            run_queue(operation, contest.fixture.map, &contest.thread[index], subject->broken);
        operation->returned = instant();
    }
}

/* ---- actors ---- */

/* A trap behind each instruction from now on, or none any more.  128 bytes below the stack pointer may be in use. */
#define TRAP_BEGIN() __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $" TRAP_FLAG ", (%%rsp); popfq; " \
                                      "lea 128(%%rsp), %%rsp" ::: "memory", "cc")
#define TRAP_END() __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~" TRAP_FLAG ", (%%rsp); popfq; " \
                                    "lea 128(%%rsp), %%rsp" ::: "memory", "cc")

static unsigned choose(void)
{
    unsigned index;

    do
        index = random_below(&contest.random, ACTORS);
    while (!(contest.running & 1u << index));
    contest.steps = 1 + random_below(&contest.random, STEPS_MAX);
    return index;
}

/* The interrupted actor stays in this handler until it is chosen again. */
static void on_trap(int number)
{
    unsigned before = contest.current;

    if (contest.steps-- > 0)
        return;
    contest.current = choose();
    if (contest.current != before)
        swapcontext(&contest.actor[before], &contest.actor[contest.current]);
}

static void actor_main(int index)
{
    TRAP_BEGIN();
    run_all((unsigned)index);
    TRAP_END();
    contest.running &= ~(1u << index);
    if (!contest.running)
        setcontext(&contest.main);
    contest.current = choose();
    setcontext(&contest.actor[contest.current]);
}

/* ---- histories ---- */

static void prepare(unsigned index)
{
    enum operation_kind first = contest.subject->first, last = contest.subject->last;

    for (unsigned i = index * OPERATIONS; i < (index + 1) * OPERATIONS; i++) {
        contest.operation[i] = (struct operation){
            .kind = first + random_below(&contest.random, last - first + 1), .key = random_below(&contest.random, KEYS),
        };
        if (contest.operation[i].kind <= REPLACE || contest.operation[i].kind == PUSH)
            contest.operation[i].value = random_next(&contest.random) | 1;
    }
    getcontext(&contest.actor[index]);
    contest.actor[index].uc_stack.ss_sp = contest.stack[index];
    contest.actor[index].uc_stack.ss_size = STACK;
    makecontext(&contest.actor[index], (void (*)(void))(uintptr_t)actor_main, 1, (int)index);
}

static void run_history(void)
{
    memset(contest.fixture.memory, 0, contest.fixture.map->size);
    contest.instant = 0;
    contest.running = (1u << ACTORS) - 1;
    for (unsigned i = 0; i < ACTORS; i++)
        prepare(i);
    contest.current = choose();
    swapcontext(&contest.main, &contest.actor[contest.current]);
}

static unsigned count_busy(void)
{
    unsigned busy = 0;

    for (unsigned i = 0; i < ACTORS * OPERATIONS; i++)
        busy += contest.operation[i].result == -EBUSY;
    return busy;
}

/* How many histories there were up to the first one that is not linearisable; 0: all are. */
static unsigned find_wrong(unsigned histories)
{
    unsigned busy = 0;

    for (unsigned i = 1; i <= histories; i++) {
        run_history();
        busy += count_busy();
        if (!history_linearisable(contest.operation, ACTORS * OPERATIONS, LIMIT))
            return i;
    }
    printf("# %s: %u of %u operations were answered -EBUSY\n", contest.subject->name, busy,
           histories * ACTORS * OPERATIONS);
    return 0;
}

static bool subject_run(const struct subject *subject, unsigned histories, uint64_t seed)
{
    struct map_definition definition = {
        .kind = subject->kind, .key_size = subject->kind == BPF_MAP_TYPE_HASH ? 4 : 0, .value_size = subject->value_size,
        .max_entries = LIMIT,
    };
    unsigned wrong;

    contest.subject = subject;
    contest.random.state = seed;
    for (unsigned i = 0; i < ACTORS; i++)
        contest.thread[i] = fixture_thread(i);
    fixture_make(&definition, &contest.fixture);
    wrong = find_wrong(subject->broken ? 10 * histories : histories);
    if (wrong)
        printf("# history %u is not linearisable\n", wrong);
    if (wrong && !subject->broken)
        history_print(contest.operation, ACTORS * OPERATIONS);
    fixture_clear(&contest.fixture);
    return (wrong != 0) == subject->broken;
}

int main(int argc, char **argv)
{
    unsigned histories = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : HISTORIES;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    const struct sigaction action = { .sa_handler = on_trap };
    const char *sanitizers = getenv("SANITIZERS");
    int failed = 0;

    if (sanitizers && strcmp(sanitizers, "yes") == 0) {
        puts("1..0 # SKIP sanitizers do not know these stacks");
        return 0;
    }
    sigaction(SIGTRAP, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%zu\n", ARRAY_LENGTH(subjects));
    for (size_t i = 0; i < ARRAY_LENGTH(subjects); i++) {
        bool passed = subject_run(&subjects[i], histories, seed);

        printf("%s - %s%s\n", passed ? "ok" : "not ok", subjects[i].name, subjects[i].broken ? " is found" : "");
        failed |= !passed;
    }
    return failed;
}
