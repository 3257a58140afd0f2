/* SPDX-License-Identifier: MIT */
/*
 * Programs in C, compiled by clang, verified, translated and run: against the same source compiled for the host where
 * they compute, and with packets between two pages that nobody may touch where they load.
 */
#include "objects.h"

#include <sys/mman.h>

/* The same sources for the host. */
#include "../programs/compute.bpf.c"
#include "../programs/depth.bpf.c"

static const char *const variants[] = { "", ".v3" };

static struct bytecode *program_of(const char *name, const char *variant, const char *program)
{
    char full[64];
    struct object *object;
    struct bytecode *bytecode;

    snprintf(full, sizeof(full), "%s%s", name, variant);
    object = objects_read(full);
    bytecode = objects_bytecode(object, program);
    object_free(object);
    return bytecode;
}

static struct code compile_program(const struct bytecode *bytecode)
{
    struct context *context = jit_packet_context();
    struct jit_error error = { 0 };
    struct code code = { 0 };

    if (compile(bytecode, context, architecture_native(), NULL, &code, &error) < 0)
        fail_msg("%s: %s", bytecode->function[0].name, error.text);
    context_free(context);
    return code;
}

/* One program of an object, with its regions; they stay in memory. */
static struct machine install_one(const char *name, const char *variant, const char *program)
{
    struct bytecode *bytecode = program_of(name, variant, program);
    struct code code = compile_program(bytecode);
    struct machine machine;

    assert_int_equal(machine_load(bytecode, &code, &machine, NULL), 0);
    code_clear(&code);
    bytecode_free(bytecode);
    return machine;
}

static jit_function *install_program(const char *name, const char *variant)
{
    return (jit_function *)install_one(name, variant, NULL).run;
}

/* ---- what the code is ---- */

/* mov eax, 7; ret: a program that needs no frame has none. */
static void test_smallest(void **state)
{
    for (size_t v = 0; v < COUNT(variants); v++) {
        struct bytecode *bytecode = program_of("verdict", variants[v], NULL);
        struct code code = compile_program(bytecode);

        assert_int_equal(code.size, 6);
        assert_memory_equal(code.bytes, "\xb8\x07\x00\x00\x00\xc3", 6);
        assert_int_equal(code.relocations, 0);
        code_clear(&code);
        bytecode_free(bytecode);
    }
}

/* Nothing is returned on refusal, and the error says where. */
static void test_refusal(void **state)
{
    struct context *context = jit_packet_context();
    const struct instruction code[] = { MOV64_IMM(0, 0), LDX(1, 0, 1, -1), EXIT() };
    struct bytecode *bytecode = jit_bytecode(code, COUNT(code), NULL);
    struct code result = { NULL, 1234, NULL, 5 };
    struct jit_error error = { 0 };

    assert_int_equal(compile(bytecode, context, architecture_native(), NULL, &result, &error), -EINVAL);
    assert_null(result.bytes);
    assert_int_equal(result.size, 1234);
    assert_string_equal(error.function, "f0");
    assert_int_equal(error.instruction, 1);
    assert_int_equal(compile(bytecode, context, architecture_native(), NULL, &result, NULL), -EINVAL);
    bytecode_free(bytecode);
    context_free(context);
}

