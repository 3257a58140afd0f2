/* SPDX-License-Identifier: MIT */
#include "system.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "runtime.h"
#include "runtime/seat.h"
#include "shared_map.h"

_Static_assert(RUNTIME_ALIGNMENT <= IMAGE_GRANULE, "the image's reservations are aligned enough");

/*
 * At the beginning of the arena in all generations: the code of one before, which workers may still run, writes there
 * too.
 */
static int make_trace(struct daemon *daemon, struct refusal *refusal)
{
    const struct map_wanted wanted = {
        .name = "trace", .definition = { .kind = BPF_MAP_TYPE_RINGBUF, .max_entries = SYSTEM_TRACE_SIZE },
    };
    int r;

    r = shared_map_new(&daemon->registry, &wanted, 0, MAP_NUMBER_TRACE, &daemon->trace);
    return r < 0 ? refuse_memory(refusal) : shared_map_place(daemon->trace, ARENA_HEAD_SIZE, refusal);
}

/* A copy of the ring's descriptor, where the runtime's own code finds it: the same distances, from another place. */
static void write_trace(struct daemon *daemon)
{
    uint64_t at = daemon->runtime + runtime_trace_map();
    struct map *copy = image_write(daemon->image, at);
    int64_t moved = (int64_t)(daemon->trace->descriptor - at);

    memcpy(copy, image_write(daemon->image, daemon->trace->descriptor), sizeof(*copy));
    copy->memory += moved;
    copy->arena += moved;
}

int system_place(struct daemon *daemon, struct refusal *refusal)
{
    struct image_usage usage;
    int r;

    r = image_reserve(daemon->image, runtime_size(), IMAGE_FRESH, &daemon->runtime);
    if (r < 0) {
        image_usage(daemon->image, &usage);
        return refuse(refusal, r, "ImageFull", "ii", "needed", (int64_t)runtime_size(), "available",
                      (int64_t)usage.fresh);
    }
    memcpy(image_write(daemon->image, daemon->runtime), runtime_bytes(), runtime_size());
    r = make_trace(daemon, refusal);
    if (r >= 0)
        write_trace(daemon);
    image_commit(daemon->image, daemon->runtime);
    return r;
}
