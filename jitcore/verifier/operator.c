/* SPDX-License-Identifier: MIT */
#include "operator.h"

/* What an operator makes of two pieces.  Bits above the width do not matter, they are cut off. */
typedef struct view operator_fn(const struct piece *a, const struct piece *b);

/* All pieces of a with all of b.  A view without pieces gives what any other gives: all numbers. */
static struct view apply(operator_fn *operator, const struct view *a, const struct view *b)
{
    struct view result = {
        .tnum = tnum_truncate(TNUM_UNKNOWN, a->bits), .range = range_whole(a->bits), .bits = a->bits,
    };
    struct piece as[2], bs[2], parts[2];
    unsigned a_count = view_split(a, as), b_count = view_split(b, bs);

    for (unsigned i = 0; i < a_count; i++) {
        for (unsigned j = 0; j < b_count; j++) {
            struct view one = operator(&as[i], &bs[j]);

            one.bits = a->bits;
            one.tnum = tnum_truncate(one.tnum, one.bits);
            if (a_count * b_count > 1)
                (void)view_join(&one, parts, view_split(&one, parts));
            result = i || j ? view_union(result, one) : one;
        }
    }
    return result;
}

static wide signed_first(const struct piece *piece)
{
    return as_signed(piece->first, piece->bits);
}

static wide signed_last(const struct piece *piece)
{
    return as_signed(piece->last, piece->bits);
}

static struct view add(const struct piece *a, const struct piece *b)
{
    return view_interval((wide)a->first + b->first, (wide)a->last + b->last, tnum_add(a->tnum, b->tnum), a->bits);
}

static struct view subtract(const struct piece *a, const struct piece *b)
{
    return view_interval((wide)a->first - b->last, (wide)a->last - b->first, tnum_subtract(a->tnum, b->tnum), a->bits);
}

/* An operator that is monotonic in each operand has its extremes where they have theirs. */
static struct view corners(const wide corner[4], struct tnum tnum, unsigned bits)
{
    wide least = corner[0], greatest = corner[0];

    for (unsigned i = 1; i < 4; i++) {
        least = corner[i] < least ? corner[i] : least;
        greatest = corner[i] > greatest ? corner[i] : greatest;
    }
    return view_interval(least, greatest, tnum, bits);
}

static struct view multiply(const struct piece *a, const struct piece *b)
{
    wide corner[4] = {
        signed_first(a) * signed_first(b), signed_first(a) * signed_last(b),
        signed_last(a) * signed_first(b), signed_last(a) * signed_last(b),
    };

    return corners(corner, tnum_multiply(a->tnum, b->tnum), a->bits);
}

static struct view divide(const struct piece *a, const struct piece *b)
{
    bool is_power = b->first == b->last && b->first && (b->first & (b->first - 1)) == 0;
    struct tnum tnum = is_power ? tnum_shift_right(a->tnum, (unsigned)__builtin_ctzll(b->first)) : TNUM_UNKNOWN;

    if (b->last == 0)
        return view_interval(0, 0, tnum_constant(0), a->bits);
    return view_interval(b->first ? a->first / b->last : 0, a->last / maximum(b->first, 1), tnum, a->bits);
}

/* The quotient grows or falls with each operand, as the divisor is of one sign. */
static struct view divide_signed(const struct piece *a, const struct piece *b)
{
    wide first = b->first ? signed_first(b) : 1, last = signed_last(b);

    if (b->last == 0 || (!piece_is_negative(a) && !piece_is_negative(b)))
        return divide(a, b);
    return corners((wide[4]){
        signed_first(a) / first, signed_first(a) / last, signed_last(a) / first,
        b->first ? signed_last(a) / last : 0,           /* n / 0, which is the greatest: a is negative */
    }, TNUM_UNKNOWN, a->bits);
}

/* n - n / d * d, which is n for d = 0, too; `bounds` is what is known besides. */
static struct view remainder_of(const struct piece *a, const struct piece *b, operator_fn *quotient,
                                struct scalar_range bounds)
{
    struct view dividend = view_of_piece(a), divisor = view_of_piece(b);
    struct view product = apply(quotient, &dividend, &divisor);

    product = apply(multiply, &product, &divisor);
    dividend = apply(subtract, &dividend, &product);
    dividend.range = range_intersect(dividend.range, bounds);
    return dividend;
}

