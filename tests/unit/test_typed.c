/* SPDX-License-Identifier: MIT */
/* Types of keys and values: from BTF, to bytes and back, as text; numbers in values. */
#include "objects.h"

#include <stdbool.h>

#include <bpf/btf.h>

#include "typed.h"
#include "typed_internal.h"
#include "types.h"

/* The type of this name in an object. */
static struct typed *typed_of(const char *object, const char *name)
{
    struct object *read = objects_read(object);
    struct typed *typed = NULL;
    struct jit_error error = { 0 };
    int id = btf__find_by_name(read->btf, name);

    assert_true(id > 0);
    if (typed_from_btf(read->btf, (uint32_t)id, &typed, &error) < 0)
        fail_msg("%s: %s", name, error.text);
    object_free(read);
    return typed;
}

static struct typed_place place_of(const struct typed *typed, const char *name)
{
    struct typed_place whole = typed_whole(typed), place;

    if (!typed_find_member(&whole, name, &place))
        fail_msg("no member %s", name);
    return place;
}

/* As tests/programs/map.bpf.c has it. */
struct session {
    char name[16];
    uint32_t state;
    bool active;
    int16_t balance;
    uint32_t low : 4, high : 12;
    uint64_t number;
    struct address { uint32_t host; uint16_t port; } peer[2];
    uint8_t digest[3];
    void *cookie;
    uint32_t choice;
};

/* ---- types ---- */

static void test_format(void **state)
{
    struct typed *session = typed_of("map", "session"), *address = typed_of("map", "address");
    char text[1024];

    assert_string_equal(typed_format(session, text, sizeof(text)),
                        "struct { char name[16]; enum { CLOSED = 0, OPEN = 1, HALF_OPEN = 2 } state; bool active; "
                        "s16 balance; u32 low:4; u32 high:12; u64 number; u32 first; u32 second; "
                        "struct { u32 host; u16 port; } peer[2]; u8 digest[3]; byte cookie[8]; "
                        "union { u32 word; u16 half; } choice; }");
    assert_string_equal(typed_format(address, text, sizeof(text)), "struct { u32 host; u16 port; }");
    assert_string_equal(typed_format(address, text, 12), "struct { u3");
    assert_int_equal(typed_size(session), sizeof(struct session));
    assert_int_equal(typed_size(address), 8);
    typed_free(session);
    typed_free(address);
    assert_null(typed_free(NULL));
}

static void test_simple(void **state)
{
    struct typed *types[] = { typed_integer(1, false), typed_integer(8, true), typed_bytes(5) };
    static const char *const texts[] = { "u8", "s64", "byte[5]" };
    char text[64];

    for (size_t i = 0; i < COUNT(types); i++) {
        assert_true(typed_valid(types[i]));
        assert_string_equal(typed_format(types[i], text, sizeof(text)), texts[i]);
        typed_free(types[i]);
    }
}

static void test_places(void **state)
{
    static const struct { const char *name; uint32_t bit, bits, kind; } expected[] = {
        { "name", 0, 128, TYPED_TEXT },
        { "state", 8 * offsetof(struct session, state), 32, TYPED_ENUM },
        { "active", 8 * offsetof(struct session, active), 8, TYPED_BOOL },
        { "balance", 8 * offsetof(struct session, balance), 16, TYPED_SIGNED },
        { "low", 192, 4, TYPED_UNSIGNED },
        { "high", 196, 12, TYPED_UNSIGNED },
        { "number", 8 * offsetof(struct session, number), 64, TYPED_UNSIGNED },
        { "second", 8 * offsetof(struct session, number) + 32, 32, TYPED_UNSIGNED },
        { "peer", 8 * offsetof(struct session, peer), 128, TYPED_ARRAY },
        { "digest", 8 * offsetof(struct session, digest), 24, TYPED_ARRAY },
        { "cookie", 8 * offsetof(struct session, cookie), 64, TYPED_BYTES },
        { "choice", 8 * offsetof(struct session, choice), 32, TYPED_UNION },
    };
    struct typed *session = typed_of("map", "session");
    struct typed_place whole = typed_whole(session), place;

    for (size_t i = 0; i < COUNT(expected); i++) {
        place = place_of(session, expected[i].name);
        assert_int_equal(place.bit, expected[i].bit);
        assert_int_equal(place.bits, expected[i].bits);
        assert_int_equal(place.type->kind, expected[i].kind);
    }
    assert_false(typed_find_member(&whole, "nothing", &place));
    assert_string_equal(typed_member_name(&whole, 0), "name");
    place = place_of(session, "peer");
    assert_false(typed_find_member(&place, "port", &place));
    place = typed_element(&place, 1);
    assert_true(typed_find_member(&place, "port", &place));
    assert_int_equal(typed_byte(&place), offsetof(struct session, peer[1].port));
    typed_free(session);
}

