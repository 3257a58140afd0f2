/* SPDX-License-Identifier: MIT */
/* What the tests of jitcore share. */
#include "jit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../programs/packet_context.h"

struct bytecode *jit_bytecode(const struct instruction *instructions, uint32_t count, const uint32_t *counts)
{
    const uint32_t one[] = { count, 0 };
    struct bytecode sizes = { .instructions = count }, *bytecode;
    uint32_t first = 0;

    counts = counts ? counts : one;
    while (counts[sizes.functions])
        sizes.functions++;
    bytecode = bytecode_new(&sizes);
    assert_non_null(bytecode);
    strcpy(bytecode->context, "packet");
    memcpy(bytecode->instruction, instructions, count * sizeof(*instructions));
    for (uint32_t i = 0; i < sizes.functions; first += counts[i++]) {
        snprintf(bytecode->function[i].name, sizeof(bytecode->function[i].name), "f%u", i);
        bytecode->function[i].first = first;
        bytecode->function[i].count = counts[i];
    }
    assert_int_equal(first, count);
    return bytecode;
}

/* The one that is executed k-th: the first, the last, the second, the last but one, ... */
static uint32_t zigzag_place(uint32_t k, uint32_t count)
{
    return k == count ? count : k % 2 == 0 ? k / 2 : count - 1 - k / 2;
}

void jit_zigzag(struct instruction *instructions, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        uint32_t from = zigzag_place(k, count), to = zigzag_place(k + 1, count);

        instructions[from] = INSN(OPCODE_JUMP_32, 0, 0, 0, (int32_t)to - (int32_t)from - 1);
    }
}

struct context *jit_packet_context(void)
{
    struct context *context;

    assert_int_equal(packet_context(&context), 0);
    return context;
}

/* ---- machine code ---- */

#define TEXT_SIZE (64u << 20)

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static void *map_text(int descriptor, int protection)
{
    void *text = mmap(NULL, TEXT_SIZE, protection, MAP_SHARED, descriptor, 0);

    assert_true(text != MAP_FAILED);
    return text;
}

/*
 * Bytes are installed behind each other and never overwritten, so no stale instruction can be
 * fetched.
 */
jit_function *jit_install(const void *bytes, size_t size)
{
    static uint8_t *write, *run;
    static size_t used;
    size_t at = (used + 15) & ~(size_t)15;

    if (!write) {
        int descriptor = memfd_create("text", MFD_CLOEXEC | MFD_EXEC);

        if (descriptor < 0)     /* Linux before 6.3 does not know MFD_EXEC */
            descriptor = memfd_create("text", MFD_CLOEXEC);
        assert_true(descriptor >= 0);
        assert_int_equal(ftruncate(descriptor, TEXT_SIZE), 0);
        write = map_text(descriptor, PROT_READ | PROT_WRITE);
        run = map_text(descriptor, PROT_READ | PROT_EXEC);
        close(descriptor);
    }
    assert_true(size <= TEXT_SIZE - at);
    memcpy(write + at, bytes, size);
    used = at + size;
    return (jit_function *)(uintptr_t)(run + at);
}

jit_function *jit_install_unverified(const struct bytecode *bytecode)
{
    struct verified verified;
    struct code code;
    struct machine machine;

    assert_int_equal(verified_assume(bytecode, &verified), 0);
    assert_int_equal(compile_verified(&verified, architecture_native(), &code, NULL), 0);
    verified_clear(&verified);
    if (bytecode->regions == 0) {       /* tests make more of these than a process may have mappings */
        jit_function *function = jit_install(code.bytes, code.size);

        code_clear(&code);
        return function;
    }
    assert_int_equal(machine_load(bytecode, &code, &machine, NULL), 0);
    code_clear(&code);
    return machine.run;
}

/* The result; *kept is 0 if a register has changed that must not. */
uint64_t jit_call_guarded(jit_function *function, void *context, uint64_t key, uint64_t *kept);
__asm__(".text\n"
        ".type jit_call_guarded, @function\n"
        "jit_call_guarded:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rcx\n"
        "mov %rdi, %rax; mov %rsi, %rdi; mov %rdx, %rsi\n"
        "mov $0x1111, %rbx; mov $0x2222, %r12; mov $0x3333, %r13; mov $0x4444, %r14\n"
        "mov $0x5555, %r15\n"
        "mov %rsp, %rbp\n"
        "call *%rax\n"
        "xor %edx, %edx\n"
        "cmp %rsp, %rbp; jne 1f\n"
        "cmp $0x1111, %rbx; jne 1f\n"
        "cmp $0x2222, %r12; jne 1f\n"
        "cmp $0x3333, %r13; jne 1f\n"
        "cmp $0x4444, %r14; jne 1f\n"
        "cmp $0x5555, %r15; jne 1f\n"
        "inc %edx\n"
        "1: pop %rcx\n"
        "mov %rdx, (%rcx)\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        ".size jit_call_guarded, .-jit_call_guarded\n");

uint64_t jit_call(jit_function *function, void *context, uint64_t key)
{
    uint64_t kept = 0, result = jit_call_guarded(function, context, key, &kept);

    assert_true(kept);
    return result;
}

/* ---- files ---- */

void *jit_read_file(const char *directory, const char *path, size_t *ret_size)
{
    const char *prefix = getenv(directory);
    char full[4096];
    FILE *file;
    char *bytes;
    size_t size;

    snprintf(full, sizeof(full), "%s/%s", prefix ? prefix : ".", path);
    file = fopen(full, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    bytes[size] = '\0';
    fclose(file);
    if (ret_size)
        *ret_size = size;
    return bytes;
}
