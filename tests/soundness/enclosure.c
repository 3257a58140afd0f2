/* SPDX-License-Identifier: MIT */
/* Machine code between pages that fault. */

#include "enclosure.h"

#include <cpuid.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define PAGE 4096u
#define ROOM_DISTANCE (ENCLOSURE_ROOM_SIZE + PAGE)
#define ROOMS_AT (ENCLOSURE_CODE_SIZE + PAGE)
#define SIZE (ROOMS_AT + ENCLOSURE_ROOMS * ROOM_DISTANCE)
#define SECONDS 10              /* for one run */
#define SIGNAL_STACK_SIZE 65536

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static sigjmp_buf back;
static volatile sig_atomic_t running;

/* Ours is what happens while a program runs; anything else is a crash of the test. */
static void caught(int number)
{
    if (!running) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    siglongjmp(back, number);
}

/* On a stack of its own: the program's may be what is broken. */
static int catch_signals(void)
{
    static uint8_t stack[SIGNAL_STACK_SIZE];
    const stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction action = { .sa_handler = caught, .sa_flags = SA_ONSTACK | SA_NODEFER };

    if (sigaltstack(&other, NULL) < 0)
        return -errno;
    for (size_t i = 0; i < SIGNALS; i++)
        if (sigaction(signals[i], &action, NULL) < 0)
            return -errno;
    return 0;
}

static int map_code(struct enclosure *enclosure)
{
    int descriptor = memfd_create("code", MFD_CLOEXEC | MFD_EXEC), r = 0;

    if (descriptor < 0 && errno == EINVAL)      /* Linux before 6.3 does not know MFD_EXEC */
        descriptor = memfd_create("code", MFD_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    if (ftruncate(descriptor, ENCLOSURE_CODE_SIZE) < 0 ||
        mmap(enclosure->base, ENCLOSURE_CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, descriptor, 0) ==
            MAP_FAILED)
        r = -errno;
    if (r == 0)
        enclosure->code = mmap(NULL, ENCLOSURE_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (r == 0 && enclosure->code == MAP_FAILED)
        r = -errno;
    close(descriptor);
    return r;
}

static int open_rooms(const struct enclosure *enclosure)
{
    for (unsigned i = 0; i < ENCLOSURE_ROOMS; i++)
        if (mprotect(enclosure_room(enclosure, i, 0, true), ENCLOSURE_ROOM_SIZE, PROT_READ | PROT_WRITE) < 0)
            return -errno;
    return 0;
}

int enclosure_init(struct enclosure *enclosure)
{
    int r;

    *enclosure = (struct enclosure){ .code = MAP_FAILED };
    enclosure->base = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (enclosure->base == MAP_FAILED)
        return -errno;
    r = map_code(enclosure);
    if (r == 0)
        r = open_rooms(enclosure);
    if (r == 0)
        r = catch_signals();
    if (r < 0)
        enclosure_clear(enclosure);
    return r;
}

void enclosure_clear(struct enclosure *enclosure)
{
    if (enclosure->code != MAP_FAILED)
        munmap(enclosure->code, ENCLOSURE_CODE_SIZE);
    munmap(enclosure->base, SIZE);
}

uint8_t *enclosure_room(const struct enclosure *enclosure, unsigned room, uint32_t size, bool at_start)
{
    uint8_t *first = enclosure->base + ROOMS_AT + room * ROOM_DISTANCE;

    return at_start ? first : first + ENCLOSURE_ROOM_SIZE - size;
}

int enclosure_load(struct enclosure *enclosure, const struct bytecode *bytecode, const struct code *code,
                   bool at_start)
{
    uint64_t position[BYTECODE_REGIONS_MAX], at = ENCLOSURE_CODE_SIZE - (code->size + 15) / 16 * 16;
    const struct code_positions positions = { .region = position, .map = position };
    int r;

    if (code->size > ENCLOSURE_CODE_SIZE || bytecode->regions > ENCLOSURE_ROOMS)
        return -E2BIG;
    for (uint32_t i = 0; i < bytecode->regions; i++)
        position[i] = (uint64_t)(enclosure_room(enclosure, i, bytecode->region[i].size, at_start) - enclosure->base);
    memcpy(enclosure->code + at, code->bytes, code->size);
    r = code_relocate(code, enclosure->code + at, at, &positions);
    enclosure->run = (uint64_t(*)(void *, uint64_t))(uintptr_t)(enclosure->base + at);
    return r;
}

/* Code written through another mapping runs for sure behind an instruction that serialises. */
static void serialise(void)
{
    unsigned a, b, c, d;

    __cpuid(0, a, b, c, d);
}

int enclosure_run(const struct enclosure *enclosure, void *context, uint64_t key, uint64_t *ret)
{
    int number = sigsetjmp(back, 0);

    if (number == 0) {
        serialise();
        alarm(SECONDS);
        running = 1;
        *ret = enclosure->run(context, key);
    }
    running = 0;
    alarm(0);
    return number;
}
