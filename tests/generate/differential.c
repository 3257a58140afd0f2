/* SPDX-License-Identifier: MIT */
/*
 * Random programs, compiled and interpreted: both must have the same result and leave the same memory.  Each program is
 * compiled twice: as it is, and, if the verifier accepts it, with what that has proven.
 *
 *      differential [COUNT [SEED]]     from SEED on; a failure is printed with its seed, made small
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bytecode.h"
#include "execution.h"
#include "minimise.h"
#include "program.h"

#define SECONDS 10              /* of processor time for one program */
#define FAILURES_MAX 5          /* after these, stop */

/* ---- one program ---- */

/* Programs that take longer to prove are refused: there are enough others. */
static const struct verifier_options options_of_verifier = { .instructions_max = 20000 };

struct subject {
    struct bytecode *bytecode;
    uint8_t context[GENERATE_CONTEXT_SIZE], packet[GENERATE_PACKET_SIZE_MAX];
    struct context *description;
    struct execution execution;
    struct generate_features features;
};

/* Seeds take turns: with a packet or without, with map lookups (which only the verifier makes possible) or without. */
static void subject_new(uint64_t seed, struct subject *ret)
{
    const struct generate_options options = { .packet = seed % 4 == 1, .lookups = seed % 4 >= 2 };

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

/* ---- many programs ---- */

/* Shared with the child, which says where it is. */
struct progress {
    uint64_t seed;
    bool verify;
    uint64_t done, accepted, unverified, instructions;
    uint64_t variable_offset, loop, spill, call, callback, atomic, lookup, packet, branch;
};

static void count_features(struct progress *progress, const struct generate_features *features)
{
    progress->variable_offset += features->variable_offset;
    progress->loop += features->loop;
    progress->spill += features->spill;
    progress->call += features->call;
    progress->callback += features->callback;
    progress->atomic += features->atomic;
    progress->lookup += features->lookup;
    progress->packet += features->packet;
    progress->branch += features->branch;
}

/* Seeds up to `end`; leaves at the first difference. */
static void run_seeds(struct progress *progress, uint64_t end)
{
    for (; progress->seed < end; progress->seed++) {
        struct subject subject;

        execution_limit(SECONDS);
        subject_new(progress->seed, &subject);
        for (progress->verify = false;; progress->verify = true) {
            enum verdict verdict;

            subject.execution.verify = progress->verify;
            verdict = compare(&subject.execution);
            if (verdict == DIFFERENT || verdict == INVALID)
                _exit(1);
            progress->accepted += verdict == SAME && progress->verify;
            progress->unverified += verdict == SAME && !progress->verify;
            if (progress->verify)
                break;
        }
        progress->done++;
        progress->instructions += subject.bytecode->instructions;
        count_features(progress, &subject.features);
        subject_clear(&subject);
    }
    _exit(0);
}

/* All seeds up to `end`, past those that fail.  Returns how many fail. */
static unsigned run_all(struct progress *progress, uint64_t end)
{
    unsigned failures = 0;

    while (progress->seed < end && failures < FAILURES_MAX) {
        int status = 0;
        pid_t child = fork();

        if (child == 0)
            run_seeds(progress, end);
        if (child < 0 || waitpid(child, &status, 0) < 0)
            abort();
        if (status == 0)
            continue;
        report(progress->seed, progress->verify);
        failures++;
        progress->seed++;
    }
    return failures;
}

static void print_share(const char *what, uint64_t count, uint64_t of)
{
    printf("# %5.1f %% %s\n", of ? 100.0 * (double)count / (double)of : 0.0, what);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000, first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned failures;

    if (progress == MAP_FAILED)
        return 99;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..1\n# seeds %" PRIu64 " to %" PRIu64 "\n", first, first + count - 1);
    progress->seed = first;
    failures = run_all(progress, first + count);
    printf("# %" PRIu64 " programs of %" PRIu64 " instructions on average\n", progress->done,
           progress->done ? progress->instructions / progress->done : 0);
    print_share("run unverified", progress->unverified, progress->done);
    print_share("accepted by the verifier and run", progress->accepted, progress->done);
    print_share("with addresses computed from variables", progress->variable_offset, progress->done);
    print_share("with branches", progress->branch, progress->done);
    print_share("with loops", progress->loop, progress->done);
    print_share("with spills", progress->spill, progress->done);
    print_share("with calls", progress->call, progress->done);
    print_share("with callbacks", progress->callback, progress->done);
    print_share("with atomics", progress->atomic, progress->done);
    print_share("with map lookups", progress->lookup, progress->done);
    print_share("with packets", progress->packet, progress->done);
    printf("%sok 1 - compiled and interpreted programs agree, %u of %" PRIu64 " differ\n",
           failures ? "not " : "", failures, progress->done);
    return failures > 0;
}
