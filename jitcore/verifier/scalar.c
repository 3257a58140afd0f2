/* SPDX-License-Identifier: MIT */
#include "scalar.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "operator.h"
#include "relation.h"
#include "view.h"

#define FULL SCALAR_BITS
#define LOW SCALAR_HALF_BITS

_Static_assert(sizeof(struct scalar) == 10 * sizeof(uint64_t), "compared with memcmp()");

/* ---- full width and low half ---- */

static struct view view_of(const struct scalar *scalar, bool full)
{
    return (struct view){
        .tnum = full ? scalar->tnum : tnum_truncate(scalar->tnum, LOW),
        .range = full ? scalar->full : scalar->low,
        .bits = full ? FULL : LOW,
    };
}

static void set_view(struct scalar *scalar, const struct view *view)
{
    if (view->bits == FULL) {
        scalar->tnum = view->tnum;
        scalar->full = view->range;
    } else {
        scalar->tnum.value = (scalar->tnum.value & ~ones(LOW)) | view->tnum.value;
        scalar->tnum.mask = (scalar->tnum.mask & ~ones(LOW)) | view->tnum.mask;
        scalar->low = view->range;
    }
}

/* The smallest number >= bound whose low half is in one of the pieces: false if there is none. */
static bool low_at_least(const struct piece *low, unsigned pieces, uint64_t bound, uint64_t *ret)
{
    uint64_t half = bound & ones(LOW), rest = bound & ~ones(LOW);

    for (unsigned i = 0; i < pieces; i++) {
        if (half <= low[i].last) {
            *ret = rest | maximum(half, low[i].first);
            return true;
        }
    }
    *ret = (rest + ones(LOW) + 1) | low[0].first;
    return rest < (ones(FULL) & ~ones(LOW));
}

static bool low_at_most(const struct piece *low, unsigned pieces, uint64_t bound, uint64_t *ret)
{
    uint64_t half = bound & ones(LOW), rest = bound & ~ones(LOW);

    for (unsigned i = pieces; i-- > 0;) {
        if (half >= low[i].first) {
            *ret = rest | minimum(half, low[i].last);
            return true;
        }
    }
    *ret = (rest - 1 - ones(LOW)) | low[pieces - 1].last;
    return rest > 0;
}

/* Narrow the pieces of the full width by what the low half says.  Was there anything to narrow? */
static bool narrow_by_low(struct piece full[2], unsigned *fulls, const struct piece *low, unsigned lows,
                          struct tnum tnum)
{
    unsigned kept = 0;
    bool changed = false;

    for (unsigned i = 0; i < *fulls; i++) {
        struct piece piece = full[i];
        bool left = low_at_least(low, lows, piece.first, &piece.first) &&
                    low_at_most(low, lows, piece.last, &piece.last) && piece.first <= piece.last &&
                    tnum_intersect(piece.tnum, tnum, &piece.tnum) && piece_tighten(&piece);

        changed = changed || !left || piece.first != full[i].first || piece.last != full[i].last ||
                  !tnum_equal(piece.tnum, full[i].tnum);
        if (left)
            full[kept++] = piece;
    }
    *fulls = kept;
    return changed;
}

/*
 * Let all parts narrow each other, to a fixed point or nearly: what each round leaves is right.  False if no value is
 * left, with `scalar` of no meaning.  Some sets are empty and it is not noticed.
 */
static bool reduce(struct scalar *scalar)
{
    struct view view = view_of(scalar, true), half;
    struct piece full[2], low[2];
    unsigned fulls, lows, rounds = 4;
    bool possible;

    if (tnum_is_constant(scalar->tnum)) {
        possible = scalar_contains(scalar, scalar->tnum.value);
        *scalar = scalar_constant(scalar->tnum.value);
        return possible;
    }
    fulls = view_split(&view, full);
    do {
        if (!view_join(&view, full, fulls))
            return false;
        set_view(scalar, &view);
        scalar->low = range_intersect(scalar->low, pieces_narrow(full, fulls, LOW));
        half = view_of(scalar, false);
        lows = view_split(&half, low);
        if (!view_join(&half, low, lows))
            return false;
        set_view(scalar, &half);
    } while (--rounds && narrow_by_low(full, &fulls, low, lows, scalar->tnum));
    return true;
}

/* Code that no values reach may compute with sets that are empty unnoticed: any result will do. */
static struct scalar reduced(struct scalar scalar)
{
    return reduce(&scalar) ? scalar : scalar_unknown();
}

