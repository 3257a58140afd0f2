/* SPDX-License-Identifier: MIT */
/* Definitions of maps in objects. */

#include "map_definition.h"

#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "map.h"
#include "types.h"

#define RULE "map"
#define SECTION ".maps"
#define OLD_SECTION "maps"
#define NESTING_MAX 8                   /* structs inside each other that are looked through */
#define VISITS_MAX 4096                 /* members that are, of all of a value's structs */

/* A definition as it is read: a map's, or that of what the maps in it are like. */
struct reader {
    const struct btf *btf;
    const char *name;                   /* of the map */
    struct bytecode_region *region;
    struct bytecode_region *inner;      /* NULL: this is the inner one */
    uint32_t visits;
    struct jit_error *error;
};

__attribute__((format(printf, 3, 4)))
static int refuse(const struct reader *reader, int result, const char *format, ...)
{
    char text[sizeof(reader->error->text)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return jit_error_set(reader->error, result, RULE, "map \"%s\"%s: %s", reader->name,
                         reader->inner ? "" : ", what it says of the maps in it", text);
}

bool map_definition_section(const struct object_section *section)
{
    return strcmp(section->name, SECTION) == 0 || strcmp(section->name, OLD_SECTION) == 0;
}

/* ---- members: numbers ---- */

/* __uint(name, 4) is int (*name)[4]. */
static int read_number(struct reader *reader, const char *name, uint32_t id, uint32_t *ret)
{
    const struct btf_type *type = types_resolve(reader->btf, id);

    if (type && btf_is_ptr(type))
        type = types_resolve(reader->btf, type->type);
    if (!type || !btf_is_array(type))
        return refuse(reader, -EINVAL, "\"%s\" is no number; write __uint(%s, NUMBER)", name, name);
    *ret = btf_array(type)->nelems;
    return 0;
}

static int read_kind(struct reader *reader, const char *name, uint32_t id)
{
    return read_number(reader, name, id, &reader->region->map_type);
}

static int read_max_entries(struct reader *reader, const char *name, uint32_t id)
{
    return read_number(reader, name, id, &reader->region->max_entries);
}

static int read_flags(struct reader *reader, const char *name, uint32_t id)
{
    return read_number(reader, name, id, &reader->region->map_flags);
}

/* A size may be given twice, by number and by type. */
static int set_size(struct reader *reader, const char *name, uint32_t size, uint32_t *ret)
{
    if (*ret && *ret != size)
        return refuse(reader, -EINVAL, "\"%s\" says %u bytes, and another member of the definition %u", name, size,
                      *ret);
    *ret = size;
    return 0;
}

static int read_key_size(struct reader *reader, const char *name, uint32_t id)
{
    uint32_t size = 0;
    int r = read_number(reader, name, id, &size);

    return r < 0 ? r : set_size(reader, name, size, &reader->region->key_size);
}

static int read_value_size(struct reader *reader, const char *name, uint32_t id)
{
    uint32_t size = 0;
    int r = read_number(reader, name, id, &size);

    return r < 0 ? r : set_size(reader, name, size, &reader->region->value_size);
}

/* ---- members: types ---- */

static const char *const kernel_structs[] = {
    "bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_list_head", "bpf_list_node", "bpf_rb_root",
    "bpf_rb_node", "bpf_refcount", "bpf_task_work",
};

static int check_members(struct reader *reader, const struct btf_type *type, unsigned depth);

/* What the kernel gives a meaning of its own in values: locks, timers, pointers to its objects. */
static int check_plain(struct reader *reader, uint32_t id, unsigned depth)
{
    const struct btf_type *type = types_resolve(reader->btf, id);
    const struct btf_type *target = type && btf_is_ptr(type) ? btf__type_by_id(reader->btf, type->type) : NULL;
    const char *name = type ? types_string(reader->btf, type->name_off) : "";

    if (!type || depth > NESTING_MAX || ++reader->visits > VISITS_MAX)
        return 0;                       /* it is just bytes */
    if (target && btf_is_type_tag(target))
        return refuse(reader, -EOPNOTSUPP,
                      "its value has a pointer that is marked \"%s\": there are no objects of a kernel here",
                      types_string(reader->btf, target->name_off));
    if (btf_is_array(type))
        return check_plain(reader, btf_array(type)->type, depth + 1);
    if (!btf_is_composite(type))
        return 0;
    for (size_t i = 0; i < sizeof(kernel_structs) / sizeof(kernel_structs[0]); i++)
        if (strcmp(name, kernel_structs[i]) == 0)
            return refuse(reader, -EOPNOTSUPP,
                          "its value has a struct %s, which maps do not have here; change numbers by atomic "
                          "operations, or a whole value by map_update_elem",
                          name);
    return check_members(reader, type, depth);
}

static int check_members(struct reader *reader, const struct btf_type *type, unsigned depth)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < btf_vlen(type); i++)
        r = check_plain(reader, btf_members(type)[i].type, depth + 1);
    return r;
}

