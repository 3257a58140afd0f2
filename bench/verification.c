/* SPDX-License-Identifier: MIT */
/* The objects, each several times, and a program that is made here. */
#include "verification.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "measure.h"
#include "translated.h"

#define ROUNDS 9
#define RATE_GOAL 2e6           /* instructions a second */
#define LONG_INSTRUCTIONS 3000
#define LONG_GOAL_MS 100

/* ---- a long program ------------------------------------------------------------------------------------ */

static struct instruction instruction(uint8_t opcode, unsigned destination, unsigned source, int16_t offset,
                                      int32_t immediate)
{
    return (struct instruction){ opcode, (uint8_t)(destination | source << 4), offset, immediate };
}

/* What parsers do at each field: compare with the packet's end (and return), load, decide, count on the stack. */
static size_t add_field(struct instruction *at, unsigned field, size_t left)
{
    int16_t offset = (int16_t)(field * 7 % 1400);
    const struct instruction code[] = {
        instruction(0xbf, 2, 7, 0, 0),                          /* r2 = r7: the packet */
        instruction(0x07, 2, 0, 0, offset + 4),                 /* r2 += offset + 4 */
        instruction(0x2d, 2, 8, (int16_t)(left - 4), 0),        /* if r2 > r8 goto the last one */
        instruction(0x61, 3, 7, offset, 0),                     /* r3 = *(u32 *)(r7 + offset) */
        instruction(0x57, 3, 0, 0, 0xff),                       /* r3 &= 255 */
        instruction(0x25, 3, 0, 2, (int32_t)(field % 200)),     /* if r3 > n goto +2 */
        instruction(0x0f, 0, 3, 0, 0),                          /* r0 += r3 */
        instruction(0x05, 0, 0, 1, 0),                          /* goto +1 */
        instruction(0xaf, 0, 3, 0, 0),                          /* r0 ^= r3 */
        instruction(0x79, 4, 10, -8, 0),                        /* r4 = *(u64 *)(r10 - 8) */
        instruction(0x07, 4, 0, 0, 1),                          /* r4 += 1 */
        instruction(0x7b, 10, 4, -8, 0),                        /* *(u64 *)(r10 - 8) = r4 */
    };

    memcpy(at, code, sizeof(code));
    return sizeof(code) / sizeof(code[0]);
}

static struct bytecode *long_program(void)
{
    const struct bytecode counts = { .instructions = LONG_INSTRUCTIONS, .functions = 1, .strings = 1 };
    struct bytecode *bytecode = bytecode_new(&counts);
    struct instruction *code;
    size_t n = 0;

    if (!bytecode)
        die("no memory");
    code = bytecode->instruction;
    strcpy(bytecode->context, "kernel");
    strcpy(bytecode->function[0].name, "long_program");
    bytecode->function[0].count = LONG_INSTRUCTIONS;
    code[n++] = instruction(0x79, 7, 1, offsetof(struct kernel, data), 0);
    code[n++] = instruction(0x79, 8, 1, offsetof(struct kernel, data_end), 0);
    code[n++] = instruction(0xb7, 0, 0, 0, 0);
    code[n++] = instruction(0x79, 4, 1, offsetof(struct kernel, result), 0);
    code[n++] = instruction(0x7b, 10, 4, -8, 0);
    for (unsigned field = 0; n + 13 <= LONG_INSTRUCTIONS; field++)
        n += add_field(code + n, field, LONG_INSTRUCTIONS - n);
    while (n < LONG_INSTRUCTIONS - 1)
        code[n++] = instruction(0x07, 0, 0, 0, 1);
    code[n] = instruction(0x95, 0, 0, 0, 0);
    return bytecode;
}

/* ---- time ---------------------------------------------------------------------------------------------- */

struct row {
    char name[64];
    uint32_t instructions;
    uint64_t processed;
    double verify_ns, compile_ns;
};

/* Each time from the start, so that nothing is left over from the last one. */
static struct row measure(struct bytecode *(*make)(const void *from), const void *from, const struct context *context)
{
    double verify[ROUNDS], compile[ROUNDS];
    struct row row = { 0 };

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct translated translated;

        translated_new(make(from), context, &translated);
        snprintf(row.name, sizeof(row.name), "%s", translated.bytecode->function[0].name);
        row.instructions = translated.bytecode->instructions;
        row.processed = translated.statistics.processed;
        verify[round] = translated.verify_ns;
        compile[round] = translated.compile_ns;
        translated_clear(&translated);
    }
    row.verify_ns = median(verify, ROUNDS);
    row.compile_ns = median(compile, ROUNDS);
    return row;
}

static struct bytecode *make_loaded(const void *from)
{
    return bytecode_load(from, NULL);
}

static struct bytecode *make_long(const void *from)
{
    return long_program();
}

static void print_row(const struct row *row)
{
    printf("%-20s %8u %10llu %10.3f %10.3f %10.2f\n", row->name, row->instructions, (unsigned long long)row->processed,
           row->verify_ns / 1e6, row->compile_ns / 1e6, (double)row->processed / row->verify_ns * 1e3);
}

void verification_bench(const char *const *paths, size_t count, bool json)
{
    struct context *context = kernel_context();
    double processed = 0, ns = 0, rate, ms;
    struct row row;

    if (!json)
        printf("%-20s %8s %10s %10s %10s %10s\n", "program", "length", "processed", "verify ms", "compile ms", "M/s");
    for (size_t i = 0; i < count; i++) {
        row = measure(make_loaded, paths[i], context);
        processed += (double)row.processed;
        ns += row.verify_ns;
        if (!json)
            print_row(&row);
    }
    row = measure(make_long, NULL, context);
    rate = processed / ns * 1e9;
    ms = (row.verify_ns + row.compile_ns) / 1e6;
    if (json) {
        printf("{\"processed_per_second\":%.0f,\"instructions\":%u,\"processed\":%llu,\"verify_ms\":%.3f,"
               "\"compile_ms\":%.3f}\n",
               rate, row.instructions, (unsigned long long)row.processed, row.verify_ns / 1e6, row.compile_ns / 1e6);
    } else {
        print_row(&row);
        printf("%.2f million instructions a second, goal %.0f: %s\n", rate / 1e6, RATE_GOAL / 1e6,
               rate >= RATE_GOAL ? "reached" : "missed");
        printf("%d instructions in %.2f ms, goal %d: %s\n", LONG_INSTRUCTIONS, ms, LONG_GOAL_MS,
               ms < LONG_GOAL_MS ? "reached" : "missed");
    }
    context_free(context);
}
