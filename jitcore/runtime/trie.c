/* SPDX-License-Identifier: MIT */
/* Longest-prefix matches: a path-compressed binary trie, whose changes are one store each. */

#include "trie.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "element.h"

/* What the journal's elements are. */
enum { NEW, BRANCHING, OLD, OLD_PARENT };

/* What a change does to the number of entries; if it does something, the journal's place has the number after it. */
enum operation { SAME, COMING, GOING };

static struct trie_memory *memory(const struct map *map)
{
    return map_memory(map);
}

/* Bits that keys have. */
static uint32_t bits(const struct map *map)
{
    return 8 * (map->key_size - (uint32_t)sizeof(struct trie_key));
}

static unsigned bit(const uint8_t *data, uint32_t index)
{
    return data[index / 8] >> (7 - index % 8) & 1;
}

/*
 * Keys, the caller's too, may lie in the arena: what is decided by a part of one is decided by one load of it.  Without
 * volatile a compiler may load it again behind the comparison, where it can be another.
 */
static uint64_t load(const uint8_t *at)
{
    const volatile struct { uint64_t word; } __attribute__((packed, may_alias)) *place = (const void *)at;

    return __builtin_bswap64(place->word);
}

static uint8_t load_byte(const uint8_t *at)
{
    return *(const volatile uint8_t *)at;
}

static uint32_t load_length(const void *key)
{
    const volatile struct { uint32_t length; } __attribute__((packed, may_alias)) *place = key;

    return place->length;
}

/* How many of the first `limit` bits are the same in both. */
static uint32_t common_bits(const uint8_t *a, const uint8_t *b, uint32_t limit)
{
    uint32_t at = 0;

    for (; limit - at >= 64; at += 64) {
        uint64_t difference = load(a + at / 8) ^ load(b + at / 8);

        if (difference)
            return at + (uint32_t)__builtin_clzll(difference);
    }
    for (; at < limit; at += 8) {
        uint32_t difference = load_byte(&a[at / 8]) ^ load_byte(&b[at / 8]);

        if (difference) {
            at += (uint32_t)__builtin_clz(difference) - 24;
            return at < limit ? at : limit;
        }
    }
    return limit;
}

static void *value_of(const struct map *map, struct trie_node *node)
{
    return (uint8_t *)node + map->value_at;
}

/* ---- lookup ---- */

/* `least` grows at each step, up to the length at most. */
static struct trie_node *find_longest(const struct map *map, const uint8_t *data, uint32_t length)
{
    struct trie_node *node, *found = NULL;
    uint32_t least = 0, link = READ_BEFORE(memory(map)->root);

    while ((node = element_of(map, link))) {
        uint32_t prefix = READ_ONCE(node->key.length);

        if (prefix < least || prefix > length || common_bits(node->key.data, data, prefix) < prefix)
            break;
        if (!READ_ONCE(node->branching))
            found = node;
        if (prefix == length)
            break;
        link = READ_BEFORE(node->child[bit(data, prefix)]);
        least = prefix + 1;
    }
    return found;
}

/* The caller's key lies anywhere, also at odd addresses. */
void *trie_lookup(const struct map *map, const void *key)
{
    const uint8_t *data = (const uint8_t *)key + offsetof(struct trie_key, data);
    struct trie_node *found = NULL;
    uint32_t length = load_length(key);

    if (length > bits(map))
        return NULL;
    for (int attempt = 0; attempt < TRIE_ATTEMPTS; attempt++) {
        uint64_t version = READ_BEFORE(memory(map)->version);

        found = find_longest(map, data, length);
        /* The second look is made after all of the walk's: with leave(), else a node's next use were taken for it. */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (READ_ONCE(memory(map)->version) == version)
            break;
    }
    return found ? value_of(map, found) : NULL;
}

/* ---- changes, under the lock ---- */

