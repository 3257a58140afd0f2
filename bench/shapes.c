/* SPDX-License-Identifier: MIT */
/*
 * What each shape of a table's code costs, alone: no daemon, no guard.  One entry gets every plan in turn, for n keys
 * and each mix of them, and is called in a loop whose call always goes to this entry; beside it an array of function
 * pointers.
 *
 * For each plan also what the planner expects (doc/shapes.md).
 */
#include <cpuid.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jitcore/entry.h"
#include "jitcore/planner.h"

#include "keys.h"
#include "measure.h"
#include "target.h"
#include "util.h"

#define TEXT_SIZE (16u << 20)
#define ROUNDS 9
#define REPEATS 2
#define SAMPLE 4096             /* keys that the planner sees */
#define PLANS (1 + 2 * (DISPATCHER_HOT_MAX + 1))

static const uint32_t sizes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096 };

#define SIZES ARRAY_LENGTH(sizes)

typedef uint32_t target_function(void *context, uint32_t key);

/* ---- the image ----------------------------------------------------------------------------------------- */

/* Where the image is executed: near its caller, as a worker's window is.  A memfd is mapped over it. */
static uint8_t text[TEXT_SIZE] __attribute__((aligned(4096)));

static struct image *image;
static struct entry *entry;
static struct dispatcher_target target[TARGETS];
static target_function *fnptr_table[KEYS_MAX];

static void check(const char *what, int r)
{
    if (r < 0)
        die("%s: %s", what, strerror(-r));
}

static int populate(void *userdata, uint64_t offset, size_t size)
{
    return 0;
}

static void make_targets(void)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        const struct fallback fallback = { .verdict = TARGET_VERDICT(i) };
        struct emitter emitter;
        uint64_t offset;

        check("target", image_reserve(image, IMAGE_GRANULE, IMAGE_FRESH, &offset));
        emitter_init(&emitter, image_write(image, offset), IMAGE_GRANULE, offset);
        architecture_native()->emit_tree(&emitter, NULL, 0, &fallback);
        image_commit(image, offset);
        target[i].code = (int64_t)offset;
    }
    for (uint32_t key = 0; key < KEYS_MAX; key++)
        fnptr_table[key] = (target_function *)(uintptr_t)(text + target[key % TARGETS].code);
}

