/* SPDX-License-Identifier: MIT */
#include "map.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "map_layout.h"
#include "runtime/array.h"
#include "runtime/element.h"
#include "runtime/hash.h"
#include "runtime/queue.h"
#include "runtime/ring.h"
#include "runtime/trie.h"

/* Functions that take fewer arguments, in the form that all rows have. */
#define LOOKUP(name)                                                                                            \
    static void *call_##name(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2,      \
                             uint64_t unused3, struct thread *thread)                                           \
    {                                                                                                           \
        (void)unused1, (void)unused2, (void)unused3, (void)thread;                                              \
        return name(map, key);                                                                                  \
    }
#define NEXT(name)                                                                                              \
    static const void *call_##name(const struct map *map, struct map_cursor *cursor, void **ret_value,         \
                                   uint64_t unused1, uint64_t unused2, struct thread *thread)                   \
    {                                                                                                           \
        (void)unused1, (void)unused2, (void)thread;                                                             \
        return name(map, cursor, ret_value);                                                                    \
    }
#define PEEK(name)                                                                                             \
    static long call_##name(const struct map *map, void *value, uint64_t unused1, uint64_t unused2,            \
                            uint64_t unused3, struct thread *thread)                                            \
    {                                                                                                           \
        (void)unused1, (void)unused2, (void)unused3, (void)thread;                                              \
        return name(map, value);                                                                                \
    }

#define DELETE(name)                                                                                            \
    static long call_##name(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2,        \
                            uint64_t unused3, struct thread *thread)                                            \
    {                                                                                                           \
        (void)unused1, (void)unused2, (void)unused3, (void)thread;                                              \
        return name(map, key);                                                                                  \
    }

LOOKUP(array_lookup)
DELETE(array_delete)
LOOKUP(hash_lookup)
LOOKUP(lru_lookup)
LOOKUP(trie_lookup)
NEXT(array_next)
NEXT(hash_next)
NEXT(trie_next)
PEEK(queue_peek)
PEEK(stack_peek)

/* ---- making anew ---- */

static void renew_hash(const struct map *map, const struct map *old, struct thread *thread)
{
    struct map_cursor cursor = { 0 };
    const void *key;
    void *value;

    while ((key = hash_next(old, &cursor, &value)))
        hash_update(map, key, value, BPF_ANY, 0, thread);
}

static void renew_trie(const struct map *map, const struct map *old, struct thread *thread)
{
    struct map_cursor cursor = { 0 };
    const void *key;
    void *value;

    while ((key = trie_next_reached(old, &cursor, &value)))
        trie_update(map, key, value, BPF_ANY, 0, thread);
}

static struct hash_seat *seat_words(const struct map *map)
{
    return (struct hash_seat *)(void *)((uint8_t *)map_memory(map) + HASH_SEATS_AT(map));
}

/* The copies are much memory, of which little is used: they stay where they are, and so do the elements. */
static void renew_seat_hash(const struct map *map, const struct map *old, struct thread *thread)
{
    struct map_cursor cursor = { 0 };
    uint32_t link;

    (void)thread;
    for (uint32_t seat = 0; seat < SEATS_MAX; seat++)
        seat_words(map)[seat].used = seat_words(old)[seat].used;
    while ((link = hash_walk(old, &cursor)))
        hash_adopt(map, link, ((const struct hash_element *)element_of(old, link))->key);
}

/* ---- all kinds ---- */

