/* SPDX-License-Identifier: MIT */
/* wire.h: what was written is read; anything else is a failure, once and for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"

static struct wire_reader reader_of(const void *bytes, size_t size)
{
    return (struct wire_reader){ .at = bytes, .left = size };
}

static void put_all(struct wire_writer *writer)
{
    wire_put_number(writer, 7);
    wire_put_text(writer, "text");
    wire_put_text(writer, NULL);
    wire_put_bytes(writer, "a\0b", 3);
    wire_put_bytes(writer, NULL, 0);
    wire_put_number(writer, UINT64_MAX);
}

static void test_reads_what_was_written(void **state)
{
    struct wire_writer writer = { 0 };
    struct wire_reader reader;
    size_t size;

    put_all(&writer);
    assert_false(writer.failed);
    reader = reader_of(writer.bytes, writer.size);
    assert_int_equal(wire_number(&reader, 7), 7);
    assert_string_equal(wire_text(&reader, 4), "text");
    assert_string_equal(wire_text(&reader, 0), "");
    assert_memory_equal(wire_bytes(&reader, &size), "a\0b", 3);
    assert_int_equal(size, 3);
    assert_non_null(wire_bytes(&reader, &size));
    assert_int_equal(size, 0);
    assert_false(wire_complete(&reader));
    assert_true(wire_number(&reader, UINT64_MAX) == UINT64_MAX);
    assert_true(wire_complete(&reader));
    assert_int_equal(wire_number(&reader, UINT64_MAX), 0);
    assert_false(wire_complete(&reader));
    free(writer.bytes);
}

/* Cut off at any byte it fails, and stays failed. */
static void test_cut_off(void **state)
{
    struct wire_writer writer = { 0 };

    put_all(&writer);
    for (size_t length = 0; length < writer.size; length++) {
        void *exact = malloc(length + 1);
        struct wire_reader reader = reader_of(exact, length);
        size_t size;

        memcpy(exact, writer.bytes, length);
        wire_number(&reader, 7);
        wire_text(&reader, 4);
        wire_text(&reader, 4);
        wire_bytes(&reader, &size);
        wire_bytes(&reader, &size);
        wire_number(&reader, UINT64_MAX);
        assert_true(reader.failed);
        assert_false(wire_complete(&reader));
        assert_int_equal(wire_number(&reader, UINT64_MAX), 0);
        assert_string_equal(wire_text(&reader, 4), "");
        assert_null(wire_bytes(&reader, &size));
        assert_int_equal(size, 0);
        free(exact);
    }
    free(writer.bytes);
}

static void test_numbers_have_a_maximum(void **state)
{
    struct wire_writer writer = { 0 };
    struct wire_reader reader;

    wire_put_number(&writer, 8);
    reader = reader_of(writer.bytes, writer.size);
    assert_int_equal(wire_number(&reader, 7), 0);
    assert_true(reader.failed);
    free(writer.bytes);
}

static void test_texts_end_with_a_nul_and_have_no_other(void **state)
{
    static const struct {
        const char *bytes;
        size_t size, maximum;
    } bad[] = { { "", 0, 9 }, { "ab", 2, 9 }, { "a\0b", 4, 9 }, { "\0", 2, 9 }, { "abc", 4, 2 } };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wire_writer writer = { 0 };
        struct wire_reader reader;

        wire_put_bytes(&writer, bad[i].bytes, bad[i].size);
        reader = reader_of(writer.bytes, writer.size);
        assert_string_equal(wire_text(&reader, bad[i].maximum), "");
        assert_true(reader.failed);
        free(writer.bytes);
    }
}

/* A length that is larger than anything. */
static void test_lengths_are_not_believed(void **state)
{
    const uint64_t lengths[] = { 9, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63 };

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint64_t message[2] = { lengths[i], 0 };
        struct wire_reader reader = reader_of(message, sizeof(message));
        size_t size;

        assert_null(wire_bytes(&reader, &size));
        assert_int_equal(size, 0);
        assert_true(reader.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_numbers_have_a_maximum),
        cmocka_unit_test(test_texts_end_with_a_nul_and_have_no_other),
        cmocka_unit_test(test_lengths_are_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
