/* SPDX-License-Identifier: MIT */
/* Machine code that runs in this process. */

#include "machine.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)getpagesize())

static size_t pages(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

/*
 * Where each region lies, counted from the code: 8-byte aligned, and at most 7 bytes behind it a page begins that
 * nobody may touch.  Returns the size of all.
 */
static size_t place_regions(const struct bytecode *bytecode, size_t at, uint64_t *position)
{
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        at += PAGE;
        if (bytecode->region[i].kind != REGION_CONSTANT)
            at += pages(bytecode->region[i].size);
        position[i] = at - (bytecode->region[i].size + 7ul) / 8 * 8;
    }
    return at + PAGE;
}

/* Written first, executable then: never both at once. */
static int fill_code(const struct machine *machine, const struct code *code, const uint64_t *position)
{
    int r;

    if (mprotect(machine->base, pages(code->size), PROT_READ | PROT_WRITE) < 0)
        return -errno;
    memcpy(machine->base, code->bytes, code->size);
    r = code_relocate(code, machine->base, 0, position);
    if (r == 0 && mprotect(machine->base, pages(code->size), PROT_READ | PROT_EXEC) < 0)
        r = -errno;
    return r;
}

static int fill_regions(struct machine *machine, const struct bytecode *bytecode, const uint64_t *position)
{
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        const struct bytecode_region *region = &bytecode->region[i];
        uint64_t first = position[i] / PAGE * PAGE;

        if (region->kind == REGION_CONSTANT || !region->size)
            continue;
        machine->memory[i] = machine->base + position[i];
        if (mprotect(machine->base + first, pages(region->size), PROT_READ | PROT_WRITE) < 0)
            return -errno;
        if (region->contents)
            memcpy(machine->memory[i], region->contents, region->size);
    }
    return 0;
}

int machine_load(const struct bytecode *bytecode, const struct code *code, struct machine *ret)
{
    uint64_t position[BYTECODE_REGIONS_MAX];
    struct machine machine = { .size = place_regions(bytecode, pages(code->size), position) };
    int r;

    machine.base = mmap(NULL, machine.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (machine.base == MAP_FAILED)
        return -errno;
    machine.run = (uint64_t(*)(void *, uint64_t))(uintptr_t)machine.base;
    r = fill_code(&machine, code, position);
    if (r == 0)
        r = fill_regions(&machine, bytecode, position);
    if (r < 0)
        machine_clear(&machine);
    else
        *ret = machine;
    return r;
}

void machine_clear(struct machine *machine)
{
    if (machine->base)
        munmap(machine->base, machine->size);
    *machine = (struct machine){ .base = NULL };
}
