/* SPDX-License-Identifier: MIT */
/* The model of queues and stacks: an array of the values, the oldest first. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "model.h"

#define VALUES_MAX 64

struct model {
    const struct map *map;
    bool stack;
    uint32_t count;
    uint64_t value[VALUES_MAX];
};

static void push(struct trial *trial, struct model *model, struct thread *thread)
{
    static const uint64_t flags[] = { BPF_ANY, BPF_ANY, BPF_EXIST, BPF_NOEXIST, 4 };
    uint64_t flag = flags[random_below(&trial->random, 5)], value = random_next(&trial->random);
    bool full = model->count == model->map->max_entries;
    long wanted = flag != BPF_ANY && flag != BPF_EXIST ? -EINVAL : full && flag == BPF_ANY ? -E2BIG : 0;
    long got = trial->fixture.kind->call_push(model->map, &value, flag, 0, 0, thread);

    if (got != wanted)
        fixture_fail("%s: a push with flags %#llx returns %ld, not %ld", trial->fixture.kind->name,
                     (unsigned long long)flag, got, wanted);
    if (got != 0)
        return;
    if (full)
        memmove(model->value, model->value + 1, --model->count * sizeof(model->value[0]));
    model->value[model->count++] = value;
}

static void pop(struct trial *trial, struct model *model, bool peek, struct thread *thread)
{
    const struct map_kind *kind = trial->fixture.kind;
    uint64_t got_value = 1, value = 0;
    long wanted = model->count ? 0 : -ENOENT, got;

    if (model->count)
        value = model->stack ? model->value[model->count - 1] : model->value[0];
    got = (peek ? kind->call_peek : kind->call_pop)(model->map, &got_value, 0, 0, 0, thread);
    if (got != wanted || got_value != value)
        fixture_fail("%s: a %s returns %ld and %#llx, not %ld and %#llx", kind->name, peek ? "peek" : "pop", got,
                     (unsigned long long)got_value, wanted, (unsigned long long)value);
    if (peek || got != 0)
        return;
    model->count--;
    if (!model->stack)
        memmove(model->value, model->value + 1, model->count * sizeof(model->value[0]));
}

void model_queue(struct trial *trial, unsigned steps)
{
    struct model model = { .map = trial->fixture.map, .stack = trial->fixture.map->kind == BPF_MAP_TYPE_STACK };
    uint32_t pushes = 50;       /* percent: changes, so that it is full, and empty, for a while */

    for (unsigned i = 0; i < steps; i++) {
        struct thread *thread = &trial->thread[random_below(&trial->random, MODEL_THREADS)];
        uint32_t what = random_below(&trial->random, 120);

        if (random_percent(&trial->random, 2))
            pushes = random_below(&trial->random, 101);
        if (what < pushes)
            push(trial, &model, thread);
        else
            pop(trial, &model, what >= 100, thread);
    }
}
