/* SPDX-License-Identifier: MIT */
/*
 * Tristate numbers: 64 bits of which each is 0, 1 or unknown.  As a set: all numbers that have the known bits.
 *
 * Narrower ones are 0 above their width; arithmetic on them is arithmetic on 64 bits, followed by tnum_truncate().
 * Each operation's result holds all results that members of its operands can have.
 *
 * Definition and addition: H. Vishwanathan, M. Shachnai, S. Narayana, S. Nagarakatte, "Sound, Precise, and Fast
 * Abstract Interpretation with Tristate Numbers", CGO 2022.
 */
#ifndef JITCORE_VERIFIER_TNUM_H
#define JITCORE_VERIFIER_TNUM_H

#include <stdbool.h>
#include <stdint.h>

struct tnum {
    uint64_t value;             /* the bits that are known to be 1 */
    uint64_t mask;              /* the bits that are unknown; no bit is in both */
};

#define TNUM_UNKNOWN ((struct tnum){ .value = 0, .mask = UINT64_MAX })

struct tnum tnum_constant(uint64_t value);

/* The smallest that holds all of minimum to maximum (inclusive, in order). */
struct tnum tnum_range(uint64_t minimum, uint64_t maximum);

bool tnum_is_constant(struct tnum t);
bool tnum_contains(struct tnum t, uint64_t value);
bool tnum_equal(struct tnum a, struct tnum b);

/* Is every member of `inner` one of `outer`?  Exact. */
bool tnum_includes(struct tnum outer, struct tnum inner);

/* The members of both: false, with nothing written, if there are none.  Exact. */
bool tnum_intersect(struct tnum a, struct tnum b, struct tnum *ret);

/* The smallest that holds the members of both. */
struct tnum tnum_union(struct tnum a, struct tnum b);

/* The smallest member >= bound, the greatest member <= bound: false, with nothing written, if there is none. */
bool tnum_at_least(struct tnum t, uint64_t bound, uint64_t *ret);
bool tnum_at_most(struct tnum t, uint64_t bound, uint64_t *ret);

/* The lowest `bits` (1 to 64), zero-extended or sign-extended. */
struct tnum tnum_truncate(struct tnum t, unsigned bits);
struct tnum tnum_sign_extend(struct tnum t, unsigned bits);

/* The lowest `bytes` of `byte_bits` each, in reverse order; 0 above. */
struct tnum tnum_byte_swap(struct tnum t, unsigned bytes, unsigned byte_bits);

/* All but the multiplication are the best there are.  Shift amounts are below 64. */
struct tnum tnum_add(struct tnum a, struct tnum b);
struct tnum tnum_subtract(struct tnum a, struct tnum b);
struct tnum tnum_multiply(struct tnum a, struct tnum b);
struct tnum tnum_and(struct tnum a, struct tnum b);
struct tnum tnum_or(struct tnum a, struct tnum b);
struct tnum tnum_xor(struct tnum a, struct tnum b);
struct tnum tnum_shift_left(struct tnum t, unsigned amount);
struct tnum tnum_shift_right(struct tnum t, unsigned amount);
struct tnum tnum_shift_right_signed(struct tnum t, unsigned amount);

#endif
