/* SPDX-License-Identifier: MIT */
/*
 * The verifier's numbers, built with SCALAR_BITS 8 or 4: every operation on scalars against the same operation on all
 * the numbers that are in them.  Nothing may be lost; and how often a result is the best possible is counted, and must
 * not become less.
 *
 * Operations with one operand have all scalars of one kind (bits, an unsigned range, a signed range).  So have those
 * with two at width 4; at width 8 they have a selection: ranges with ends at and near powers of two, and some bits.
 * Both have mixtures of all parts, too.  SCALAR_EXHAUSTIVE=1 in the environment: all bits at width 8, and more
 * mixtures; that takes long.  SCALAR_EXHAUSTIVE=jle: so for the rows of this name only, of those with two operands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../jitcore/verifier/scalar.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FULL SCALAR_BITS
#define LOW SCALAR_HALF_BITS
#define NUMBERS (1u << FULL)

/* ---- numbers ---- */

static unsigned cut(unsigned n, unsigned bits)
{
    return n & ((1u << bits) - 1);
}

static int sign_extend(unsigned n, unsigned bits)
{
    return n >> (bits - 1) & 1 ? (int)cut(n, bits) - (1 << bits) : (int)cut(n, bits);
}

/* RFC 9669 section 4.1, by the letter. */
static unsigned compute(unsigned operation, bool is_64, bool is_signed, unsigned a, unsigned b)
{
    unsigned bits = is_64 ? FULL : LOW, amount;
    int signed_a, signed_b, result = 0;

    a = cut(a, bits);
    b = cut(b, bits);
    amount = b % bits;
    signed_a = sign_extend(a, bits);
    signed_b = sign_extend(b, bits);
    switch (operation) {
    case ALU_ADD: result = (int)(a + b); break;
    case ALU_SUB: result = (int)(a - b); break;
    case ALU_MUL: result = (int)(a * b); break;
    case ALU_DIV: result = b == 0 ? 0 : is_signed ? signed_a / signed_b : (int)(a / b); break;
    case ALU_MOD: result = b == 0 ? (int)a : is_signed ? signed_a % signed_b : (int)(a % b); break;
    case ALU_OR: result = (int)(a | b); break;
    case ALU_AND: result = (int)(a & b); break;
    case ALU_XOR: result = (int)(a ^ b); break;
    case ALU_LSH: result = (int)(a << amount); break;
    case ALU_RSH: result = (int)(a >> amount); break;
    case ALU_ARSH: result = signed_a >> amount; break;
    case ALU_NEG: result = -(int)a; break;
    case ALU_MOV: result = (int)b; break;
    default: fail();
    }
    return cut((unsigned)result, bits);
}

static bool jumps(unsigned operation, bool is_64, unsigned a, unsigned b)
{
    unsigned bits = is_64 ? FULL : LOW;
    int signed_a = sign_extend(a, bits), signed_b = sign_extend(b, bits);

    a = cut(a, bits);
    b = cut(b, bits);
    switch (operation) {
    case JUMP_EQ: return a == b;
    case JUMP_NE: return a != b;
    case JUMP_SET: return a & b;
    case JUMP_GT: return a > b;
    case JUMP_GE: return a >= b;
    case JUMP_LT: return a < b;
    case JUMP_LE: return a <= b;
    case JUMP_SGT: return signed_a > signed_b;
    case JUMP_SGE: return signed_a >= signed_b;
    case JUMP_SLT: return signed_a < signed_b;
    default: assert_int_equal(operation, JUMP_SLE); return signed_a <= signed_b;
    }
}

/* ---- sets of numbers ---- */

#define WORDS ((NUMBERS + 63) / 64)

struct set {
    uint64_t word[WORDS];
};

static void set_add(struct set *set, unsigned n)
{
    set->word[n / 64] |= UINT64_C(1) << n % 64;
}

static bool set_has(const struct set *set, unsigned n)
{
    return set->word[n / 64] >> n % 64 & 1;
}

static void set_add_all(struct set *set, const struct set *other)
{
    for (unsigned i = 0; i < WORDS; i++)
        set->word[i] |= other->word[i];
}

static struct set set_common(const struct set *a, const struct set *b)
{
    struct set set;

    for (unsigned i = 0; i < WORDS; i++)
        set.word[i] = a->word[i] & b->word[i];
    return set;
}

