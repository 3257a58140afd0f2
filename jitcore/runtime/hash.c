/* SPDX-License-Identifier: MIT */
#include "hash.h"

#include <errno.h>
#include <linux/bpf.h>

#include "hash_key.h"
#include "value.h"

#define LOOKS 16                /* at a bucket that others change meanwhile; then the last one counts */

/* What a change in the middle is about: struct journal's `operation`. */
enum operation {
    MOVING,                     /* element[0] comes or goes */
    REPLACING,                  /* element[0] takes the place of element[1] */
};

static struct bucket *bucket_at(const struct map *map, uint64_t hash)
{
    return (struct bucket *)map_memory(map) + (hash & (map->buckets - 1));
}

static uint32_t lock_of(const struct map *map, uint64_t hash)
{
    return (uint32_t)((hash & (map->buckets - 1)) * sizeof(struct bucket) + offsetof(struct bucket, lock));
}

static struct hash_element *element_at(const struct map *map, uint32_t link)
{
    return element_of(map, link);
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static struct hash_seat *seat_of(const struct map *map, uint32_t seat)
{
    return (struct hash_seat *)(void *)((uint8_t *)map_memory(map) + HASH_SEATS_AT(map)) + seat;
}

void *hash_value(const struct map *map, uint32_t link)
{
    return (uint8_t *)element_at(map, link) + map->value_at;
}

void *hash_copy(const struct map *map, uint32_t link, uint32_t seat)
{
    return (uint8_t *)map_memory(map) + HASH_COPIES_AT(map) + (uint64_t)seat * map->copy_stride +
           (uint64_t)(link - 1) * map->value_stride;
}

/* ---- lookup ---- */

static uint32_t look_in_list(const struct map *map, struct bucket *bucket, const void *key)
{
    uint32_t link = READ_ONCE(bucket->overflow);
    struct hash_element *element;

    for (int i = 0; i < HASH_WALK && (element = element_at(map, link)); i++) {
        if (key_equal(map, element->key, key))
            return link;
        link = READ_ONCE(element->next);
    }
    return 0;
}

static inline __attribute__((always_inline))
uint32_t look_in_slots(const struct map *map, struct bucket *bucket, const void *key, uint32_t tag, uint32_t size)
{
    for (int i = 0; i < HASH_SLOTS; i++) {
        uint64_t slot = READ_ONCE(bucket->slot[i]);
        struct hash_element *element;

        if (slot >> 32 != tag)
            continue;
        element = element_at(map, (uint32_t)slot);
        if (element && key_equal_sized(element->key, key, size))
            return (uint32_t)slot;
    }
    return 0;
}

/* Others have changed the bucket meanwhile, or it has a list. */
static __attribute__((noinline))
uint32_t look_again(const struct map *map, struct bucket *bucket, const void *key, uint32_t tag)
{
    uint32_t version = READ_BEFORE(bucket->version), seen, link;

    for (int i = 0; ; i++, version = seen) {
        link = look_in_slots(map, bucket, key, tag, map->key_size);
        if (link == 0)
            link = look_in_list(map, bucket, key);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        seen = READ_BEFORE(bucket->version);
        if (seen == version || i == LOOKS)
            return link;
    }
}

/*
 * The version is read before all else and again after it.  Its partner is leave(), which raises it between the store
 * that takes an element out of the bucket and those that use the element again.  Without it, an element that became
 * another key's in the middle of the comparison could pass for this key's, and one that moved on to another bucket's
 * list could lead the walk astray.
 */
static inline __attribute__((always_inline))
uint32_t find_sized(const struct map *map, const void *key, uint32_t size)
{
    uint64_t hash = key_hash_sized(map, key, size);
    struct bucket *bucket = bucket_at(map, hash);
    uint32_t version = READ_BEFORE(bucket->version), overflow, link;

    link = look_in_slots(map, bucket, key, tag_of(hash), size);
    overflow = link == 0 ? READ_ONCE(bucket->overflow) : 0;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__builtin_expect(READ_ONCE(bucket->version) != version || overflow != 0, 0))
        return look_again(map, bucket, key, tag_of(hash));
    return link;
}