static void image_make(void)
{
    int memfd = memfd_create("shapes", MFD_CLOEXEC);
    void *write;

    if (memfd < 0 || ftruncate(memfd, TEXT_SIZE) < 0)
        die("no memory for an image: %s", strerror(errno));
    write = mmap(NULL, TEXT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (write == MAP_FAILED ||
        mmap(text, TEXT_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, memfd, 0) == MAP_FAILED)
        die("cannot map an image: %s", strerror(errno));
    close(memfd);
    if (!architecture_native())
        die("no back end for this processor");
    check("image", image_new(write, TEXT_SIZE, architecture_native(), populate, NULL, &image));
    check("entry", entry_new(image, TARGET_DEFAULT, &entry));
    make_targets();
}

/* ---- plans --------------------------------------------------------------------------------------------- */

static struct dispatcher_case cases[KEYS_MAX];
static uint32_t frequency[KEYS_MAX];

/* As the planner would be told: how often each key comes. */
static void make_cases(uint32_t n, const uint32_t *keys)
{
    memset(frequency, 0, sizeof(frequency));
    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        frequency[keys[i]]++;
    for (uint32_t key = 0; key < n; key++)
        cases[key] = (struct dispatcher_case){ key, key, &target[key % TARGETS], 1, frequency[key] };
}

/* Plan number `plan`: the tree, then hash and jump table behind 0 to 4 of the most frequent keys. */
static struct dispatcher_plan plan_number(unsigned number, uint32_t n)
{
    struct dispatcher_plan plan = { .shape = DISPATCHER_TREE };

    if (number == 0)
        return plan;
    plan.shape = number <= DISPATCHER_HOT_MAX + 1 ? DISPATCHER_HASH : DISPATCHER_DENSE;
    plan.hot = (number - 1) % (DISPATCHER_HOT_MAX + 1);
    if (plan.hot > n)
        plan.hot = n;
    for (unsigned i = 0; i < plan.hot; i++) {
        uint32_t best = UINT32_MAX;

        for (uint32_t key = 0; key < n; key++) {
            bool taken = false;

            for (unsigned j = 0; j < i; j++)
                taken |= plan.hot_key[j] == key;
            if (!taken && (best == UINT32_MAX || frequency[key] > frequency[best]))
                best = key;
        }
        plan.hot_key[i] = best;
    }
    return plan;
}

/*
 * Nobody calls meanwhile, so every wait is over at once;
 * an instruction that serialises drops what was fetched ahead.
 */
static void serialise(void)
{
    unsigned a, b, c, d;

    __cpuid(0, a, b, c, d);
}

static void set_plan(uint32_t n, const struct dispatcher_plan *plan)
{
    const struct dispatcher dispatcher = {
        .cases = cases, .count = n, .default_verdict = TARGET_DEFAULT, .plan = *plan,
    };
    struct entry_change *change;

    check("prepare", entry_prepare(entry, &dispatcher, &change));
    check("commit", entry_change_commit(change));
    serialise();
    while (entry_unsettled(entry)) {
        check("settle", entry_settle(entry));
        serialise();
    }
    entry_change_release(change);
    if (image_refresh_begin(image))
        image_refresh_end(image);
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

static uint32_t keys[SIZES][MIXES][KEYS_LENGTH];
static double samples[SIZES][MIXES][PLANS + 1][ROUNDS];         /* the last one: the function pointers */
static double result[SIZES][MIXES][PLANS + 1];
static struct planner_answer answer[SIZES][MIXES];

__attribute__((noinline)) static uint64_t loop_entry(const uint32_t *sequence, target_function *function)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        sum += function(NULL, sequence[i]);
    return sum;
}

__attribute__((noinline)) static uint64_t loop_fnptr(const uint32_t *sequence)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        sum += fnptr_table[sequence[i]](NULL, sequence[i]);
    return sum;
}

static uint64_t loop(const uint32_t *sequence, unsigned plan)
{
    return plan == PLANS ? loop_fnptr(sequence)
                         : loop_entry(sequence, (target_function *)(uintptr_t)(text + entry_offset(entry)));
}

/* A pass over keys without order first: the table is in use. */
static double measure(size_t size, enum key_mix mix, unsigned plan)
{
    const uint32_t *sequence = keys[size][mix];
    uint64_t expected = 0, sum = 0, started, took;

    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        expected += TARGET_VERDICT(sequence[i] % TARGETS);
    loop(keys[size][MIX_UNIFORM], plan);
    loop(sequence, plan);
    started = now_ns();
    for (unsigned i = 0; i < REPEATS; i++)
        sum += loop(sequence, plan);
    took = now_ns() - started;
    if (sum != expected * REPEATS)
        die("plan %u, n = %u: the verdicts are wrong", plan, sizes[size]);
    return (double)took / ((double)REPEATS * KEYS_LENGTH);
}

static void measure_plans(size_t size, enum key_mix mix, unsigned round)
{
    make_cases(sizes[size], keys[size][mix]);
    for (unsigned number = 0; number <= PLANS; number++) {
        if (number < PLANS) {
            struct dispatcher_plan plan = plan_number(number, sizes[size]);

            set_plan(sizes[size], &plan);
        }
        samples[size][mix][number][round] = measure(size, mix, number);
    }
}

static void ask_planner(size_t size, enum key_mix mix)
{
    static uint32_t weight[KEYS_MAX];
    const struct planner_question question = {
        .cases = cases, .count = sizes[size], .key = keys[size][mix], .keys = SAMPLE,
    };

    make_cases(sizes[size], keys[size][mix]);
    check("planner", planner_plan(&question, &answer[size][mix], weight));
}

/* ---- output -------------------------------------------------------------------------------------------- */

static const char *plan_name(unsigned number)
{
    static char name[32];

    if (number == PLANS)
        return "fnptr";
    snprintf(name, sizeof(name), "%s", number == 0 ? "tree" : number <= DISPATCHER_HOT_MAX + 1 ? "hash" : "dense");
    if (number > 0 && (number - 1) % (DISPATCHER_HOT_MAX + 1) > 0)
        snprintf(name + strlen(name), sizeof(name) - strlen(name), "+%u", (number - 1) % (DISPATCHER_HOT_MAX + 1));
    return name;
}

