/* SPDX-License-Identifier: MIT */
/*
 * The C type of a map's keys or values, from BTF.  The tree is built as far as the limits allow; what has more, or says
 * what cannot be, is bytes.
 */

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "typed_internal.h"
#include "types.h"

#define ANONYMOUS_MAX 8                 /* nameless structs inside each other */
#define VISITS_MAX 4096                 /* members that are looked at: those without a name need no room */

struct builder {
    const struct btf *btf;
    struct typed *typed;                /* arrays of the sizes that the limits say */
    uint32_t id[TYPED_MEMBERS_MAX];     /* per member: BTF */
    uint32_t visits;
    bool failed;                        /* beyond the limits, or damaged */
};

static uint32_t add_string(struct builder *builder, uint32_t offset)
{
    const char *text = types_string(builder->btf, offset);
    size_t size = strlen(text) + 1;
    uint32_t at = builder->typed->strings;

    builder->failed |= size > TYPED_STRINGS_MAX - at;
    if (builder->failed)
        return 0;
    memcpy(&builder->typed->string[at], text, size);
    builder->typed->strings += (uint32_t)size;
    return at;
}

static uint32_t add_type(struct builder *builder)
{
    builder->failed |= builder->typed->types == TYPED_TYPES_MAX;
    return builder->failed ? 0 : builder->typed->types++;
}

static void build(struct builder *builder, uint32_t id, uint32_t index, unsigned depth);

/* ---- structs ---- */

static void add_member(struct builder *builder, const struct btf_type *type, uint32_t index, uint32_t bit,
                       uint32_t size)
{
    uint32_t field = btf_member_bitfield_size(type, index);
    struct typed *typed = builder->typed;

    builder->failed |= typed->members == TYPED_MEMBERS_MAX;
    if (builder->failed)
        return;
    builder->id[typed->members] = btf_members(type)[index].type;
    typed->member[typed->members++] = (struct typed_member){
        .name = add_string(builder, btf_members(type)[index].name_off),
        .bit = bit,
        .bits = field ? field : size * 8,
    };
}

/* Of a struct at bit `base` of the one that is built; those of anonymous ones in it are its own. */
static void add_members(struct builder *builder, const struct btf_type *type, uint32_t base, unsigned anonymous)
{
    builder->failed |= anonymous > ANONYMOUS_MAX;
    for (uint32_t i = 0; i < btf_vlen(type) && !builder->failed; i++) {
        const struct btf_member *member = &btf_members(type)[i];
        const struct btf_type *inner = types_resolve(builder->btf, member->type);
        int64_t size = btf__resolve_size(builder->btf, member->type);
        uint32_t bit = base + btf_member_bit_offset(type, i);
        bool named = *types_string(builder->btf, member->name_off);

        builder->failed |= !inner || size < 0 || size > TYPED_SIZE_MAX || ++builder->visits > VISITS_MAX;
        if (builder->failed)
            return;
        if (!named && btf_is_composite(inner))
            add_members(builder, inner, bit, anonymous + 1);
        else if (named && size > 0)             /* the others have no bytes, or are padding */
            add_member(builder, type, i, bit, (uint32_t)size);
    }
}

static void build_struct(struct builder *builder, const struct btf_type *type, uint32_t index, unsigned depth)
{
    uint32_t first = builder->typed->members, count;

    add_members(builder, type, 0, 0);
    count = builder->typed->members - first;
    builder->typed->type[index].kind = btf_is_union(type) ? TYPED_UNION : TYPED_STRUCT;
    builder->typed->type[index].first = first;
    builder->typed->type[index].count = count;
    for (uint32_t i = first; i < first + count && !builder->failed; i++) {
        builder->typed->member[i].type = add_type(builder);
        build(builder, builder->id[i], builder->typed->member[i].type, depth + 1);
    }
}

/* ---- the others ---- */

static void build_integer(const struct btf_type *type, struct typed_type *ret)
{
    if (!typed_is_integer_size(ret->size) || btf_int_bits(type) != ret->size * 8 || btf_int_offset(type) != 0)
        return;
    ret->kind = btf_int_encoding(type) & BTF_INT_BOOL ? TYPED_BOOL :
                btf_int_encoding(type) & BTF_INT_SIGNED ? TYPED_SIGNED :
                                                          TYPED_UNSIGNED;
}

