/* SPDX-License-Identifier: MIT */
/* Machine code that runs in this process. */

#include "machine.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "counters.h"
#include "linkage.h"
#include "runtime.h"

#define PAGE ((size_t)getpagesize())

/* ---- where what lies: bytes from the code's first one, which stands first ---- */

struct layout {
    size_t linkage, native, runtime;    /* all natives have one stub */
    size_t size;                /* bytes of all, whole pages */
};

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static struct layout lay_out(const struct code *code)
{
    struct layout layout = { .linkage = round_up(code->size, RUNTIME_ALIGNMENT) };

    layout.native = layout.linkage + LINKAGE_STUBS;
    layout.runtime = round_up(layout.native + LINKAGE_STUB_SIZE, RUNTIME_ALIGNMENT);
    layout.size = round_up(layout.runtime + runtime_size(), PAGE);
    return layout;
}

static uint64_t distance(const struct machine *machine, const void *place)
{
    return place ? (uint64_t)((const uint8_t *)place - machine->arena.base) : 0;
}

/* ---- filling ---- */

/* mov r11, number */
static uint8_t *write_number(uint8_t *to, uint64_t number)
{
    *to++ = 0x49;
    *to++ = 0xbb;
    memcpy(to, &number, sizeof(number));
    return to + sizeof(number);
}

/* jmp there */
static void write_jump(uint8_t *to, uintptr_t there)
{
    memcpy(write_number(to, there), (const uint8_t[]){ 0x41, 0xff, 0xe3 }, 3);
}

/* What stubs do, for one thread, and without words of data. */
static void write_linkage(const struct machine *machine, uint8_t *linkage)
{
    uint8_t *counters = write_number(linkage + LINKAGE_COUNTERS, (uintptr_t)machine->arena.counters);

    *counters = 0xc3;           /* ret */
    for (size_t i = 0; i < SERVICES; i++)
        write_jump(linkage + LINKAGE_SERVICES + i * LINKAGE_SERVICE_SIZE, (uintptr_t)test_arena_service[i]);
    write_jump(linkage + LINKAGE_STUBS, (uintptr_t)test_arena_native);
}

static void write_runtime(const struct machine *machine, uint8_t *runtime)
{
    memcpy(runtime, runtime_bytes(), runtime_size());
    test_arena_copy_trace(&machine->arena, (struct map *)(void *)(runtime + runtime_trace_map()));
}

static int relocate(const struct machine *machine, const struct bytecode *bytecode, const struct code *code,
                    const struct layout *layout)
{
    uint64_t region[BYTECODE_REGIONS_MAX], map[BYTECODE_REGIONS_MAX], native[BYTECODE_NATIVES_MAX];
    const struct code_positions positions = {
        .region = region, .map = map, .native = native, .linkage = layout->linkage, .runtime = layout->runtime,
    };

    for (uint32_t i = 0; i < BYTECODE_NATIVES_MAX; i++)
        native[i] = layout->native;
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        region[i] = distance(machine, test_arena_bytes(&machine->arena, i));
        map[i] = distance(machine, machine->arena.map[i]);
    }
    return code_relocate(code, machine->arena.base, 0, &positions);
}

/* Written first, executable then: never both at once. */
static int fill_room(const struct machine *machine, const struct bytecode *bytecode, const struct code *code,
                     const struct layout *layout)
{
    uint8_t *room = machine->arena.base;
    int r;

    if (mprotect(room, layout->size, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    memcpy(room, code->bytes, code->size);
    write_linkage(machine, room + layout->linkage);
    write_runtime(machine, room + layout->runtime);
    r = relocate(machine, bytecode, code, layout);
    if (r == 0 && mprotect(room, layout->size, PROT_READ | PROT_EXEC) < 0)
        r = -errno;
    return r;
}

int machine_load(const struct bytecode *bytecode, const struct code *code, struct machine *ret, struct jit_error *error)
{
    const struct layout layout = lay_out(code);
    struct machine machine = { .run = NULL };
    int r = test_arena_new(bytecode, layout.size, &machine.arena, error);

    if (r < 0)
        return r;
    machine.run = (uint64_t(*)(void *, uint64_t))(uintptr_t)machine.arena.base;
    r = fill_room(&machine, bytecode, code, &layout);
    if (r < 0)
        machine_clear(&machine);
    else
        *ret = machine;
    return r;
}

void machine_clear(struct machine *machine)
{
    test_arena_clear(&machine->arena);
    machine->run = NULL;
}