/* Number of the plan that the planner chose. */
static unsigned chosen(size_t size, enum key_mix mix)
{
    const struct dispatcher_plan *plan = &answer[size][mix].plan;

    return plan->shape == DISPATCHER_TREE ? 0
         : (plan->shape == DISPATCHER_HASH ? 1 : 2 + DISPATCHER_HOT_MAX) + plan->hot;
}

/* One object a mix and n: nanoseconds by plan, what the planner chose, what it expected of each shape. */
static void print_json(void)
{
    const char *separator = "[";

    for (size_t size = 0; size < SIZES; size++)
        for (enum key_mix mix = 0; mix < MIX_SHIFT; mix++) {
            const struct planner_answer *planner = &answer[size][mix];

            printf("%s{\"n\":%u,\"keys\":\"%s\",\"ns\":{", separator, sizes[size], key_mix_name[mix]);
            for (unsigned plan = 0; plan <= PLANS; plan++)
                printf("%s\"%s\":%.3f", plan ? "," : "", plan_name(plan), result[size][mix][plan]);
            printf("},\"chosen\":\"%s\",\"expected\":{", plan_name(chosen(size, mix)));
            for (unsigned shape = 0, shown = 0; shape < PLANNER_SHAPES; shape++)
                if (isfinite(planner->cost[shape]))
                    printf("%s\"%s\":%.3f", shown++ ? "," : "", dispatcher_shape_name(shape), planner->cost[shape]);
            printf("}}");
            separator = ",\n ";
        }
    puts("]");
}

static void print_table(unsigned rounds)
{
    printf("ns per call, median of %u rounds\n%5s  %-7s", rounds, "n", "keys");
    for (unsigned plan = 0; plan <= PLANS; plan++)
        printf(" %7s", plan_name(plan));
    puts("  planner");
    for (size_t size = 0; size < SIZES; size++)
        for (enum key_mix mix = 0; mix < MIX_SHIFT; mix++) {
            printf("%5u  %-7s", sizes[size], key_mix_name[mix]);
            for (unsigned plan = 0; plan <= PLANS; plan++)
                printf(" %7.2f", result[size][mix][plan]);
            printf("  %s\n", plan_name(chosen(size, mix)));
        }
}

/* ---- main ---------------------------------------------------------------------------------------------- */

static void bench(unsigned rounds)
{
    for (size_t size = 0; size < SIZES; size++)
        for (enum key_mix mix = 0; mix < MIX_SHIFT; mix++)
            keys_fill(mix, sizes[size], keys[size][mix]);
    pin_thread();
    for (unsigned round = 0; round < rounds; round++)
        for (size_t size = 0; size < SIZES; size++)
            for (enum key_mix mix = 0; mix < MIX_SHIFT; mix++)
                measure_plans(size, mix, round);
    for (size_t size = 0; size < SIZES; size++)
        for (enum key_mix mix = 0; mix < MIX_SHIFT; mix++) {
            ask_planner(size, mix);
            for (unsigned plan = 0; plan <= PLANS; plan++)
                result[size][mix][plan] = median(samples[size][mix][plan], rounds);
        }
}

int main(int argc, char **argv)
{
    static const struct option table[] = {
        { "json", no_argument, NULL, 'j' },
        { "quick", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    unsigned rounds = ROUNDS;
    bool json = false;
    int letter;

    while ((letter = getopt_long(argc, argv, "", table, NULL)) >= 0)
        switch (letter) {
        case 'j':
            json = true;
            break;
        case 'q':
            rounds = 1;
            break;
        case 'h':
            puts("Usage: bench/shapes [--quick] [--json]\n"
                 "What each shape of a table's code costs, and what the planner expects.\n\n"
                 "  --quick  measure once, to see that it runs: the figures mean little\n"
                 "  --json   an array of {n, keys, ns: {plan}, chosen, expected: {shape}}, for bench/plot.py");
            return 0;
        default:
            return 1;
        }
    image_make();
    bench(rounds);
    if (json)
        print_json();
    else
        print_table(rounds);
    return 0;
}
