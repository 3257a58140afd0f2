/* SPDX-License-Identifier: MIT */
#include "trie_walker.h"

#include <stddef.h>

struct walk {
    const struct map *map;
    const uint8_t *memory;
    trie_visit *visit;
    void *argument;
    uint32_t nodes, entries;
};

bool trie_bit(const uint8_t *data, uint32_t index)
{
    return data[index / 8] & 0x80 >> index % 8;
}

bool trie_begins_with(const uint8_t *data, const uint8_t *prefix, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if (trie_bit(data, i) != trie_bit(prefix, i))
            return false;
    return true;
}

static const char *check_node(struct walk *walk, uint32_t link, const struct trie_node *node)
{
    if (walk->memory[walk->map->owners_at + link - 1] != 0xff)
        return "a node in use is not owned";
    if (++walk->nodes > walk->map->elements)
        return "a node is reached twice";
    if (node->key.length > 8 * (walk->map->key_size - 4))
        return "a prefix is longer than keys are";
    if (node->branching && (!node->child[0] || !node->child[1]))
        return "a branching has no two children";
    return NULL;
}

static const char *check_below(const struct trie_node *node, const struct trie_node *parent, bool side)
{
    if (node->key.length <= parent->key.length)
        return "prefixes do not get longer";
    if (!trie_begins_with(node->key.data, parent->key.data, parent->key.length) ||
        trie_bit(node->key.data, parent->key.length) != side)
        return "a node is in another prefix's place";
    return NULL;
}

static const char *walk_from(struct walk *walk, uint32_t link, const struct trie_node *parent, bool side)
{
    const struct map *map = walk->map;
    const struct trie_node *node;
    const char *wrong;

    if (link == 0)
        return NULL;
    if (link > map->elements)
        return "a link leads outside";
    node = (const void *)(walk->memory + map->elements_at + (uint64_t)(link - 1) * map->stride);
    wrong = check_node(walk, link, node);
    if (!wrong && parent)
        wrong = check_below(node, parent, side);
    if (!wrong && !node->branching) {
        walk->entries++;
        if (walk->visit)
            walk->visit(walk->argument, &node->key, (const uint8_t *)node + map->value_at);
    }
    for (int i = 0; !wrong && i < 2; i++)
        wrong = walk_from(walk, node->child[i], node, i);
    return wrong;
}

const char *trie_check(const struct map *map, trie_visit *visit, void *argument)
{
    const uint8_t *memory = (const uint8_t *)map + map->memory;
    const struct trie_memory *trie = (const void *)memory;
    struct walk walk = { .map = map, .memory = memory, .visit = visit, .argument = argument };
    const char *wrong = trie->lock ? "the lock is held" : walk_from(&walk, trie->root, NULL, false);
    uint32_t used = 0;

    for (uint32_t i = 0; i < map->elements; i++)
        used += memory[map->owners_at + i] != 0;
    if (!wrong && used != walk.nodes)
        wrong = "an element is lost";
    if (!wrong && trie->count != walk.entries)
        wrong = "the count is wrong";
    return wrong;
}
