/* SPDX-License-Identifier: MIT */
/*
 * Decision trees and filters, on x86-64.
 *
 * A hook is called as uint32_t entry(void *context, uint32_t key): context in rdi, key in esi, verdict in eax.  A
 * program takes the context in rdi too, so the way from the tree to it is one conditional jump, and it returns to the
 * hook's caller.
 */
#include <assert.h>
#include <stdbool.h>

#include "encode.h"
#include "x86_64.h"

/*
 * So many keys are compared one after another at each leaf.  Measured from 1 to 6: alike for one hot key, and 4 is the
 * first where keys that arrive in no order cost less (10.4 ns instead of 11.2 among 8 keys, 18.7 instead of 20.5 among
 * 64) and the tree is small (759 bytes for 64 keys instead of 935 and 1303); beyond it nothing is gained.
 */
#define LEAF_BRANCHES 4
#define FIRST_BRANCHES 4        /* at most; compared before the tree */

/* ---- comparisons ---- */

/* Leave in the flags whether the key is in the range; returns the condition for it. */
static enum x86_condition emit_compare(struct emitter *emitter, uint32_t first, uint32_t last)
{
    if (first == last) {
        x86_op_number(emitter, WIDTH_32, OP_CMP, RSI, (int32_t)first);
        return CONDITION_E;
    }
    if (first == 0) {
        x86_op_number(emitter, WIDTH_32, OP_CMP, RSI, (int32_t)last);
        return CONDITION_BE;
    }
    if (last == UINT32_MAX) {
        x86_op_number(emitter, WIDTH_32, OP_CMP, RSI, (int32_t)first);
        return CONDITION_AE;
    }
    /* One comparison for both ends: what is below the first wraps around. */
    x86_lea(emitter, WIDTH_32, RAX, x86_at(RSI, (int32_t)-first));
    x86_op_number(emitter, WIDTH_32, OP_CMP, RAX, (int32_t)(last - first));
    return CONDITION_BE;
}

static void emit_fallback(struct emitter *emitter, const struct fallback *fallback)
{
    if (fallback->runs) {
        x86_branch_near(emitter, CONDITION_ALWAYS, (uint64_t)fallback->code);
        return;
    }
    x86_mov_number(emitter, RAX, fallback->verdict);
    x86_ret(emitter);
}

/* ---- the tree ---- */

struct tree {
    const struct fallback *fallback;
    uint64_t floor;             /* is added to each weight: what was never seen is not infinitely deep */
};

static uint64_t total_weight(const struct branch *branches, size_t count)
{
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += branches[i].weight;
    return total;
}

/* How many branches make the low half, by weight: at least one, and not all; in neither half are more than `most`. */
static size_t low_half(const struct tree *tree, const struct branch *branches, size_t count, size_t most)
{
    uint64_t total = total_weight(branches, count) + count * tree->floor, low = branches[0].weight + tree->floor;
    size_t half = 1;

    while (half < count - 1 && 2 * low + branches[half].weight + tree->floor <= total)
        low += branches[half++].weight + tree->floor;
    if (count - half > most)
        return count - most;
    return half < most ? half : most;
}

/* Of a subtree: one more than if all branches weighed the same. */
static unsigned most_levels(size_t count)
{
    unsigned levels = 1;

    while ((size_t)LEAF_BRANCHES << (levels - 1) < count)
        levels++;
    return levels;
}

/* Heaviest first; of equal weight in the order of their keys. */
static void emit_leaf(struct emitter *emitter, const struct tree *tree, const struct branch *branches, size_t count)
{
    const struct branch *order[LEAF_BRANCHES];
    size_t j;

    for (size_t i = 0; i < count; i++) {
        for (j = i; j > 0 && order[j - 1]->weight < branches[i].weight; j--)
            order[j] = order[j - 1];
        order[j] = &branches[i];
    }
    for (size_t i = 0; i < count; i++) {
        if (order[i]->first == 0 && order[i]->last == UINT32_MAX) {
            x86_branch_near(emitter, CONDITION_ALWAYS, (uint64_t)order[i]->code);
            return;
        }
        x86_branch_near(emitter, emit_compare(emitter, order[i]->first, order[i]->last), (uint64_t)order[i]->code);
    }
    emit_fallback(emitter, tree->fallback);
}

