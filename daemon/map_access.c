/* SPDX-License-Identifier: MIT */
/* See map_access.h. */
#include "map_access.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "element.h"
#include "memory.h"
#include "runtime/ring.h"
#include "seats.h"
#include "util.h"
#include "view.h"

static const struct map_kind *kind_of(const struct shared_map *map)
{
    return map_kind_find(map->definition.kind);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static int refuse_unsuited(const struct shared_map *map, const char *operation, struct refusal *refusal)
{
    return refuse(refusal, -EOPNOTSUPP, "MapUnsuited", "sss", "map", map->name, "kind", kind_of(map)->name, "operation",
                  operation);
}

static int refuse_full(const struct shared_map *map, struct refusal *refusal)
{
    if (map->definition.kind == BPF_MAP_TYPE_ARRAY || map->definition.kind == BPF_MAP_TYPE_PERCPU_ARRAY)
        return refuse_parameter(refusal, "key", "array '%s' has keys from 0 to %u", map->name,
                                map->definition.max_entries - 1);
    return refuse(refusal, -E2BIG, "MapFull", "si", "map", map->name, "max_entries",
                  (int64_t)map->definition.max_entries);
}

/* A runtime function's error by the name that the API has for it. */
static int refuse_error(const struct shared_map *map, long error, struct refusal *refusal)
{
    bool keyless = map->definition.key_size == 0;

    switch (error) {
    case -ENOENT:
        return refuse(refusal, -ENOENT, keyless ? "MapEmpty" : "UnknownElement", "s", "map", map->name);
    case -EEXIST:
        return refuse(refusal, -EEXIST, "ElementExists", "s", "map", map->name);
    case -E2BIG:
        return refuse_full(map, refusal);
    case -EBUSY:
        return refuse(refusal, -EBUSY, "MapBusy", "s", "map", map->name);
    case -EINVAL:
        return refuse_parameter(refusal, keyless ? "value" : "key", "map '%s' can have no such %s", map->name,
                                keyless ? "value" : "key");
    case -ENOSPC:
        if (map->definition.kind == BPF_MAP_TYPE_LPM_TRIE)
            return refuse_full(map, refusal);
        return refuse(refusal, -ENOSPC, "LimitExceeded", "si", "limit", "threads that change maps", "maximum",
                      (int64_t)SEATS_MAX);
    default:
        return refuse_memory(refusal);
    }
}

/* ---- showing ------------------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

#define PAGE 4096

static off_t copy_offset(const struct daemon *daemon, const struct shared_map *map, const uint8_t *first, uint32_t seat)
{
    return first + (size_t)seat * map->view->copy_stride - (const uint8_t *)daemon->memory->arena;
}

/*
 * The next seat, from this one on, whose copy of a value is perhaps not zero; SEATS_MAX: there is none.  Copies lie
 * seat by seat, and those of seats that never wrote are a hole in the file: it is jumped over, since looking at it
 * through the mapping would allocate pages for every seat that there could be.
 */
static uint32_t next_copy(const struct daemon *daemon, const struct shared_map *map, const uint8_t *first,
                          uint32_t seat)
{
    off_t offset = copy_offset(daemon, map, first, seat), data;
    uint32_t stride = map->view->copy_stride, holes;

    if (seat >= SEATS_MAX || stride < PAGE)
        return seat;
    data = lseek(daemon->memory->arena_descriptor, offset, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? SEATS_MAX : seat;
    holes = (uint32_t)((data - offset) / stride);
    if (holes == 0 && data >= offset + (off_t)map->definition.value_size)
        holes = 1;
    return holes < SEATS_MAX - seat ? seat + holes : SEATS_MAX;
}

/* Is there anything?  Read from the file, for the same reason. */
static bool read_copy(const struct daemon *daemon, const struct shared_map *map, const uint8_t *first, uint32_t seat,
                      uint8_t *ret)
{
    size_t size = map->definition.value_size;

    return pread(daemon->memory->arena_descriptor, ret, size, copy_offset(daemon, map, first, seat)) == (ssize_t)size &&
           !is_zero(ret, size);
}

static void add_value(const struct shared_map *map, struct json_object *object, const uint8_t *value, bool hex)
{
    if (hex)
        json_object_object_add(object, "value_hex", element_show_hex(value, map->definition.value_size));
    else
        json_object_object_add(object, "value", element_show(map->value, value));
}

#define COPIES_BYTES_MAX (256u << 10)   /* what copies may add to an answer; all count in the sum */

/* Copies that are not zero, and their sum, which is added up in `sum`, all zero at first. */
static void add_copies(const struct daemon *daemon, const struct shared_map *map, struct json_object *element,
                       const uint8_t *first, uint8_t *copy, uint8_t *sum, bool hex)
{
    struct json_object *copies = json_object_new_array(), *shown;
    size_t size = map->definition.value_size, bytes = 0;

    for (uint32_t seat = 0; (seat = next_copy(daemon, map, first, seat)) < SEATS_MAX; seat++) {
        if (!read_copy(daemon, map, first, seat, copy))
            continue;
        element_add(map->value, sum, copy);
        bytes += size;
        if (bytes > COPIES_BYTES_MAX)
            continue;
        shown = json_object_new_object();
        view_add_int(shown, "seat", seat);
        add_value(map, shown, copy, hex);
        json_object_array_add(copies, shown);
    }
    json_object_object_add(element, "copies", copies);
    shown = hex ? NULL : element_show_sum(map->value, sum);
    if (shown)
        json_object_object_add(element, "value", shown);
}

static void add_key(const struct shared_map *map, struct json_object *element, const uint8_t *key, bool hex)
{
    if (hex)
        json_object_object_add(element, "key_hex", element_show_hex(key, map->definition.key_size));
    else
        json_object_object_add(element, "key", element_show(map->key, key));
}

/* The copies that begin at `first`, of a key that has them there still. */
static int add_own_copies(const struct daemon *daemon, const struct shared_map *map, struct json_object *element,
                          uint8_t *first, uint8_t *copy, uint8_t *sum, bool hex)
{
    const uint8_t *key = copy + map->definition.value_size;

    add_copies(daemon, map, element, first, copy, sum, hex);
    return kind_of(map)->call_copies(map->view, key) == first ? 0 : -ENOENT;
}

/*
 * The element that `place`, its value in shared memory, belonged to when the key was read.  The key is shown if
 * `with_key`.  -ENOENT: it was deleted meanwhile; -EBUSY: it was replaced meanwhile, time and again.
 */
static int show_element(const struct daemon *daemon, const struct shared_map *map, const void *key, void *place,
                        bool with_key, bool hex, struct json_object **ret, struct refusal *refusal)
{
    size_t size = map->definition.value_size, key_size = map->definition.key_size;
    _cleanup_free_ uint8_t *copy = malloc(size + key_size + 1), *sum = calloc(1, size + 1);
    struct json_object *element;
    int r = 0;

    if (!copy || !sum)
        return refuse_memory(refusal);
    memcpy(copy + size, key, key_size);
    if (map->view->copy_stride)
        place = kind_of(map)->call_copies(map->view, copy + size);
    if (!place)
        return refuse_error(map, -ENOENT, refusal);
    element = json_object_new_object();
    if (with_key)
        add_key(map, element, copy + size, hex);
    if (map->view->copy_stride)
        r = add_own_copies(daemon, map, element, place, copy, sum, hex);
    else
        r = map_copy_value(map->view, copy + size, place, with_key, copy);
    if (r < 0) {
        json_object_put(element);
        return refuse_error(map, r, refusal);
    }
    if (!map->view->copy_stride)
        add_value(map, element, copy, hex);
    *ret = element;
    return 0;
}

/* ---- maps of maps: from the registry, since what lies in the image are distances ------------------------- */

static struct json_object *show_inner(const struct shared_map *inner)
{
    struct json_object *element = json_object_new_object(), *value = json_object_new_object();

    view_add_string(value, "value", inner->name);
    json_object_object_add(element, "value", value);
    return element;
}

static int lookup_inner(const struct shared_map *map, const uint8_t *key, struct json_object **ret,
                        struct refusal *refusal)
{
    const struct shared_map *inner = shared_map_inner(map, key);

    if (!inner)
        return refuse_error(map, -ENOENT, refusal);
    *ret = show_inner(inner);
    return 0;
}

/*
 * From the last to the first: whatever is removed meanwhile moves entries towards the first, so none is missed.  The
 * cursor is 1 + how many are left; 0: not begun.  Entries that a change has emptied stay until that is over.
 */
static void next_inner(const struct shared_map *map, struct map_cursor *cursor, bool hex, struct json_object **ret)
{
    size_t left = cursor->position ? cursor->position - 1 : map->entries;

    *ret = NULL;
    if (left > map->entries)
        left = map->entries;
    while (left > 0 && !map->entry[left - 1].inner)
        left--;
    if (left > 0) {
        left--;
        *ret = show_inner(map->entry[left].inner);
        add_key(map, *ret, map->entry[left].key, hex);
    }
    cursor->position = (uint32_t)left + 1;
}

/* ---- queues and stacks ----------------------------------------------------------------------------------- */

static int show_taken(const struct shared_map *map, uint8_t *value, long result, bool hex, struct json_object **ret,
                      struct refusal *refusal)
{
    if (result < 0)
        return refuse_error(map, result, refusal);
    *ret = json_object_new_object();
    add_value(map, *ret, value, hex);
    return 0;
}

int map_access_push(struct daemon *daemon, const struct shared_map *map, const uint8_t *value, uint64_t flags,
                    struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    long r;

    if (!kind->call_push)
        return refuse_unsuited(map, "push", refusal);
    r = kind->call_push(map->view, value, flags, 0, 0, seats_thread(daemon->seats));
    return r < 0 ? refuse_error(map, r, refusal) : 0;
}

int map_access_pop(struct daemon *daemon, const struct shared_map *map, bool hex, struct json_object **ret,
                   struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    _cleanup_free_ uint8_t *value = malloc(map->definition.value_size + 1);
    long r;

    if (!kind->call_pop)
        return refuse_unsuited(map, "pop", refusal);
    if (!value)
        return refuse_memory(refusal);
    r = kind->call_pop(map->view, value, 0, 0, 0, seats_thread(daemon->seats));
    return show_taken(map, value, r, hex, ret, refusal);
}

static int peek(struct daemon *daemon, const struct shared_map *map, bool hex, struct json_object **ret,
                struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    _cleanup_free_ uint8_t *value = malloc(map->definition.value_size + 1);

    if (!kind->call_peek)
        return refuse_unsuited(map, "lookup", refusal);
    if (!value)
        return refuse_memory(refusal);
    return show_taken(map, value, kind->call_peek(map->view, value, 0, 0, 0, seats_thread(daemon->seats)), hex, ret,
                      refusal);
}

/* ---- elements -------------------------------------------------------------------------------------------- */

int map_access_lookup(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, bool hex,
                      struct json_object **ret, struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    void *value;

    if (shared_map_is_outer(map))
        return lookup_inner(map, key, ret, refusal);
    if (!key)
        return peek(daemon, map, hex, ret, refusal);
    if (!kind->call_lookup)
        return refuse_unsuited(map, "lookup", refusal);
    value = map->view->copy_stride ? kind->call_copies(map->view, key)
                                   : kind->call_lookup(map->view, key, 0, 0, 0, seats_thread(daemon->seats));
    return value ? show_element(daemon, map, key, value, false, hex, ret, refusal)
                 : refuse_error(map, -ENOENT, refusal);
}

/*
 * Zeros in all copies but the daemon's own, of a map whose elements stay where they are.  `copy` has room for a value.
 * Nothing is written where zeros are, which may be a hole in the file.
 */
static void zero_other_copies(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, uint8_t *copy)
{
    uint8_t *own = kind_of(map)->call_lookup(map->view, key, 0, 0, 0, seats_thread(daemon->seats));
    uint8_t *first = kind_of(map)->call_copies(map->view, key);

    for (uint32_t seat = 0; own && first && (seat = next_copy(daemon, map, first, seat)) < SEATS_MAX; seat++) {
        uint8_t *place = first + (size_t)seat * map->view->copy_stride;

        if (place != own && read_copy(daemon, map, first, seat, copy))
            memset(place, 0, map->definition.value_size);
    }
}

static long update_copies(struct daemon *daemon, const struct shared_map *map, const uint8_t *key,
                          const uint8_t *value, uint64_t flags)
{
    _cleanup_free_ uint8_t *copy = malloc(map->definition.value_size + 1);
    long r;

    if (!copy)
        return -ENOMEM;
    r = kind_of(map)->call_update(map->view, key, value, flags, 0, seats_thread(daemon->seats));
    if (r < 0)
        return r;
    zero_other_copies(daemon, map, key, copy);
    return 0;
}

int map_access_update(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, const uint8_t *value,
                      uint64_t flags, struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    long r;

    if (!kind->call_update || shared_map_is_outer(map))
        return refuse_unsuited(map, "update", refusal);
    if (kind->call_assign)
        r = kind->call_assign(map->view, key, value, flags, seats_thread(daemon->seats));
    else if (map->view->copy_stride)
        r = update_copies(daemon, map, key, value, flags);
    else
        r = kind->call_update(map->view, key, value, flags, 0, seats_thread(daemon->seats));
    return r < 0 ? refuse_error(map, r, refusal) : 0;
}

static bool is_array(const struct shared_map *map)
{
    return map->definition.kind == BPF_MAP_TYPE_ARRAY || map->definition.kind == BPF_MAP_TYPE_PERCPU_ARRAY;
}

int map_access_delete(struct daemon *daemon, const struct shared_map *map, const uint8_t *key, struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    long r;

    if (!kind->call_delete || is_array(map) || shared_map_is_outer(map))
        return refuse_unsuited(map, "delete", refusal);
    r = kind->call_delete(map->view, key, 0, 0, 0, seats_thread(daemon->seats));
    return r < 0 ? refuse_error(map, r, refusal) : 0;
}

/* ---- all elements ------------------------------------------------------------------------------------------ */

uint64_t map_access_count(const struct shared_map *map)
{
    const struct map_kind *kind = kind_of(map);

    if (shared_map_is_outer(map))
        return map->entries;
    if (kind->kind == BPF_MAP_TYPE_RINGBUF)
        return ring_query(map->view, BPF_RB_AVAIL_DATA);
    return kind->call_count ? kind->call_count(map->view) : map->definition.max_entries;
}

#define SKIP_PLACES 1024        /* some microseconds */

bool map_access_skip(const struct shared_map *map, struct map_cursor *cursor)
{
    const struct map_kind *kind = kind_of(map);

    return shared_map_is_outer(map) || !kind->call_skip || kind->call_skip(map->view, cursor, SKIP_PLACES);
}

static int next_element(struct daemon *daemon, const struct shared_map *map, struct map_cursor *cursor, bool hex,
                        struct json_object **ret, struct refusal *refusal)
{
    const void *key;
    void *value;
    int r;

    *ret = NULL;
    key = kind_of(map)->call_next(map->view, cursor, &value, 0, 0, seats_thread(daemon->seats));
    if (!key)
        return 0;
    r = show_element(daemon, map, key, value, true, hex, ret, refusal);
    if (r == -ENOENT || r == -EBUSY) {
        refusal_done(refusal);
        return 1;
    }
    return r < 0 ? r : 1;
}

int map_access_next(struct daemon *daemon, const struct shared_map *map, struct map_cursor *cursor, bool hex,
                    struct json_object **ret, struct refusal *refusal)
{
    if (shared_map_is_outer(map)) {
        next_inner(map, cursor, hex, ret);
        return *ret != NULL;
    }
    if (!kind_of(map)->call_next)
        return refuse_unsuited(map, "dump", refusal);
    return next_element(daemon, map, cursor, hex, ret, refusal);
}

static int clear_element(struct daemon *daemon, const struct shared_map *map, const uint8_t *key,
                         struct refusal *refusal)
{
    _cleanup_free_ uint8_t *zero = calloc(1, map->definition.value_size + 1);
    int r;

    if (!zero)
        return refuse_memory(refusal);
    r = is_array(map) ? map_access_update(daemon, map, key, zero, BPF_ANY, refusal)
                      : map_access_delete(daemon, map, key, refusal);
    if (r == -ENOENT) {                 /* another was faster */
        refusal_done(refusal);
        return 1;
    }
    return r < 0 ? r : 1;
}

static int clear_popped(struct daemon *daemon, const struct shared_map *map, struct refusal *refusal)
{
    struct json_object *element = NULL;
    int r;

    r = map_access_pop(daemon, map, true, &element, refusal);
    json_object_put(element);
    if (r == -ENOENT) {
        refusal_done(refusal);
        return 0;
    }
    return r < 0 ? r : 1;
}

bool map_access_discard_abandoned(struct daemon *daemon, const struct shared_map *map)
{
    uint64_t position;
    uint32_t seat;

    if (ring_holder(map->view, &position, &seat) < 0)
        return true;
    if (!seats_outside(daemon->seats, seat))
        return false;
    ring_discard_next(map->view, position, seat);       /* if it is not submitted now, after that answer */
    return true;
}

/* What a thread that is in its program has not submitted yet keeps what is behind it. */
static int clear_record(struct daemon *daemon, const struct shared_map *map)
{
    int r = ring_drop(map->view);

    if (r == -EBUSY)
        return map_access_discard_abandoned(daemon, map);
    return r == 0 || r == -EINTR || r == -EBADMSG;
}

int map_access_clear_next(struct daemon *daemon, const struct shared_map *map, struct map_cursor *cursor,
                          struct refusal *refusal)
{
    const struct map_kind *kind = kind_of(map);
    _cleanup_free_ uint8_t *key = malloc(map->definition.key_size + 1);
    const void *next;
    void *value;

    if (kind->call_pop)
        return clear_popped(daemon, map, refusal);
    if (kind->kind == BPF_MAP_TYPE_RINGBUF)
        return clear_record(daemon, map);
    if (!kind->call_next || shared_map_is_outer(map))
        return refuse_unsuited(map, "clear", refusal);
    if (!key)
        return refuse_memory(refusal);
    next = kind->call_next(map->view, cursor, &value, 0, 0, seats_thread(daemon->seats));
    if (!next)
        return 0;
    memcpy(key, next, map->definition.key_size);
    return clear_element(daemon, map, key, refusal);
}