/* __type(name, T) is T *name. */
static int read_type(struct reader *reader, const char *name, uint32_t id, uint32_t *ret_size, struct typed **ret)
{
    const struct btf_type *pointer = types_resolve(reader->btf, id);
    struct typed *typed;
    int r;

    if (!pointer || !btf_is_ptr(pointer))
        return refuse(reader, -EINVAL, "\"%s\" is no type; write __type(%s, TYPE)", name, name);
    if (*ret)
        return refuse(reader, -EINVAL, "\"%s\" is there twice", name);
    r = check_plain(reader, pointer->type, 0);
    if (r == 0)
        r = typed_from_btf(reader->btf, pointer->type, &typed, reader->error);
    if (r < 0)
        return r;
    *ret = typed;
    return set_size(reader, name, typed_size(typed), ret_size);
}

static int read_key(struct reader *reader, const char *name, uint32_t id)
{
    return read_type(reader, name, id, &reader->region->key_size, &reader->region->key_type);
}

static int read_value(struct reader *reader, const char *name, uint32_t id)
{
    return read_type(reader, name, id, &reader->region->value_size, &reader->region->value_type);
}

/* ---- members: the others ---- */

static int read_definition(struct reader *reader, const struct btf_type *type);

/* __array(values, struct inner) is struct inner *values[]. */
static int read_values(struct reader *reader, const char *name, uint32_t id)
{
    const struct btf_type *type = types_resolve(reader->btf, id);
    struct reader inner = *reader;

    if (type && btf_is_array(type))
        type = types_resolve(reader->btf, btf_array(type)->type);
    if (type && btf_is_ptr(type))
        type = types_resolve(reader->btf, type->type);
    if (!type || !btf_is_struct(type))
        return refuse(reader, -EINVAL,
                      "\"%s\" does not say what the maps in it are like; write __array(%s, struct INNER), where INNER "
                      "is defined as maps are",
                      name, name);
    if (!reader->inner)
        return refuse(reader, -EOPNOTSUPP, "a map of maps of maps; one level is possible");
    if (reader->inner->kind == REGION_INNER)
        return refuse(reader, -EINVAL, "\"%s\" is there twice", name);
    inner.region = reader->inner;
    inner.inner = NULL;
    inner.region->kind = REGION_INNER;
    snprintf(inner.region->name, sizeof(inner.region->name), "%.*s.inner", BYTECODE_NAME_MAX - 6, reader->name);
    return read_definition(&inner, type);
}

static int pass_over(struct reader *reader, const char *name, uint32_t id)
{
    return 0;
}

static int refuse_member(struct reader *reader, const char *name, uint32_t id)
{
    return refuse(reader, -EOPNOTSUPP, "\"%s\" has no meaning here; leave it out", name);
}

static const struct {
    const char *name;
    int (*read)(struct reader *reader, const char *name, uint32_t id);
} members[] = {
    { "type", read_kind },              { "max_entries", read_max_entries }, { "map_flags", read_flags },
    { "key_size", read_key_size },      { "value_size", read_value_size },   { "key", read_key },
    { "value", read_value },            { "values", read_values },           { "pinning", pass_over },
    { "numa_node", refuse_member },     { "map_extra", refuse_member },
};

static int read_member(struct reader *reader, const struct btf_member *member)
{
    const char *name = types_string(reader->btf, member->name_off);

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (strcmp(members[i].name, name) == 0)
            return members[i].read(reader, name, member->type);
    return refuse(reader, -EOPNOTSUPP, "its definition has the unknown member \"%s\"", name);
}

/* ---- a definition ---- */

/* The kernel's maps of maps hold file numbers, of 4 bytes; ours hold distances (runtime/map.h). */
static int complete_map_of_maps(struct reader *reader)
{
    struct bytecode_region *region = reader->region;

    if (!bytecode_map_of_maps(region))
        return reader->inner && reader->inner->kind == REGION_INNER ?
                   refuse(reader, -EINVAL, "it has \"values\", but is no map of maps") : 0;
    if (!reader->inner)
        return refuse(reader, -EOPNOTSUPP, "a map of maps of maps; one level is possible");
    if (reader->inner->kind != REGION_INNER)
        return refuse(reader, -EINVAL,
                      "a map of maps must say what the maps in it are like: __array(values, struct INNER)");
    if (region->value_size != 0 && region->value_size != sizeof(uint32_t))
        return refuse(reader, -EINVAL, "the values of a map of maps have 4 bytes, not %u", region->value_size);
    region->value_type = typed_free(region->value_type);
    region->value_size = sizeof(int64_t);
    return 0;
}