/* The most instructions that a program can have, nearly all of them packet loads. */
static void test_largest(void **state)
{
    struct context *context = jit_packet_context();
    struct instruction *code = calloc(BYTECODE_INSTRUCTIONS_MAX, sizeof(*code));
    unsigned char bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct packet packet = { .data = bytes, .data_end = bytes + sizeof(bytes) };
    struct bytecode *bytecode;
    struct code result;
    jit_function *function;
    uint32_t n = 0;

    code[n++] = MOV64_IMM(0, 0);
    code[n++] = LDX(8, 3, 1, offsetof(struct packet, data));
    code[n++] = LDX(8, 5, 1, offsetof(struct packet, data_end));
    code[n++] = MOV64_REG(4, 3);
    code[n++] = ADD64_IMM(4, 8);
    code[n++] = INSN(0xbd, 4, 5, 1, 0);         /* if r4 <= r5, over the exit */
    code[n++] = EXIT();
    while (n < BYTECODE_INSTRUCTIONS_MAX - 2) {
        code[n++] = LDX(1, 4, 3, 7);
        code[n++] = ADD64_REG(0, 4);
    }
    code[n++] = EXIT();
    bytecode = jit_bytecode(code, n, NULL);
    assert_int_equal(compile(bytecode, context, architecture_native(), NULL, &result, NULL), 0);
    function = jit_install(result.bytes, result.size);
    assert_int_equal((uint32_t)jit_call(function, &packet, 0), (n - 8) / 2 * 8);
    packet.data_end--;
    assert_int_equal((uint32_t)jit_call(function, &packet, 0), 0);
    code_clear(&result);
    bytecode_free(bytecode);
    context_free(context);
    free(code);
}

/* What is out of reach is refused, and nothing written. */
static void test_relocate(void **state)
{
    struct code_relocation relocations[2] = { { 4, RELOCATION_REGION, 0, 0 }, { 12, RELOCATION_MAP, 1, 8 } };
    const struct code code = { NULL, 16, relocations, COUNT(relocations) };
    uint64_t position[2] = { 1 << 20, 1 << 21 };
    const struct code_positions positions = { .region = position, .map = position };
    int32_t written[4] = { 0 };

    assert_int_equal(code_relocate(&code, (uint8_t *)written, 4096, &positions), 0);
    assert_int_equal(written[1], (1 << 20) - (4096 + 4 + 4));
    assert_int_equal(written[3], (1 << 21) + 8 - (4096 + 12 + 4));
    memset(written, 0, sizeof(written));
    position[1] = 4096 + 12 + 4 - 8 + (uint64_t)INT32_MAX;
    assert_int_equal(code_relocate(&code, (uint8_t *)written, 4096, &positions), 0);
    assert_int_equal(written[3], INT32_MAX);
    memset(written, 0, sizeof(written));
    position[1]++;
    assert_int_equal(code_relocate(&code, (uint8_t *)written, 4096, &positions), -ERANGE);
    assert_int_equal(written[1], 0);
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

/* ---- data, callbacks ---- */

/* The first and last of ten calls of `writes` with the keys 0 to 9, whose variables keep what was written. */
static void test_data(void **state)
{
    static const uint32_t primes[] = { 2, 3, 5, 7 };

    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *reads = (jit_function *)install_one("data", variants[v], "reads").run,
                     *writes = (jit_function *)install_one("data", variants[v], "writes").run;
        uint32_t started = 0x11223344;
        struct packet packet = { 0 };

        for (uint32_t key = 0; key < 10; key++) {
            started ^= 10 + key % 4 * 10;
            assert_int_equal((uint32_t)jit_call(writes, &packet, key), started);
            assert_int_equal((uint32_t)jit_call(reads, &packet, key),
                             primes[key % 4] + (key & 1 ? 4 : 2) + 'e' + (key & 1 ? 0xbb : 0xaa));
        }
    }
}

static void test_callbacks(void **state)
{
    for (size_t v = 0; v < COUNT(variants); v++) {
        jit_function *function = install_program("callback", variants[v]);

        for (uint32_t key = 0; key < 20; key++) {
            struct packet packet = { 0 };
            uint32_t sum = 0;

            for (uint32_t i = 0; i < key % 16; i++)
                sum += i * i;
            for (uint32_t i = 0; i < key % 8; i++)
                sum += i;
            assert_int_equal((uint32_t)jit_call(function, &packet, key), sum);
            assert_int_equal(packet.value, sum);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_relocate),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_packet_bounds),
        cmocka_unit_test(test_packet_backwards),
        cmocka_unit_test(test_packet_subprogram),
        cmocka_unit_test(test_compute),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_dead_functions),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_callbacks),
    };

    return cmocka_run_group_tests_name("compiler", tests, NULL, NULL);
}
