/* SPDX-License-Identifier: MIT */
/*
 * Programs in C, compiled by clang, checked, translated and run: against the same source compiled
 * for the host where they compute, and with packets between two pages that nobody may touch where
 * they load.
 */
#include "jit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The same sources for the host. */
#include "../programs/compute.bpf.c"
#include "../programs/depth.bpf.c"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const variants[] = { "", ".v3" };

static struct code compile_program(const char *name, const char *variant)
{
    struct context *context = jit_packet_context();
    struct object *object = NULL;
    struct jit_error error = { 0 };
    struct code code = { 0 };
    char path[256];
    size_t size;
    void *bytes;

    snprintf(path, sizeof(path), "tests/programs/%s%s.bpf.o", name, variant);
    bytes = jit_read_file("BUILD_DIR", path, &size);
    if (!bytes)
        fail_msg("%s is not there", path);
    if (object_read(bytes, size, &object, &error) < 0 ||
        compile(object, context, architecture_native(), &code, &error) < 0)
        fail_msg("%s: %s", path, error.text);
    object_free(object);
    context_free(context);
    free(bytes);
    return code;
}

static jit_function *install_program(const char *name, const char *variant)
{
    struct code code = compile_program(name, variant);
    jit_function *function = jit_install(code.bytes, code.size);

    free(code.bytes);
    return function;
}

/* ---- what the code is ---- */

/* mov eax, 7; ret: a program that needs no frame has none. */
static void test_smallest(void **state)
{
    for (size_t v = 0; v < COUNT(variants); v++) {
        struct code code = compile_program("verdict", variants[v]);

        assert_int_equal(code.size, 6);
        assert_memory_equal(code.bytes, "\xb8\x07\x00\x00\x00\xc3", 6);
        free(code.bytes);
    }
}

/* Nothing is returned on refusal, and the error says where. */
static void test_refusal(void **state)
{
    struct context *context = jit_packet_context();
    const struct instruction code[] = { MOV64_IMM(0, 0), LDX(1, 0, 1, -1), EXIT() };
    struct object *object = jit_object(code, COUNT(code), NULL);
    struct code result = { NULL, 1234 };
    struct jit_error error = { 0 };

    assert_int_equal(compile(object, context, architecture_native(), &result, &error), -EINVAL);
    assert_null(result.bytes);
    assert_int_equal(result.size, 1234);
    assert_string_equal(error.function, "f0");
    assert_int_equal(error.instruction, 1);
    assert_non_null(strstr(error.text, "function f0, instruction 1: ldxb: "));
    assert_int_equal(compile(object, context, architecture_native(), &result, NULL), -EINVAL);
    object_free(object);
    context_free(context);
}

/* The most instructions that an object can have, all of them packet loads. */
static void test_largest(void **state)
{
    struct context *context = jit_packet_context();
    struct instruction *code = calloc(OBJECT_INSTRUCTIONS_MAX, sizeof(*code));
    unsigned char bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct packet packet = { .data = bytes, .data_end = bytes + sizeof(bytes) };
    struct object *object;
    struct code result;
    uint32_t n = 0;

    code[n++] = MOV64_IMM(0, 0);
    code[n++] = LDX(8, 3, 1, 0);
    while (n < OBJECT_INSTRUCTIONS_MAX - 1) {
        code[n++] = LDX(1, 4, 3, 7);
        code[n++] = ADD64_REG(0, 4);
    }
    code[n - 1] = EXIT();
    object = jit_object(code, n, NULL);
    assert_int_equal(compile(object, context, architecture_native(), &result, NULL), 0);
    assert_int_equal((uint32_t)jit_call(jit_install(result.bytes, result.size), &packet, 0),
                     (n - 3) / 2 * 8);
    packet.data_end--;
    assert_int_equal((uint32_t)jit_call(jit_install(result.bytes, result.size), &packet, 0), 0);
    free(result.bytes);
    object_free(object);
    context_free(context);
    free(code);
}

/* ---- context ---- */

