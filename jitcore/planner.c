/* SPDX-License-Identifier: MIT */
/*
 * The planner's model.  A call costs
 *
 *      the instructions on its way (they overlap with what surrounds them: less than their latency)
 *    + a misprediction for each branch that goes where the processor did not expect it
 *    + in large trees, what code takes that is not in the first cache
 *
 * and only the second weighs much.  A comparison that is true with probability p is mispredicted min(p, 1 - p) of the
 * time, an indirect jump whenever its target is not the most frequent one: that is so where keys come in no order.  How
 * much order there is shows in how often a key is the one before: the share that comes on top of chance is predicted.
 *
 * A tree's cost is that of the tree as it would be emitted, with the sampled weights.
 */
#include "planner.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nanoseconds, fitted to bench/shapes (doc/shapes.md). */
#define CALL 2.6                /* and return: what all shapes have in common */
#define COMPARISON 0.3
#define MISPREDICTED_COMPARISON 5.6
#define MISPREDICTED_JUMP 5.2
#define HASH_WAY 1.4            /* the instructions of a jump by a hash, */
#define HASH_LATER 2.4          /* and how much later than in a small dense table it is found mispredicted */
#define DENSE_WAY 1.7
#define DENSE_LARGE 1024        /* a table of more keys is found mispredicted later, too: it is read, not executed */
#define DENSE_LATER 1.4
#define CACHED_CASES 256        /* a tree with more, over which keys are spread, is dearer with each doubling */
#define DOUBLING 2.5

/* A change is worth it when it saves so much of what a call costs, and so many nanoseconds. */
#define WORTH_SHARE 0.1
#define WORTH_NS 0.2

#define LEAF_BRANCHES 4         /* as x86_64/tree.c has them */
#define FIRST_BRANCHES 4        /* likewise */

/* One more case for what misses. */
struct sampled {
    const struct planner_question *question;
    const uint32_t *weight;     /* of each case */
    double total;               /* keys in the sample */
    double misses;              /* of them */
    double order;               /* share of keys that are predicted because they repeat, 0 to 1 */
    double distinct;            /* 2^entropy */
};

/* ---- counting ---- */

static size_t find_case(const struct planner_question *question, uint32_t key)
{
    size_t low = 0, high = question->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (question->cases[middle].last < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < question->count && question->cases[low].first <= key ? low : SIZE_MAX;
}

static void count_keys(struct sampled *sampled, uint32_t *weight)
{
    const struct planner_question *question = sampled->question;
    size_t i;

    for (size_t k = 0; k < question->keys; k++) {
        i = find_case(question, question->key[k]);
        if (i == SIZE_MAX)
            sampled->misses++;
        else
            weight[i]++;
    }
}

/* Entropy, and how much more often than by chance a key is the one before. */
static void describe(struct sampled *sampled)
{
    const struct planner_question *question = sampled->question;
    double entropy = 0, chance = 0, repeats = 0, p;

    for (size_t i = 0; i <= question->count; i++) {
        p = (i < question->count ? sampled->weight[i] : sampled->misses) / sampled->total;
        if (p == 0)
            continue;
        entropy -= p * log2(p);
        chance += p * p;
    }
    for (size_t k = 1; k < question->keys; k++)
        repeats += find_case(question, question->key[k]) == find_case(question, question->key[k - 1]);
    repeats /= sampled->total;
    sampled->distinct = exp2(entropy);
    sampled->order = chance < 1 && repeats > chance ? (repeats - chance) / (1 - chance) : 0;
}

/* Nothing is known: as if each case came as often as all others, in no order. */
static void assume(struct sampled *sampled, uint32_t *weight)
{
    for (size_t i = 0; i < sampled->question->count; i++)
        weight[i] = 1;
    sampled->misses = sampled->order = 0;
    sampled->total = sampled->question->count > 0 ? (double)sampled->question->count : 1;
    sampled->distinct = sampled->total;
}

/* ---- what shapes cost ---- */

static double mispredicted(const struct sampled *sampled, double times, double cost)
{
    return cost * (1 - sampled->order) * times / sampled->total;
}

struct way {
    double comparisons, surprises;      /* times, for the whole sample */
};

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* A tree as it would be emitted with some weights, or stands with others. */
struct tree {
    const uint32_t *weight;     /* that it is made by */
    double *prefix;             /* of these, with the floor of each: of the cases before case i */
    double *seen;               /* of the sample: what is not compared before the tree */
};

/* The cases of a leaf one after another, heaviest first; what none takes has compared with all. */
static struct way leaf_way(const struct tree *tree, size_t begin, size_t end, double misses)
{
    size_t order[LEAF_BRANCHES], count = 0, j;
    double left = misses;
    struct way way = { 0 };

    for (size_t i = begin; i < end; i++) {
        for (j = count++; j > 0 && tree->weight[order[j - 1]] < tree->weight[i]; j--)
            order[j] = order[j - 1];
        order[j] = i;
        left += tree->seen[i];
    }
    for (size_t i = 0; i < count; i++) {
        way.comparisons += left;
        way.surprises += smaller(tree->seen[order[i]], left - tree->seen[order[i]]);
        left -= tree->seen[order[i]];
    }
    return way;
}

/* Where the high half begins; in neither are more than `most`. */
static size_t high_half(const double *prefix, size_t begin, size_t end, size_t most)
{
    double half = (prefix[begin] + prefix[end]) / 2;
    size_t low = begin + 1, high = end - 1;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if ((prefix[middle] + prefix[middle + 1]) / 2 <= half)
            low = middle + 1;
        else
            high = middle;
    }
    if (end - low > most)
        return end - most;
    return low - begin < most ? low : begin + most;
}