static const struct map_kind kinds[] = {
    {
        .name = "array", .kind = BPF_MAP_TYPE_ARRAY,
        .lookup = RUNTIME_array_lookup, .update = RUNTIME_array_update, .delete = RUNTIME_array_delete,
        .next = RUNTIME_array_next,
        .call_lookup = call_array_lookup, .call_update = array_update, .call_delete = call_array_delete,
        .call_next = call_array_next,
        .lay_out = layout_array, .recover = array_recover,
    }, {
        .name = "hash", .kind = BPF_MAP_TYPE_HASH,
        .lookup = RUNTIME_hash_lookup, .update = RUNTIME_hash_update, .delete = RUNTIME_hash_delete,
        .next = RUNTIME_hash_next,
        .call_lookup = call_hash_lookup, .call_update = hash_update, .call_delete = hash_delete,
        .call_next = call_hash_next, .call_skip = hash_skip, .call_count = element_count_used,
        .lay_out = layout_hash, .recover = hash_recover, .renew = renew_hash,
    }, {
        .name = "lru_hash", .kind = BPF_MAP_TYPE_LRU_HASH,
        .lookup = RUNTIME_lru_lookup, .update = RUNTIME_lru_update, .delete = RUNTIME_lru_delete,
        .next = RUNTIME_hash_next,
        .call_lookup = call_lru_lookup, .call_update = lru_update, .call_delete = lru_delete,
        .call_next = call_hash_next, .call_skip = hash_skip, .call_count = element_count_used,
        .lay_out = layout_hash, .recover = hash_recover, .renew = renew_hash,
    }, {
        .name = "percpu_array", .kind = BPF_MAP_TYPE_PERCPU_ARRAY,
        .lookup = RUNTIME_seat_array_lookup, .update = RUNTIME_seat_array_update, .delete = RUNTIME_array_delete,
        .next = RUNTIME_seat_array_next,
        .call_lookup = seat_array_lookup, .call_update = seat_array_update, .call_delete = call_array_delete,
        .call_next = seat_array_next,
        .call_copies = seat_array_copies,
        .lay_out = layout_seat_array, .recover = array_recover,
    }, {
        .name = "percpu_hash", .kind = BPF_MAP_TYPE_PERCPU_HASH,
        .lookup = RUNTIME_seat_hash_lookup, .update = RUNTIME_seat_hash_update, .delete = RUNTIME_seat_hash_delete,
        .next = RUNTIME_seat_hash_next,
        .call_lookup = seat_hash_lookup, .call_update = seat_hash_update, .call_delete = seat_hash_delete,
        .call_next = seat_hash_next, .call_skip = hash_skip, .call_copies = seat_hash_copies,
        .call_assign = hash_assign,
        .call_count = element_count_used,
        .lay_out = layout_seat_hash, .recover = hash_recover, .renew = renew_seat_hash,
    }, {
        /* Of maps of maps, programs only look up; the daemon works on them by the calls of arrays and hash tables. */
        .name = "array_of_maps", .kind = BPF_MAP_TYPE_ARRAY_OF_MAPS,
        .lookup = RUNTIME_map_array_lookup,
        .call_lookup = call_array_lookup, .call_update = array_update, .call_next = call_array_next,
        .lay_out = layout_array_of_maps, .recover = array_recover,
    }, {
        .name = "hash_of_maps", .kind = BPF_MAP_TYPE_HASH_OF_MAPS,
        .lookup = RUNTIME_map_hash_lookup,
        .call_lookup = call_hash_lookup, .call_update = hash_update, .call_delete = hash_delete,
        .call_next = call_hash_next, .call_skip = hash_skip, .call_count = element_count_used,
        .lay_out = layout_hash_of_maps, .recover = hash_recover,
    }, {
        .name = "queue", .kind = BPF_MAP_TYPE_QUEUE,
        .push = RUNTIME_queue_push, .pop = RUNTIME_queue_pop, .peek = RUNTIME_queue_peek,
        .call_push = queue_push, .call_pop = queue_pop, .call_peek = call_queue_peek, .call_count = queue_count,
        .lay_out = layout_queue, .recover = queue_recover,
    }, {
        .name = "stack", .kind = BPF_MAP_TYPE_STACK,
        .push = RUNTIME_stack_push, .pop = RUNTIME_stack_pop, .peek = RUNTIME_stack_peek,
        .call_push = stack_push, .call_pop = stack_pop, .call_peek = call_stack_peek, .call_count = queue_count,
        .lay_out = layout_queue, .recover = queue_recover,
    }, {
        /* max_entries is bytes; the daemon reads records by runtime/ring.h. */
        .name = "ringbuf", .kind = BPF_MAP_TYPE_RINGBUF,
        .lay_out = layout_ring, .recover = ring_recover,
    }, {
        /* libbpf's users must write BPF_F_NO_PREALLOC for tries: it is taken, and changes nothing. */
        .name = "lpm_trie", .kind = BPF_MAP_TYPE_LPM_TRIE, .flags = BPF_F_NO_PREALLOC,
        .lookup = RUNTIME_trie_lookup, .update = RUNTIME_trie_update, .delete = RUNTIME_trie_delete,
        .next = RUNTIME_trie_next,
        .call_lookup = call_trie_lookup, .call_update = trie_update, .call_delete = trie_delete,
        .call_next = call_trie_next, .call_skip = trie_skip, .call_count = trie_count,
        .lay_out = layout_trie, .recover = trie_recover, .renew = renew_trie,
    },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct map_kind *map_kind_find(uint32_t kind)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return NULL;
}