static void test_fields(void **state)
{
    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *function = install_program("fields", variants[v]);
        unsigned char bytes[24];
        struct packet packet = {
            .data = bytes,
            .data_end = bytes + sizeof(bytes),
            .offset = 0x100000000,
            .size = 0x20000000,
            .status = 0x3000000,
            .value = 0x400000,
            .small = 0x5000,
            .tiny = 0x60,
            .undeclared = 0x77,
        };
        uint64_t sum = 0x100000000 + 0x20000000 + 0x3000000 + 0x400000 + 0x5000 + 0x60;

        assert_int_equal((uint32_t)jit_call(function, &packet, 5), 24 + 5);
        assert_int_equal(packet.offset, 0x100000000);
        assert_int_equal(packet.size, 0x20000000);
        assert_int_equal(packet.status, (uint32_t)(sum + 1));
        assert_int_equal(packet.value, sum + 2);
        assert_int_equal(packet.small, (uint16_t)(sum + 3));
        assert_int_equal(packet.tiny, (uint8_t)(sum + 4));
        assert_int_equal(packet.undeclared, 0x77);
    }
}

/* ---- packet bounds ---- */

#define PAGE 4096

/* Two pages of random bytes between two that cannot be touched. */
static unsigned char *guarded_pages(void)
{
    unsigned char *all = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(all != MAP_FAILED);
    assert_int_equal(mprotect(all + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
    for (size_t i = 0; i < 2 * PAGE; i++)
        all[PAGE + i] = (unsigned char)(i * 31 + i / 256 + 1);
    return all + PAGE;
}

/*
 * One load: done if and only if all its bytes are in the packet; if not, the program has ended
 * there with verdict 0.
 */
static void check_load(jit_function *function, const unsigned char *data, uint64_t length,
                       uint32_t size, uint64_t offset)
{
    struct packet packet = {
        .data = data,
        .data_end = data + length,
        .offset = offset,
        .size = size,
        .value = 0xfeedfeedfeedfeed,
    };
    bool inside = offset <= length && size <= length - offset;
    uint64_t expected = 0;
    uint32_t verdict = (uint32_t)jit_call(function, &packet, 99);

    if (inside)
        memcpy(&expected, data + offset, size);
    if (verdict != (inside ? 99 : 0) || packet.status != (inside ? 2 : 1) ||
        packet.value != (inside ? expected : 0xfeedfeedfeedfeed))
        fail_msg("load of %u bytes at %lld of %llu: verdict %u, status %u, value %#llx (not %#llx)",
                 size, (long long)offset, (unsigned long long)length, verdict, packet.status,
                 (unsigned long long)packet.value, (unsigned long long)expected);
}

static void test_packet_bounds(void **state)
{
    static const uint64_t far[] = {
        INT32_MAX, UINT32_MAX, 1ull << 32, 1ull << 47, 1ull << 63, (1ull << 63) - 1,
        UINT64_MAX - 4096,
    };
    unsigned char *pages = guarded_pages();

    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *function = install_program("loads", variants[v]);

        for (uint32_t size = 1; size <= 8; size *= 2)
            for (uint64_t length = 0; length <= 20; length++)
                for (int64_t offset = -20; offset <= 40; offset++) {
                    /* with the guard in front, and behind */
                    check_load(function, pages, length, size, (uint64_t)offset);
                    check_load(function, pages + 2 * PAGE - length, length, size, (uint64_t)offset);
                }
        for (uint32_t size = 1; size <= 8; size *= 2)
            for (size_t f = 0; f < COUNT(far); f++) {
                check_load(function, pages, 2 * PAGE, size, far[f]);
                check_load(function, pages, 2 * PAGE, size, 0 - far[f]);
                check_load(function, pages, 2 * PAGE, size, far[f] - (uint64_t)(uintptr_t)pages);
            }
    }
    munmap(pages - PAGE, 4 * PAGE);
}

/* A packet whose end is before its start is empty; no packet at all too. */
static void test_packet_backwards(void **state)
{
    jit_function *function = install_program("loads", "");
    unsigned char bytes[16] = { 1 };
    struct packet backwards = { .data = bytes + 8, .data_end = bytes, .size = 1 },
                  none = { .size = 1 };

    for (uint64_t offset = 0; offset < 8; offset++) {
        backwards.offset = 0 - offset;
        assert_int_equal(jit_call(function, &backwards, 99), 0);
    }
    assert_int_equal(jit_call(function, &none, 99), 0);
    none.offset = (uint64_t)(uintptr_t)bytes;
    assert_int_equal(jit_call(function, &none, 99), 0);
}

/*
 * Every form of load, to every register from every register: the packet's last bytes, and one byte
 * beyond.
 */
static void check_load_registers(const struct context *context, const unsigned char *end,
                                 struct instruction load)
{
    unsigned base = instruction_source(load), size = instruction_access_size(load);
    const struct instruction code[] = {
        LDX(8, base, 1, offsetof(struct packet, data)), load,
        MOV64_REG(0, instruction_destination(load)), EXIT(),
    };
    struct object *object = jit_object(code, COUNT(code), NULL);
    struct packet packet = { .data = end - 8, .data_end = end };
    uint64_t expected = 0;
    struct code result;
    jit_function *function;

    assert_int_equal(compile(object, context, architecture_native(), &result, NULL), 0);
    function = jit_install(result.bytes, result.size);
    memcpy(&expected, packet.data + load.offset, size);
    if (instruction_access_signed(load))
        expected = (uint64_t)((int64_t)(expected << (64 - 8 * size)) >> (64 - 8 * size));
    assert_int_equal(jit_call(function, &packet, 0), expected);
    packet.data++;              /* now it would end one byte behind the packet */
    assert_int_equal(jit_call(function, &packet, 0), 0);
    free(result.bytes);
    object_free(object);
}

static void test_packet_registers(void **state)
{
    static const uint8_t opcodes[] = { 0x71, 0x69, 0x61, 0x79, 0x91, 0x89, 0x81 };
    struct context *context = jit_packet_context();
    unsigned char *pages = guarded_pages();

    for (size_t o = 0; o < COUNT(opcodes); o++)
        for (uint8_t to = 0; to < 10; to++)
            for (uint8_t base = 0; base < 10; base++) {
                struct instruction load = INSN(opcodes[o], to, base, 0, 0);

                load.offset = (int16_t)(8 - instruction_access_size(load));
                check_load_registers(context, pages + 2 * PAGE, load);
            }
    context_free(context);
    munmap(pages - PAGE, 4 * PAGE);
}

/*
 * A load that fails in the third function ends all of them: nothing behind any of the calls
 * happens.
 */
static void test_packet_subprogram(void **state)
{
    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *function = install_program("subprogram", variants[v]);
        const unsigned char bytes[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

        for (uint64_t offset = 0; offset <= 12; offset++) {
            struct packet packet = {
                .data = bytes, .data_end = bytes + 12, .offset = offset, .size = 3, .value = 1000
            };
            uint32_t verdict = (uint32_t)jit_call(function, &packet, 41), one, two;

            if (offset > 4) {
                assert_int_equal(verdict, 0);
                assert_int_equal(packet.status, offset > 8 ? 0 : 102);  /* first load, second */
                assert_int_equal(packet.value, 1000);
                continue;
            }
            memcpy(&one, bytes + offset, 4);
            memcpy(&two, bytes + offset + 4, 4);
            assert_int_equal(verdict, 42);
            assert_int_equal(packet.status, 100);
            assert_int_equal(packet.value,
                             ((one + 1000ull) ^ (two + 1000ull) * 3) + offset + 3 + 1000);
        }
    }
}

/* ---- results ---- */

static void test_compute(void **state)
{
    unsigned char *pages = guarded_pages();

    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *function = install_program("compute", variants[v]);

        for (uint32_t i = 0; i < 500; i++) {
            const unsigned char *end = pages + 2 * PAGE;
            struct packet ours = { .data = end - i % 97, .data_end = end }, host;
            uint32_t key = i * 2654435761u;

            pages[2 * PAGE - 1 - i % 64] ^= (unsigned char)(i * 7 + 1);
            host = ours;
            assert_int_equal((uint32_t)jit_call(function, &ours, key), compute(&host, key));
            assert_memory_equal(&ours, &host, sizeof(ours));
        }
    }
    munmap(pages - PAGE, 4 * PAGE);
}

static void test_depth(void **state)
{
    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *function = install_program("depth", variants[v]);
        struct packet ours = { .value = 12345 }, host = ours;

        assert_int_equal(jit_call(function, &ours, 3), depth(&host, 3));
        assert_int_equal(ours.value, host.value);
    }
}

static void test_dead_functions(void **state)
{
    assert_int_equal((uint32_t)jit_call(install_program("dead", ""), NULL, 14), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_packet_bounds),
        cmocka_unit_test(test_packet_backwards),
        cmocka_unit_test(test_packet_registers),
        cmocka_unit_test(test_packet_subprogram),
        cmocka_unit_test(test_compute),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_dead_functions),
    };

    return cmocka_run_group_tests_name("compiler", tests, NULL, NULL);
}