/* Functions of their own, so that the one for any size costs the others no registers. */
#define FIND(name, size)                                                                            \
    static __attribute__((noinline)) uint32_t name(const struct map *map, const void *key)          \
    {                                                                                               \
        return find_sized(map, key, size);                                                          \
    }

FIND(find_4, 4)
FIND(find_8, 8)
FIND(find_16, 16)
FIND(find_any, map->key_size)

uint32_t hash_find(const struct map *map, const void *key)
{
    switch (map->key_size) {
    case 4:
        return find_4(map, key);
    case 8:
        return find_8(map, key);
    case 16:
        return find_16(map, key);
    default:
        return find_any(map, key);
    }
}

void *hash_lookup(const struct map *map, const void *key)
{
    uint32_t link = hash_find(map, key);

    return link == 0 ? NULL : hash_value(map, link);
}

/* ---- where elements are reached from: for changes, under the bucket's lock ---- */

struct place {
    struct bucket *bucket;
    uint64_t *slot;             /* NULL: it is in the list */
    uint32_t *from;             /* in the list: what links to it; NULL before the first */
    uint32_t link;
    int walked;
};

/* The next element of the bucket's list; place->from and link are those of its end when there is none. */
static struct hash_element *next_of_list(const struct map *map, struct place *place)
{
    if (place->walked++ == HASH_WALK)
        return NULL;
    place->from = place->from ? &element_at(map, place->link)->next : &place->bucket->overflow;
    place->link = READ_ONCE(*place->from);
    return element_at(map, place->link);
}

/* Where the bucket reaches this element from. */
static bool find_place(const struct map *map, struct bucket *bucket, uint32_t link, struct place *ret)
{
    struct place place = { .bucket = bucket };

    for (int i = 0; i < HASH_SLOTS; i++)
        if ((uint32_t)READ_ONCE(bucket->slot[i]) == link) {
            place.slot = &bucket->slot[i];
            place.link = link;
            *ret = place;
            return true;
        }
    while (next_of_list(map, &place))
        if (place.link == link) {
            *ret = place;
            return true;
        }
    return false;
}

/*
 * Where a new element goes: an empty slot; else into the list, behind those whose hash is not greater, where
 * place->link is what it shall link to.  False: the list is as long as one may be.
 */
static bool find_room(const struct map *map, uint64_t hash, struct place *ret)
{
    struct place place = { .bucket = bucket_at(map, hash) }, room = { .bucket = place.bucket };
    struct hash_element *element;

    for (int i = 0; i < HASH_SLOTS; i++)
        if (READ_ONCE(place.bucket->slot[i]) == 0) {
            room.slot = &place.bucket->slot[i];
            *ret = room;
            return true;
        }
    while ((element = next_of_list(map, &place)))
        if (!room.from && key_hash(map, element->key) > hash)
            room = place;
    *ret = room.from ? room : place;
    return place.walked <= HASH_WALK;
}

/* The one store that makes a change visible: what is reached from here from now on. */
static void commit(const struct place *place, uint64_t hash, uint32_t link)
{
    if (place->slot)
        WRITE_AFTER(*place->slot, link == 0 ? 0 : (uint64_t)tag_of(hash) << 32 | link);
    else
        WRITE_AFTER(*place->from, link);
}

/* An element has left the bucket.  Partner: hash_find. */
static void leave(struct bucket *bucket)
{
    WRITE_AFTER(bucket->version, READ_ONCE(bucket->version) + 1);
}

/* ---- changes ---- */

/* The last word of a key is filled up with zeros. */
static void copy_key(const struct map *map, const void *key, uint64_t *word)
{
    const uint8_t *place = key;

    for (uint32_t left = map->key_size; left > 0; place += 8) {
        uint32_t size = left < 8 ? left : 8;

        WRITE_ONCE(*word++, key_word(place, size));
        left -= size;
    }
}

/* What is hashed, looked for and written must be one key: the caller's may lie in the arena and change meanwhile. */
struct own_key {
    uint64_t word[HASH_KEY_MAX / 8];
    uint64_t hash;
};

static void take_key(const struct map *map, const void *key, struct own_key *ret)
{
    copy_key(map, key, ret->word);
    ret->hash = key_hash(map, ret->word);
}

