/* SPDX-License-Identifier: MIT */
/*
 * Is the verifier right?  Random programs that it accepts (candidate.h) are run and watched (trial.h).
 *
 *      soundness [COUNT [SEED [JOBS [states|guards|hostile]]]]
 *
 * COUNT programs that are accepted, from SEED on, in JOBS processes; by one method or by all.  Speaks TAP.  A program
 * that does what the verifier has excluded is an escape: it is printed with its seed, made small, and ends the run.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "candidate.h"
#include "enclosure.h"
#include "generate/minimise.h"
#include "generate/progress.h"
#include "trial.h"
#include "verifier/verifier.h"

#define JOBS_MAX 256

/* ---- what is counted ---- */

enum feature {
    VARIABLE_OFFSET, LOOP, SPILL, CALL, CALLBACK, ATOMIC, LOOKUP, PACKET, BRANCH, INNER, ELEMENTS, RECORD, NATIVE,
    FEATURES,
};

/* Percent of the accepted programs: compared with all their states (usually 99), run as machine code (73). */
#define COMPARED_MINIMUM 95
#define COMPILED_MINIMUM 50

/* `minimum`: percent of the accepted programs. */
static const struct {
    const char *name;
    unsigned minimum;
} features[FEATURES] = {
    [VARIABLE_OFFSET] = { "variable-offset pointers", 30 },
    [LOOP] = { "loops", 10 },
    [SPILL] = { "spills", 10 },
    [CALL] = { "calls", 10 },
    [CALLBACK] = { "callbacks", 0 },
    [ATOMIC] = { "atomics", 0 },
    [LOOKUP] = { "map lookups", 0 },
    [PACKET] = { "packet accesses", 0 },
    [BRANCH] = { "branches", 0 },
    [INNER] = { "maps out of maps of maps", 1 },
    [ELEMENTS] = { "callbacks for each element", 1 },
    [RECORD] = { "records of ring buffers", 1 },
    [NATIVE] = { "functions of the workers'", 1 },
};

struct totals {
    uint64_t seed;              /* of the program at hand; of a sum: the last one */
    uint64_t accepted, refused, compiled, compared, runs, hostile, calls, unfinished, steps, states, escapes;
    uint64_t feature[FEATURES];
};

static void add_features(struct totals *totals, const struct candidate_features *has)
{
    totals->feature[VARIABLE_OFFSET] += has->variable_offset;
    totals->feature[LOOP] += has->loop;
    totals->feature[SPILL] += has->spill;
    totals->feature[CALL] += has->call;
    totals->feature[CALLBACK] += has->callback;
    totals->feature[ATOMIC] += has->atomic;
    totals->feature[LOOKUP] += has->lookup;
    totals->feature[PACKET] += has->packet;
    totals->feature[BRANCH] += has->branch;
    totals->feature[INNER] += has->inner;
    totals->feature[ELEMENTS] += has->elements;
    totals->feature[RECORD] += has->record;
    totals->feature[NATIVE] += has->native;
}

static void add_outcome(struct totals *totals, const struct trial_outcome *outcome)
{
    totals->compiled += outcome->compiled;
    totals->compared += outcome->compared;
    totals->runs += outcome->runs;
    totals->hostile += outcome->hostile;
    totals->calls += outcome->calls;
    totals->unfinished += outcome->unfinished;
    totals->steps += outcome->steps;
    totals->states += outcome->states;
}

static void add(struct totals *sum, const struct totals *totals)
{
    sum->accepted += totals->accepted;
    sum->refused += totals->refused;
    sum->compiled += totals->compiled;
    sum->compared += totals->compared;
    sum->runs += totals->runs;
    sum->hostile += totals->hostile;
    sum->calls += totals->calls;
    sum->unfinished += totals->unfinished;
    sum->steps += totals->steps;
    sum->states += totals->states;
    sum->escapes += totals->escapes;
    sum->seed = totals->seed > sum->seed ? totals->seed : sum->seed;
    for (unsigned i = 0; i < FEATURES; i++)
        sum->feature[i] += totals->feature[i];
}

/* ---- escapes ---- */

/* Verify and run.  What the verifier refuses does not escape. */
static enum trial_result try_again(const struct trial *trial, const struct bytecode *bytecode,
                                   struct trial_outcome *ret)
{
    const struct verifier_options options = { .instructions_max = CANDIDATE_INSTRUCTIONS_MAX };
    struct verified verified;
    enum trial_result result;