static bool set_is_empty(const struct set *set)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < WORDS; i++)
        any |= set->word[i];
    return any == 0;
}

static unsigned set_size(const struct set *set)
{
    unsigned size = 0;

    for (unsigned i = 0; i < WORDS; i++)
        size += (unsigned)__builtin_popcountll(set->word[i]);
    return size;
}

static bool range_has(const struct scalar_range *range, unsigned n, unsigned bits)
{
    return range->umin <= n && n <= range->umax && range->smin <= sign_extend(n, bits) &&
           sign_extend(n, bits) <= range->smax;
}

/* The numbers in a scalar, by the definition of its parts. */
static struct set numbers_in(const struct scalar *scalar)
{
    struct set set = { { 0 } };

    for (unsigned n = 0; n < NUMBERS; n++) {
        if ((n & ~scalar->tnum.mask) == scalar->tnum.value && range_has(&scalar->full, n, FULL) &&
            range_has(&scalar->low, cut(n, LOW), LOW))
            set_add(&set, n);
    }
    return set;
}

/* The smallest and the greatest of `count` numbers from `from` on that are in the set; false if there are none. */
static bool ends(const struct set *set, unsigned from, unsigned count, unsigned *first, unsigned *last)
{
    bool found = false;

    for (unsigned n = from; n < from + count; n += 64) {
        uint64_t word = set->word[n / 64] >> n % 64;

        word &= count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
        if (word && !found)
            *first = n + (unsigned)__builtin_ctzll(word);
        if (word)
            *last = n + 63 - (unsigned)__builtin_clzll(word);
        found = found || word;
    }
    return found;
}

static struct scalar_range best_range(const struct set *set, unsigned bits)
{
    unsigned half = 1u << (bits - 1), first = 0, last = 0, first_negative = 0, last_negative = 0;
    bool some = ends(set, 0, half, &first, &last), negative = ends(set, half, half, &first_negative, &last_negative);

    assert_true(some || negative);
    return (struct scalar_range){
        .umin = some ? first : first_negative, .umax = negative ? last_negative : last,
        .smin = negative ? sign_extend(first_negative, bits) : (int)first,
        .smax = some ? (int)last : sign_extend(last_negative, bits),
    };
}

static struct set with_bit[FULL];           /* the numbers that have it */

/* The smallest scalar that holds a set, which is not empty: by the definition of its parts. */
static struct scalar best(const struct set *set)
{
    struct scalar best = { .full = best_range(set, FULL) };
    struct set low = { { 0 } };

    for (unsigned bit = 0; bit < FULL; bit++) {
        uint64_t has = 0, has_not = 0;

        for (unsigned i = 0; i < WORDS; i++) {
            has |= set->word[i] & with_bit[bit].word[i];
            has_not |= set->word[i] & ~with_bit[bit].word[i];
        }
        best.tnum.mask |= (uint64_t)(has && has_not) << bit;
        best.tnum.value |= (uint64_t)(has && !has_not) << bit;
    }
    for (unsigned i = 0; i < NUMBERS; i += 1u << LOW)
        low.word[0] |= set->word[i / 64] >> i % 64 & ((UINT64_C(1) << (1u << LOW)) - 1);
    best.low = best_range(&low, LOW);
    return best;
}

/* ---- the scalars that are tried ---- */

struct sample {
    struct scalar scalar;
    struct set numbers;
    unsigned number[NUMBERS], size;
};

struct samples {
    struct sample *sample;
    unsigned count, room;
};

static void sample_add(struct samples *samples, struct scalar scalar)
{
    struct sample *sample;

    if (samples->count == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 256;
        samples->sample = realloc(samples->sample, samples->room * sizeof(*samples->sample));
        assert_non_null(samples->sample);
    }
    sample = &samples->sample[samples->count++];
    *sample = (struct sample){ .scalar = scalar, .numbers = numbers_in(&scalar) };
    for (unsigned n = 0; n < NUMBERS; n++) {
        if (set_has(&sample->numbers, n))
            sample->number[sample->size++] = n;
    }
    /* What is known to be empty is refused before it becomes a scalar. */
    assert_true(sample->size > 0);
}

/*
 * Add a scalar whose parts say different things: a comparison with anything makes it whole.  False if it has no
 * numbers.
 */
