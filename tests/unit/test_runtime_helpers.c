/* SPDX-License-Identifier: MIT */
/* The runtime's small functions: text, random numbers, who runs, and what programs print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "maps/fixture.h"
#include "runtime/process.h"
#include "runtime/random.h"
#include "runtime/ring.h"
#include "runtime/text.h"
#include "runtime/trace.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- text ---- */

static void test_text_compare(void **state)
{
    static const struct {
        const char *left;
        uint64_t size;
        const char *right;
        long r;
    } cases[] = {
        { "abc", 4, "abc", 0 },
        { "abc", 3, "abc", 0 },
        { "abc", 3, "abd", -1 },
        { "abc", 2, "abd", 0 },
        { "abd", 4, "abc", 1 },
        { "ab", 3, "abc", -1 },
        { "abc", 4, "ab", 1 },
        { "ab\0x", 5, "ab", 0 },
        { "", 1, "", 0 },
        { "x", 0, "y", 0 },
        { "\xff", 2, "a", 1 },
        { "a", 2, "\xff", -1 },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(text_compare(cases[i].left, cases[i].size, cases[i].right), cases[i].r);
}

/* A byte behind what is compared is not touched: the left ends with its size, the right with its NUL. */
static void test_text_ends(void **state)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *left = page + 4096 - 3, *right = page + 4096 - 2;

    assert_true(page != MAP_FAILED);
    assert_int_equal(mprotect(page + 4096, 4096, PROT_NONE), 0);
    memcpy(left, "abc", 3);
    assert_int_equal(text_compare(left, 3, "abcd"), 0);
    memcpy(right, "a", 2);
    assert_int_equal(text_compare("ab", 100, right), 1);
    munmap(page, 8192);
}

/* ---- random numbers ---- */

static uint64_t next(struct thread *thread)
{
    return random_number(0, 0, 0, 0, 0, thread);
}

/* Each bit is as often 0 as 1: of 100,000, by chance, no count is 6 standard deviations away. */
static void test_random_bits(void **state)
{
    struct thread thread = { .random = 1 };     /* seeded: the same numbers each time */
    unsigned ones[32] = { 0 };

    for (unsigned i = 0; i < 100000; i++) {
        uint64_t number = next(&thread);

        assert_true(number <= UINT32_MAX);
        for (unsigned bit = 0; bit < 32; bit++)
            ones[bit] += number >> bit & 1;
    }
    for (unsigned bit = 0; bit < 32; bit++)
        assert_in_range(ones[bit], 50000 - 949, 50000 + 949);
}

static void test_random_seed(void **state)
{
    struct thread one = { .line = 1 }, other = { .line = 2 };
    unsigned same = 0;

    for (unsigned i = 0; i < 1000; i++)
        same += next(&one) == next(&other);
    assert_true(same < 3);
    assert_true(one.random != 0);
}

static void test_process_thread(void **state)
{
    struct thread thread = { .process = 0xfedcba98, .id = 0x89abcdef };

    assert_true(process_thread(0, 0, 0, 0, 0, &thread) == UINT64_C(0xfedcba9889abcdef));
}

/* ---- what programs print ---- */