    if (verifier_run(bytecode, trial->context, &options, &verified, NULL, NULL) < 0)
        return TRIAL_PASSED;
    result = trial_run(trial, &verified, ret);
    verified_clear(&verified);
    return result;
}

static bool escapes(void *userdata, const struct bytecode *bytecode)
{
    struct trial_outcome outcome;

    return try_again(userdata, bytecode, &outcome) == TRIAL_ESCAPED;
}

static void report(struct trial *trial, struct bytecode *bytecode, const struct trial_outcome *outcome)
{
    struct trial_outcome small = *outcome;

    printf("# escape, seed %" PRIu64 ", input %u: %s\n", trial->seed, outcome->input, outcome->text);
    minimise(bytecode, escapes, trial);
    try_again(trial, bytecode, &small);
    printf("# made small, context %s, input %u: %s\n", trial->context->name, small.input, small.text);
    minimise_print(bytecode);
    for (uint32_t i = 0; i < bytecode->functions; i++)
        printf("# function %u: instructions %u to %u\n", i, bytecode->function[i].first,
               bytecode->function[i].first + bytecode->function[i].count - 1);
    printf("# ");
    for (size_t i = 0; i < bytecode->instructions * sizeof(bytecode->instruction[0]); i++)
        printf("%02x", ((const uint8_t *)bytecode->instruction)[i]);
    printf("\n");
    fflush(stdout);
}

/* ---- one process ---- */

/* What all processes are told. */
struct work {
    uint64_t count;             /* programs to be accepted */
    uint64_t seed;
    uint32_t jobs;
    unsigned methods;           /* enum trial_method */
    struct progress *progress;
};

/*
 * A hash table needs a runtime beside the code, which the enclosure does not have.  Of programs without one, few do
 * anything that hostile writes could matter to.
 */
static unsigned methods_for(const struct work *work, const struct bytecode *bytecode)
{
    bool runtime = false;

    for (uint32_t i = 0; i < bytecode->regions; i++)
        runtime |= bytecode->region[i].kind == REGION_MAP && bytecode->region[i].size == 0;
    return work->methods & ~(unsigned)(runtime ? TRIAL_GUARDS : TRIAL_HOSTILE);
}

/* What a process has for all its programs. */
struct equipment {
    struct enclosure enclosure;
    struct vandal vandal;
};

static void try_seed(const struct work *work, uint64_t seed, struct equipment *equipment, struct totals *totals)
{
    struct candidate candidate;
    struct trial_outcome outcome;

    totals->seed = seed;
    if (candidate_new(seed, &candidate) == CANDIDATE_REFUSED) {
        totals->refused++;
        return;
    }
    struct trial trial = { candidate.context, seed, methods_for(work, candidate.bytecode),
                           &equipment->enclosure, &equipment->vandal };

    totals->accepted++;
    add_features(totals, &candidate.features);
    if (trial_run(&trial, &candidate.verified, &outcome) == TRIAL_ESCAPED) {
        totals->escapes++;
        progress_failed(work->progress);
        report(&trial, candidate.bytecode, &outcome);
    }
    add_outcome(totals, &outcome);
    candidate_clear(&candidate);
    progress_done(work->progress);
}

/* The `job`th process: every so manieth seed, up to an escape in any process. */
static void do_job(const struct work *work, uint32_t job, struct totals *totals)
{
    uint64_t count = work->count / work->jobs + (job < work->count % work->jobs);
    struct equipment equipment;

    if (enclosure_init(&equipment.enclosure) < 0 || vandal_start(&equipment.vandal) < 0)
        abort();
    for (uint64_t seed = work->seed + job; totals->accepted < count && progress_failures(work->progress) == 0;
         seed += work->jobs)
        try_seed(work, seed, &equipment, totals);
    vandal_end(&equipment.vandal);
    enclosure_clear(&equipment.enclosure);
}

/* ---- all of them ---- */

static pid_t start_job(const struct work *work, uint32_t job, struct totals *totals)
{
    pid_t child = fork();

    if (child < 0)
        abort();
    if (child == 0) {
        do_job(work, job, totals);
        exit(0);
    }
    return child;
}

