/* SPDX-License-Identifier: MIT */
#include "table_code.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "planner.h"
#include "table_prototype.h"
#include "util.h"

static struct dispatcher_target link_target(const struct link *link)
{
    struct dispatcher_target target = {
        .code = link->native ? link->native_code : (int64_t)link->program->code,
        .jumped_to = (link->native && link->native->may_block) || table_has_arguments_on_stack(link->table),
        .proceeds = link->proceeds,
        .counted = link->counter.counted,
        .counters = link->counter.counted ? link->counter.place : 0,
    };

    assert(link->native || link->program->code != IMAGE_NONE);
    memcpy(target.proceed, link->proceed, sizeof(target.proceed));
    return target;
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

/* The links are in order: each continues the entry of the one before it, or begins the next. */
static void add_link(struct table_dispatcher *code, const struct link *link, const struct dispatcher_target *target)
{
    struct dispatcher *dispatcher = &code->dispatcher;
    struct dispatcher_case *last = dispatcher->count > 0 ? &code->cases[dispatcher->count - 1] : NULL;

    if (link->otherwise) {
        dispatcher->otherwise = dispatcher->otherwises++ ? dispatcher->otherwise : target;
    } else if (last && last->first == link->first) {
        last->targets++;
    } else {
        code->cases[dispatcher->count++] = (struct dispatcher_case){
            .first = link->first, .last = link->last, .target = target, .targets = 1, .weight = link->weight + 1,
        };
    }
}

/* A static call that nothing is set for: the worker's own default. */
static void add_default(struct table_dispatcher *code, int64_t default_code)
{
    code->targets[0] = (struct dispatcher_target){ .code = default_code };
    code->dispatcher.otherwise = code->targets;
    code->dispatcher.otherwises = 1;
}

/* What keys said of a table of very different size says nothing of this one. */
static bool sample_holds(const struct table *table)
{
    return table->sampled_links > 0 && table->links <= 2 * table->sampled_links &&
        table->sampled_links <= 2 * table->links;
}

/*
 * Until keys were sampled the number of entries decides.  Without indirect branches there are trees only; what a sample
 * said of the hottest keys is in the weights.
 */
static int choose_plan(const struct table *table, struct dispatcher *dispatcher)
{
    const struct planner_question question = {
        .cases = dispatcher->cases, .count = dispatcher->count, .current = &table->plan,
        .no_indirect = dispatcher->no_indirect,
    };
    _cleanup_free_ uint32_t *weight = NULL;
    struct planner_answer answer;
    int r;

    if (sample_holds(table)) {
        dispatcher->plan = question.no_indirect ? (struct dispatcher_plan){ .shape = DISPATCHER_TREE } : table->plan;
        return 0;
    }
    weight = calloc(dispatcher->count + 1, sizeof(*weight));
    if (!weight)
        return -ENOMEM;
    r = planner_plan(&question, &answer, weight);
    if (r >= 0)
        dispatcher->plan = answer.plan;
    return r;
}

/* All calls of a static call are other keys: while a link runs for them they are not missed. */
static bool counts_misses(const struct table *table)
{
    return table->misses.counted && (table->kind == TABLE_KEYS || table->links == 0);
}

int table_dispatcher(const struct registry *registry, const struct table *table, struct table_dispatcher *ret)
{
    struct table_dispatcher code = { 0 };
    int r;

    code.cases = calloc(table->links + 1, sizeof(*code.cases));
    code.targets = calloc(table->links + 1, sizeof(*code.targets));
    if (!code.cases || !code.targets) {
        table_dispatcher_done(&code);
        return -ENOMEM;
    }
    for (size_t i = 0; i < table->links; i++) {
        code.targets[i] = link_target(table->link[i]);
        add_link(&code, table->link[i], &code.targets[i]);
    }
    if (table->kind == TABLE_CALL && table->links == 0 && !table->has_value)
        add_default(&code, table->default_code);
    code.dispatcher.cases = code.cases;
    code.dispatcher.default_verdict = table->has_value ? table->value : table->default_verdict;
    code.dispatcher.miss_counters = counts_misses(table) ? table->misses.place : 0;
    code.dispatcher.counters_stub = LINKAGE_COUNTERS_STUB;
    code.dispatcher.no_indirect = table_no_indirect(registry, table);
    r = choose_plan(table, &code.dispatcher);
    if (r < 0) {
        table_dispatcher_done(&code);
        return r;
    }
    *ret = code;
    return 0;
}

void table_dispatcher_done(struct table_dispatcher *code)
{
    free(code->cases);
    free(code->targets);
    *code = (struct table_dispatcher){ 0 };
}

/* ---- what became of some keys -------------------------------------------------------------------------- */

static int compare_cases(const void *first, const void *second)
{
    uint32_t a = ((const struct dispatcher_case *)first)->first, b = ((const struct dispatcher_case *)second)->first;

    return a < b ? -1 : a > b;
}

/* The keys of `changed`, each once, in order, into cases with their chains' lengths.  Returns how many. */
static size_t collect_keys(const struct table *table, const struct link *const *changed, size_t count,
                           struct dispatcher_case *cases)
{
    struct link *const *chain;
    size_t keys = 0;

    for (size_t i = 0; i < count; i++)
        cases[i] = (struct dispatcher_case){
            .first = changed[i]->first, .last = changed[i]->last, .weight = changed[i]->weight + 1,
            .targets = table_chain(table, changed[i], &chain),
        };
    qsort(cases, count, sizeof(*cases), compare_cases);
    for (size_t i = 0; i < count; i++)
        if (keys == 0 || cases[keys - 1].first != cases[i].first)
            cases[keys++] = cases[i];
    return keys;
}

static void fill_targets(const struct table *table, struct dispatcher_case *cases, size_t count,
                         struct dispatcher_target *targets)
{
    for (size_t i = 0; i < count; i++) {
        const struct link keys = { .first = cases[i].first, .last = cases[i].last };
        struct link *const *chain;
        size_t links = table_chain(table, &keys, &chain);

        cases[i].target = targets;
        for (size_t j = 0; j < links; j++)
            *targets++ = link_target(chain[j]);
    }
}

int table_edits(const struct table *table, const struct link *const *changed, size_t count,
                struct table_dispatcher *ret)
{
    struct table_dispatcher code = { 0 };
    size_t targets = 0;

    for (size_t i = 0; i < count; i++)
        if (changed[i]->otherwise || changed[i]->first != changed[i]->last)
            return -EOPNOTSUPP;
    code.cases = calloc(count + 1, sizeof(*code.cases));
    if (!code.cases)
        return -ENOMEM;
    code.dispatcher.cases = code.cases;
    code.dispatcher.count = collect_keys(table, changed, count, code.cases);
    for (size_t i = 0; i < code.dispatcher.count; i++)
        targets += code.cases[i].targets;
    code.targets = calloc(targets + 1, sizeof(*code.targets));
    if (!code.targets) {
        table_dispatcher_done(&code);
        return -ENOMEM;
    }
    fill_targets(table, code.cases, code.dispatcher.count, code.targets);
    *ret = code;
    return 0;
}
