/* SPDX-License-Identifier: MIT */
#include "block.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"
#include "runtime.h"
#include "util.h"

static const uint8_t *place(void)
{
    uint8_t *bytes = mmap(NULL, runtime_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bytes == MAP_FAILED)
        fixture_fail("mmap: %s", strerror(errno));
    memcpy(bytes, runtime_bytes(), runtime_size());
    if (mprotect(bytes, runtime_size(), PROT_READ | PROT_EXEC) < 0)
        fixture_fail("mprotect: %s", strerror(errno));
    return bytes;
}

block_function_type block_function(enum runtime_function function)
{
    static const uint8_t *bytes;

    assert(function != RUNTIME_NONE);
    if (!bytes)
        bytes = place();
    return (block_function_type)(uintptr_t)(bytes + runtime_offset(function));
}

/* Of maps of maps, programs look up the inner map, and call_lookup is the daemon's. */
static bool is_for_programs(const struct map_kind *kind)
{
    return !kind->lookup || kind->update;
}

static void fill(struct map_kind *kind)
{
#define PLACE(member) \
    if (kind->member) \
        kind->call_##member = (__typeof__(kind->call_##member))block_function(kind->member)
    PLACE(lookup);
    PLACE(update);
    PLACE(delete);
    PLACE(push);
    PLACE(pop);
    PLACE(peek);
    PLACE(next);
#undef PLACE
}

const struct map_kind *block_kind(uint32_t number)
{
    static struct map_kind filled[32];
    const struct map_kind *kind = map_kind_find(number);

    if (BLOCK_IS_LIBRARY || !kind || !is_for_programs(kind))
        return kind;
    assert(number < ARRAY_LENGTH(filled));
    if (!filled[number].name) {
        filled[number] = *kind;
        fill(&filled[number]);
    }
    return &filled[number];
}
