/* SPDX-License-Identifier: MIT */
/*
 * What is known of numbers of one width, and how it is taken apart.
 *
 * A view is what a scalar says of the full width, or of the low half.  Its pieces are its part below 0 and the rest.
 * Within a piece the signed order is the unsigned one, so that one interval tells all, and a rule for pieces is a few
 * lines.  Numbers are in the lowest `bits` of 64, the rest is 0; signed ones are sign-extended to int64_t.
 */
#ifndef JITCORE_VERIFIER_VIEW_H
#define JITCORE_VERIFIER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "scalar.h"
#include "tnum.h"

__extension__ typedef __int128 wide;            /* products of 64-bit numbers */
__extension__ typedef unsigned __int128 unsigned_wide;

struct view {
    struct tnum tnum;
    struct scalar_range range;
    unsigned bits;
};

/* From `first` to `last`, both included, of one sign, with these bits. */
struct piece {
    struct tnum tnum;
    uint64_t first, last;
    unsigned bits;
};

static inline uint64_t ones(unsigned bits)
{
    return UINT64_MAX >> (64 - bits);
}

static inline uint64_t sign_bit(unsigned bits)
{
    return UINT64_C(1) << (bits - 1);
}

static inline int64_t as_signed(uint64_t n, unsigned bits)
{
    return (int64_t)(n << (64 - bits)) >> (64 - bits);
}

static inline uint64_t minimum(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t maximum(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline int64_t signed_minimum(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t signed_maximum(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* All numbers of this width. */
struct scalar_range range_whole(unsigned bits);

/* `first` and the `length` numbers that follow it, where 0 follows the greatest.  `first` may be wider. */
struct scalar_range range_circular(uint64_t first, unsigned_wide length, unsigned bits);

/* If nothing is in both, the minimum of one order is above the maximum, which view_split() notices. */
struct scalar_range range_intersect(struct scalar_range a, struct scalar_range b);

/* The smallest range that holds both. */
struct scalar_range range_union(struct scalar_range a, struct scalar_range b);

static inline bool range_includes(struct scalar_range outer, struct scalar_range inner)
{
    return outer.umin <= inner.umin && inner.umax <= outer.umax && outer.smin <= inner.smin && inner.smax <= outer.smax;
}

/* All numbers from `first` to `last` with these bits; they are cut to the width, so they may wrap. */
struct view view_interval(wide first, wide last, struct tnum tnum, unsigned bits);

struct view view_of_piece(const struct piece *piece);

/* The smallest view that holds both. */
struct view view_union(struct view a, struct view b);

/* A view's pieces in ascending unsigned order, tightened: 0 (there is no such number), 1 or 2. */
unsigned view_split(const struct view *view, struct piece piece[2]);

/* The smallest view that holds the pieces: false, with nothing written, if there are none. */
bool view_join(struct view *view, const struct piece *piece, unsigned pieces);

/* Let bounds and bits narrow each other, so that first and last are numbers of the piece.  False if there is none. */
bool piece_tighten(struct piece *piece);

static inline bool piece_is_negative(const struct piece *piece)
{
    return piece->first & sign_bit(piece->bits);
}

/* The lowest `bits` of the numbers in 1 or 2 pieces. */
struct scalar_range pieces_narrow(const struct piece *piece, unsigned pieces, unsigned bits);

#endif