static struct fixture new_trace_ring(void)
{
    struct map_definition definition = { BPF_MAP_TYPE_RINGBUF, 0, 0, TRACE_RING_SIZE, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    trace_map = *fixture.map;
    trace_map.memory = fixture.memory - (uint8_t *)&trace_map;
    trace_map.arena = (uint8_t *)fixture.head - (uint8_t *)&trace_map;
    return fixture;
}

static void clear_trace_ring(struct fixture *fixture)
{
    trace_map = (struct map){ 0 };
    fixture_clear(fixture);
}

/* The next record must have this text. */
static void expect_line(const char *text)
{
    struct trace_record record;
    uint32_t length;

    assert_int_equal(ring_take(&trace_map, &record, sizeof(record), &length), 0);
    assert_int_equal(length, offsetof(struct trace_record, text) + strlen(text));
    assert_memory_equal(record.text, text, strlen(text));
    assert_int_equal(record.process, 107);
    assert_int_equal(record.thread, 107);
}

/* As printf has it. */
static void test_formats(void **state)
{
    static const struct {
        const char *format, *as;        /* as: NULL: the same for printf */
        uint64_t argument[3];
    } cases[] = {
        { "plain, 100%%\n", NULL, { 0 } },
        { "%d %i %u", NULL, { -1u, -2147483648u, -1u } },
        { "%d", "%lld", { 0 } },
        { "%d", "%lld", { 2147483647 } },
        { "%d", "5", { UINT64_C(0x100000005) } },
        { "%ld|%lld", NULL, { INT64_MIN, INT64_MAX } },
        { "%lu %llu %lx", NULL, { UINT64_MAX, 12345678901234567890u, UINT64_MAX } },
        { "%x %X %x", NULL, { 0xdeadbeef, 0xdeadbeef, 0 } },
        { "[%5d][%-5d][%05d]", NULL, { 42, 42, -42u } },
        { "[%5d][%-5d][%05d]", NULL, { 1234567, 1234567, 1234567 } },
        { "%08llx|%20llu|%-20llu", NULL, { 0xabc, UINT64_MAX, 7 } },
        { "%c%c%3c", NULL, { 'a', 'b', 'c' } },
        { "%p", NULL, { 0x7fff12345678 } },
    };
    struct fixture fixture = new_trace_ring();
    struct thread thread = fixture_thread(7);

    for (size_t i = 0; i < COUNT(cases); i++) {
        const uint64_t *argument = cases[i].argument;
        const char *as = cases[i].as ? cases[i].as : cases[i].format;
        char wanted[TRACE_TEXT_MAX];
        long r;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(wanted, sizeof(wanted), as, argument[0], argument[1], argument[2]);
#pragma GCC diagnostic pop
        r = trace_print(cases[i].format, strlen(cases[i].format) + 1, argument[0], argument[1], argument[2], &thread);
        if (r != (long)strlen(wanted))
            fail_msg("\"%s\": %ld, not %zu", cases[i].format, r, strlen(wanted));
        expect_line(wanted);
    }
    clear_trace_ring(&fixture);
}

static void test_refused_formats(void **state)
{
    static const char *const formats[] = {
        "%", "%s", "%n", "%f", "%5", "%l", "%lld%", "%lll", "%lllx", "%lc", "%hd", "%*d", "%+d", "%.3d", "%d%d%d%d",
        "\x01", "caf\xc3\xa9", "%d\x7f",
    };
    struct fixture fixture = new_trace_ring();
    struct thread thread = fixture_thread(7);
    char unended[4] = { 'a', 'b', 'c', 'd' }, longest[TRACE_FORMAT_MAX + 1];

    for (size_t i = 0; i < COUNT(formats); i++)
        if (trace_print(formats[i], strlen(formats[i]) + 1, 0, 0, 0, &thread) != -EINVAL)
            fail_msg("\"%s\" is not refused", formats[i]);
    assert_int_equal(trace_print(unended, sizeof(unended), 0, 0, 0, &thread), -EINVAL);
    assert_int_equal(trace_print("a\0b", 3, 0, 0, 0, &thread), -EINVAL);
    assert_int_equal(trace_print("", 0, 0, 0, 0, &thread), -EINVAL);
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(trace_print(longest, sizeof(longest), 0, 0, 0, &thread), -EINVAL);
    assert_int_equal(trace_print(longest + 1, sizeof(longest) - 1, 0, 0, 0, &thread), TRACE_FORMAT_MAX - 1);
    expect_line(longest + 1);
    assert_int_equal(ring_query(&trace_map, BPF_RB_AVAIL_DATA), 0);
    clear_trace_ring(&fixture);
}

/* Too long is cut; what has no ring, or no room in it, says so. */
static void test_limits(void **state)
{
    struct fixture fixture = new_trace_ring();
    struct thread thread = fixture_thread(7);
    char spaces[TRACE_TEXT_MAX + 1];
    long r;

    memset(spaces, ' ', TRACE_TEXT_MAX);
    spaces[TRACE_TEXT_MAX] = 0;
    assert_int_equal(trace_print("%4000000000d", 13, 1, 0, 0, &thread), TRACE_TEXT_MAX);
    spaces[TRACE_TEXT_MAX - 1] = '1';
    expect_line(spaces);
    assert_int_equal(trace_print("%255d%9d", 9, 1, 2, 0, &thread), TRACE_TEXT_MAX);
    spaces[TRACE_TEXT_MAX - 2] = '1';
    spaces[TRACE_TEXT_MAX - 1] = ' ';
    expect_line(spaces);
    do
        r = trace_print("%99d", 5, 1, 0, 0, &thread);
    while (r == 99);
    assert_int_equal(r, -EAGAIN);
    assert_int_equal(ring_lost(&trace_map), 1);
    clear_trace_ring(&fixture);
    assert_int_equal(trace_print("x", 2, 0, 0, 0, &thread), -ENODEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_compare),
        cmocka_unit_test(test_text_ends),
        cmocka_unit_test(test_random_bits),
        cmocka_unit_test(test_random_seed),
        cmocka_unit_test(test_process_thread),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_refused_formats),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