static int check_layout(const struct reader *reader)
{
    const struct map_definition definition = bytecode_map_definition(reader->region);
    struct jit_error why = { .rule = RULE };
    struct map ignored;
    int r = map_lay_out(&definition, &ignored, &why);

    return r < 0 && r != -ENOMEM ? refuse(reader, r, "%s", why.text) : r;
}

static int read_definition(struct reader *reader, const struct btf_type *type)
{
    struct bytecode_region *region = reader->region;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < btf_vlen(type); i++)
        r = read_member(reader, &btf_members(type)[i]);
    if (r == 0)
        r = complete_map_of_maps(reader);
    if (r == 0)
        r = check_layout(reader);
    if (r == 0 && region->kind == REGION_MAP && region->map_type == BPF_MAP_TYPE_ARRAY)
        region->size = (uint32_t)(bytecode_map_stride(region) * region->max_entries);
    return r;
}

/* ---- a map of an object ---- */

static const struct object_symbol *find_symbol(const struct object_file *file, uint32_t section, uint64_t at)
{
    for (uint32_t i = 1; i < file->symbols; i++)
        if (file->symbol[i].section == section && file->symbol[i].type == STT_OBJECT && file->symbol[i].value == at)
            return &file->symbol[i];
    return NULL;
}

/* The addresses of other maps, or of programs, as first contents. */
static int check_contents(const struct reader *reader, const struct object_section *section,
                          const struct object_symbol *symbol)
{
    for (uint32_t i = 0; i < section->relocations; i++)
        if (section->relocation[i].offset >= symbol->value &&
            section->relocation[i].offset - symbol->value < symbol->size)
            return refuse(reader, -EOPNOTSUPP, "its definition has contents; put them in when the program is loaded: "
                          "dispatchctl map set");
    return 0;
}

static int read_map(struct reader *reader, const struct object *object, const struct object_section *section,
                    const struct object_symbol *symbol)
{
    const struct btf_type *type;
    int r = check_contents(reader, section, symbol);

    if (r < 0)
        return r;
    if (strcmp(section->name, OLD_SECTION) == 0)
        return refuse(reader, -EOPNOTSUPP,
                      "it is defined in the old way, in section \"%s\"; define it in section \"%s\", with __uint and "
                      "__type of bpf_helpers.h",
                      OLD_SECTION, SECTION);
    if (!context_name_valid(symbol->name, BYTECODE_NAME_MAX + 1))
        return refuse(reader, -EINVAL, "a map's name has 1 to %d bytes of [A-Za-z0-9_.-]", BYTECODE_NAME_MAX);
    if (!object->btf)
        return jit_error_set(reader->error, -EINVAL, "btf",
                             "map \"%s\" is defined by its types, and the object has none (BTF); compile with -g",
                             reader->name);
    type = types_find_variable(object->btf, section->name, symbol->name);
    type = type ? types_resolve(object->btf, type->type) : NULL;
    if (!type || !btf_is_struct(type))
        return refuse(reader, -EINVAL, "the object's types (BTF) do not have it, or it is no struct");
    object_name(reader->region->name, symbol->name);
    return read_definition(reader, type);
}

int map_definition_read(const struct object *object, uint32_t section, uint64_t at, struct bytecode_region *ret,
                        struct bytecode_region *ret_inner, struct jit_error *error)
{
    const struct object_symbol *symbol = find_symbol(object->file, section, at);
    struct bytecode_region region = { .kind = REGION_MAP }, inner = { .name = "" };
    struct reader reader = { .btf = object->btf, .region = &region, .inner = &inner, .error = error };
    int r;

    if (!symbol)
        return jit_error_set(error, -EINVAL, RULE, "no map begins at byte %llu of section \"%s\"",
                             (unsigned long long)at, object->file->section[section].name);
    reader.name = symbol->name;
    r = read_map(&reader, object, &object->file->section[section], symbol);
    if (r < 0) {
        bytecode_region_clear(&region);
        bytecode_region_clear(&inner);
        return r;
    }
    *ret = region;
    *ret_inner = inner;
    return 0;
}