static struct scalar scalar_of(struct tnum tnum, struct scalar_range full, struct scalar_range low)
{
    return reduced((struct scalar){ .tnum = tnum, .full = full, .low = low });
}

/* The numbers of a narrower view, zero-extended. */
static struct scalar zero_extended(const struct view *view)
{
    struct scalar_range range = range_circular(view->range.umin, view->range.umax - view->range.umin, FULL);

    return scalar_of(view->tnum, range, view->bits == LOW ? view->range : range_whole(LOW));
}

static struct scalar sign_extended(const struct view *view)
{
    struct scalar_range range = range_circular((uint64_t)view->range.smin,
                                               (uint64_t)view->range.smax - (uint64_t)view->range.smin, FULL);

    return scalar_of(tnum_truncate(tnum_sign_extend(view->tnum, view->bits), FULL), range,
                     view->bits == LOW ? view->range : range_whole(LOW));
}

/* Bits in 1, 2, 4 or 8 bytes. */
static unsigned width_of(unsigned bytes)
{
    return bytes == 8 ? FULL : bytes == 4 ? LOW : bytes * SCALAR_BYTE_BITS;
}

/* The lowest bytes of a number. */
static struct view lowest(const struct scalar *scalar, unsigned bytes)
{
    struct view view = view_of(scalar, bytes == 8);
    struct piece piece[2];
    unsigned pieces;

    if (bytes >= 4)
        return view;
    pieces = view_split(&view, piece);
    view.bits = width_of(bytes);
    view.tnum = tnum_truncate(view.tnum, view.bits);
    view.range = pieces ? pieces_narrow(piece, pieces, view.bits) : range_whole(view.bits);
    return view;
}

struct scalar scalar_unknown(void)
{
    return (struct scalar){
        .tnum = tnum_truncate(TNUM_UNKNOWN, FULL), .full = range_whole(FULL), .low = range_whole(LOW),
    };
}

static struct scalar_range constant_range(uint64_t value, unsigned bits)
{
    int64_t number = as_signed(value, bits);

    return (struct scalar_range){ .umin = value, .umax = value, .smin = number, .smax = number };
}

struct scalar scalar_constant(uint64_t value)
{
    return (struct scalar){
        .tnum = { .value = value & ones(FULL), .mask = 0 },
        .full = constant_range(value & ones(FULL), FULL),
        .low = constant_range(value & ones(LOW), LOW),
    };
}

struct scalar scalar_unsigned_range(uint64_t umin, uint64_t umax)
{
    return scalar_of(tnum_range(umin, umax), range_circular(umin, umax - umin, FULL), range_whole(LOW));
}

struct scalar scalar_signed_range(int64_t smin, int64_t smax)
{
    uint64_t length = (uint64_t)smax - (uint64_t)smin;

    return scalar_of(tnum_truncate(TNUM_UNKNOWN, FULL), range_circular((uint64_t)smin, length, FULL), range_whole(LOW));
}

struct scalar scalar_loaded(unsigned bytes)
{
    return scalar_unsigned_range(0, ones(width_of(bytes)));
}

bool scalar_is_constant(const struct scalar *scalar)
{
    return tnum_is_constant(scalar->tnum);
}

bool scalar_is_32(const struct scalar *scalar)
{
    return scalar->full.umax <= ones(LOW);
}

bool scalar_includes(const struct scalar *outer, const struct scalar *inner)
{
    if (outer->tnum.mask == 0)
        return inner->tnum.mask == 0 && inner->tnum.value == outer->tnum.value;
    return tnum_includes(outer->tnum, inner->tnum) && range_includes(outer->full, inner->full) &&
           range_includes(outer->low, inner->low);
}

