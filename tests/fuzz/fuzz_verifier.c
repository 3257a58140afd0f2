/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing the verifier: the input is instructions, as raw.h takes them, with regions of every kind.  Besides what
 * sanitizers find, it must hold that the verifier ends within its limit, that what it accepts it accepts again when it
 * compares all numbers (if it can), and that a refusal has a rule and a text of printable ASCII.
 *
 * `make check` replays the corpus, `make fuzz FUZZ=verifier` goes on.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "raw.h"
#include "verifier/verifier.h"

#define PROCESSED_MAX 20000
#define INSTRUCTIONS_MAX 512

static const struct bytecode_region regions[] = {
    { .name = ".rodata", .kind = REGION_CONSTANT, .size = 64 },
    { .name = ".data", .kind = REGION_DATA, .size = 64 },
    { .name = "hash", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 16,
      .max_entries = 8 },
    { .name = "settings", .kind = REGION_MAP, .size = 8, .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
      .value_size = 8, .max_entries = 1, .map_flags = BPF_F_RDONLY_PROG },
    { .name = "ring", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096 },
    { .name = "queue", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_QUEUE, .value_size = 16, .max_entries = 4 },
    { .name = "maps", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .key_size = 4, .value_size = 8,
      .max_entries = 2, .inner = 7 },
    { .name = "inner", .kind = REGION_INNER, .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 16,
      .max_entries = 8 },
};

static const struct context_field fields[] = {
    { "data", 0, 8, CONTEXT_DATA },     { "data_end", 8, 8, CONTEXT_DATA_END }, { "offset", 16, 8, CONTEXT_READ },
    { "size", 24, 4, CONTEXT_READ },    { "status", 28, 4, CONTEXT_WRITE },     { "value", 32, 8, CONTEXT_WRITE },
};

static void check_error(int r, const struct jit_error *error)
{
    CHECK(r == -EINVAL || r == -EOPNOTSUPP || r == -E2BIG);
    CHECK(error->rule && error->text[0]);
    for (const char *c = error->text; *c; c++)
        CHECK(*c >= ' ' && *c < 0x7f);
}

static int verify(const struct bytecode *bytecode, const struct context *context, bool exact)
{
    const struct verifier_options options = { .instructions_max = PROCESSED_MAX, .exact = exact };
    struct verifier_statistics statistics;
    struct jit_error error = { 0 };
    struct verified verified;
    int r = verifier_run(bytecode, context, &options, &verified, &statistics, &error);

    CHECK(statistics.processed <= PROCESSED_MAX + 1);
    if (r == 0)
        verified_clear(&verified);
    else
        check_error(r, &error);
    return r;
}

static void try_context(struct bytecode *bytecode, const struct context *context)
{
    int r, exact;

    strcpy(bytecode->context, context->name);
    r = verify(bytecode, context, false);
    exact = verify(bytecode, context, true);
    /* Whatever is found on one path is found on it with more states compared, too, if there is time. */
    CHECK(r != 0 || exact == 0 || exact == -E2BIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct instruction instructions[INSTRUCTIONS_MAX];
    uint32_t count = (uint32_t)(size / sizeof(*instructions));
    struct context *described, *bytes;
    struct jit_error error = { 0 };
    struct bytecode *bytecode;
    int r;

    if (count == 0 || count > INSTRUCTIONS_MAX)
        return 0;
    memcpy(instructions, data, count * sizeof(*instructions));
    r = raw_bytecode(instructions, count, regions, sizeof(regions) / sizeof(regions[0]), false, &bytecode, &error);
    if (r < 0) {
        check_error(r, &error);
        return 0;
    }
    CHECK(context_new("fuzz", 64, fields, sizeof(fields) / sizeof(fields[0]), &described, NULL) == 0);
    CHECK(context_new_bytes(64, &bytes, NULL) == 0);
    try_context(bytecode, described);
    try_context(bytecode, bytes);
    context_free(described);
    context_free(bytes);
    bytecode_free(bytecode);
    return 0;
}