static bool add_reduced(struct samples *samples, struct tnum tnum, struct scalar_range full, struct scalar_range low)
{
    struct scalar scalar = { .tnum = tnum, .full = full, .low = low }, unknown = scalar_unknown();
    struct set numbers = numbers_in(&scalar), left;

    if (!scalar_refine(JUMP_EQ, true, true, &scalar, &unknown)) {
        assert_true(set_is_empty(&numbers));
        return false;
    }
    left = numbers_in(&scalar);
    assert_memory_equal(&left, &numbers, sizeof(left));
    if (set_is_empty(&numbers))
        return false;
    sample_add(samples, scalar);
    return true;
}

static struct scalar_range all(unsigned bits)
{
    return (struct scalar_range){
        .umin = 0, .umax = cut(UINT32_MAX, bits), .smin = -(1 << (bits - 1)), .smax = (1 << (bits - 1)) - 1,
    };
}

/* Each `step`-th tnum. */
static void add_tnums(struct samples *samples, unsigned step)
{
    unsigned count = 0;

    for (struct tnum t = { 0, 0 }; t.mask < NUMBERS; t.mask++) {
        for (t.value = 0; t.value < NUMBERS; t.value = ((t.value | t.mask) + 1) & ~t.mask) {
            if (count++ % step == 0)
                assert_true(add_reduced(samples, t, all(FULL), all(LOW)));
        }
    }
}

/* All ranges between these numbers, unsigned, and signed where it makes a difference. */
static void add_ranges(struct samples *samples, const unsigned *end, unsigned ends)
{
    for (unsigned i = 0; i < ends; i++) {
        for (unsigned j = 0; j < ends; j++) {
            int smin = sign_extend(end[i], FULL), smax = sign_extend(end[j], FULL);

            if (end[i] <= end[j])
                sample_add(samples, scalar_unsigned_range(end[i], end[j]));
            if (smin < 0 && smax >= 0)
                sample_add(samples, scalar_signed_range(smin, smax));
        }
    }
}

static uint64_t random_state = 88172645463325252u;

static unsigned random_below(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 32) % limit;
}

static struct scalar_range random_range(unsigned bits)
{
    unsigned a = random_below(1u << bits), b = random_below(1u << bits);
    int c = sign_extend(random_below(1u << bits), bits), d = sign_extend(random_below(1u << bits), bits);

    return (struct scalar_range){
        .umin = a < b ? a : b, .umax = a < b ? b : a, .smin = c < d ? c : d, .smax = c < d ? d : c,
    };
}

/* Of all parts, some left out. */
static void add_mixtures(struct samples *samples, unsigned count)
{
    while (count) {
        unsigned parts = random_below(8);
        uint64_t mask = random_below(NUMBERS) | random_below(NUMBERS);
        struct tnum tnum = { .value = random_below(NUMBERS) & ~mask, .mask = mask };
        struct scalar_range full = random_range(FULL), low = random_range(LOW);

        count -= add_reduced(samples, parts & 1 ? tnum : (struct tnum){ 0, NUMBERS - 1 },
                             parts & 2 ? full : all(FULL), parts & 4 ? low : all(LOW));
    }
}

static struct samples singles, pairs;

static int choose_samples(void **state)
{
    static const unsigned near[] = { 0, 1, 3, 4, 7, 8, 15, 16, 127, 128, 129, 255 };
    bool exhaustive = getenv("SCALAR_EXHAUSTIVE");
    unsigned every[NUMBERS];

    for (unsigned n = 0; n < NUMBERS; n++) {
        every[n] = n;
        for (unsigned bit = 0; bit < FULL; bit++) {
            if (n >> bit & 1)
                set_add(&with_bit[bit], n);
        }
    }
    add_tnums(&singles, 1);
    add_ranges(&singles, every, NUMBERS);
    add_mixtures(&singles, 10000);
    if (FULL == 4) {
        add_tnums(&pairs, 1);
        add_ranges(&pairs, every, NUMBERS);
    } else {
        add_tnums(&pairs, exhaustive ? 1 : 101);
        add_ranges(&pairs, near, COUNT(near));
    }
    add_mixtures(&pairs, exhaustive ? 1000 : 60);
    print_message("# %u bits: %u scalars, %u for pairs\n", FULL, singles.count, pairs.count);
    return 0;
}

