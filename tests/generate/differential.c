/* SPDX-License-Identifier: MIT */
/*
 * Random programs, compiled and interpreted: both must have the same result and leave the same memory.  Each program is
 * compiled twice: as it is, and, if the verifier accepts it, with what that has proven.
 *
 *      differential [COUNT [SEED [JOBS]]]
 *
 * From SEED on, in JOBS processes.  A failure is printed with its seed, made small.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bytecode.h"
#include "execution.h"
#include "minimise.h"
#include "program.h"
#include "progress.h"

#define SECONDS 10              /* of processor time for one program */
#define STATEMENTS_MAX 17       /* of one program: twice as many take far longer, and are rather of the same */
#define FAILURES_MAX 5          /* after these, stop */
#define JOBS_MAX 256

/* ---- one program ---- */

/* Programs that take longer to prove are refused: there are enough others. */
static const struct verifier_options options_of_verifier = { .instructions_max = 4000 };

struct subject {
    struct bytecode *bytecode;
    uint8_t context[GENERATE_CONTEXT_SIZE], packet[GENERATE_PACKET_SIZE_MAX];
    struct context *description;
    struct execution execution;
    struct generate_features features;
};

/*
 * Seeds take turns: with a packet or without, with map lookups and changes (which only the verifier makes possible) or
 * without.
 */
static void subject_new(uint64_t seed, struct subject *ret)
{
    struct random random = { seed };
    const struct generate_options options = {
        .packet = seed % 4 == 1,
        .lookups = seed % 4 >= 2,
        .hash = seed % 4 == 3,
        .statements = 2 + random_below(&random, STATEMENTS_MAX - 1),
    };

    ret->bytecode = generate_program(seed, &options, &ret->features);
    generate_context(seed, ret->context);
    ret->description = NULL;
    if (options.packet)
        ret->description = generate_packet_context();
    else
        context_new_bytes(GENERATE_CONTEXT_SIZE, &ret->description, NULL);
    ret->execution = (struct execution){
        .options = &options_of_verifier,
        .bytecode = ret->bytecode,
        .context = ret->description,
        .memory = ret->context,
        .size = GENERATE_CONTEXT_SIZE,
        .r2 = (uint32_t)(seed * 0x9e3779b9),
        .packet = ret->packet,
        .packet_size = generate_packet(seed, ret->packet),
    };
    if (!ret->bytecode || !ret->description)
        abort();
}

static void subject_clear(struct subject *subject)
{
    bytecode_free(subject->bytecode);
    context_free(subject->description);
}

enum verdict { SAME, DIFFERENT, INVALID, REFUSED };

/*
 * INVALID: the interpreter finds fault with it, so the generator is wrong.  REFUSED: the verifier does, or it is needed
 * to know a map.
 */
static enum verdict compare(const struct execution *execution)
{
    struct execution_outcome wanted = { .result = 0 }, got = { .result = 0 };

    execution_interpreted(execution, &wanted);
    if (wanted.result < 0)
        return INVALID;
    execution_compiled(execution, &got);
    if (got.result < 0)
        return got.result == -EOPNOTSUPP || execution->verify ? REFUSED : DIFFERENT;
    return got.r0 == wanted.r0 && got.digest == wanted.digest ? SAME : DIFFERENT;
}

/* The same in a child: a crash is a difference. */
static enum verdict compare_in_child(const struct execution *execution)
{
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        execution_limit(SECONDS);
        _exit((int)compare(execution));
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        abort();
    return WIFSIGNALED(status) ? DIFFERENT : (enum verdict)WEXITSTATUS(status);
}

/* ---- failures ---- */

static bool still_differs(void *userdata, const struct bytecode *bytecode)
{
    const struct execution *execution = userdata;

    return execution->bytecode == bytecode && compare_in_child(execution) == DIFFERENT;
}

static void print_outcome(const char *who, execution_function *run, const struct execution *execution)
{
    struct execution_outcome outcome = { .result = 0 };

    execution_in_child(run, execution, SECONDS, &outcome);
    printf("# %s: r0 0x%" PRIx64 ", memory %016" PRIx64 ", signal %d, error \"%s\"\n", who, outcome.r0, outcome.digest,
           outcome.signal, outcome.error.text);
}

static void report(uint64_t seed, bool verify)
{
    struct subject subject;

    printf("# seed %" PRIu64 " differs, %s; made small:\n", seed, verify ? "verified" : "unverified");
    subject_new(seed, &subject);
    subject.execution.verify = verify;
    if (compare_in_child(&subject.execution) == INVALID)
        printf("# no: the program is invalid, the generator is wrong\n");
    else
        minimise(subject.bytecode, still_differs, &subject.execution);
    minimise_print(subject.bytecode);
    print_outcome("compiled", execution_compiled, &subject.execution);
    print_outcome("interpreted", execution_interpreted, &subject.execution);
    subject_clear(&subject);
}

/* ---- one process ---- */

/* Shared with the child, which says where it is. */
struct job {
    pid_t child;
    uint64_t seed, last;
    uint32_t step;              /* from one seed to the next */
    bool verify;
    uint64_t done, accepted, unverified, instructions;
    uint64_t variable_offset, loop, spill, call, callback, atomic, lookup, change, packet, branch;
};