/* `misses`, of the keys that come here: they are thought to be spread as the cases are. */
static struct way tree_way(const struct tree *tree, size_t begin, size_t end, double misses, unsigned levels)
{
    struct way low, high;
    double weight[2] = { 0 };
    size_t half;

    if (end - begin <= LEAF_BRANCHES)
        return leaf_way(tree, begin, end, misses);
    half = high_half(tree->prefix, begin, end, (size_t)LEAF_BRANCHES << (levels - 1));
    low = tree_way(tree, begin, half, misses * (double)(half - begin) / (double)(end - begin), levels - 1);
    high = tree_way(tree, half, end, misses * (double)(end - half) / (double)(end - begin), levels - 1);
    for (size_t i = begin; i < end; i++)
        weight[i >= half] += tree->seen[i] + misses / (double)(end - begin);
    return (struct way){ low.comparisons + high.comparisons + weight[0] + weight[1],
                         low.surprises + high.surprises + smaller(weight[0], weight[1]) };
}

/* What is compared before the tree, and is not seen in it. */
static struct way first_way(const struct sampled *sampled, struct tree *tree)
{
    size_t count = sampled->question->count, heaviest;
    double left = 0, seen = sampled->total;
    size_t first[FIRST_BRANCHES];
    struct way way = { 0 };

    for (size_t i = 0; i < count; i++)
        left += tree->weight[i];
    for (unsigned n = 0; n < FIRST_BRANCHES && count > LEAF_BRANCHES; n++) {
        heaviest = SIZE_MAX;
        for (size_t i = 0; i < count; i++) {
            bool is_first = false;

            for (unsigned j = 0; j < n; j++)
                is_first |= first[j] == i;
            if (!is_first && (heaviest == SIZE_MAX || tree->weight[i] > tree->weight[heaviest]))
                heaviest = i;
        }
        if (tree->weight[heaviest] == 0 || 2.0 * tree->weight[heaviest] < left)
            break;
        first[n] = heaviest;
        left -= tree->weight[heaviest];
        way.comparisons += seen;
        way.surprises += smaller(tree->seen[heaviest], seen - tree->seen[heaviest]);
        seen -= tree->seen[heaviest];
        tree->seen[heaviest] = 0;
    }
    return way;
}

/* weight: what the tree is made by, one for each case. */
static int tree_cost(const struct sampled *sampled, const uint32_t *weight, double *ret)
{
    size_t count = sampled->question->count;
    struct tree tree = { weight, calloc(count + 1, sizeof(double)), calloc(count + 1, sizeof(double)) };
    unsigned levels = 1;                /* as x86_64/tree.c has them at most */
    struct way first, way;
    double floor = 0;

    if (!tree.prefix || !tree.seen) {
        free(tree.prefix);
        free(tree.seen);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        floor += weight[i] / (double)count;
        tree.seen[i] = sampled->weight[i];
    }
    for (size_t i = 0; i < count; i++)
        tree.prefix[i + 1] = tree.prefix[i] + weight[i] + 1 + floor;
    while ((size_t)LEAF_BRANCHES << (levels - 1) < count)
        levels++;
    first = first_way(sampled, &tree);
    way = tree_way(&tree, 0, count, sampled->misses, levels);
    free(tree.prefix);
    free(tree.seen);
    *ret = CALL + COMPARISON * (first.comparisons + way.comparisons) / sampled->total +
           mispredicted(sampled, first.surprises + way.surprises, MISPREDICTED_COMPARISON);
    if (sampled->distinct > CACHED_CASES)
        *ret += DOUBLING * log2(sampled->distinct / CACHED_CASES);
    return 0;
}