/*
 * At most `levels` comparisons are made before a leaf.
 *
 *      cmp esi, highest key of the low half
 *      ja high                                 short where the low half is a leaf, which is shorter than 128 bytes
 *      (low half)
 * high:
 *      (high half)
 */
static void emit_subtree(struct emitter *emitter, const struct tree *tree, const struct branch *branches, size_t count,
                         unsigned levels)
{
    size_t half, skip;

    if (count <= LEAF_BRANCHES) {
        emit_leaf(emitter, tree, branches, count);
        return;
    }
    half = low_half(tree, branches, count, (size_t)LEAF_BRANCHES << (levels - 1));
    x86_op_number(emitter, WIDTH_32, OP_CMP, RSI, (int32_t)branches[half - 1].last);
    if (half <= LEAF_BRANCHES) {
        skip = x86_skip(emitter, CONDITION_A);
        emit_leaf(emitter, tree, branches, half);
        x86_land(emitter, skip);
    } else {
        skip = x86_skip_near(emitter, CONDITION_A);
        emit_subtree(emitter, tree, branches, half, levels - 1);
        x86_land_near(emitter, skip);
    }
    emit_subtree(emitter, tree, branches + half, count - half, levels - 1);
}

/* The heaviest of those that are not taken yet. */
static const struct branch *find_heaviest(const struct branch *branches, size_t count,
                                          const struct branch *const *taken, unsigned n_taken)
{
    const struct branch *heaviest = NULL;

    for (size_t i = 0; i < count; i++) {
        bool is_taken = false;

        for (unsigned j = 0; j < n_taken; j++)
            is_taken |= taken[j] == &branches[i];
        if (!is_taken && (!heaviest || branches[i].weight > heaviest->weight))
            heaviest = &branches[i];
    }
    return heaviest;
}

/*
 * What comes as often as all that is left together is compared before the tree, in which it stands too: so one hot key
 * costs one comparison, among however many.
 */
static void emit_first(struct emitter *emitter, const struct branch *branches, size_t count)
{
    uint64_t left = total_weight(branches, count);
    const struct branch *first[FIRST_BRANCHES];

    for (unsigned i = 0; i < FIRST_BRANCHES && count > LEAF_BRANCHES; i++) {
        first[i] = find_heaviest(branches, count, first, i);
        if (first[i]->weight == 0 || 2 * (uint64_t)first[i]->weight < left)
            return;
        left -= first[i]->weight;
        x86_branch_near(emitter, emit_compare(emitter, first[i]->first, first[i]->last), (uint64_t)first[i]->code);
    }
}

/*
 * With the mean of all weights added to each, what was never seen still has half of an even share, so it is mostly one
 * level deeper than among branches of equal weight.  Some weights would bring it deeper, which most_levels() prevents:
 * a call makes at most log2(count) + 7 comparisons, rounded up: FIRST_BRANCHES, the levels, and LEAF_BRANCHES.
 */
void x86_64_emit_tree(struct emitter *emitter, const struct branch *branches, size_t count,
                      const struct fallback *fallback)
{
    struct tree tree = { .fallback = fallback, .floor = 1 };

    for (size_t i = 0; i < count; i++)
        assert(branches[i].first <= branches[i].last && (i == 0 || branches[i - 1].last < branches[i].first));
    if (count > 0)
        tree.floor += total_weight(branches, count) / count;
    emit_first(emitter, branches, count);
    emit_subtree(emitter, &tree, branches, count, most_levels(count));
}

/* ---- the filter ---- */

/*
 *      cmp esi, key
 *      jne over
 *      (fallback)
 * over:
 *      jmp next
 */
void x86_64_emit_filter(struct emitter *emitter, uint32_t first, uint32_t last, const struct fallback *fallback,
                        uint64_t next)
{
    size_t skip;

    if (first == 0 && last == UINT32_MAX) {
        emit_fallback(emitter, fallback);
        return;
    }
    skip = x86_skip(emitter, emit_compare(emitter, first, last) ^ 1);   /* the lowest bit negates a condition */
    emit_fallback(emitter, fallback);
    x86_land(emitter, skip);
    x86_branch_near(emitter, CONDITION_ALWAYS, next);
}
