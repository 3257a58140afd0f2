/* SPDX-License-Identifier: MIT */
#include "relation.h"

/* Narrows a and b to where the relation holds.  False if it never does, with a and b of no meaning. */
typedef bool relation_fn(struct view *a, struct view *b);

static bool equal(struct view *a, struct view *b)
{
    a->range = b->range = range_intersect(a->range, b->range);
    if (!tnum_intersect(a->tnum, b->tnum, &a->tnum))
        return false;
    b->tnum = a->tnum;
    return true;
}

static bool exclude(struct view *view, const struct view *other)
{
    uint64_t value = other->tnum.value;
    int64_t signed_value = as_signed(value, view->bits);

    if (!tnum_is_constant(other->tnum))
        return true;
    if (tnum_is_constant(view->tnum))
        return view->tnum.value != value;
    view->range.umin += view->range.umin == value;
    view->range.umax -= view->range.umax == value;
    view->range.smin += view->range.smin == signed_value;
    view->range.smax -= view->range.smax == signed_value;
    return true;
}

static bool different(struct view *a, struct view *b)
{
    return exclude(a, b) && exclude(b, a);
}

static bool less_or_equal(struct view *a, struct view *b)
{
    a->range.umax = minimum(a->range.umax, b->range.umax);
    b->range.umin = maximum(b->range.umin, a->range.umin);
    return true;
}

static bool less(struct view *a, struct view *b)
{
    if (b->range.umax == 0 || a->range.umin == ones(a->bits))
        return false;
    a->range.umax = minimum(a->range.umax, b->range.umax - 1);
    b->range.umin = maximum(b->range.umin, a->range.umin + 1);
    return true;
}

static bool signed_less_or_equal(struct view *a, struct view *b)
{
    a->range.smax = signed_minimum(a->range.smax, b->range.smax);
    b->range.smin = signed_maximum(b->range.smin, a->range.smin);
    return true;
}

static bool signed_less(struct view *a, struct view *b)
{
    struct scalar_range whole = range_whole(a->bits);

    if (b->range.smax == whole.smin || a->range.smin == whole.smax)
        return false;
    a->range.smax = signed_minimum(a->range.smax, b->range.smax - 1);
    b->range.smin = signed_maximum(b->range.smin, a->range.smin + 1);
    return true;
}

/* a & b != 0.  If just one bit can be in both, it is. */
static bool overlapping(struct view *a, struct view *b)
{
    uint64_t common = (a->tnum.value | a->tnum.mask) & (b->tnum.value | b->tnum.mask);

    if ((common & (common - 1)) == 0) {
        a->tnum = (struct tnum){ .value = a->tnum.value | common, .mask = a->tnum.mask & ~common };
        b->tnum = (struct tnum){ .value = b->tnum.value | common, .mask = b->tnum.mask & ~common };
    }
    return common;
}

/* a & b == 0.  A bit that one has, the other has not. */
static bool disjoint(struct view *a, struct view *b)
{
    a->tnum.mask &= ~b->tnum.value;
    b->tnum.mask &= ~a->tnum.value;
    return (a->tnum.value & b->tnum.value) == 0;
}

/* By enum instruction_jump: what holds if the jump is taken, and if not. */
static const struct {
    struct {
        relation_fn *relation;
        bool exchanged;         /* of b and a, that is */
    } on[2];
} comparisons[16] = {
    [JUMP_EQ] = { { { different, false }, { equal, false } } },
    [JUMP_NE] = { { { equal, false }, { different, false } } },
    [JUMP_SET] = { { { disjoint, false }, { overlapping, false } } },
    [JUMP_LT] = { { { less_or_equal, true }, { less, false } } },
    [JUMP_LE] = { { { less, true }, { less_or_equal, false } } },
    [JUMP_GT] = { { { less_or_equal, false }, { less, true } } },
    [JUMP_GE] = { { { less, false }, { less_or_equal, true } } },
    [JUMP_SLT] = { { { signed_less_or_equal, true }, { signed_less, false } } },
    [JUMP_SLE] = { { { signed_less, true }, { signed_less_or_equal, false } } },
    [JUMP_SGT] = { { { signed_less_or_equal, false }, { signed_less, true } } },
    [JUMP_SGE] = { { { signed_less, false }, { signed_less_or_equal, true } } },
};

bool relation_narrow(enum instruction_jump operation, bool taken, struct view *a, struct view *b)
{
    relation_fn *relation = comparisons[operation].on[taken].relation;

    return comparisons[operation].on[taken].exchanged ? relation(b, a) : relation(a, b);
}
