/* SPDX-License-Identifier: MIT */
/*
 * What programs cost beside the same C compiled by clang -O2 for the processor: each kernel of kernels/ as an object
 * that is verified and translated, and as a shared library; called alike, through a pointer, on the same inputs.  What
 * they return and write must be equal.
 *
 * A round measures every kernel once, natively and translated, in turns; the figure is the median of
 * the rounds.
 *
 *      programs [--cpu v1|v2|v3] [--quick] [--json]      the kernels
 *      programs --verifier [--json]            what verifying takes
 */
#include <dlfcn.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "kernels/kernel.h"
#include "measure.h"
#include "translated.h"
#include "util.h"
#include "verification.h"

#define ROUNDS 9
#define CALLS_NS 2000000        /* what one measurement should take */
#define GOAL 1.25

static const struct kernel_row {
    const char *name;           /* of its source and of its program */
    enum input_kind input;
} rows[] = {
    { "adler32", INPUT_NOISE },
    { "automaton", INPUT_TEXT },
    { "base64", INPUT_BASE64 },
    { "binary_search", INPUT_NOISE },
    { "bits", INPUT_NOISE },
    { "byte_loads", INPUT_NOISE },
    { "chacha", INPUT_NOISE },
    { "crc32", INPUT_NOISE },
    { "date", INPUT_NOISE },
    { "fnv1a", INPUT_NOISE },
    { "frame", INPUT_FRAME },
    { "headers", INPUT_TEXT },
    { "histogram", INPUT_NOISE },
    { "internet_checksum", INPUT_NOISE },
    { "jenkins", INPUT_FRAME },
    { "machine", INPUT_NOISE },
    { "murmur3", INPUT_NOISE },
    { "routes", INPUT_NOISE },
    { "siphash", INPUT_NOISE },
    { "sort_insertion", INPUT_NOISE },
    { "sort_network", INPUT_NOISE },
    { "square_root", INPUT_NOISE },
    { "substring", INPUT_TEXT },
    { "translate", INPUT_NOISE },
    { "utf8", INPUT_UNICODE },
    { "varint", INPUT_NOISE },
    { "xxhash", INPUT_NOISE },
};

#define KERNELS ARRAY_LENGTH(rows)

static struct measured {
    struct translated translated;
    kernel_function *native;
    struct kernel input[INPUTS];
    unsigned calls;             /* in one measurement */
    double native_ns[ROUNDS], jit_ns[ROUNDS];
} kernels[KERNELS];

static kernel_function *native_load(const char *name)
{
    char path[512];
    void *library, *symbol = NULL;

    snprintf(path, sizeof(path), "%s/%s.native.so", BENCH_KERNELS, name);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library)
        symbol = dlsym(library, name);
    if (!symbol)
        die("%s", dlerror());
    return (kernel_function *)(uintptr_t)symbol;
}

/* ---- equality ------------------------------------------------------------------------------------------ */

static void check_equal(const char *name, const struct measured *measured, struct kernel input, uint32_t key)
{
    struct kernel native = input, translated = input;
    uint32_t expected = measured->native(&native, key), verdict = measured->translated.run(&translated, key);

    if (verdict != expected || memcmp(&native, &translated, sizeof(native)) != 0)
        die("%s of %td bytes with key %u: %#x and %#llx, natively %#x and %#llx", name, input.data_end - input.data,
            key, verdict, translated.result, expected, native.result);
}

