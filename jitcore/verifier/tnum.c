/* SPDX-License-Identifier: MIT */
#include "tnum.h"

/* The bits below the highest one of `n`, and that one. */
static uint64_t fill_down(uint64_t n)
{
    return n ? UINT64_MAX >> __builtin_clzll(n) : 0;
}

struct tnum tnum_constant(uint64_t value)
{
    return (struct tnum){ .value = value, .mask = 0 };
}

struct tnum tnum_range(uint64_t minimum, uint64_t maximum)
{
    uint64_t mask = fill_down(minimum ^ maximum);

    return (struct tnum){ .value = minimum & ~mask, .mask = mask };
}

bool tnum_is_constant(struct tnum t)
{
    return t.mask == 0;
}

bool tnum_contains(struct tnum t, uint64_t value)
{
    return ((value ^ t.value) & ~t.mask) == 0;
}

bool tnum_equal(struct tnum a, struct tnum b)
{
    return a.value == b.value && a.mask == b.mask;
}

bool tnum_includes(struct tnum outer, struct tnum inner)
{
    return (inner.mask & ~outer.mask) == 0 && tnum_contains(outer, inner.value);
}

bool tnum_intersect(struct tnum a, struct tnum b, struct tnum *ret)
{
    uint64_t mask = a.mask & b.mask;

    if ((a.value ^ b.value) & ~a.mask & ~b.mask)
        return false;
    *ret = (struct tnum){ .value = a.value | b.value, .mask = mask };
    return true;
}

struct tnum tnum_union(struct tnum a, struct tnum b)
{
    uint64_t mask = a.mask | b.mask | (a.value ^ b.value);

    return (struct tnum){ .value = a.value & ~mask, .mask = mask };
}

bool tnum_at_least(struct tnum t, uint64_t bound, uint64_t *ret)
{
    /* The member whose unknown bits are those of the bound.  Where it first differs from the bound decides. */
    uint64_t member = t.value | (bound & t.mask);
    uint64_t below = fill_down(member ^ bound);     /* the first different bit, and all lower ones */
    uint64_t raised;

    if (member >= bound) {
        *ret = member & ~(below & t.mask);
        return true;
    }
    /* Too small: raise the lowest unknown bit above that is 0. */
    raised = t.mask & ~bound & ~below;
    raised &= -raised;
    if (raised)
        *ret = (member | raised) & ~((raised - 1) & t.mask);
    return raised;
}

bool tnum_at_most(struct tnum t, uint64_t bound, uint64_t *ret)
{
    struct tnum complement = { .value = ~(t.value | t.mask), .mask = t.mask };
    uint64_t member;

    if (!tnum_at_least(complement, ~bound, &member))
        return false;
    *ret = ~member;
    return true;
}

struct tnum tnum_truncate(struct tnum t, unsigned bits)
{
    uint64_t kept = UINT64_MAX >> (64 - bits);

    return (struct tnum){ .value = t.value & kept, .mask = t.mask & kept };
}

struct tnum tnum_sign_extend(struct tnum t, unsigned bits)
{
    return tnum_shift_right_signed(tnum_shift_left(t, 64 - bits), 64 - bits);
}

static uint64_t byte_swap(uint64_t n, unsigned bytes, unsigned byte_bits)
{
    uint64_t byte = UINT64_MAX >> (64 - byte_bits), swapped = 0;

    for (unsigned i = 0; i < bytes; i++)
        swapped |= (n >> (i * byte_bits) & byte) << ((bytes - 1 - i) * byte_bits);
    return swapped;
}

struct tnum tnum_byte_swap(struct tnum t, unsigned bytes, unsigned byte_bits)
{
    return (struct tnum){
        .value = byte_swap(t.value, bytes, byte_bits), .mask = byte_swap(t.mask, bytes, byte_bits),
    };
}

/* `uncertain`: the bits that differ between the sums with all carries and with none, so that a carry may reach them. */
static struct tnum with_carries(uint64_t value, uint64_t uncertain, struct tnum a, struct tnum b)
{
    uint64_t mask = uncertain | a.mask | b.mask;

    return (struct tnum){ .value = value & ~mask, .mask = mask };
}

struct tnum tnum_add(struct tnum a, struct tnum b)
{
    uint64_t least = a.value + b.value, greatest = least + a.mask + b.mask;

    return with_carries(least, least ^ greatest, a, b);
}

struct tnum tnum_subtract(struct tnum a, struct tnum b)
{
    uint64_t value = a.value - b.value;

    return with_carries(value, (value + a.mask) ^ (value - b.mask), a, b);
}

/* By hand: the sum of b << i for each bit i of a; where that bit is unknown, with the summand or without. */
struct tnum tnum_multiply(struct tnum a, struct tnum b)
{
    struct tnum sum = tnum_constant(0);

    for (; a.value | a.mask; a = tnum_shift_right(a, 1), b = tnum_shift_left(b, 1)) {
        if (a.value & 1)
            sum = tnum_add(sum, b);
        else if (a.mask & 1)
            sum = tnum_union(sum, tnum_add(sum, b));
    }
    return sum;
}

struct tnum tnum_and(struct tnum a, struct tnum b)
{
    uint64_t value = a.value & b.value, possible = (a.value | a.mask) & (b.value | b.mask);

    return (struct tnum){ .value = value, .mask = possible & ~value };
}

struct tnum tnum_or(struct tnum a, struct tnum b)
{
    uint64_t value = a.value | b.value;

    return (struct tnum){ .value = value, .mask = (a.mask | b.mask) & ~value };
}

struct tnum tnum_xor(struct tnum a, struct tnum b)
{
    uint64_t mask = a.mask | b.mask;

    return (struct tnum){ .value = (a.value ^ b.value) & ~mask, .mask = mask };
}

struct tnum tnum_shift_left(struct tnum t, unsigned amount)
{
    return (struct tnum){ .value = t.value << amount, .mask = t.mask << amount };
}

struct tnum tnum_shift_right(struct tnum t, unsigned amount)
{
    return (struct tnum){ .value = t.value >> amount, .mask = t.mask >> amount };
}

/* The highest bit, known or not, is what is shifted in. */
struct tnum tnum_shift_right_signed(struct tnum t, unsigned amount)
{
    return (struct tnum){
        .value = (uint64_t)((int64_t)t.value >> amount), .mask = (uint64_t)((int64_t)t.mask >> amount),
    };
}