static int free_samples(void **state)
{
    free(singles.sample);
    free(pairs.sample);
    return 0;
}

/* ---- the operations ---- */

static bool is_chosen(const char *name)
{
    const char *exhaustive = getenv("SCALAR_EXHAUSTIVE");

    return !exhaustive || strcmp(exhaustive, "1") == 0 || strcmp(exhaustive, name) == 0;
}

static bool range_inside(const struct scalar_range *outer, const struct scalar_range *inner)
{
    return outer->umin <= inner->umin && inner->umax <= outer->umax && outer->smin <= inner->smin &&
           inner->smax <= outer->smax;
}

/* How often a result could not be better. */
struct score {
    unsigned best, tried;
};

static void print_scalar(const char *name, const struct scalar *scalar)
{
    char text[SCALAR_FORMAT_SIZE];

    print_message("#   %s: %s\n", name, scalar_format(scalar, text));
}

/* A result holds all that it must? */
static bool is_sound(const struct scalar *result, const struct set *numbers, struct score *score)
{
    struct scalar least = best(numbers);

    score->tried++;
    score->best += memcmp(result, &least, sizeof(least)) == 0;
    return tnum_includes(result->tnum, least.tnum) && range_inside(&result->full, &least.full) &&
           range_inside(&result->low, &least.low);
}

static void print_score(const char *name, struct score score, unsigned floor)
{
    unsigned permille = score.tried ? (unsigned)((uint64_t)score.best * 1000 / score.tried) : 1000;

    print_message("# %-12s %9u tried, %3u.%u %% the best possible\n", name, score.tried, permille / 10, permille % 10);
    if (!getenv("SCALAR_EXHAUSTIVE"))
        assert_in_range(permille, floor, 1000);
}

/* One row for each operation and width.  `floor`: per 1000 results that must be the best possible, at 8 and 4 bits. */
static const struct arithmetic {
    const char *name;
    enum instruction_arithmetic operation;
    bool is_64, is_signed;
    unsigned floor[2];
} arithmetic[] = {
    { "add64", ALU_ADD, true, false, { 964, 999 } },
    { "sub64", ALU_SUB, true, false, { 965, 999 } },
    { "mul64", ALU_MUL, true, false, { 548, 656 } },
    { "div64", ALU_DIV, true, false, { 783, 749 } },
    { "mod64", ALU_MOD, true, false, { 640, 688 } },
    { "sdiv64", ALU_DIV, true, true, { 874, 899 } },
    { "smod64", ALU_MOD, true, true, { 738, 771 } },
    { "and64", ALU_AND, true, false, { 925, 934 } },
    { "or64", ALU_OR, true, false, { 781, 928 } },
    { "xor64", ALU_XOR, true, false, { 791, 843 } },
    { "lsh64", ALU_LSH, true, false, { 369, 459 } },
    { "rsh64", ALU_RSH, true, false, { 664, 818 } },
    { "arsh64", ALU_ARSH, true, false, { 718, 879 } },
    { "mov64", ALU_MOV, true, false, { 1000, 1000 } },
    { "add32", ALU_ADD, false, false, { 987, 1000 } },
    { "sub32", ALU_SUB, false, false, { 986, 1000 } },
    { "mul32", ALU_MUL, false, false, { 863, 996 } },
    { "div32", ALU_DIV, false, false, { 811, 923 } },
    { "mod32", ALU_MOD, false, false, { 791, 872 } },
    { "sdiv32", ALU_DIV, false, true, { 930, 941 } },
    { "smod32", ALU_MOD, false, true, { 917, 914 } },
    { "and32", ALU_AND, false, false, { 963, 1000 } },
    { "or32", ALU_OR, false, false, { 935, 1000 } },
    { "xor32", ALU_XOR, false, false, { 951, 1000 } },
    { "lsh32", ALU_LSH, false, false, { 761, 957 } },
    { "rsh32", ALU_RSH, false, false, { 985, 1000 } },
    { "arsh32", ALU_ARSH, false, false, { 989, 1000 } },
    { "mov32", ALU_MOV, false, false, { 1000, 1000 } },
};