/* Where the walk towards a key ends: at a node that is not a true prefix of it, or at an empty link. */
struct place {
    uint32_t *link;             /* leads to the node */
    uint32_t to;                /* what it holds */
    struct trie_node *node;     /* NULL: none, or nonsense, which a change drops */
    uint32_t length;            /* of the node's prefix */
    uint32_t common;            /* how many of its bits are the key's */
    struct trie_node *parent;   /* NULL: the link is the root's */
    uint32_t *parent_link;      /* leads to it */
    uint32_t to_parent;         /* what that holds */
    unsigned side;              /* which child of the parent */
};

/* Read the node that place->link leads to, whose prefix has at least that many bits. */
static void look(const struct map *map, struct place *place, const struct trie_key *key, uint32_t length,
                 uint32_t least)
{
    place->to = READ_ONCE(*place->link);
    place->node = element_of(map, place->to);
    if (!place->node)
        return;
    place->length = READ_ONCE(place->node->key.length);
    if (place->length < least) {
        place->node = NULL;
        return;
    }
    place->common =
        common_bits(place->node->key.data, key->data, place->length < length ? place->length : length);
}

static struct place find_place(const struct map *map, const struct trie_key *key, uint32_t length)
{
    struct place place = { .link = &memory(map)->root };

    look(map, &place, key, length, 0);
    while (place.node && place.common == place.length && place.length < length) {
        place.parent = place.node;
        place.parent_link = place.link;
        place.to_parent = place.to;
        place.side = bit(key->data, place.length);
        place.link = &place.node->child[place.side];
        look(map, &place, key, length, place.length + 1);
    }
    return place;
}

/* Is the place's node the one of exactly this prefix? */
static bool is_exact(const struct place *place, uint32_t length)
{
    return place->node && place->length == length && place->common == length;
}

/* A node, and the link that leads to it. */
struct linked {
    uint32_t link;
    struct trie_node *node;
};

/* A new node of this prefix, with no children.  -ENOSPC: no element is free. */
static int make_node(const struct map_change *change, unsigned as, const struct trie_key *key, uint32_t length,
                     struct linked *ret)
{
    uint32_t link = element_take(change, as);
    struct trie_node *node = element_of(change->map, link);

    if (!node)
        return -ENOSPC;
    WRITE_ONCE(node->child[0], 0);
    WRITE_ONCE(node->child[1], 0);
    WRITE_ONCE(node->branching, as == BRANCHING);
    WRITE_ONCE(node->key.length, length);
    memcpy(node->key.data, key->data, bits(change->map) / 8);
    *ret = (struct linked){ link, node };
    return 0;
}

/* What has left the trie by a commit may be used again: after lookups can see that they walked through it. */
static void leave(const struct map_change *change, uint32_t link)
{
    struct trie_memory *trie = memory(change->map);

    WRITE_AFTER(trie->version, READ_ONCE(trie->version) + 1);
    element_free(change, link);
}

/*
 * The count follows the commit, so a kill between leaves it wrong: the journal has the right one before the commit, and
 * which of its elements says whether that was made (count_again).
 */
static void announce_count(const struct map_change *change, enum operation operation)
{
    uint32_t count = READ_ONCE(memory(change->map)->count);

    WRITE_ONCE(change->seat->journal.place, operation == COMING ? count + 1 : count - 1);
    WRITE_AFTER(change->seat->journal.operation, operation);
}

static void change_count(const struct map *map, int32_t by)
{
    WRITE_AFTER(memory(map)->count, READ_ONCE(memory(map)->count) + (uint32_t)by);
}

/* The new node takes the place of the one that has its prefix. */
static void replace(const struct map_change *change, const struct place *place, const struct linked *new)
{
    WRITE_ONCE(new->node->child[0], READ_ONCE(place->node->child[0]));
    WRITE_ONCE(new->node->child[1], READ_ONCE(place->node->child[1]));
    element_claim(change, OLD, place->to);
    WRITE_AFTER(*place->link, new->link);
    element_use(change, new->link);
    leave(change, place->to);
}