bool scalar_equal(const struct scalar *a, const struct scalar *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

bool scalar_contains(const struct scalar *scalar, uint64_t value)
{
    return tnum_contains(scalar->tnum, value) && range_includes(scalar->full, range_circular(value, 0, FULL)) &&
           range_includes(scalar->low, range_circular(value, 0, LOW));
}

struct scalar scalar_zero_extend(const struct scalar *scalar, unsigned bytes)
{
    struct view view = lowest(scalar, bytes);

    return scalar->full.umax <= ones(width_of(bytes)) ? *scalar : zero_extended(&view);
}

struct scalar scalar_sign_extend(const struct scalar *scalar, unsigned bytes)
{
    struct view view = lowest(scalar, bytes);

    return bytes == 8 ? *scalar : sign_extended(&view);
}

struct scalar scalar_byte_swap(const struct scalar *scalar, unsigned bytes)
{
    struct view view = lowest(scalar, bytes);

    view.tnum = tnum_byte_swap(view.tnum, bytes, SCALAR_BYTE_BITS);
    view.range = range_whole(view.bits);
    return zero_extended(&view);
}

/* ---- arithmetic and comparisons ---- */

/* Has the range of the low half something to tell that the full range has not? */
static bool low_tells_more(const struct scalar *scalar)
{
    bool is_narrow = scalar->full.umax <= ones(LOW) ||
                     (scalar->full.smin >= as_signed(sign_bit(LOW), LOW) && scalar->full.smax <= (int64_t)ones(LOW));

    return !is_narrow && !range_includes(scalar->low, range_whole(LOW));
}

/* Is the low half of a 64-bit result made of the operands' low halves alone? */
static bool low_is_alone(enum instruction_arithmetic operation, const struct scalar *b)
{
    switch (operation) {
    case ALU_ADD: case ALU_SUB: case ALU_MUL: case ALU_AND: case ALU_OR: case ALU_XOR: return true;
    case ALU_LSH: return b->full.umax < LOW;
    default: return false;
    }
}

static struct view view_arithmetic(enum instruction_arithmetic operation, bool full, bool is_signed,
                                   const struct scalar *a, const struct scalar *b)
{
    struct view view_a = view_of(a, full), view_b = view_of(b, full);

    return operator_apply(operation, is_signed, &view_a, &view_b);
}

/* Two constants, which are so frequent: the usual operators without their sets.  False: by the general way. */
static bool compute_constants(enum instruction_arithmetic operation, uint64_t a, uint64_t b, uint64_t *ret)
{
    switch (operation) {
    case ALU_ADD:
        *ret = a + b;
        return true;
    case ALU_SUB:
        *ret = a - b;
        return true;
    case ALU_MUL:
        *ret = a * b;
        return true;
    case ALU_OR:
        *ret = a | b;
        return true;
    case ALU_AND:
        *ret = a & b;
        return true;
    case ALU_XOR:
        *ret = a ^ b;
        return true;
    default:
        return false;
    }
}

struct scalar scalar_arithmetic(enum instruction_arithmetic operation, bool is_64, bool is_signed,
                                const struct scalar *a, const struct scalar *b)
{
    struct scalar zero = scalar_constant(0), result = zero, low;
    struct view view;
    uint64_t constant;

    if (scalar_is_constant(a) && scalar_is_constant(b) &&
        compute_constants(operation, a->tnum.value, b->tnum.value, &constant))
        return scalar_constant(is_64 ? constant : constant & ones(LOW));
    if (operation == ALU_NEG)
        return scalar_arithmetic(ALU_SUB, is_64, false, &zero, a);
    if (operation == ALU_MOV)
        return scalar_zero_extend(b, is_64 ? 8 : 4);

    if (is_64 && operation == ALU_LSH && b->full.umin >= LOW && b->full.umax < FULL) {
        low = scalar_sign_extend(a, 4);         /* all that is left of it */
        a = &low;
    }
    view = view_arithmetic(operation, is_64, is_signed, a, b);
    if (!is_64)
        return zero_extended(&view);
    set_view(&result, &view);
    result.low = range_whole(LOW);
    if (low_is_alone(operation, b) && (low_tells_more(a) || low_tells_more(b)))
        result.low = view_arithmetic(operation, false, is_signed, a, b).range;
    return reduced(result);
}

/* Is the jump taken, with these numbers of so many bits? */
static bool compare_constants(enum instruction_jump operation, unsigned bits, uint64_t a, uint64_t b)
{
    int64_t signed_a, signed_b;

    a &= ones(bits);
    b &= ones(bits);
    signed_a = as_signed(a, bits);
    signed_b = as_signed(b, bits);
    switch (operation) {
    case JUMP_EQ:
        return a == b;
    case JUMP_NE:
        return a != b;
    case JUMP_GT:
        return a > b;
    case JUMP_GE:
        return a >= b;
    case JUMP_LT:
        return a < b;
    case JUMP_LE:
        return a <= b;
    case JUMP_SGT:
        return signed_a > signed_b;
    case JUMP_SGE:
        return signed_a >= signed_b;
    case JUMP_SLT:
        return signed_a < signed_b;
    case JUMP_SLE:
        return signed_a <= signed_b;
    case JUMP_SET:
        return a & b;
    default:
        return true;
    }
}

bool scalar_refine(enum instruction_jump operation, bool is_64, bool taken, struct scalar *a, struct scalar *b)
{
    struct scalar refined_a = *a, refined_b = *b;
    struct view view_a, view_b;

    if (scalar_is_constant(a) && scalar_is_constant(b))
        return compare_constants(operation, is_64 ? FULL : LOW, a->tnum.value, b->tnum.value) == taken;
    view_a = view_of(a, is_64);
    view_b = view_of(b, is_64);
    if (!relation_narrow(operation, taken, &view_a, &view_b))
        return false;
    set_view(&refined_a, &view_a);
    set_view(&refined_b, &view_b);
    if (!reduce(&refined_a) || !reduce(&refined_b))
        return false;
    *a = refined_a;
    *b = refined_b;
    return true;
}

enum scalar_branch scalar_branch(enum instruction_jump operation, bool is_64,
                                 const struct scalar *a, const struct scalar *b)
{
    struct scalar a_taken = *a, b_taken = *b, a_not = *a, b_not = *b;

    if (!scalar_refine(operation, is_64, true, &a_taken, &b_taken))
        return SCALAR_BRANCH_NEVER;
    return scalar_refine(operation, is_64, false, &a_not, &b_not) ? SCALAR_BRANCH_MAYBE : SCALAR_BRANCH_ALWAYS;
}

/* ---- messages ---- */

struct text {
    char *buffer;
    size_t used;
};

__attribute__((format(printf, 2, 3)))
static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text->buffer + text->used, SCALAR_FORMAT_SIZE - text->used, format, arguments);
    va_end(arguments);
    assert(length >= 0 && text->used + (size_t)length < SCALAR_FORMAT_SIZE);
    text->used += (size_t)length;
}