static struct view modulo(const struct piece *a, const struct piece *b)
{
    uint64_t last = b->first ? minimum(a->last, b->last - 1) : a->last;

    return remainder_of(a, b, divide, range_circular(0, last, a->bits));
}

/* The remainder has the sign of the dividend, and is smaller than the divisor. */
static struct view modulo_signed(const struct piece *a, const struct piece *b)
{
    wide limit = piece_is_negative(b) ? -signed_first(b) - 1 : signed_last(b) - 1;
    wide least = signed_first(a);

    if (!piece_is_negative(a) && !piece_is_negative(b))
        return modulo(a, b);
    if (!piece_is_negative(a))
        return remainder_of(a, b, divide_signed, range_circular(0, minimum(a->last, (uint64_t)limit), a->bits));
    if (b->first && -limit > least)
        least = -limit;
    return remainder_of(a, b, divide_signed, range_circular((uint64_t)least, (unsigned_wide)-least, a->bits));
}

static struct view bitwise_and(const struct piece *a, const struct piece *b)
{
    return view_interval(0, minimum(a->last, b->last), tnum_and(a->tnum, b->tnum), a->bits);
}

static struct view bitwise_or(const struct piece *a, const struct piece *b)
{
    return view_interval(maximum(a->first, b->first), ones(a->bits), tnum_or(a->tnum, b->tnum), a->bits);
}

static struct view bitwise_xor(const struct piece *a, const struct piece *b)
{
    return view_interval(0, ones(a->bits), tnum_xor(a->tnum, b->tnum), a->bits);
}

static struct view left(const struct piece *a, unsigned amount)
{
    return view_interval((wide)a->first << amount, (wide)a->last << amount, tnum_shift_left(a->tnum, amount), a->bits);
}

static struct view right(const struct piece *a, unsigned amount)
{
    return view_interval(a->first >> amount, a->last >> amount, tnum_shift_right(a->tnum, amount), a->bits);
}

static struct view right_signed(const struct piece *a, unsigned amount)
{
    struct tnum tnum = tnum_sign_extend(a->tnum, a->bits);

    tnum = tnum_shift_right_signed(tnum, amount);
    return view_interval(signed_first(a) >> amount, signed_last(a) >> amount, tnum, a->bits);
}

typedef struct view shift_fn(const struct piece *a, unsigned amount);

/* By every amount that is possible. */
static struct view shift(const struct piece *a, const struct piece *b, shift_fn *by)
{
    bool in_width = b->last < b->bits, found = false;
    struct tnum amounts = tnum_and(b->tnum, tnum_constant(b->bits - 1));
    uint64_t last = in_width ? b->last : b->bits - 1;
    struct view result = { .bits = a->bits };

    for (uint64_t amount = in_width ? b->first : 0; amount <= last; amount++) {
        if (!tnum_contains(amounts, amount))
            continue;
        result = found ? view_union(result, by(a, (unsigned)amount)) : by(a, (unsigned)amount);
        found = true;
    }
    return result;
}

static struct view shift_left(const struct piece *a, const struct piece *b)
{
    return shift(a, b, left);
}

static struct view shift_right(const struct piece *a, const struct piece *b)
{
    return shift(a, b, right);
}

static struct view shift_right_signed(const struct piece *a, const struct piece *b)
{
    return shift(a, b, right_signed);
}

/* By enum instruction_arithmetic: unsigned, signed. */
static operator_fn *const operators[16][2] = {
    [ALU_ADD] = { add, add },
    [ALU_SUB] = { subtract, subtract },
    [ALU_MUL] = { multiply, multiply },
    [ALU_DIV] = { divide, divide_signed },
    [ALU_MOD] = { modulo, modulo_signed },
    [ALU_AND] = { bitwise_and, bitwise_and },
    [ALU_OR] = { bitwise_or, bitwise_or },
    [ALU_XOR] = { bitwise_xor, bitwise_xor },
    [ALU_LSH] = { shift_left, shift_left },
    [ALU_RSH] = { shift_right, shift_right },
    [ALU_ARSH] = { shift_right_signed, shift_right_signed },
};

struct view operator_apply(enum instruction_arithmetic operation, bool is_signed,
                           const struct view *a, const struct view *b)
{
    return apply(operators[operation][is_signed], a, b);
}
