/* SPDX-License-Identifier: MIT */
#include "view.h"

struct scalar_range range_whole(unsigned bits)
{
    return (struct scalar_range){
        .umin = 0, .umax = ones(bits), .smin = as_signed(sign_bit(bits), bits), .smax = (int64_t)(ones(bits) >> 1),
    };
}

struct scalar_range range_circular(uint64_t first, unsigned_wide length, unsigned bits)
{
    struct scalar_range range = range_whole(bits);
    uint64_t last = (first + (uint64_t)length) & ones(bits);

    first &= ones(bits);
    if (length > ones(bits))
        return range;
    if (first <= last) {
        range.umin = first;
        range.umax = last;
    }
    if (as_signed(first, bits) <= as_signed(last, bits)) {
        range.smin = as_signed(first, bits);
        range.smax = as_signed(last, bits);
    }
    return range;
}

struct scalar_range range_intersect(struct scalar_range a, struct scalar_range b)
{
    return (struct scalar_range){
        .umin = maximum(a.umin, b.umin), .umax = minimum(a.umax, b.umax),
        .smin = signed_maximum(a.smin, b.smin), .smax = signed_minimum(a.smax, b.smax),
    };
}

struct scalar_range range_union(struct scalar_range a, struct scalar_range b)
{
    return (struct scalar_range){
        .umin = minimum(a.umin, b.umin), .umax = maximum(a.umax, b.umax),
        .smin = signed_minimum(a.smin, b.smin), .smax = signed_maximum(a.smax, b.smax),
    };
}

bool piece_tighten(struct piece *piece)
{
    return tnum_at_least(piece->tnum, piece->first, &piece->first) &&
           tnum_at_most(piece->tnum, piece->last, &piece->last) && piece->first <= piece->last &&
           tnum_intersect(piece->tnum, tnum_range(piece->first, piece->last), &piece->tnum);
}

unsigned view_split(const struct view *view, struct piece piece[2])
{
    const struct scalar_range *range = &view->range;
    uint64_t sign = sign_bit(view->bits), all = ones(view->bits);
    unsigned pieces = 0;

    if (range->smax >= 0 && range->umin < sign) {
        piece[0] = (struct piece){
            .tnum = view->tnum, .bits = view->bits,
            .first = maximum(range->umin, range->smin > 0 ? (uint64_t)range->smin : 0),
            .last = minimum(range->umax, (uint64_t)range->smax),
        };
        pieces += piece_tighten(&piece[0]);
    }
    if (range->smin < 0 && range->umax >= sign) {
        piece[pieces] = (struct piece){
            .tnum = view->tnum, .bits = view->bits,
            .first = maximum(range->umin, (uint64_t)range->smin & all),
            .last = minimum(range->umax, range->smax < 0 ? (uint64_t)range->smax & all : all),
        };
        pieces += piece_tighten(&piece[pieces]);
    }
    return pieces;
}

struct view view_interval(wide first, wide last, struct tnum tnum, unsigned bits)
{
    return (struct view){
        .tnum = tnum, .range = range_circular((uint64_t)first, (unsigned_wide)(last - first), bits), .bits = bits,
    };
}

struct view view_of_piece(const struct piece *piece)
{
    return view_interval(piece->first, piece->last, piece->tnum, piece->bits);
}

struct view view_union(struct view a, struct view b)
{
    return (struct view){
        .tnum = tnum_union(a.tnum, b.tnum), .range = range_union(a.range, b.range), .bits = a.bits,
    };
}

bool view_join(struct view *view, const struct piece *piece, unsigned pieces)
{
    if (pieces == 0)
        return false;
    *view = view_of_piece(&piece[0]);
    if (pieces == 2)
        *view = view_union(*view, view_of_piece(&piece[1]));
    return true;
}

struct scalar_range pieces_narrow(const struct piece *piece, unsigned pieces, unsigned bits)
{
    struct scalar_range range = range_circular(piece[0].first, piece[0].last - piece[0].first, bits);

    if (pieces == 2)
        range = range_union(range, range_circular(piece[1].first, piece[1].last - piece[1].first, bits));
    return range;
}