/* For each second operand and each number as the first: the results. */
static void fill_images(const struct arithmetic *row, struct set (*image)[NUMBERS])
{
    static unsigned result[NUMBERS][NUMBERS];

    for (unsigned a = 0; a < NUMBERS; a++) {
        for (unsigned b = 0; b < NUMBERS; b++)
            result[a][b] = compute(row->operation, row->is_64, row->is_signed, a, b);
    }
    memset(image, 0, pairs.count * sizeof(*image));
    for (unsigned j = 0; j < pairs.count; j++) {
        for (unsigned a = 0; a < NUMBERS; a++) {
            for (unsigned k = 0; k < pairs.sample[j].size; k++)
                set_add(&image[j][a], result[a][pairs.sample[j].number[k]]);
        }
    }
}

static void try_arithmetic(const struct arithmetic *row, const struct sample *a, const struct sample *b,
                           const struct set image[NUMBERS], struct score *score)
{
    struct scalar result = scalar_arithmetic(row->operation, row->is_64, row->is_signed, &a->scalar, &b->scalar);
    struct set results = { { 0 } };

    for (unsigned k = 0; k < a->size; k++)
        set_add_all(&results, &image[a->number[k]]);
    if (is_sound(&result, &results, score) && (set_size(&results) > 1 || a->size > 1 || b->size > 1 ||
                                               scalar_is_constant(&result)))
        return;
    print_message("# %s is wrong:\n", row->name);
    print_scalar("first operand", &a->scalar);
    print_scalar("second operand", &b->scalar);
    print_scalar("result", &result);
    fail();
}

static void test_arithmetic(void **state)
{
    struct set (*image)[NUMBERS] = malloc(pairs.count * sizeof(*image));

    assert_non_null(image);
    for (const struct arithmetic *row = arithmetic; row < arithmetic + COUNT(arithmetic); row++) {
        struct score score = { 0, 0 };

        if (!is_chosen(row->name))
            continue;
        fill_images(row, image);
        for (unsigned i = 0; i < pairs.count; i++) {
            for (unsigned j = 0; j < pairs.count; j++)
                try_arithmetic(row, &pairs.sample[i], &pairs.sample[j], image[j], &score);
        }
        print_score(row->name, score, row->floor[FULL == 4]);
    }
    free(image);
}

/* By operation: EXTEND, SIGN_EXTEND, SWAP with 1 to 8 bytes; NEGATE with 8 or 4. */
enum single { ZERO_EXTEND, SIGN_EXTEND, SWAP, NEGATE };

static unsigned compute_single(enum single operation, unsigned bytes, unsigned n)
{
    unsigned bits = bytes * SCALAR_BYTE_BITS, swapped = 0;

    switch (operation) {
    case ZERO_EXTEND: return cut(n, bits);
    case SIGN_EXTEND: return cut((unsigned)sign_extend(n, bits), FULL);
    case NEGATE: return cut(-n, bits);
    default:
        for (unsigned i = 0; i < bytes; i++)
            swapped |= cut(n >> i * SCALAR_BYTE_BITS, SCALAR_BYTE_BITS) << (bytes - 1 - i) * SCALAR_BYTE_BITS;
        return swapped;
    }
}

static struct scalar apply_single(enum single operation, unsigned bytes, const struct scalar *scalar)
{
    switch (operation) {
    case ZERO_EXTEND: return scalar_zero_extend(scalar, bytes);
    case SIGN_EXTEND: return scalar_sign_extend(scalar, bytes);
    case NEGATE: return scalar_arithmetic(ALU_NEG, bytes == 8, false, scalar, scalar);
    default: return scalar_byte_swap(scalar, bytes);
    }
}