/* ---- bytes ---- */

static void test_equal(void **state)
{
    struct typed *a = typed_of("map", "session"), *b = typed_of("map.v3", "session");
    struct typed *other = typed_of("map", "address");
    struct typed *copy = typed_copy(a);

    assert_true(typed_equal(a, b));
    assert_true(typed_equal(a, copy));
    assert_false(typed_equal(a, other));
    copy->string[0] ^= 1;
    assert_false(typed_equal(a, copy));
    copy->string[0] ^= 1;
    copy->enumerator[1].number = 5;
    assert_false(typed_equal(a, copy));
    copy->enumerator[1].number = 1;
    copy->member[1].bit++;
    assert_false(typed_equal(a, copy));
    assert_null(typed_copy(NULL));
    typed_free(a);
    typed_free(b);
    typed_free(copy);
    typed_free(other);
}

/* Exactly so many bytes, for sanitizers. */
static int decode(const uint8_t *bytes, size_t size, struct typed **ret)
{
    uint8_t *exact = malloc(size ? size : 1);
    int r;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    r = typed_decode(exact, size, ret);
    free(exact);
    return r;
}

/* All that a walk over a value may do, and what it may meet. */
static uint64_t walk(const struct typed_place *place, const uint8_t *value)
{
    uint64_t leaves = 0;

    assert_true(place->bit + (uint64_t)place->bits <= 8ull * typed_size(place->typed));
    switch ((enum typed_kind)place->type->kind) {
    case TYPED_ARRAY:
        for (uint32_t i = 0; i < place->type->count; i++) {
            struct typed_place element = typed_element(place, i);

            leaves += walk(&element, value);
        }
        return leaves;
    case TYPED_STRUCT:
    case TYPED_UNION:
        for (uint32_t i = 0; i < place->type->count; i++) {
            struct typed_place member = typed_member(place, i);

            assert_true(strlen(typed_member_name(place, i)) > 0);
            leaves += walk(&member, value);
        }
        return leaves;
    case TYPED_BYTES:
    case TYPED_TEXT:
        assert_true(place->bit % 8 == 0 && place->bits == place->type->size * 8);
        return 1;
    default:
        typed_enumerator_name(place, typed_read(place, value));
        return 1;
    }
}

static void check_decoded(const uint8_t *bytes, size_t size)
{
    struct typed *typed = NULL;
    struct typed_place whole;
    char text[256];
    uint8_t *value;

    if (decode(bytes, size, &typed) < 0) {
        assert_null(typed);
        return;
    }
    value = calloc(typed_size(typed) + 1ul, 1);
    assert_non_null(value);
    whole = typed_whole(typed);
    assert_true(walk(&whole, value) <= TYPED_LEAVES_MAX);
    typed_format(typed, text, sizeof(text));
    free(value);
    typed_free(typed);
}