/* Of all seats; copies of those that never used theirs are zeros still. */
static void clear_copies(const struct map *map, uint32_t link)
{
    for (uint32_t seat = 0; seat < SEATS_MAX; seat++)
        if (READ_ONCE(seat_of(map, seat)->used))
            value_clear(hash_copy(map, link, seat), map->value_size);
}

/* Of an element that nothing reaches. */
static void fill(const struct map_change *change, uint32_t link, const void *key, const void *value)
{
    const struct map *map = change->map;
    struct hash_element *element = element_at(map, link);

    WRITE_ONCE(element->next, 0);
    WRITE_ONCE(element->referenced, 0);
    copy_key(map, key, (uint64_t *)(void *)element->key);
    if (!map->copy_stride) {
        value_copy(hash_value(map, link), value, map->value_size);
        return;
    }
    clear_copies(map, link);
    value_copy(hash_copy(map, link, change->holder - 1), value, map->value_size);
}

static int insert(const struct map_change *change, uint64_t hash, const void *key, const void *value)
{
    uint32_t link = element_take(change, 0);
    struct place place;

    if (link == 0)
        return -E2BIG;
    if (!find_room(change->map, hash, &place)) {
        element_free(change, link);
        return -E2BIG;
    }
    fill(change, link, key, value);
    if (!place.slot)
        WRITE_ONCE(element_at(change->map, link)->next, place.link);
    commit(&place, hash, link);
    element_use(change, link);
    return 0;
}

static uint32_t spare_of(const struct map_change *change)
{
    const struct map *map = change->map;
    uint32_t link = READ_ONCE(seat_of(map, change->holder - 1)->spare);

    return element_at(map, link) ? link : map->elements + change->holder;
}

/* Which of the two is reached says what is the spare: so the seat's word is written after the commit. */
static void replace(const struct map_change *change, uint64_t hash, const struct place *place, const void *key,
                    const void *value)
{
    const struct map *map = change->map;
    struct journal *journal = &change->seat->journal;
    struct hash_element *old = element_at(map, place->link), *new;
    uint32_t link = spare_of(change);

    new = element_at(map, link);
    WRITE_AFTER(journal->element[0], link);
    WRITE_AFTER(journal->element[1], place->link);
    WRITE_AFTER(journal->operation, REPLACING);
    fill(change, link, key, value);
    WRITE_ONCE(new->next, READ_ONCE(old->next));
    WRITE_ONCE(new->referenced, 1);
    commit(place, hash, link);
    leave(place->bucket);
    WRITE_AFTER(seat_of(map, change->holder - 1)->spare, place->link);
}

void hash_use_copy(const struct map *map, uint32_t seat)
{
    if (READ_ONCE(seat_of(map, seat)->used) == 0)
        WRITE_ONCE(seat_of(map, seat)->used, 1);
}

/* -EBUSY: somebody writes to the map's memory without the lock. */
static int write_over(const struct map_change *change, uint64_t hash, uint32_t link, const void *key, const void *value)
{
    const struct map *map = change->map;
    struct place place;

    if (map->copy_stride) {
        uint8_t *copy = hash_copy(map, link, change->holder - 1);

        value_write(change, (uint64_t)(copy - (uint8_t *)map_memory(map)), value);
        return 0;
    }
    if (value_is_word(map)) {
        hash_refer(element_at(map, link));
        value_copy(hash_value(map, link), value, map->value_size);
        return 0;
    }
    if (!find_place(map, bucket_at(map, hash), link, &place))
        return -EBUSY;
    replace(change, hash, &place, key, value);
    return 0;
}

/* all: other seats' copies are zeros afterwards.  The bucket's lock keeps the element this key's until they are. */
static int update(const struct map_change *change, uint64_t hash, const void *key, const void *value, uint64_t flags,
                  bool all)
{
    uint32_t link = hash_find(change->map, key);

    if (change->map->copy_stride)
        hash_use_copy(change->map, change->holder - 1);
    if (link == 0)
        return flags == BPF_EXIST ? -ENOENT : insert(change, hash, key, value);
    if (flags == BPF_NOEXIST)
        return -EEXIST;
    if (all)
        clear_copies(change->map, link);
    return write_over(change, hash, link, key, value);
}