static void test_one_operand(void **state)
{
    static const struct { const char *name; enum single operation; unsigned bytes, floor; } rows[] = {
        { "zext8", ZERO_EXTEND, 1, 1000 }, { "zext16", ZERO_EXTEND, 2, 999 }, { "zext32", ZERO_EXTEND, 4, 999 },
        { "zext64", ZERO_EXTEND, 8, 999 }, { "sext8", SIGN_EXTEND, 1, 1000 }, { "sext16", SIGN_EXTEND, 2, 987 },
        { "sext32", SIGN_EXTEND, 4, 999 }, { "sext64", SIGN_EXTEND, 8, 999 }, { "bswap16", SWAP, 2, 987 },
        { "bswap32", SWAP, 4, 935 }, { "bswap64", SWAP, 8, 390 }, { "neg32", NEGATE, 4, 996 },
        { "neg64", NEGATE, 8, 998 },
    };

    if (SCALAR_BYTE_BITS == 0)
        skip();
    for (unsigned row = 0; row < COUNT(rows); row++) {
        struct score score = { 0, 0 };

        for (const struct sample *sample = singles.sample; sample < singles.sample + singles.count; sample++) {
            struct scalar result = apply_single(rows[row].operation, rows[row].bytes, &sample->scalar);
            struct set results = { { 0 } };

            for (unsigned k = 0; k < sample->size; k++)
                set_add(&results, compute_single(rows[row].operation, rows[row].bytes, sample->number[k]));
            if (is_sound(&result, &results, &score))
                continue;
            print_message("# %s is wrong:\n", rows[row].name);
            print_scalar("operand", &sample->scalar);
            print_scalar("result", &result);
            fail();
        }
        print_score(rows[row].name, score, rows[row].floor);
    }
}

/* The numbers that satisfy a comparison with some number of the other: taken, or not; as the first, or the second. */
static void fill_satisfying(unsigned operation, bool is_64, bool taken, bool second, struct set *satisfying)
{
    static struct set with[NUMBERS];

    memset(with, 0, sizeof(with));
    memset(satisfying, 0, pairs.count * sizeof(*satisfying));
    for (unsigned n = 0; n < NUMBERS; n++) {
        for (unsigned other = 0; other < NUMBERS; other++) {
            if (jumps(operation, is_64, second ? other : n, second ? n : other) == taken)
                set_add(&with[other], n);
        }
    }
    for (unsigned i = 0; i < pairs.count; i++) {
        for (unsigned k = 0; k < pairs.sample[i].size; k++)
            set_add_all(&satisfying[i], &with[pairs.sample[i].number[k]]);
    }
}

static void try_refinement(unsigned operation, bool is_64, bool taken, unsigned i, unsigned j,
                           const struct set *satisfying[2], struct score *score)
{
    const struct sample *a = &pairs.sample[i], *b = &pairs.sample[j];
    struct scalar refined_a = a->scalar, refined_b = b->scalar;
    bool possible = scalar_refine(operation, is_64, taken, &refined_a, &refined_b), right;
    struct set left_a = set_common(&a->numbers, &satisfying[0][j]);
    struct set left_b = set_common(&b->numbers, &satisfying[1][i]);

    if (set_is_empty(&left_a)) {
        right = true;
        score->tried++;
        score->best += !possible;
    } else {
        right = possible && is_sound(&refined_a, &left_a, score) && is_sound(&refined_b, &left_b, score);
    }
    if (!possible)
        right = right && scalar_equal(&refined_a, &a->scalar) && scalar_equal(&refined_b, &b->scalar);
    if (right)
        return;
    print_message("# operation 0x%x, %s, %staken, is wrong: %s\n", operation, is_64 ? "64" : "32", taken ? "" : "not ",
                  possible ? "possible" : "impossible");
    print_scalar("first operand", &a->scalar);
    print_scalar("second operand", &b->scalar);
    print_scalar("first operand, refined", &refined_a);
    print_scalar("second operand, refined", &refined_b);
    fail();
}

static void test_refinements(void **state)
{
    static const struct { const char *name; enum instruction_jump operation; unsigned floor; } rows[] = {
        { "jeq", JUMP_EQ, 991 }, { "jne", JUMP_NE, 991 }, { "jset", JUMP_SET, 745 }, { "jgt", JUMP_GT, 999 },
        { "jge", JUMP_GE, 999 }, { "jlt", JUMP_LT, 999 }, { "jle", JUMP_LE, 999 }, { "jsgt", JUMP_SGT, 1000 },
        { "jsge", JUMP_SGE, 1000 }, { "jslt", JUMP_SLT, 1000 }, { "jsle", JUMP_SLE, 1000 },
    };
    struct set *satisfying[2] = { NULL, NULL };

    for (unsigned second = 0; second < 2; second++) {
        satisfying[second] = malloc(pairs.count * sizeof(*satisfying[second]));
        assert_non_null(satisfying[second]);
    }
    for (unsigned row = 0; row < COUNT(rows); row++) {
        struct score score = { 0, 0 };

        if (!is_chosen(rows[row].name))
            continue;
        for (unsigned way = 0; way < 4; way++) {
            bool is_64 = way & 1, taken = way & 2;

            for (unsigned second = 0; second < 2; second++)
                fill_satisfying(rows[row].operation, is_64, taken, second, satisfying[second]);
            for (unsigned i = 0; i < pairs.count; i++) {
                for (unsigned j = 0; j < pairs.count; j++)
                    try_refinement(rows[row].operation, is_64, taken, i, j, (const struct set **)satisfying, &score);
            }
        }
        print_score(rows[row].name, score, rows[row].floor);
    }
    free(satisfying[0]);
    free(satisfying[1]);
}