/* Between a link and its node, whose prefix begins with the new one of `length` bits; or where the link is empty. */
static void insert(const struct map_change *change, const struct place *place, const struct linked *new,
                   uint32_t length)
{
    if (place->node)
        WRITE_ONCE(new->node->child[bit(place->node->key.data, length)], place->to);
    WRITE_AFTER(*place->link, new->link);
    element_use(change, new->link);
}

/* Beside the place's node: under a branching where the two part.  -ENOSPC: nothing was changed. */
static int insert_beside(const struct map_change *change, const struct place *place, const struct linked *new)
{
    unsigned side = bit(new->node->key.data, place->common);
    struct linked branching;
    int r = make_node(change, BRANCHING, &new->node->key, place->common, &branching);

    if (r < 0) {
        element_free(change, new->link);
        return r;
    }
    WRITE_ONCE(branching.node->child[side], new->link);
    WRITE_ONCE(branching.node->child[!side], place->to);
    WRITE_AFTER(*place->link, branching.link);
    element_use(change, branching.link);
    element_use(change, new->link);
    return 0;
}

static long put_prefix(const struct map_change *change, const struct trie_key *key, uint32_t length, const void *value,
                uint64_t flags)
{
    const struct map *map = change->map;
    struct place place = find_place(map, key, length);
    bool exact = is_exact(&place, length), exists = exact && !READ_ONCE(place.node->branching);
    struct linked new;
    long r;

    if (exists && flags == BPF_NOEXIST)
        return -EEXIST;
    if (!exists && flags == BPF_EXIST)
        return -ENOENT;
    if (!exists && READ_ONCE(memory(map)->count) >= map->max_entries)
        return -ENOSPC;
    if (!exists)
        announce_count(change, COMING);
    r = make_node(change, NEW, key, length, &new);
    if (r < 0)
        return r;
    memcpy(value_of(map, new.node), value, map->value_size);
    if (exact)
        replace(change, &place, &new);
    else if (!place.node || place.common == length)
        insert(change, &place, &new, length);
    else
        r = insert_beside(change, &place, &new);
    if (r >= 0 && !exists)
        change_count(map, 1);
    return r;
}

/* A key that is being looked for must not change: the caller's may lie in the arena. */
union key_copy {
    struct trie_key key;
    uint8_t bytes[sizeof(struct trie_key) + TRIE_DATA_MAX];
};

/* Copy the key and begin; -EINVAL: it has more bits than keys have. */
static int begin(const struct map *map, const void *key, union key_copy *copy, struct thread *thread,
                 struct map_change *ret)
{
    memcpy(copy->bytes, key, map->key_size);
    if (copy->key.length > bits(map))
        return -EINVAL;
    return change_begin(map, thread, offsetof(struct trie_memory, lock), ret);
}

long trie_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused_5,
                 struct thread *thread)
{
    union key_copy copy;
    struct map_change change;
    long r;

    if (flags > BPF_EXIST)
        return -EINVAL;
    r = begin(map, key, &copy, thread, &change);
    if (r < 0)
        return r;
    r = put_prefix(&change, &copy.key, copy.key.length, value, flags);
    change_end(&change);
    return r;
}

/* The place's node has `child` and nothing else, or nothing. */
static void unlink_node(const struct map_change *change, const struct place *place, uint32_t child)
{
    element_claim(change, OLD, place->to);
    if (child || !place->parent || !READ_ONCE(place->parent->branching)) {
        WRITE_AFTER(*place->link, child);
        leave(change, place->to);
        return;
    }
    element_claim(change, OLD_PARENT, place->to_parent);
    WRITE_AFTER(*place->parent_link, READ_ONCE(place->parent->child[!place->side]));
    leave(change, place->to);
    leave(change, place->to_parent);
}