static inline __attribute__((always_inline))
long update_locked(const struct map *map, const void *key, const void *value, uint64_t flags, struct thread *thread,
                   bool all)
{
    struct map_change change;
    struct own_key own;
    int r;

    if (flags > BPF_EXIST)
        return -EINVAL;
    take_key(map, key, &own);
    r = change_begin(map, thread, lock_of(map, own.hash), &change);
    if (r < 0)
        return r;
    r = update(&change, own.hash, own.word, value, flags, all);
    change_end(&change);
    return r;
}

long hash_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                 struct thread *thread)
{
    (void)unused;
    return update_locked(map, key, value, flags, thread, false);
}

long hash_assign(const struct map *map, const void *key, const void *value, uint64_t flags, struct thread *thread)
{
    return update_locked(map, key, value, flags, thread, true);
}

static void remove_place(const struct map_change *change, const struct place *place)
{
    uint32_t next = place->slot ? 0 : READ_ONCE(element_at(change->map, place->link)->next);

    element_claim(change, 0, place->link);
    if (place->slot)
        WRITE_AFTER(*place->slot, 0);
    else
        WRITE_AFTER(*place->from, next);
    leave(place->bucket);
    element_free(change, place->link);
}

/* -ENOENT: the bucket does not reach this element. */
static int remove_link(const struct map_change *change, uint64_t hash, uint32_t link)
{
    struct place place;

    if (link == 0 || !find_place(change->map, bucket_at(change->map, hash), link, &place))
        return -ENOENT;
    remove_place(change, &place);
    return 0;
}

long hash_delete(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                 struct thread *thread)
{
    struct map_change change;
    struct own_key own;
    int r;

    (void)unused1, (void)unused2, (void)unused3;
    take_key(map, key, &own);
    r = change_begin(map, thread, lock_of(map, own.hash), &change);
    if (r < 0)
        return r;
    r = remove_link(&change, own.hash, hash_find(map, own.word));
    change_end(&change);
    return r;
}

/* Its key is perhaps not its own any more: then no element of that bucket is this one.  Others can go as well. */
int hash_evict(const struct map *map, struct thread *thread, uint32_t link)
{
    uint64_t hash = key_hash(map, element_at(map, link)->key);
    struct map_change change;
    int r = change_begin_briefly(map, thread, lock_of(map, hash), &change);

    if (r < 0)
        return r;
    r = remove_link(&change, hash, link);
    change_end(&change);
    return r;
}

/* ---- iteration ---- */

/*
 * The cursor's position is the slot, counted over all buckets, each list being one slot more; `within` is the least
 * hash of the list's elements that were not given yet, and `given` says how many were.  All only grow, whatever the
 * memory says: a list that others go on filling ends as if it were as long as one may be.
 */
#define STEPS (HASH_SLOTS + 1)

static uint32_t look_at_list(const struct map *map, struct bucket *bucket, uint64_t least, uint64_t *ret_hash)
{
    uint32_t link = READ_ONCE(bucket->overflow);
    struct hash_element *element;

    for (int i = 0; i < HASH_WALK && (element = element_at(map, link)); i++) {
        *ret_hash = key_hash(map, element->key);
        if (*ret_hash >= least)
            return link;
        link = READ_ONCE(element->next);
    }
    return 0;
}

/* As hash_find: a list that an element has left is looked at again. */
static uint32_t walk_list(const struct map *map, struct bucket *bucket, uint64_t least, uint64_t *ret_hash)
{
    uint32_t version = READ_BEFORE(bucket->version), seen, link;

    for (int i = 0; ; i++, version = seen) {
        link = look_at_list(map, bucket, least, ret_hash);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        seen = READ_BEFORE(bucket->version);
        if (seen == version || i == LOOKS)
            return link;
    }
}

static void next_position(struct map_cursor *cursor)
{
    cursor->position++;
    cursor->within = cursor->given = 0;
}

