/* SPDX-License-Identifier: MIT */
/* What an object's BTF says of the program's context, with libbpf's reader. */

#include "types.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 8
#define POINTER_SIZE 8          /* of the BPF target */

struct reader {
    const struct btf *btf;
    struct types_field *field;
    uint32_t fields;
    uint32_t visited;           /* members seen: nameless structs may nest without end */
    struct jit_error *error;
};

const struct btf_type *types_resolve(const struct btf *btf, uint32_t id)
{
    int resolved = btf__resolve_type(btf, id);      /* it bounds the chain */

    return resolved < 0 ? NULL : btf__type_by_id(btf, (uint32_t)resolved);
}

const char *types_string(const struct btf *btf, uint32_t offset)
{
    const char *string = btf__str_by_offset(btf, offset);

    return string ? string : "";
}

const struct btf_type *types_find_declared(const struct btf *btf, const char *section, const char *name)
{
    for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
        const struct btf_type *type = btf__type_by_id(btf, id);

        if (!btf_is_datasec(type) || strcmp(types_string(btf, type->name_off), section) != 0)
            continue;
        for (uint32_t i = 0; i < btf_vlen(type); i++) {
            const struct btf_type *declared = btf__type_by_id(btf, btf_var_secinfos(type)[i].type);

            if (declared && strcmp(types_string(btf, declared->name_off), name) == 0)
                return declared;
        }
    }
    return NULL;
}

const struct btf_type *types_find_variable(const struct btf *btf, const char *section, const char *name)
{
    const struct btf_type *declared = types_find_declared(btf, section, name);

    return declared && btf_is_var(declared) ? declared : NULL;
}

static void add_field(struct reader *reader, const char *name, uint32_t offset, uint32_t size)
{
    struct types_field *field = &reader->field[reader->fields++];

    strcpy(field->name, name);
    field->offset = offset;
    field->size = size;
}

static int read_struct(struct reader *reader, const struct btf_type *type, const char *prefix,
                       uint32_t offset, unsigned depth);

static int read_member(struct reader *reader, const struct btf_type *type, uint32_t index,
                       const char *prefix, uint32_t offset, unsigned depth)
{
    const struct btf_member *member = &btf_members(type)[index];
    const char *name = btf__name_by_offset(reader->btf, member->name_off);
    uint32_t bits = btf_member_bit_offset(type, index);
    const struct btf_type *inner = types_resolve(reader->btf, member->type);
    int64_t size = btf__resolve_size(reader->btf, member->type);
    char full[sizeof(reader->field->name)];
    int length;

    if (!inner || !name || size < 0)
        return jit_error_set(reader->error, -EINVAL, "btf",
                             "the object's BTF is damaged: a member of the context has no type");
    if (++reader->visited > TYPES_FIELDS_MAX)
        return jit_error_set(reader->error, -EINVAL, "limit",
                             "the context has more than %d members in the object's BTF",
                             TYPES_FIELDS_MAX);
    if (btf_member_bitfield_size(type, index) != 0 || bits % 8 != 0)
        return 0;
    offset += bits / 8;
    length = snprintf(full, sizeof(full), "%s%s%s", prefix, *prefix && *name ? "." : "", name);
    if (length >= (int)sizeof(full))    /* no hook can declare a field with so long a name */
        return 0;
    if (*name)
        add_field(reader, full, offset, size > UINT32_MAX ? UINT32_MAX : (uint32_t)size);
    if (btf_is_composite(inner) && depth < NESTING_MAX)
        return read_struct(reader, inner, full, offset, depth + 1);
    return 0;
}

static int read_struct(struct reader *reader, const struct btf_type *type, const char *prefix,
                       uint32_t offset, unsigned depth)
{
    for (uint32_t i = 0; i < btf_vlen(type); i++) {
        int r = read_member(reader, type, i, prefix, offset, depth);

        if (r < 0)
            return r;
    }
    return 0;
}

/*
 * The function's first parameter, if that is a pointer to a struct or union: its target's type id,
 * else 0.
 */
static uint32_t find_context(const struct btf *btf, const char *function)
{
    int id = btf__find_by_name_kind(btf, function, BTF_KIND_FUNC);
    const struct btf_type *type = id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);

    type = type ? btf__type_by_id(btf, type->type) : NULL;
    if (!type || !btf_is_func_proto(type) || btf_vlen(type) == 0)
        return 0;
    id = btf__resolve_type(btf, btf_params(type)[0].type);
    type = id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);
    if (!type || !btf_is_ptr(type))
        return 0;
    return type->type;
}

/* Is the type called `name`, as a struct or by one of its typedefs? */
static bool is_called(const struct btf *btf, uint32_t id, const char *name)
{
    for (unsigned depth = 0; depth < NESTING_MAX; depth++) {
        const struct btf_type *type = btf__type_by_id(btf, id);

        if (!type)
            return false;
        if ((btf_is_composite(type) || btf_is_typedef(type)) &&
            strcmp(types_string(btf, type->name_off), name) == 0)
            return true;
        if (!btf_is_mod(type) && !btf_is_typedef(type))
            return false;
        id = type->type;
    }
    return false;
}

static int read_context(struct reader *reader, const char *function, const char *context)
{
    uint32_t id = find_context(reader->btf, function);
    const struct btf_type *type = id == 0 ? NULL : types_resolve(reader->btf, id);

    if (!type || !btf_is_composite(type))
        return 0;
    if (!is_called(reader->btf, id, context))
        return jit_error_set(reader->error, -EINVAL, "context",
                             "program %s is in section \"table/%s\", but its first parameter does not point to a "
                             "struct of that name; make them the same",
                             function, context);
    reader->field = calloc(TYPES_FIELDS_MAX, sizeof(*reader->field));
    if (!reader->field)
        return -ENOMEM;
    return read_struct(reader, type, "", 0, 0);
}

int types_read_context(const struct btf *btf, const char *function, const char *context, struct types_field **ret,
                       uint32_t *ret_fields, struct jit_error *error)
{
    struct reader reader = { .btf = btf, .error = error };
    int r = read_context(&reader, function, context);

    if (r < 0) {
        free(reader.field);
        return r;
    }
    *ret = reader.field;
    *ret_fields = reader.fields;
    return 0;
}

int types_new(const void *bytes, size_t size, struct btf **ret, struct jit_error *error)
{
    libbpf_print_fn_t print = libbpf_set_print(NULL);   /* a library does not write to stderr */
    struct btf *btf = btf__new(bytes, (uint32_t)size);
    int why = errno;

    libbpf_set_print(print);
    if (!btf && why == ENOMEM)
        return -ENOMEM;
    if (!btf)
        return jit_error_set(error, -EINVAL, "btf", "the object's .BTF section is damaged: %s", strerror(why));
    btf__set_pointer_size(btf, POINTER_SIZE);
    *ret = btf;
    return 0;
}