static void count_features(struct job *job, const struct generate_features *features)
{
    job->variable_offset += features->variable_offset;
    job->loop += features->loop;
    job->spill += features->spill;
    job->call += features->call;
    job->callback += features->callback;
    job->atomic += features->atomic;
    job->lookup += features->lookup;
    job->change += features->change;
    job->packet += features->packet;
    job->branch += features->branch;
}

/* Leaves at a difference. */
static void run_seed(struct job *job)
{
    struct subject subject;

    execution_limit(SECONDS);
    subject_new(job->seed, &subject);
    for (unsigned i = 0; i < 2; i++) {
        enum verdict verdict;

        job->verify = subject.execution.verify = i == 1;
        verdict = compare(&subject.execution);
        if (verdict == DIFFERENT || verdict == INVALID)
            _exit(1);
        *(job->verify ? &job->accepted : &job->unverified) += verdict == SAME;
    }
    job->done++;
    job->instructions += subject.bytecode->instructions;
    count_features(job, &subject.features);
    subject_clear(&subject);
}

/* Goes on from where the job is. */
static void start_job(struct job *job, struct progress *progress)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child < 0)
        abort();
    if (child > 0) {
        job->child = child;
        return;
    }
    for (; job->seed <= job->last && progress_failures(progress) < FAILURES_MAX; job->seed += job->step) {
        run_seed(job);
        progress_done(progress);
    }
    _exit(0);
}

/* ---- all of them ---- */

static struct job *job_of(struct job *job, pid_t child)
{
    while (job->child != child)
        job++;
    return job;
}

/* A process that ends with a status does so at a seed that fails; another one goes on behind it. */
static void run_all(struct job *jobs, uint32_t count, struct progress *progress)
{
    int status = 0;
    pid_t ended;

    for (uint32_t i = 0; i < count; i++)
        start_job(&jobs[i], progress);
    while ((ended = wait(&status)) > 0) {
        struct job *job = job_of(jobs, ended);

        if (status == 0)
            continue;
        progress_failed(progress);
        report(job->seed, job->verify);
        job->seed += job->step;
        start_job(job, progress);
    }
}

static struct job *jobs_new(uint32_t count, uint64_t first, uint64_t last)
{
    struct job *jobs = mmap(NULL, count * sizeof(*jobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (jobs == MAP_FAILED)
        abort();
    for (uint32_t i = 0; i < count; i++) {
        jobs[i].seed = first + i;
        jobs[i].last = last;
        jobs[i].step = count;
    }
    return jobs;
}

/* ---- figures ---- */

static const struct {
    const char *text;
    size_t count;               /* offset of an uint64_t in struct job */
} shares[] = {
    { "run unverified", offsetof(struct job, unverified) },
    { "accepted by the verifier and run", offsetof(struct job, accepted) },
    { "with addresses computed from variables", offsetof(struct job, variable_offset) },
    { "with branches", offsetof(struct job, branch) },
    { "with loops", offsetof(struct job, loop) },
    { "with spills", offsetof(struct job, spill) },
    { "with calls", offsetof(struct job, call) },
    { "with callbacks", offsetof(struct job, callback) },
    { "with atomics", offsetof(struct job, atomic) },
    { "with map lookups", offsetof(struct job, lookup) },
    { "with changes of a hash table", offsetof(struct job, change) },
    { "with packets", offsetof(struct job, packet) },
};

/* Of all jobs together. */
static uint64_t sum_of(const struct job *jobs, uint32_t count, size_t offset)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += *(const uint64_t *)(const void *)((const char *)&jobs[i] + offset);
    return sum;
}

static void print_figures(const struct job *jobs, uint32_t count, uint64_t done, double seconds)
{
    uint64_t instructions = sum_of(jobs, count, offsetof(struct job, instructions));

    printf("# %" PRIu64 " programs of %" PRIu64 " instructions on average, in %.1f s: %.0f a second\n", done,
           done ? instructions / done : 0, seconds, (double)done / seconds);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        printf("# %5.1f %% %s\n",
               done ? 100.0 * (double)sum_of(jobs, count, shares[i].count) / (double)done : 0.0, shares[i].text);
}

int main(int argc, char **argv)
{
    uint64_t programs = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000, done;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, last = first + programs - 1;
    long count = argc > 3 ? strtol(argv[3], NULL, 0) : sysconf(_SC_NPROCESSORS_ONLN);
    struct progress *progress = progress_new("differences");
    struct timespec start, end;
    struct job *jobs;

    if (argc > 4 || programs == 0 || count < 1 || count > JOBS_MAX || !progress) {
        fprintf(stderr, "usage: differential [COUNT [SEED [JOBS]]]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..1\n# seeds %" PRIu64 " to %" PRIu64 ", in %ld processes\n", first, last, count);
    jobs = jobs_new((uint32_t)count, first, last);
    clock_gettime(CLOCK_MONOTONIC, &start);
    run_all(jobs, (uint32_t)count, progress);
    clock_gettime(CLOCK_MONOTONIC, &end);
    done = sum_of(jobs, (uint32_t)count, offsetof(struct job, done));
    print_figures(jobs, (uint32_t)count, done,
                  (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
    printf("%sok 1 - compiled and interpreted programs agree, %lu of %" PRIu64 " differ\n",
           progress_failures(progress) ? "not " : "", progress_failures(progress), done + progress_failures(progress));
    return progress_failures(progress) > 0;
}