static void test_bytes(void **state)
{
    struct typed *typed = typed_of("map", "session"), *decoded = NULL;
    uint8_t *bytes;
    size_t size;

    assert_int_equal(typed_encode(typed, (void **)&bytes, &size), 0);
    assert_int_equal(decode(bytes, size, &decoded), 0);
    assert_true(typed_equal(typed, decoded));
    for (size_t cut = 0; cut < size; cut++) {
        struct typed *none = NULL;

        assert_int_equal(decode(bytes, cut, &none), -EINVAL);
        assert_null(none);
    }
    for (size_t i = 0; i < size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            check_decoded(bytes, size);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    free(bytes);
    typed_free(typed);
    typed_free(decoded);
}

/* Of a struct of nameless structs of nameless structs ...: as many paths as powers, and no member that has a name. */
static void test_nameless(void **state)
{
    enum { MEMBERS = 100, DEPTH = 8 };
    struct btf *btf = btf__new_empty();
    int id = btf__add_struct(btf, "", 4);
    struct jit_error error = { 0 };
    struct typed *typed = NULL;

    assert_true(id > 0);
    for (unsigned depth = 0; depth < DEPTH; depth++) {
        int inner = id;

        id = btf__add_struct(btf, "", 4);
        for (unsigned i = 0; i < MEMBERS; i++)
            assert_int_equal(btf__add_field(btf, "", inner, 0, 0), 0);
    }
    assert_int_equal(typed_from_btf(btf, (uint32_t)id, &typed, &error), 0);
    assert_int_equal(typed_size(typed), 4);
    assert_int_equal(typed_whole(typed).type->kind, TYPED_BYTES);
    typed_free(typed);
    btf__free(btf);
}

#define CHANGE(name, ...) static void name(struct typed *t) { __VA_ARGS__; }

/* Of struct { u32 a; u16 b[2]; enum e c; }: types 0 struct, 1 u32, 2 array, 3 u16, 4 enum. */
CHANGE(nothing, (void)t)
CHANGE(unknown_kind, t->type[1].kind = TYPED_UNION + 1)
CHANGE(odd_integer, t->type[1].size = 3; t->member[0].bits = 24)
CHANGE(no_size, t->type[1].size = 0; t->member[0].bits = 0)
CHANGE(too_big, t->type[0].size = TYPED_SIZE_MAX + 1)
CHANGE(cycle, t->type[2].first = 0)
CHANGE(itself, t->type[2].first = 2)
CHANGE(outside, t->type[2].first = 5)
CHANGE(twice, t->member[2] = t->member[0])
CHANGE(shared, t->member[2] = t->member[0]; t->types = 4)
CHANGE(unused, t->type[0].count = 2)
CHANGE(too_many_elements, t->type[2].count = 3)
CHANGE(members_outside, t->type[0].count = 4)
CHANGE(members_wrap, t->type[0].first = UINT32_MAX)
CHANGE(member_behind, t->member[0].bit = 8 * 12 - 31)
CHANGE(member_wraps, t->member[0].bit = UINT32_MAX)
CHANGE(more_bits, t->member[0].bits = 33)
CHANGE(no_bits, t->member[0].bits = 0)
CHANGE(array_of_bits, t->member[1].bits = 31)
CHANGE(array_at_bit, t->member[1].bit = 33)
CHANGE(name_outside, t->member[0].name = t->strings)
CHANGE(no_name, t->member[0].name = 1)
CHANGE(blank_name, t->string[0] = ' ')
CHANGE(endless_name, t->string[t->strings - 1] = 'a')
CHANGE(enumerators_outside, t->type[4].count = 2)
CHANGE(enumerator_name, t->enumerator[0].name = 99)
CHANGE(odd_sign, t->type[4].is_signed = 2)

static struct typed *sample(void)
{
    struct typed *typed = typed_new(5, 3, 1, 8);

    assert_non_null(typed);
    memcpy(typed->string, "a\0b\0c\0E", 8);
    typed->type[0] = (struct typed_type){ TYPED_STRUCT, 12, 0, 3, 0 };
    typed->type[1] = (struct typed_type){ TYPED_UNSIGNED, 4, 0, 0, 0 };
    typed->type[2] = (struct typed_type){ TYPED_ARRAY, 4, 3, 2, 0 };
    typed->type[3] = (struct typed_type){ TYPED_UNSIGNED, 2, 0, 0, 0 };
    typed->type[4] = (struct typed_type){ TYPED_ENUM, 4, 0, 1, 1 };
    typed->member[0] = (struct typed_member){ 0, 0, 32, 1 };
    typed->member[1] = (struct typed_member){ 2, 32, 32, 2 };
    typed->member[2] = (struct typed_member){ 4, 64, 32, 4 };
    typed->enumerator[0] = (struct typed_enumerator){ 6, 1 };
    return typed;
}

static void test_refused(void **state)
{
    static void (*const changes[])(struct typed *t) = {
        unknown_kind, odd_integer, no_size, too_big, cycle, itself, outside, twice, shared, unused, too_many_elements,
        members_outside, members_wrap, member_behind, member_wraps, more_bits, no_bits, array_of_bits, array_at_bit,
        name_outside, no_name, blank_name, endless_name, enumerators_outside, enumerator_name, odd_sign,
    };
    struct typed *typed = sample();

    nothing(typed);
    assert_true(typed_valid(typed));
    typed_free(typed);
    for (size_t i = 0; i < COUNT(changes); i++) {
        typed = sample();
        changes[i](typed);
        if (typed_valid(typed))
            fail_msg("change %zu is not noticed", i);
        typed_free(typed);
    }
}

/* What a walk meets is bounded, however small the description is: 100 u8 a level. */
static void test_leaves(void **state)
{
    uint32_t size = 1;
    struct typed *typed = typed_new(4, 0, 0, 0);

    assert_non_null(typed);
    for (uint32_t i = 4; i-- > 0; size *= 100)
        typed->type[i] = (struct typed_type){ i == 3 ? TYPED_UNSIGNED : TYPED_ARRAY, size, i + 1, 100, 0 };
    assert_false(typed_valid(typed));           /* 1,000,000 */
    typed->type[0].count = 6;
    typed->type[0].size = 60000;
    assert_true(typed_valid(typed));
    typed_free(typed);
}

/* ---- values ---- */

static void test_read(void **state)
{
    struct session session = { .name = "alice", .state = 2, .active = true, .balance = -7, .low = 9, .high = 0xabc,
                               .number = UINT64_C(0x1122334455667788), .peer = { { 0 }, { 5, 443 } } };
    struct typed *typed = typed_of("map", "session");
    static const struct { const char *name; uint64_t number; } expected[] = {
        { "state", 2 }, { "active", 1 }, { "balance", (uint64_t)-7 }, { "low", 9 }, { "high", 0xabc },
        { "number", UINT64_C(0x1122334455667788) }, { "first", 0x55667788 }, { "second", 0x11223344 },
    };
    struct typed_place place;
    uint64_t number;

    for (size_t i = 0; i < COUNT(expected); i++) {
        place = place_of(typed, expected[i].name);
        assert_int_equal(typed_read(&place, (uint8_t *)&session), expected[i].number);
    }
    place = place_of(typed, "state");
    assert_string_equal(typed_enumerator_name(&place, 2), "HALF_OPEN");
    assert_null(typed_enumerator_name(&place, 3));
    assert_true(typed_find_enumerator(&place, "OPEN", &number));
    assert_int_equal(number, 1);
    assert_false(typed_find_enumerator(&place, "AJAR", &number));
    place = place_of(typed, "low");
    assert_null(typed_enumerator_name(&place, 0));
    typed_free(typed);
}

static void test_write(void **state)
{
    static const struct { const char *name; uint64_t number; bool negative; int result; } cases[] = {
        { "low", 15, false, 0 }, { "low", 16, false, -ERANGE }, { "low", (uint64_t)-1, true, -ERANGE },
        { "high", 4095, false, 0 }, { "high", 4096, false, -ERANGE },
        { "balance", 32767, false, 0 }, { "balance", 32768, false, -ERANGE },
        { "balance", (uint64_t)-32768, true, 0 }, { "balance", (uint64_t)-32769, true, -ERANGE },
        { "active", 1, false, 0 }, { "active", 2, false, -ERANGE },
        { "number", UINT64_MAX, false, 0 }, { "number", UINT64_MAX, true, -ERANGE },
        { "state", 77, false, 0 }, { "state", UINT64_C(1) << 32, false, -ERANGE },
    };
    struct typed *typed = typed_of("map", "session");
    struct session session, before;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct typed_place place = place_of(typed, cases[i].name);
        bool marks = i % 2;

        memset(&session, marks ? 0xff : 0, sizeof(session));
        before = session;
        assert_int_equal(typed_write(&place, (uint8_t *)&session, cases[i].number, cases[i].negative), cases[i].result);
        if (cases[i].result == 0)
            assert_int_equal(typed_read(&place, (uint8_t *)&session), cases[i].number);
        /* Nothing else has changed. */
        for (uint32_t bit = 0; bit < place.bits; bit++) {
            uint8_t *byte = (uint8_t *)&session + (place.bit + bit) / 8, mask = (uint8_t)(1u << (place.bit + bit) % 8);

            if (cases[i].result == 0)
                *byte = marks ? *byte | mask : *byte & (uint8_t)~mask;
        }
        assert_memory_equal(&session, &before, sizeof(session));
    }
    typed_free(typed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format), cmocka_unit_test(test_simple),  cmocka_unit_test(test_places),
        cmocka_unit_test(test_equal),  cmocka_unit_test(test_bytes),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_leaves), cmocka_unit_test(test_read),    cmocka_unit_test(test_write),
        cmocka_unit_test(test_nameless),
    };

    return cmocka_run_group_tests_name("typed", tests, NULL, NULL);
}
