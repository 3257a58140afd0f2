/* SPDX-License-Identifier: MIT */
/*
 * What the verifier knows of a number in a register: a set of 64-bit values, described at once by its known bits
 * (tnum.h) and by its ranges, unsigned and signed, of all 64 bits and of the low 32.  A value is in the set if it
 * agrees with all of them.  The parts are kept reduced: what one says of another is in the other, too.
 *
 * Operations follow RFC 9669: they wrap, n / 0 = 0, n % 0 = n, shift amounts are taken modulo the width, and
 * 32-bit operations zero the upper half.  Each operation's result holds all results that values of its operands can
 * have; perhaps more.
 *
 * SCALAR_BITS is 64.  The tests build the same code with 8 (bytes of one bit, halves of 4) and try all values.
 */
#ifndef JITCORE_VERIFIER_SCALAR_H
#define JITCORE_VERIFIER_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../instruction.h"
#include "tnum.h"

#ifndef SCALAR_BITS
#define SCALAR_BITS 64
#endif
#define SCALAR_HALF_BITS (SCALAR_BITS / 2)
#define SCALAR_BYTE_BITS (SCALAR_BITS / 8)

/* umin <= umax, smin <= smax.  Of the low 32 bits: 0 to UINT32_MAX, INT32_MIN to INT32_MAX. */
struct scalar_range {
    uint64_t umin, umax;
    int64_t smin, smax;
};

/* Made by the functions below only.  Copied freely; no padding. */
struct scalar {
    struct tnum tnum;
    struct scalar_range full;           /* of all 64 bits */
    struct scalar_range low;            /* of the low 32 bits, by themselves */
};

/* Any value; this one; any of umin to umax; any of smin to smax (both inclusive, in order). */
struct scalar scalar_unknown(void);
struct scalar scalar_constant(uint64_t value);
struct scalar scalar_unsigned_range(uint64_t umin, uint64_t umax);
struct scalar scalar_signed_range(int64_t smin, int64_t smax);

/* Anything that a load of 1, 2, 4 or 8 bytes gives: zero-extended.  For the others, scalar_sign_extend() that. */
struct scalar scalar_loaded(unsigned bytes);

/* Exactly one value, which is then scalar->tnum.value? */
bool scalar_is_constant(const struct scalar *scalar);

/* Is the upper half zero? */
bool scalar_is_32(const struct scalar *scalar);

/* Is every value of `inner` in `outer`?  False is possible if they are, true is certain. */
bool scalar_includes(const struct scalar *outer, const struct scalar *inner);

bool scalar_equal(const struct scalar *a, const struct scalar *b);

/* Is this concrete value in the set? */
bool scalar_contains(const struct scalar *scalar, uint64_t value);

/* The lowest 1, 2, 4 or 8 bytes, zero-extended or sign-extended to 64 bits. */
struct scalar scalar_zero_extend(const struct scalar *scalar, unsigned bytes);
struct scalar scalar_sign_extend(const struct scalar *scalar, unsigned bytes);

/* The lowest 2, 4 or 8 bytes in reverse order, zero-extended. */
struct scalar scalar_byte_swap(const struct scalar *scalar, unsigned bytes);

/*
 * a OPERATION b, for every enum instruction_arithmetic but ALU_END (scalar_byte_swap(), scalar_zero_extend()).  ALU_MOV
 * gives b; ALU_NEG ignores b.  With `is_signed`, ALU_DIV and ALU_MOD are the signed ones; the others take no notice.
 */
struct scalar scalar_arithmetic(enum instruction_arithmetic operation, bool is_64, bool is_signed,
                                const struct scalar *a, const struct scalar *b);

/*
 * What is known of a and b if the conditional jump "a OPERATION b" is taken, or if it is not.  False, with a and b as
 * they were, if that cannot be.  `a` and `b` are two objects; a register that is compared with itself is passed as two
 * copies.
 */
bool scalar_refine(enum instruction_jump operation, bool is_64, bool taken, struct scalar *a, struct scalar *b);

enum scalar_branch { SCALAR_BRANCH_MAYBE, SCALAR_BRANCH_ALWAYS, SCALAR_BRANCH_NEVER };

/* Is the jump taken?  Two trials of scalar_refine(); whoever refines anyway has no need of it. */
enum scalar_branch scalar_branch(enum instruction_jump operation, bool is_64,
                                 const struct scalar *a, const struct scalar *b);

/* Writes "7", "0..255", "-8..8, bits 0x3 are 0x0" (a multiple of 4), "unknown" ...  Returns `buffer`. */
#define SCALAR_FORMAT_SIZE 256
const char *scalar_format(const struct scalar *scalar, char buffer[SCALAR_FORMAT_SIZE]);

#endif