/* ---- the rest ---- */

static void test_values(void **state)
{
    for (unsigned a = 0; a < NUMBERS; a++) {
        struct scalar constant = scalar_constant(a);

        assert_true(scalar_is_constant(&constant) && constant.tnum.value == a);
        for (unsigned b = a; b < NUMBERS; b++) {
            struct scalar range = scalar_unsigned_range(a, b), least;
            struct set set = { { 0 } };

            for (unsigned n = a; n <= b; n++)
                set_add(&set, n);
            least = best(&set);
            assert_memory_equal(&range, &least, sizeof(least));
        }
    }
    for (int a = -(int)(NUMBERS / 2); a < (int)(NUMBERS / 2); a++) {
        for (int b = a; b < (int)(NUMBERS / 2); b++) {
            struct scalar range = scalar_signed_range(a, b), least;
            struct set set = { { 0 } };

            for (int n = a; n <= b; n++)
                set_add(&set, cut((unsigned)n, FULL));
            least = best(&set);
            assert_memory_equal(&range, &least, sizeof(least));
        }
    }
}

static void test_sets(void **state)
{
    for (const struct sample *sample = singles.sample; sample < singles.sample + singles.count; sample++) {
        for (unsigned n = 0; n < NUMBERS; n++)
            assert_int_equal(scalar_contains(&sample->scalar, n), set_has(&sample->numbers, n));
        assert_int_equal(scalar_is_32(&sample->scalar), sample->number[sample->size - 1] < 1u << LOW);
    }
    for (unsigned i = 0; i < pairs.count; i++) {
        for (unsigned j = 0; j < pairs.count; j++) {
            const struct sample *a = &pairs.sample[i], *b = &pairs.sample[j];
            struct set both = set_common(&a->numbers, &b->numbers);

            if (scalar_includes(&a->scalar, &b->scalar))
                assert_memory_equal(&both, &b->numbers, sizeof(both));
            assert_int_equal(scalar_equal(&a->scalar, &b->scalar),
                             scalar_includes(&a->scalar, &b->scalar) && scalar_includes(&b->scalar, &a->scalar));
        }
    }
}

static void test_branches(void **state)
{
    for (unsigned operation = JUMP_EQ; operation <= JUMP_SLE; operation++) {
        if (operation == JUMP_CALL || operation == JUMP_EXIT)
            continue;
        for (unsigned round = 0; round < 4000; round++) {
            const struct sample *a = &pairs.sample[random_below(pairs.count)];
            const struct sample *b = &pairs.sample[random_below(pairs.count)];
            bool is_64 = round & 1;
            bool some = false, others = false;

            for (unsigned i = 0; i < a->size; i++) {
                for (unsigned j = 0; j < b->size; j++) {
                    bool taken = jumps(operation, is_64, a->number[i], b->number[j]);

                    some = some || taken;
                    others = others || !taken;
                }
            }
            switch (scalar_branch(operation, is_64, &a->scalar, &b->scalar)) {
            case SCALAR_BRANCH_ALWAYS: assert_false(others); break;
            case SCALAR_BRANCH_NEVER: assert_false(some); break;
            default: assert_true((some && others) || a->size > 1 || b->size > 1);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),      cmocka_unit_test(test_sets),        cmocka_unit_test(test_one_operand),
        cmocka_unit_test(test_arithmetic),  cmocka_unit_test(test_refinements), cmocka_unit_test(test_branches),
    };

    return cmocka_run_group_tests(tests, choose_samples, free_samples);
}