/* A process that crashes has met an escape, too.  They end in any order. */
static void wait_for_one(const struct work *work, const pid_t *child, struct totals *totals)
{
    int status = 0;
    pid_t ended = wait(&status);
    uint32_t job = 0;

    if (ended < 0)
        abort();
    while (child[job] != ended)
        job++;
    if (status == 0)
        return;
    totals[job].escapes++;
    progress_failed(work->progress);
    printf("# seed %" PRIu64 ": the process ended with signal %d, exit status %d\n", totals[job].seed,
           WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

static struct totals work_in_processes(const struct work *work)
{
    struct totals *totals = mmap(NULL, work->jobs * sizeof(*totals), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct totals sum = { .seed = 0 };
    pid_t child[JOBS_MAX];

    if (totals == MAP_FAILED)
        abort();
    fflush(stdout);
    for (uint32_t i = 0; i < work->jobs; i++)
        child[i] = start_job(work, i, &totals[i]);
    for (uint32_t i = 0; i < work->jobs; i++)
        wait_for_one(work, child, totals);
    for (uint32_t i = 0; i < work->jobs; i++)
        add(&sum, &totals[i]);
    munmap(totals, work->jobs * sizeof(*totals));
    return sum;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_totals(const struct totals *totals, double seconds)
{
    printf("# up to seed %" PRIu64 ": %" PRIu64 " programs accepted, %" PRIu64 " refused, in %.1f s: %.0f accepted a "
           "second\n", totals->seed, totals->accepted, totals->refused, seconds, (double)totals->accepted / seconds);
    printf("# %" PRIu64 " runs of %" PRIu64 " instructions in all, %" PRIu64 " too long to be told from endless ones\n",
           totals->runs, totals->steps, totals->unfinished);
    printf("# %" PRIu64 " runs among hostile writes, with %" PRIu64 " calls of helpers\n", totals->hostile,
           totals->calls);
    printf("# %.2f %% compared with all their states (%" PRIu64 "), %.2f %% run as machine code\n",
           share(totals->compared, totals->accepted), totals->states, share(totals->compiled, totals->accepted));
    for (unsigned i = 0; i < FEATURES; i++)
        printf("# %5.1f %% have %s\n", share(totals->feature[i], totals->accepted), features[i].name);
}

/* Returns whether all is well. */
static bool print_verdict(const struct totals *totals, unsigned methods)
{
    bool sound = totals->escapes == 0, telling = true;

    if (methods & TRIAL_STATES)
        telling &= share(totals->compared, totals->accepted) >= COMPARED_MINIMUM;
    if (methods & TRIAL_GUARDS)
        telling &= share(totals->compiled, totals->accepted) >= COMPILED_MINIMUM;
    for (unsigned i = 0; i < FEATURES; i++)
        telling &= share(totals->feature[i], totals->accepted) >= features[i].minimum;
    printf("%sok 1 - no accepted program escapes\n", sound ? "" : "not ");
    printf("%sok 2 - the programs have what is hard to verify, and are watched\n", telling ? "" : "not ");
    return sound && telling;
}

static unsigned methods_of(const char *name)
{
    static const char *const names[] = { "states", "guards", "hostile" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return 1u << i;
    return 0;
}

int main(int argc, char **argv)
{
    long jobs = argc > 3 ? strtol(argv[3], NULL, 0) : sysconf(_SC_NPROCESSORS_ONLN);
    const struct work work = {
        .count = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000,
        .seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1,
        .jobs = (uint32_t)jobs,
        .methods = argc > 4 ? methods_of(argv[4]) : TRIAL_STATES | TRIAL_GUARDS | TRIAL_HOSTILE,
        .progress = progress_new("escapes"),
    };
    struct timespec start, end;
    struct totals totals;

    if (argc > 5 || work.count == 0 || jobs < 1 || jobs > JOBS_MAX || work.methods == 0 || !work.progress) {
        fprintf(stderr, "usage: soundness [COUNT [SEED [JOBS [states|guards|hostile]]]]\n");
        return 2;
    }
    printf("1..2\n# from seed %" PRIu64 " on, in %ld processes\n", work.seed, jobs);
    clock_gettime(CLOCK_MONOTONIC, &start);
    totals = work_in_processes(&work);
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_totals(&totals, (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
    return !print_verdict(&totals, work.methods);
}