static void add_enumerator(struct builder *builder, uint32_t name, uint64_t number)
{
    struct typed *typed = builder->typed;

    builder->failed |= typed->enumerators == TYPED_ENUMERATORS_MAX;
    if (!builder->failed)
        typed->enumerator[typed->enumerators++] = (struct typed_enumerator){ add_string(builder, name), number };
}

static void build_enum(struct builder *builder, const struct btf_type *type, struct typed_type *ret)
{
    bool is_signed = btf_kflag(type);

    if (!typed_is_integer_size(ret->size))
        return;
    ret->kind = TYPED_ENUM;
    ret->is_signed = is_signed;
    ret->first = builder->typed->enumerators;
    ret->count = btf_vlen(type);
    for (uint32_t i = 0; i < btf_vlen(type) && !builder->failed; i++) {
        if (btf_is_enum64(type))
            add_enumerator(builder, btf_enum64(type)[i].name_off, btf_enum64_value(&btf_enum64(type)[i]));
        else
            add_enumerator(builder, btf_enum(type)[i].name_off,
                           is_signed ? (uint64_t)(int64_t)btf_enum(type)[i].val : (uint32_t)btf_enum(type)[i].val);
    }
}

static bool is_char(const struct btf *btf, const struct btf_type *type)
{
    return btf_is_int(type) && type->size == 1 && strcmp(types_string(btf, type->name_off), "char") == 0;
}

static void build_array(struct builder *builder, const struct btf_type *type, uint32_t index, unsigned depth)
{
    const struct btf_type *element = types_resolve(builder->btf, btf_array(type)->type);
    struct typed_type *ret = &builder->typed->type[index];

    if (element && is_char(builder->btf, element)) {
        ret->kind = TYPED_TEXT;
        return;
    }
    ret->kind = TYPED_ARRAY;
    ret->count = btf_array(type)->nelems;
    ret->first = add_type(builder);
    build(builder, btf_array(type)->type, ret->first, depth + 1);
}

/* Type `index`, and all that is in it. */
static void build(struct builder *builder, uint32_t id, uint32_t index, unsigned depth)
{
    const struct btf_type *type = types_resolve(builder->btf, id);
    int64_t size = btf__resolve_size(builder->btf, id);

    builder->failed |= !type || size < 0 || size > TYPED_SIZE_MAX || depth >= TYPED_DEPTH_MAX;
    if (builder->failed)
        return;
    builder->typed->type[index] = (struct typed_type){ .kind = TYPED_BYTES, .size = (uint32_t)size };
    if (btf_is_int(type))
        build_integer(type, &builder->typed->type[index]);
    else if (btf_is_any_enum(type))
        build_enum(builder, type, &builder->typed->type[index]);
    else if (btf_is_array(type))
        build_array(builder, type, index, depth);
    else if (btf_is_composite(type))
        build_struct(builder, type, index, depth);
}

/* ---- all ---- */

static struct typed *build_all(struct builder *builder, uint32_t id)
{
    struct typed *typed = typed_new(TYPED_TYPES_MAX, TYPED_MEMBERS_MAX, TYPED_ENUMERATORS_MAX, TYPED_STRINGS_MAX);

    if (!typed)
        return NULL;
    typed->types = typed->members = typed->enumerators = typed->strings = 0;
    builder->typed = typed;
    build(builder, id, add_type(builder), 0);
    return typed;
}

int typed_from_btf(const struct btf *btf, uint32_t id, struct typed **ret, struct jit_error *error)
{
    int64_t size = btf__resolve_size(btf, id);
    struct builder *builder;
    struct typed *typed;

    if (size <= 0 || size > TYPED_SIZE_MAX)
        return jit_error_set(error, -EINVAL, "btf", "a type of keys or values has no size, or more than %u bytes",
                             TYPED_SIZE_MAX);
    builder = calloc(1, sizeof(*builder));
    if (!builder)
        return -ENOMEM;
    builder->btf = btf;
    typed = build_all(builder, id);
    if (typed && (builder->failed || !typed_valid(typed))) {
        typed_free(typed);
        typed = typed_bytes((uint32_t)size);
    }
    free(builder);
    if (!typed)
        return -ENOMEM;
    *ret = typed;
    return 0;
}