/* All inputs, whole and cut off at every length. */
static void check_kernel(const char *name, const struct measured *measured)
{
    for (unsigned i = 0; i < INPUTS; i++) {
        struct kernel input = measured->input[i];

        for (uint32_t key = 0; input.data_end >= input.data; input.data_end--, key++)
            check_equal(name, measured, input, key);
    }
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static uint32_t verdicts;       /* so that no call can be left out */

__attribute__((noinline))
static double measure(kernel_function *function, struct kernel *input, unsigned calls)
{
    uint64_t begin = thread_ns();
    uint32_t sum = 0;

    for (unsigned i = 0; i < calls; i++)
        sum += function(&input[i % INPUTS], i);
    verdicts += sum;
    return (double)(thread_ns() - begin) / calls;
}

static void prepare(const struct kernel_row *row, const char *processor, const struct context *context,
                    struct measured *ret)
{
    char path[512];
    double ns;

    snprintf(path, sizeof(path), "%s/%s.%s.bpf.o", BENCH_KERNELS, row->name, processor);
    translated_new(bytecode_load(path, NULL), context, &ret->translated);
    ret->native = native_load(row->name);
    for (unsigned i = 0; i < INPUTS; i++) {
        const struct input *input = inputs_get(row->input, i);

        ret->input[i] = (struct kernel){ input->bytes, input->bytes + input->size, 0 };
    }
    check_kernel(row->name, ret);
    measure(ret->native, ret->input, 100);
    ns = measure(ret->native, ret->input, 1000);
    ret->calls = (unsigned)(CALLS_NS / ns) + 1;
}

static void measure_all(unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++)
        for (size_t k = 0; k < KERNELS; k++) {
            struct measured *m = &kernels[k];

            for (unsigned turn = 0; turn < 2; turn++)
                if (turn == round % 2)
                    m->native_ns[round] = measure(m->native, m->input, m->calls);
                else
                    m->jit_ns[round] = measure(m->translated.run, m->input, m->calls);
        }
}

/* ---- what comes out ------------------------------------------------------------------------------------ */

static void print_json(unsigned rounds)
{
    for (size_t k = 0; k < KERNELS; k++)
        printf("%s{\"kernel\":\"%s\",\"native_ns\":%.2f,\"jit_ns\":%.2f}", k ? ",\n " : "[", rows[k].name,
               median(kernels[k].native_ns, rounds), median(kernels[k].jit_ns, rounds));
    puts("]");
}

static void print_table(const char *processor, unsigned rounds)
{
    double logarithms = 0, mean;

    printf("ns per call, median of %u rounds, objects for cpu %s\n", rounds, processor);
    printf("%-20s %10s %10s %8s\n", "kernel", "native", "jit", "ratio");
    for (size_t k = 0; k < KERNELS; k++) {
        double native = median(kernels[k].native_ns, rounds), jit = median(kernels[k].jit_ns, rounds);

        printf("%-20s %10.1f %10.1f %8.2f\n", rows[k].name, native, jit, jit / native);
        logarithms += log(jit / native);
    }
    mean = exp(logarithms / KERNELS);
    printf("geometric mean %.3f, goal %.2f: %s\n", mean, GOAL, mean <= GOAL ? "reached" : "missed");
}

static void bench_kernels(const char *processor, unsigned rounds, bool json)
{
    struct context *context = kernel_context();

    for (size_t k = 0; k < KERNELS; k++)
        prepare(&rows[k], processor, context, &kernels[k]);
    measure_all(rounds);
    if (json)
        print_json(rounds);
    else
        print_table(processor, rounds);
    for (size_t k = 0; k < KERNELS; k++)
        translated_clear(&kernels[k].translated);
    context_free(context);
}

static void bench_verifier(const char *processor, bool json)
{
    char paths[KERNELS][512];
    const char *path[KERNELS];

    for (size_t k = 0; k < KERNELS; k++) {
        snprintf(paths[k], sizeof(paths[k]), "%s/%s.%s.bpf.o", BENCH_KERNELS, rows[k].name, processor);
        path[k] = paths[k];
    }
    verification_bench(path, KERNELS, json);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "cpu", required_argument, NULL, 'c' },
        { "json", no_argument, NULL, 'j' },
        { "quick", no_argument, NULL, 'q' },
        { "verifier", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const char *processor = "v3";
    unsigned rounds = ROUNDS;
    bool json = false, verifier = false;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'c':
            processor = optarg;
            break;
        case 'j':
            json = true;
            break;
        case 'q':
            rounds = 1;
            break;
        case 'v':
            verifier = true;
            break;
        case 'h':
            puts("usage: programs [--verifier] [--cpu v1|v2|v3] [--quick] [--json]\n"
                 "  --verifier   what verifying and compiling take, instead of what the kernels take\n"
                 "  --cpu CPU    processor that the objects are made for (default v3)\n"
                 "  --quick      measure once, to see that it runs: the figures mean little\n"
                 "  --json       an array of {kernel, native_ns, jit_ns}; with --verifier an object");
            return 0;
        default:
            return 1;
        }
    if (verifier)
        bench_verifier(processor, json);
    else
        bench_kernels(processor, rounds, json);
    return 0;
}