const struct map_kind *map_kind_named(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* ---- flags ---- */

#define FLAGS_ALL (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)

/* Flags of the kernel's that are not taken here, and why. */
static const struct {
    uint32_t flag;
    const char *name, *reason;
} refused[] = {
    { BPF_F_NO_PREALLOC, "BPF_F_NO_PREALLOC", "the memory of a map is always allocated when it is made" },
    { BPF_F_NO_COMMON_LRU, "BPF_F_NO_COMMON_LRU", "there are no lists of processors" },
    { BPF_F_NUMA_NODE, "BPF_F_NUMA_NODE", "all maps lie in one arena" },
    { BPF_F_RDONLY, "BPF_F_RDONLY", "who may change maps is decided by who may use the control socket" },
    { BPF_F_WRONLY, "BPF_F_WRONLY", "who may read maps is decided by who may use the control socket" },
    { BPF_F_ZERO_SEED, "BPF_F_ZERO_SEED", "who sends keys shall not know the seed" },
    { BPF_F_MMAPABLE, "BPF_F_MMAPABLE", "workers have the arena mapped already" },
    { BPF_F_INNER_MAP, "BPF_F_INNER_MAP", "inner maps have the max_entries of their template" },
};

static int check_flags(const struct map_kind *kind, uint32_t flags, struct jit_error *error)
{
    uint32_t unknown = flags & ~(FLAGS_ALL | kind->flags);

    if ((flags & FLAGS_ALL) == FLAGS_ALL)
        return jit_error_set(error, -EINVAL, "map", "with both BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG, programs could "
                             "do nothing with the map");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (unknown & refused[i].flag)
            return jit_error_set(error, -EOPNOTSUPP, "map", "the flag %s is not supported: %s; leave it out",
                                 refused[i].name, refused[i].reason);
    if (unknown)
        return jit_error_set(error, -EOPNOTSUPP, "map", "the flags 0x%x are not supported; leave them out", unknown);
    return 0;
}

/* ---- layout and recovery ---- */

int map_lay_out(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    const struct map_kind *kind = map_kind_find(definition->kind);
    struct map map = {
        .kind = definition->kind, .flags = definition->flags, .key_size = definition->key_size,
        .value_size = definition->value_size, .max_entries = definition->max_entries,
    };
    int r;

    if (!kind)
        return jit_error_set(error, -EOPNOTSUPP, "map", "maps of kind %u are not supported", definition->kind);
    r = check_flags(kind, definition->flags, error);
    if (r >= 0 && definition->max_entries == 0)
        r = jit_error_set(error, -EINVAL, "map", "max_entries is 0; a map has room for 1 at least");
    if (r >= 0)
        r = kind->lay_out(definition, &map, error);
    if (r < 0)
        return r;
    *ret = map;
    return 0;
}

void map_recover(const struct map *map, struct seat *seat)
{
    const struct map_kind *kind = map_kind_find(map->kind);

    if (kind && kind->recover)
        kind->recover(map, seat);
    journal_empty(&seat->journal);
}

/* ---- copies of values ---- */

#define COPIES 16               /* of a value that moves meanwhile */

/* In lru_hash without a trace: who looks at all elements says nothing about which are used. */
static const void *find_value(const struct map *map, const void *key)
{
    const struct map_kind *kind = map_kind_find(map->kind);

    if (map->kind == BPF_MAP_TYPE_LRU_HASH)
        return hash_lookup(map, key);
    return kind && kind->call_lookup ? kind->call_lookup(map, key, 0, 0, 0, NULL) : NULL;
}

int map_copy_value(const struct map *map, const void *key, const void *place, bool same, void *ret)
{
    for (int i = 0; i < COPIES; i++) {
        const void *found;

        memcpy(ret, place, map->value_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);        /* the copy before the lookup that vouches for it */
        found = find_value(map, key);
        if (found == place)
            return 0;
        if (!found || (same && map->kind == BPF_MAP_TYPE_LPM_TRIE))
            return -ENOENT;
        place = found;
    }
    return -EBUSY;
}

/* Words, `stride` bytes apart. */
struct locks {
    uint32_t first, stride, count;
};

_Static_assert(offsetof(struct queue_memory, lock) == 0 && offsetof(struct ring_memory, lock) == 0 &&
               offsetof(struct trie_memory, lock) == 0, "one lock, at the beginning");

static struct locks locks_of(const struct map *map)
{
    if (map->buckets)
        return (struct locks){ offsetof(struct bucket, lock), sizeof(struct bucket), map->buckets };
    if (map->kind == BPF_MAP_TYPE_PERCPU_ARRAY)
        return (struct locks){ ARRAY_LOCKS_AT(map), map->copy_stride, SEATS_MAX };
    if (map->kind == BPF_MAP_TYPE_ARRAY)
        return (struct locks){ ARRAY_LOCKS_AT(map), sizeof(uint32_t), ARRAY_LOCKS };
    return (struct locks){ 0, 0, 1 };
}

void map_drop_locks(const struct map *map)
{
    struct locks locks = locks_of(map);

    for (uint32_t i = 0; i < locks.count; i++) {
        uint32_t *lock = (uint32_t *)(void *)((uint8_t *)map_memory(map) + locks.first + (uint64_t)i * locks.stride);

        if (READ_ONCE(*lock) != 0)
            WRITE_ONCE(*lock, 0);
    }
    element_forget_full(map);
}

uint64_t map_renewed_size(const struct map *map)
{
    const struct map_kind *kind = map_kind_find(map->kind);

    if (!kind || !kind->renew)
        return 0;
    return map->copy_stride ? HASH_COPIES_AT(map) : map->size;
}

void map_renew(const struct map *map, const void *copy, struct thread *thread)
{
    const struct map_kind *kind = map_kind_find(map->kind);
    struct map old = *map;

    assert(kind && kind->renew);
    old.memory = (intptr_t)copy - (intptr_t)&old;
    memset(map_memory(map), 0, map_renewed_size(map));
    kind->renew(map, &old, thread);
}

bool map_copy_is_used(const struct map *map, uint32_t seat)
{
    return map->kind != BPF_MAP_TYPE_PERCPU_HASH || READ_ONCE(seat_words(map)[seat].used) != 0;
}