/* The link of the element at the cursor's position, 0: none; *ret_hash where that is a list. */
static inline __attribute__((always_inline))
uint32_t look_at_position(const struct map *map, const struct map_cursor *cursor, uint64_t *ret_hash)
{
    struct bucket *bucket = bucket_at(map, cursor->position / STEPS);
    uint32_t step = cursor->position % STEPS, link;

    if (step == HASH_SLOTS)
        return walk_list(map, bucket, cursor->within, ret_hash);
    link = (uint32_t)READ_ONCE(bucket->slot[step]);
    return element_at(map, link) ? link : 0;
}

static bool is_at_end(const struct map *map, const struct map_cursor *cursor)
{
    return cursor->position >= (uint64_t)map->buckets * STEPS;
}

bool hash_skip(const struct map *map, struct map_cursor *cursor, uint32_t places)
{
    uint64_t hash;

    for (; !is_at_end(map, cursor); next_position(cursor), places--)
        if (places == 0 || look_at_position(map, cursor, &hash) != 0)
            return places > 0;
    return true;
}

uint32_t hash_walk(const struct map *map, struct map_cursor *cursor)
{
    for (; !is_at_end(map, cursor); next_position(cursor)) {
        uint64_t hash = UINT64_MAX;
        uint32_t link = look_at_position(map, cursor, &hash);

        if (link == 0)
            continue;
        cursor->within = hash + 1;
        cursor->given++;
        if (cursor->within == 0 || cursor->given == HASH_WALK)
            next_position(cursor);
        return link;
    }
    return 0;
}

const void *hash_next(const struct map *map, struct map_cursor *cursor, void **ret_value)
{
    uint32_t link = hash_walk(map, cursor);

    if (link == 0)
        return NULL;
    *ret_value = hash_value(map, link);
    return element_at(map, link)->key;
}

/* ---- making anew ---- */

void hash_adopt(const struct map *map, uint32_t link, const void *key)
{
    uint64_t hash = key_hash(map, key);
    struct hash_element *element = element_at(map, link);
    struct place place;

    if (READ_ONCE(*element_owner(map, link)) != ELEMENT_FREE || hash_find(map, key) != 0 ||
        !find_room(map, hash, &place))
        return;
    copy_key(map, key, (uint64_t *)(void *)element->key);
    WRITE_ONCE(element->next, place.slot ? 0 : place.link);
    commit(&place, hash, link);
    WRITE_AFTER(*element_owner(map, link), ELEMENT_USED);
}

/* ---- recovery ---- */

/* The seat has a spare, and one only: that of the two which the bucket does not reach. */
static void settle_replacement(const struct map_change *change, struct bucket *bucket)
{
    uint32_t new = READ_ONCE(change->seat->journal.element[0]), old = READ_ONCE(change->seat->journal.element[1]);
    struct place place;

    if (!find_place(change->map, bucket, new, &place))
        return;
    leave(bucket);
    if (element_at(change->map, old))
        WRITE_AFTER(seat_of(change->map, change->holder - 1)->spare, old);
}

static void settle_movement(const struct map_change *change, struct bucket *bucket)
{
    uint32_t link = element_pending(change, 0);
    struct place place;

    if (link == 0)
        return;
    if (find_place(change->map, bucket, link, &place)) {
        element_use(change, link);
        return;
    }
    leave(bucket);
    element_free(change, link);
}

static void settle_copy(const struct map_change *change)
{
    const struct map *map = change->map;
    uint64_t place = READ_ONCE(change->seat->journal.place);
    uint64_t distance = place - HASH_COPIES_AT(map) - (uint64_t)(change->holder - 1) * map->copy_stride;

    if (distance % map->value_stride == 0 && distance / map->value_stride < map->elements)
        value_recover(change, place);
}

void hash_recover(const struct map *map, struct seat *seat)
{
    uint32_t lock = READ_ONCE(seat->journal.lock);
    struct bucket *bucket = bucket_at(map, lock / sizeof(struct bucket));
    struct map_change change;

    if (lock != (uint64_t)lock_of(map, lock / sizeof(struct bucket)) || !change_resume(map, seat, lock, &change))
        return;
    if (READ_ONCE(seat->journal.operation) == REPLACING)
        settle_replacement(&change, bucket);
    else
        settle_movement(&change, bucket);
    if (map->copy_stride)
        settle_copy(&change);
    change_end(&change);
}