/* Of the tree that stands. */
static int standing_tree_cost(const struct sampled *sampled, double *ret)
{
    size_t count = sampled->question->count;
    uint32_t *weight = calloc(count + 1, sizeof(*weight));
    int r;

    if (!weight)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        weight[i] = sampled->question->cases[i].weight;
    r = tree_cost(sampled, weight, ret);
    free(weight);
    return r;
}

/* The hot keys one after another, then the table: an indirect jump, or ranges behind its miss. */
static double table_cost(const struct sampled *sampled, enum dispatcher_shape shape, const struct dispatcher_plan *plan)
{
    const struct planner_question *question = sampled->question;
    double left = sampled->total, surprises = 0, comparisons = 0, most = 0, ranges = 0, hot, jumps, later;
    bool is_hash = shape == DISPATCHER_HASH;
    size_t i, range_count = 0;

    for (unsigned h = 0; h < plan->hot; h++) {
        i = find_case(question, plan->hot_key[h]);
        if (i == SIZE_MAX || question->cases[i].first != question->cases[i].last)
            continue;
        hot = sampled->weight[i];
        comparisons += left;
        surprises += smaller(hot, left - hot);
        left -= hot;
    }
    for (i = 0; i < question->count; i++) {
        bool is_hot = false;

        for (unsigned h = 0; h < plan->hot; h++)
            is_hot |= plan->hot_key[h] == question->cases[i].first;
        if (question->cases[i].first != question->cases[i].last) {
            range_count++;
            ranges += sampled->weight[i];
        } else if (!is_hot && sampled->weight[i] > most) {
            most = sampled->weight[i];
        }
    }
    ranges += sampled->misses;
    if (range_count > 0) {
        comparisons += ranges * log2((double)range_count + 1);
        surprises += ranges * log2((double)range_count + 1) / 3;
    }
    surprises += smaller(ranges, left - ranges);
    jumps = left - ranges > most ? left - ranges - most : 0;
    later = is_hash ? HASH_LATER : question->count > DENSE_LARGE ? DENSE_LATER : 0;
    return CALL + (COMPARISON * comparisons + (is_hash ? HASH_WAY : DENSE_WAY) * left) / sampled->total +
           mispredicted(sampled, surprises, MISPREDICTED_COMPARISON) +
           mispredicted(sampled, jumps, MISPREDICTED_JUMP + later);
}

/* ---- choosing ---- */

/* The heaviest single keys, heaviest first. */
static void find_hot(const struct sampled *sampled, struct dispatcher_plan *plan)
{
    const struct dispatcher_case *cases = sampled->question->cases;
    uint32_t weight[DISPATCHER_HOT_MAX] = { 0 };
    unsigned j;

    for (size_t i = 0; i < sampled->question->count; i++) {
        if (cases[i].first != cases[i].last || sampled->weight[i] <= weight[DISPATCHER_HOT_MAX - 1])
            continue;
        for (j = DISPATCHER_HOT_MAX - 1; j > 0 && weight[j - 1] < sampled->weight[i]; j--) {
            weight[j] = weight[j - 1];
            plan->hot_key[j] = plan->hot_key[j - 1];
        }
        weight[j] = sampled->weight[i];
        plan->hot_key[j] = cases[i].first;
        if (plan->hot < DISPATCHER_HOT_MAX)
            plan->hot++;
    }
}

/* As many of the heaviest keys as pay. */
static double best_table(const struct sampled *sampled, enum dispatcher_shape shape, bool known,
                         struct dispatcher_plan *ret)
{
    struct dispatcher_plan hot = { .shape = shape }, plan;
    double best, cost;

    if (known)
        find_hot(sampled, &hot);
    plan = hot;
    plan.hot = 0;
    *ret = plan;
    best = table_cost(sampled, shape, &plan);
    for (plan.hot = 1; plan.hot <= hot.hot; plan.hot++) {
        cost = table_cost(sampled, shape, &plan);
        if (cost < best) {
            best = cost;
            *ret = plan;
        }
    }
    return best;
}

/* By the rule of body.c: else a table of jumps would be mostly holes. */
static bool allows(const struct planner_question *question, enum dispatcher_shape shape)
{
    uint32_t first = 0, last = 0;
    size_t keys = 0;

    if (shape == DISPATCHER_TREE)
        return true;
    if (question->no_indirect)
        return false;
    for (size_t i = 0; i < question->count; i++) {
        if (question->cases[i].first != question->cases[i].last)
            continue;
        if (keys++ == 0)
            first = question->cases[i].first;
        last = question->cases[i].first;
    }
    return keys > 0 && (shape != DISPATCHER_DENSE || dispatcher_is_dense(first, last, keys));
}