static long delete_prefix(const struct map_change *change, const struct trie_key *key, uint32_t length)
{
    struct place place = find_place(change->map, key, length);
    uint32_t child[2];

    if (!is_exact(&place, length) || READ_ONCE(place.node->branching))
        return -ENOENT;
    child[0] = READ_ONCE(place.node->child[0]);
    child[1] = READ_ONCE(place.node->child[1]);
    WRITE_AFTER(change->seat->journal.element[OLD], place.to);
    announce_count(change, GOING);
    if (child[0] && child[1])
        WRITE_AFTER(place.node->branching, 1);
    else
        unlink_node(change, &place, child[0] | child[1]);
    change_count(change->map, -1);
    return 0;
}

long trie_delete(const struct map *map, const void *key, uint64_t unused_3, uint64_t unused_4, uint64_t unused_5,
                 struct thread *thread)
{
    union key_copy copy;
    struct map_change change;
    long r = begin(map, key, &copy, thread, &change);

    if (r < 0)
        return r;
    r = delete_prefix(&change, &copy.key, copy.key.length);
    change_end(&change);
    return r;
}

/* ---- all entries ---- */

/* The entry that is this element, or NULL; also while a change has it, so this takes the same time for all. */
static struct trie_node *entry(const struct map *map, uint32_t link)
{
    struct trie_node *node = element_of(map, link);

    if (READ_BEFORE(*element_owner(map, link)) != ELEMENT_USED || READ_ONCE(node->branching))
        return NULL;
    return node;
}

bool trie_skip(const struct map *map, struct map_cursor *cursor, uint32_t places)
{
    for (; cursor->position < map->elements; cursor->position++, places--)
        if (places == 0 || entry(map, cursor->position + 1))
            return places > 0;
    return true;
}

const void *trie_next(const struct map *map, struct map_cursor *cursor, void **ret_value)
{
    while (cursor->position < map->elements) {
        struct trie_node *node = entry(map, ++cursor->position);

        if (node) {
            *ret_value = value_of(map, node);
            return &node->key;
        }
    }
    return NULL;
}

uint32_t trie_count(const struct map *map)
{
    uint32_t count = READ_ONCE(memory(map)->count);

    return count < map->max_entries ? count : map->max_entries;
}

/* ---- recovery ---- */

/*
 * Who walks towards a node's own key comes to it, if it is in the trie.  What was taken and not filled has a key of its
 * last use, which leads elsewhere.
 */
static bool is_reached(const struct map *map, uint32_t link)
{
    struct trie_node *node = element_of(map, link);
    uint32_t length = READ_ONCE(node->key.length);

    return length <= bits(map) && find_place(map, &node->key, length).to == link;
}

const void *trie_next_reached(const struct map *map, struct map_cursor *cursor, void **ret_value)
{
    while (cursor->position < map->elements) {
        struct trie_node *node = element_of(map, ++cursor->position);

        if (!READ_ONCE(node->branching) && is_reached(map, cursor->position)) {
            *ret_value = value_of(map, node);
            return &node->key;
        }
    }
    return NULL;
}

/* An entry has come if it is reached, and gone if it is not, or is a branching now.  The lock keeps others out. */
static void count_again(const struct map_change *change)
{
    const struct map *map = change->map;
    const struct journal *journal = &change->seat->journal;
    uint32_t operation = READ_ONCE(journal->operation);
    uint32_t link = READ_ONCE(journal->element[operation == GOING ? OLD : NEW]);
    struct trie_node *node = element_of(map, link);
    bool reached = node && is_reached(map, link);

    if ((operation == COMING && reached) || (operation == GOING && node && (!reached || READ_ONCE(node->branching))))
        WRITE_ONCE(memory(map)->count, (uint32_t)READ_ONCE(journal->place));
}

void trie_recover(const struct map *map, struct seat *seat)
{
    struct map_change change;

    if (!change_resume(map, seat, offsetof(struct trie_memory, lock), &change))
        return;
    for (unsigned i = 0; i < SEAT_ELEMENTS; i++) {
        uint32_t link = element_pending(&change, i);

        if (link && is_reached(map, link))
            element_use(&change, link);
        else if (link)
            leave(&change, link);
    }
    count_again(&change);
    change_end(&change);
}
