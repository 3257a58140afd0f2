/* SPDX-License-Identifier: MIT */
/* The emitter: two addresses, counting, sticky errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "emitter.h"

static void test_bytes(void **state)
{
    uint8_t buffer[16] = { 0 };
    struct emitter emitter;

    emitter_init(&emitter, buffer, sizeof(buffer), 0x1000);
    emit_8(&emitter, 0x01);
    emit_32(&emitter, 0x05040302);
    emit_64(&emitter, 0x0d0c0b0a09080706);
    emit_bytes(&emitter, "\x0e\x0f", 2);
    assert_memory_equal(buffer, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\0", 16);
    assert_int_equal(emitter_position(&emitter), 0x100f);
    assert_int_equal(emitter.error, 0);
    emitter_patch_8(&emitter, 0, 0xaa);
    emitter_patch_32(&emitter, 1, 0xddccbbee);
    assert_memory_equal(buffer, "\xaa\xee\xbb\xcc\xdd\6", 6);
}

/* Counting and writing agree, and the write address does not show in what is written. */
static void test_counting(void **state)
{
    uint8_t buffer[2][8];
    struct emitter emitter;

    for (int i = 0; i < 2; i++) {
        emitter_init(&emitter, buffer[i], 8, 0x400000);
        emit_relative_32(&emitter, 0x400000);
        emit_relative_32(&emitter, 0x400100);
        assert_int_equal(emitter.error, 0);
    }
    assert_memory_equal(buffer[0], buffer[1], 8);
    assert_memory_equal(buffer[0], "\xfc\xff\xff\xff\xf8\x00\x00\x00", 8);
    emitter_init(&emitter, NULL, 0, 0x400000);
    emit_relative_32(&emitter, 0x400000);
    emitter_patch_32(&emitter, 0, 1);
    assert_int_equal(emitter.size, 4);
    assert_int_equal(emitter.error, 0);
}

static void test_full(void **state)
{
    uint8_t buffer[8] = { 0 };
    struct emitter emitter;

    emitter_init(&emitter, buffer, 6, 0);
    emit_32(&emitter, 1);
    emit_32(&emitter, 2);       /* does not fit: nothing of it is written */
    assert_int_equal(emitter.error, -ENOSPC);
    emit_8(&emitter, 3);        /* would fit, but the error stays */
    assert_int_equal(emitter.error, -ENOSPC);
    assert_memory_equal(buffer, "\1\0\0\0\0\0\0\0", 8);
}

static void test_range(void **state)
{
    uint8_t buffer[16];
    struct emitter emitter;

    emitter_init(&emitter, buffer, sizeof(buffer), 0x100000000);
    emit_relative_32(&emitter, 0x100000004 + INT32_MAX);
    assert_int_equal(emitter.error, 0);
    emit_relative_32(&emitter, 0x100000008 + (uint64_t)INT32_MIN);
    assert_int_equal(emitter.error, 0);
    emit_relative_32(&emitter, 0x10000000c + (uint64_t)INT32_MAX + 1);
    assert_int_equal(emitter.error, -ERANGE);
    emitter_init(&emitter, buffer, sizeof(buffer), 0x100000000);
    emit_relative_32(&emitter, 0x100000003 + (uint64_t)INT32_MIN);
    assert_int_equal(emitter.error, -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_range),
    };

    return cmocka_run_group_tests_name("emitter", tests, NULL, NULL);
}