static bool is_same(const struct dispatcher_plan *a, const struct dispatcher_plan *b)
{
    return a->shape == b->shape && a->hot == b->hot &&
           memcmp(a->hot_key, b->hot_key, a->hot * sizeof(a->hot_key[0])) == 0;
}

static void explain(const struct planner_question *question, const struct planner_answer *answer, bool known,
                    char *text, size_t size)
{
    static const char by_keys[] = "the keys are as hard to predict as";
    const char *name = dispatcher_shape_name(answer->plan.shape);

    if (question->no_indirect)
        snprintf(text, size, "tree: the policy allows no indirect branch");
    else if (!known)
        snprintf(text, size, "%s: by the number of cases (%zu), as too few keys were seen", name, question->count);
    else if (!answer->change)
        snprintf(text, size, "%s: no other shape saves a tenth of a call", name);
    else if (answer->plan.hot > 0)
        snprintf(text, size, "%s behind %u hot keys: %s %.1f that come equally often", name, answer->plan.hot, by_keys,
                 answer->distinct);
    else
        snprintf(text, size, "%s: %s %.1f that come equally often", name, by_keys, answer->distinct);
}

/* Where a table is as good as a tree, it is better: under other keys it costs little more, a large tree much. */
static int choose(const struct sampled *sampled, bool known, struct planner_answer *ret)
{
    const struct planner_question *question = sampled->question;
    struct dispatcher_plan plan[PLANNER_SHAPES] = { { .shape = DISPATCHER_TREE } };
    enum dispatcher_shape best = DISPATCHER_TREE;
    int r = tree_cost(sampled, sampled->weight, &ret->cost[DISPATCHER_TREE]);

    if (r < 0)
        return r;
    for (int s = DISPATCHER_HASH; s < PLANNER_SHAPES; s++) {
        ret->cost[s] = allows(question, (enum dispatcher_shape)s)
                           ? best_table(sampled, (enum dispatcher_shape)s, known, &plan[s]) : (double)INFINITY;
        if (ret->cost[s] < ret->cost[best] ||
            (best == DISPATCHER_TREE && question->count > LEAF_BRANCHES && ret->cost[s] < ret->cost[best] + WORTH_NS))
            best = (enum dispatcher_shape)s;
    }
    ret->plan = plan[best];
    ret->current_cost = ret->cost[best];
    ret->change = true;
    if (!question->current)
        return 0;
    if (question->current->shape == DISPATCHER_TREE)
        r = standing_tree_cost(sampled, &ret->current_cost);
    else
        ret->current_cost = table_cost(sampled, question->current->shape, question->current);
    if (r < 0)
        return r;
    ret->change = !allows(question, question->current->shape) ||
                  ((!is_same(question->current, &ret->plan) || (known && ret->plan.shape == DISPATCHER_TREE)) &&
                   ret->current_cost - ret->cost[best] > fmax(WORTH_NS, WORTH_SHARE * ret->current_cost));
    if (!ret->change)
        ret->plan = *question->current;
    return 0;
}

int planner_plan(const struct planner_question *question, struct planner_answer *ret, uint32_t *weight)
{
    struct sampled sampled = { .question = question, .total = (double)question->keys };
    uint32_t *counted = calloc(question->count + 1, sizeof(*counted));
    struct planner_answer answer = { 0 };
    bool known = question->keys >= PLANNER_SAMPLE_MIN;
    int r;

    if (!counted)
        return -ENOMEM;
    sampled.weight = counted;
    if (known) {
        count_keys(&sampled, counted);
        describe(&sampled);
    } else {
        assume(&sampled, counted);
    }
    answer.misses = sampled.misses / sampled.total;
    answer.distinct = sampled.distinct;
    r = choose(&sampled, known, &answer);
    if (r >= 0) {
        explain(question, &answer, known, answer.reason, sizeof(answer.reason));
        memcpy(weight, counted, question->count * sizeof(*weight));
        *ret = answer;
    }
    free(counted);
    return r;
}

/* ---- names ---- */

static const char *const shape_name[PLANNER_SHAPES] = {
    [DISPATCHER_TREE] = "tree",
    [DISPATCHER_HASH] = "hash",
    [DISPATCHER_DENSE] = "dense",
};

const char *dispatcher_shape_name(enum dispatcher_shape shape)
{
    return shape_name[shape];
}

bool dispatcher_shape_find(const char *name, enum dispatcher_shape *ret)
{
    for (int s = 0; s < PLANNER_SHAPES; s++)
        if (strcmp(name, shape_name[s]) == 0) {
            *ret = (enum dispatcher_shape)s;
            return true;
        }
    return false;
}
