/* SPDX-License-Identifier: MIT */
#include "measurer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "entry.h"
#include "util.h"

#define TEXT_SIZE ((size_t)64 << 20)
#define WARMUPS 2               /* passes over the keys: the table is in use */
#define PASSES 9                /* of which the median counts */

typedef uint32_t entry_function(void *context, uint32_t key);

struct code {
    uint8_t *text;
    struct image *image;
    struct dispatcher_target target[MEASURER_TARGETS];
    struct entry *entry;
};

/* ---- the code ------------------------------------------------------------------------------------------ */

static int populate(void *userdata, uint64_t offset, size_t size)
{
    (void)userdata, (void)offset, (void)size;
    return 0;
}

/* Each returns another verdict. */
static int make_targets(struct code *code)
{
    for (uint32_t i = 0; i < MEASURER_TARGETS; i++) {
        const struct fallback fallback = { .verdict = i + 1 };
        struct emitter emitter;
        uint64_t offset;
        int r;

        r = image_reserve(code->image, IMAGE_GRANULE, IMAGE_FRESH, &offset);
        if (r < 0)
            return r;
        emitter_init(&emitter, image_write(code->image, offset), IMAGE_GRANULE, offset);
        architecture_native()->emit_tree(&emitter, NULL, 0, &fallback);
        image_commit(code->image, offset);
        code->target[i].code = (int64_t)offset;
    }
    return 0;
}

static int make_entry(struct code *code, const struct dispatcher_plan *plan, const struct measurer_case *sent,
                      size_t count)
{
    _cleanup_free_ struct dispatcher_case *cases = calloc(count + 1, sizeof(*cases));
    const struct dispatcher dispatcher = { .cases = cases, .count = count, .plan = *plan };
    int r;

    if (!cases)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        cases[i] = (struct dispatcher_case){
            .first = sent[i].first, .last = sent[i].last, .weight = sent[i].weight, .targets = 1,
            .target = &code->target[sent[i].target % MEASURER_TARGETS],
        };
    r = entry_new(code->image, 0, &code->entry);
    return r < 0 ? r : entry_start(code->entry, &dispatcher);
}

/* Written first, and then executed: it is never both. */
static int make_code(struct code *code, const struct dispatcher_plan *plan, const struct measurer_case *cases,
                     size_t count)
{
    int r;

    code->text = mmap(NULL, TEXT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (code->text == MAP_FAILED)
        return -errno;
    r = image_new(code->text, TEXT_SIZE, architecture_native(), populate, NULL, &code->image);
    if (r >= 0)
        r = make_targets(code);
    if (r >= 0)
        r = make_entry(code, plan, cases, count);
    return r < 0 ? r : RETURN_ERRNO(mprotect(code->text, TEXT_SIZE, PROT_READ | PROT_EXEC));
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Volatile: each call is made. */
__attribute__((noinline))
static uint64_t time_pass(entry_function *volatile *function, const uint32_t *key, size_t keys)
{
    uint64_t begin = now_ns();

    for (size_t i = 0; i < keys; i++)
        (*function)(NULL, key[i]);
    return now_ns() - begin;
}

static int compare_times(const void *first, const void *second)
{
    uint64_t a = *(const uint64_t *)first, b = *(const uint64_t *)second;

    return (a > b) - (a < b);
}

static uint64_t measure(const struct code *code, const uint32_t *key, size_t keys)
{
    entry_function *volatile function = (entry_function *)(uintptr_t)(code->text + entry_offset(code->entry));
    uint64_t took[PASSES];

    for (int i = 0; i < WARMUPS; i++)
        time_pass(&function, key, keys);
    for (int i = 0; i < PASSES; i++)
        took[i] = time_pass(&function, key, keys);
    qsort(took, PASSES, sizeof(took[0]), compare_times);
    return took[PASSES / 2] * 1000 / keys;
}

int measurer_serve(struct wire_reader *request, struct wire_writer *answer, struct jit_error *error)
{
    size_t plan_size, cases_size, keys_size;
    const void *plan = wire_bytes(request, &plan_size), *cases = wire_bytes(request, &cases_size),
               *keys = wire_bytes(request, &keys_size);
    struct dispatcher_plan wanted;
    struct code code = { 0 };
    int r;

    if (!wire_complete(request) || plan_size != sizeof(wanted) || keys_size < sizeof(uint32_t))
        return jit_error_set(error, -EINVAL, "measure", "the request has no plan, or no keys");
    memcpy(&wanted, plan, sizeof(wanted));
    r = make_code(&code, &wanted, cases, cases_size / sizeof(struct measurer_case));
    if (r < 0)
        return jit_error_set(error, r, "measure", "its code cannot be made: %s", strerror(-r));
    wire_put_number(answer, 0);
    wire_put_number(answer, measure(&code, keys, keys_size / sizeof(uint32_t)));
    return 0;
}