/* Decimal up to 32 bits, then hexadecimal. */
static void append_number(struct text *text, uint64_t magnitude, bool negative)
{
    append(text, magnitude <= UINT32_MAX ? "%s%" PRIu64 : "%s0x%" PRIx64, negative ? "-" : "", magnitude);
}

static void append_signed(struct text *text, int64_t n)
{
    append_number(text, n < 0 ? -(uint64_t)n : (uint64_t)n, n < 0);
}

/* The signed range, unless the unsigned one is shorter. */
static void append_range(struct text *text, const char *prefix, struct scalar_range range)
{
    append(text, "%s%s", text->used ? ", " : "", prefix);
    if (range.umin == range.umax) {
        append_signed(text, range.smin);
    } else if ((uint64_t)range.smax - (uint64_t)range.smin <= range.umax - range.umin) {
        append_signed(text, range.smin);
        append(text, "..");
        append_signed(text, range.smax);
    } else {
        append_number(text, range.umin, false);
        append(text, "..");
        append_number(text, range.umax, false);
    }
}

/* Only what does not follow from the rest. */
const char *scalar_format(const struct scalar *scalar, char buffer[SCALAR_FORMAT_SIZE])
{
    struct text text = { .buffer = buffer };
    struct tnum no_tnum = tnum_truncate(TNUM_UNKNOWN, FULL);
    struct scalar by_full = scalar_of(no_tnum, scalar->full, range_whole(LOW));
    struct scalar by_ranges = scalar_of(no_tnum, scalar->full, scalar->low);
    struct scalar by_bits = scalar_unknown();

    buffer[0] = '\0';
    if (scalar_is_constant(scalar)) {
        append_signed(&text, scalar->full.smin);
        return buffer;
    }
    if (!tnum_equal(scalar->tnum, by_ranges.tnum))
        by_bits = scalar_of(scalar->tnum, range_whole(FULL), range_whole(LOW));
    if (!range_includes(scalar->full, range_whole(FULL)))
        append_range(&text, "", scalar->full);
    if (!range_includes(scalar->low, by_full.low) && !range_includes(scalar->low, by_bits.low))
        append_range(&text, "low half ", scalar->low);
    if (!tnum_equal(scalar->tnum, by_ranges.tnum)) {
        uint64_t known = by_ranges.tnum.mask & ~scalar->tnum.mask;

        append(&text, "%sbits 0x%" PRIx64 " are 0x%" PRIx64, text.used ? ", " : "", known, scalar->tnum.value & known);
    }
    return text.used ? buffer : strcpy(buffer, "unknown");
}
