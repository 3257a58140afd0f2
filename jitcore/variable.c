/* SPDX-License-Identifier: MIT */
/* Configuration: variables by name and type, values from text. */

#include "variable.h"

#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linker.h"
#include "types.h"

#define RULE "variable"
#define CHAIN_MAX 32            /* types that modify each other, as libbpf has it */
#define NESTING_MAX 16          /* structs and unions without a name in each other */
#define MEMBERS_MAX 65536       /* that are looked at, of one struct */

/* ---- names ---- */

struct finder {
    const struct object *object;
    const char *name;           /* all of it, for messages */
    struct jit_error *error;
};

#define FIND_ERROR(finder, ...) jit_error_set((finder)->error, -EINVAL, RULE, __VA_ARGS__)

/* Without it, the compiler has already put the value into the code. */
static bool is_volatile(const struct btf *btf, uint32_t id)
{
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        const struct btf_type *type = btf__type_by_id(btf, id);

        if (!type || btf_is_volatile(type))
            return type != NULL;
        if (btf_is_array(type))
            id = btf_array(type)->type;
        else if (btf_is_mod(type) || btf_is_typedef(type))
            id = type->type;
        else
            return false;
    }
    return false;
}

static bool is_variable(const struct object *object, const struct object_symbol *symbol)
{
    enum bytecode_region_kind kind;

    return symbol->type == STT_OBJECT && linker_region_kind(&object->file->section[symbol->section], &kind);
}

static int unknown_error(struct finder *finder, const char *name)
{
    const struct object_file *file = finder->object->file;
    char known[256] = "none";
    size_t used = 0;

    for (uint32_t i = 1; i < file->symbols; i++) {
        enum bytecode_region_kind kind;

        if (!is_variable(finder->object, &file->symbol[i]) || used >= sizeof(known) - 1 ||
            !linker_region_kind(&file->section[file->symbol[i].section], &kind) || kind != REGION_CONSTANT)
            continue;
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", file->symbol[i].name);
    }
    return FIND_ERROR(finder, "the object has no variable \"%s\"; its constants are: %s", name, known);
}

/* NULL: there is none of this name, which is `length` bytes long. */
static const struct object_symbol *find_symbol(const struct object *object, const char *name, size_t length)
{
    const struct object_file *file = object->file;

    for (uint32_t i = 1; i < file->symbols; i++)
        if (is_variable(object, &file->symbol[i]) && strncmp(file->symbol[i].name, name, length) == 0 &&
            file->symbol[i].name[length] == '\0')
            return &file->symbol[i];
    return NULL;
}

/* How much of it is the variable's own name: those of static variables in functions have a dot, "function.name". */
static size_t head_length(const struct object *object, const char *name)
{
    size_t first = strcspn(name, ".["), length = strcspn(name, "[");

    while (length > first && !find_symbol(object, name, length))
        while (name[--length] != '.')
            ;
    return length;
}

/* The whole variable. */
static int find_variable(struct finder *finder, const char *name, struct variable *ret)
{
    const struct object_symbol *symbol = find_symbol(finder->object, name, strlen(name));
    const struct object_section *section;
    const struct btf_type *type;
    enum bytecode_region_kind kind = REGION_DATA;

    if (!symbol)
        return unknown_error(finder, name);
    section = &finder->object->file->section[symbol->section];
    linker_region_kind(section, &kind);
    if (kind != REGION_CONSTANT || !section->bytes)
        return FIND_ERROR(finder,
                          "\"%s\" is in section \"%s\", which the program may change while it runs; declare it const "
                          "volatile to set it",
                          name, section->name);
    type = types_find_variable(finder->object->btf, section->name, name);
    if (!type)
        return FIND_ERROR(finder, "the object's types (BTF) do not have \"%s\"; compile it with -g", name);
    if (!is_volatile(finder->object->btf, type->type))
        return FIND_ERROR(finder,
                          "\"%s\" is not volatile, so its value is already part of the code; declare it const volatile "
                          "to set it",
                          name);
    *ret = (struct variable){ symbol->section, type->type, symbol->value, symbol->size };
    return 0;
}

static int find_element(struct finder *finder, const char **path, struct variable *variable)
{
    const struct btf *btf = finder->object->btf;
    const struct btf_type *type = types_resolve(btf, variable->type);
    unsigned long index;
    int64_t size;
    char *end;

    if (!type || !btf_is_array(type))
        return FIND_ERROR(finder, "\"%s\": what stands before [ is no array", finder->name);
    index = strtoul(*path + 1, &end, 10);
    if ((*path)[1] < '0' || (*path)[1] > '9' || *end != ']')
        return FIND_ERROR(finder, "\"%s\": an element is written [NUMBER]", finder->name);
    if (index >= btf_array(type)->nelems)
        return FIND_ERROR(finder, "\"%s\": the array has elements 0 to %u", finder->name,
                          btf_array(type)->nelems - 1);
    *path = end + 1;
    variable->type = btf_array(type)->type;
    size = btf__resolve_size(btf, variable->type);
    if (size < 0)
        return FIND_ERROR(finder, "\"%s\" has a type of no size", finder->name);
    variable->offset += index * (uint64_t)size;
    return 0;
}

/* The next member by name, of a struct and of the structs and unions without a name in it. */
struct members {
    const struct btf *btf;
    struct { const struct btf_type *type; uint32_t next, bits; } level[NESTING_MAX];
    unsigned levels;
    uint32_t left;              /* members to look at: types of hostile objects hold each other many times */
};

struct member {
    const char *name;
    uint32_t type, bits;        /* its offset in the outermost struct */
    bool is_bit_field;
};

static struct members members_of(const struct btf *btf, const struct btf_type *type)
{
    return (struct members){ .btf = btf, .level = { { type, 0, 0 } }, .levels = 1, .left = MEMBERS_MAX };
}

static bool next_member(struct members *members, struct member *ret)
{
    while (members->levels > 0 && members->left-- > 0) {
        const struct btf_type *type = members->level[members->levels - 1].type, *inner;
        uint32_t i = members->level[members->levels - 1].next++;

        if (i >= btf_vlen(type)) {
            members->levels--;
            continue;
        }
        *ret = (struct member){ types_string(members->btf, btf_members(type)[i].name_off), btf_members(type)[i].type,
                                members->level[members->levels - 1].bits + btf_member_bit_offset(type, i),
                                btf_member_bitfield_size(type, i) != 0 };
        if (*ret->name)
            return true;
        inner = types_resolve(members->btf, ret->type);
        if (!inner || !btf_is_composite(inner) || members->levels == NESTING_MAX)
            continue;
        members->level[members->levels].type = inner;
        members->level[members->levels].next = 0;
        members->level[members->levels++].bits = ret->bits;
    }
    return false;
}

static int unknown_member_error(struct finder *finder, const struct btf_type *type)
{
    struct members members = members_of(finder->object->btf, type);
    struct member member;
    char known[256] = "none";
    size_t used = 0;

    while (used < sizeof(known) - 1 && next_member(&members, &member))
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", member.name);
    return FIND_ERROR(finder, "\"%s\": %s has no member of that name; it has: %s", finder->name,
                      type->name_off ? types_string(finder->object->btf, type->name_off) : "the struct", known);
}

static int find_member(struct finder *finder, const char **path, struct variable *variable)
{
    const struct btf *btf = finder->object->btf;
    const struct btf_type *type = types_resolve(btf, variable->type);
    const char *name = *path + 1;
    size_t length = strcspn(name, ".[");
    struct members members;
    struct member member;

    if (!type || !btf_is_composite(type))
        return FIND_ERROR(finder, "\"%s\": what stands before .%s is no struct", finder->name, name);
    members = members_of(btf, type);
    while (next_member(&members, &member)) {
        if (strlen(member.name) != length || strncmp(member.name, name, length) != 0)
            continue;
        if (member.is_bit_field || member.bits % 8 != 0)
            return FIND_ERROR(finder, "\"%s\" is a bit-field, which cannot be set", finder->name);
        variable->offset += member.bits / 8;
        variable->type = member.type;
        *path = name + length;
        return 0;
    }
    return unknown_member_error(finder, type);
}

int variable_find(const struct object *object, const char *name, struct variable *ret, struct jit_error *error)
{
    struct finder finder = { object, name, error };
    const char *path = name + head_length(object, name);
    char *head = strndup(name, (size_t)(path - name));
    struct variable variable = { 0 };
    uint64_t end;
    int64_t size;
    int r = -ENOMEM;

    if (head && !object->btf)
        r = jit_error_set(error, -EINVAL, "btf", "\"%s\" cannot be set: the object has no types (BTF); compile with -g",
                          name);
    else if (head)
        r = find_variable(&finder, head, &variable);
    free(head);
    if (r < 0)
        return r;
    end = variable.offset + variable.size;
    while (r == 0 && *path)
        r = *path == '[' ? find_element(&finder, &path, &variable) :
            *path == '.' ? find_member(&finder, &path, &variable) :
                           FIND_ERROR(&finder, "\"%s\": behind ] there can be [NUMBER] or .MEMBER", name);
    if (r < 0)
        return r;
    size = btf__resolve_size(object->btf, variable.type);
    if (size <= 0 || end > object->file->section[variable.section].size || variable.offset > end ||
        (uint64_t)size > end - variable.offset)
        return jit_error_set(error, -EINVAL, "btf",
                             "the object's types (BTF) are damaged: \"%s\" lies outside its variable", name);
    variable.size = (uint64_t)size;
    *ret = variable;
    return 0;
}

/* ---- values ---- */

struct encoder {
    const struct btf *btf;
    const char *name, *value;
    uint8_t *ret;
    uint64_t size;
    struct jit_error *error;
};

#define VALUE_ERROR(encoder, ...) jit_error_set((encoder)->error, -EINVAL, RULE, __VA_ARGS__)

static void store(struct encoder *encoder, uint64_t number)
{
    for (uint64_t i = 0; i < encoder->size; i++)
        encoder->ret[i] = (uint8_t)(i < 8 ? number >> 8 * i : 0);
}

/* "-12", "0x1f": the whole text, no blanks. */
static bool parse_number(const char *text, bool *ret_negative, uint64_t *ret)
{
    const char *digits = text + (*text == '-');
    bool hexadecimal = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    const char *first = digits + (hexadecimal ? 2 : 0);
    char *end;

    if (strspn(first, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789") != strlen(first) || !*first)
        return false;
    errno = 0;
    *ret = strtoull(first, &end, hexadecimal ? 16 : 10);
    *ret_negative = digits != text && *ret != 0;
    return errno == 0;
}

static int encode_bool(struct encoder *encoder)
{
    const char *const words[] = { "false", "true", "0", "1" };

    for (unsigned i = 0; i < 4; i++)
        if (strcmp(encoder->value, words[i]) == 0) {
            store(encoder, i % 2);
            return 0;
        }
    return VALUE_ERROR(encoder, "\"%s\" is a bool: \"%s\" is neither true nor false", encoder->name, encoder->value);
}

static int encode_integer(struct encoder *encoder, const struct btf_type *type)
{
    const char *kind = types_string(encoder->btf, type->name_off);
    bool is_signed = btf_int_encoding(type) & BTF_INT_SIGNED, negative;
    unsigned bits = (unsigned)encoder->size * 8;
    uint64_t max, number;

    if (encoder->size > 8)
        return VALUE_ERROR(encoder, "\"%s\" is of type %s, which cannot be set", encoder->name, kind);
    max = UINT64_MAX >> (64 - bits + is_signed);
    if (!parse_number(encoder->value, &negative, &number) || (negative && !is_signed) || number > max + negative) {
        if (is_signed)
            return VALUE_ERROR(encoder, "\"%s\" is of type %s: \"%s\" is no number from %lld to %lld", encoder->name,
                               kind, encoder->value, -(long long)max - 1, (long long)max);
        return VALUE_ERROR(encoder, "\"%s\" is of type %s: \"%s\" is no number from 0 to %llu", encoder->name, kind,
                           encoder->value, (unsigned long long)max);
    }
    store(encoder, negative ? -number : number);
    return 0;
}

/* An enumeration's names and values, whichever of BTF's two forms it has. */
static bool enumerator(const struct btf *btf, const struct btf_type *type, uint32_t index, const char **ret_name,
                       uint64_t *ret)
{
    if (index >= btf_vlen(type))
        return false;
    if (btf_is_enum64(type)) {
        *ret_name = types_string(btf, btf_enum64(type)[index].name_off);
        *ret = btf_enum64_value(&btf_enum64(type)[index]);
    } else {
        *ret_name = types_string(btf, btf_enum(type)[index].name_off);
        *ret = (uint64_t)(int64_t)btf_enum(type)[index].val;
    }
    return true;
}

static int encode_enum(struct encoder *encoder, const struct btf_type *type)
{
    const char *name;
    char known[256] = "none";
    size_t used = 0;
    uint64_t number;

    for (uint32_t i = 0; enumerator(encoder->btf, type, i, &name, &number); i++) {
        if (strcmp(name, encoder->value) == 0) {
            store(encoder, number);
            return 0;
        }
        if (used < sizeof(known) - 1)
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", name);
    }
    return VALUE_ERROR(encoder, "\"%s\" is an enum: \"%s\" is none of its names: %s", encoder->name, encoder->value,
                       known);
}

static int encode_string(struct encoder *encoder, const struct btf_type *type)
{
    const struct btf_type *element = types_resolve(encoder->btf, btf_array(type)->type);
    size_t length = strlen(encoder->value);

    if (!element || !btf_is_int(element) || strcmp(types_string(encoder->btf, element->name_off), "char") != 0)
        return VALUE_ERROR(encoder, "\"%s\" is an array, and not of char: set its elements, %s[0] and so on",
                           encoder->name, encoder->name);
    if (length >= encoder->size)
        return VALUE_ERROR(encoder, "\"%s\" is an array of %llu char: the string has %zu, and needs room for a NUL",
                           encoder->name, (unsigned long long)encoder->size, length);
    memset(encoder->ret, 0, encoder->size);
    memcpy(encoder->ret, encoder->value, length);
    return 0;
}

int variable_encode(const struct object *object, const struct variable *variable, const char *name, const char *value,
                    uint8_t *ret, struct jit_error *error)
{
    struct encoder encoder = { object->btf, name, value, ret, variable->size, error };
    const struct btf_type *type = types_resolve(object->btf, variable->type);

    if (type && btf_is_int(type))
        return btf_int_encoding(type) & BTF_INT_BOOL ? encode_bool(&encoder) : encode_integer(&encoder, type);
    if (type && btf_is_any_enum(type))
        return encode_enum(&encoder, type);
    if (type && btf_is_array(type))
        return encode_string(&encoder, type);
    if (type && btf_is_composite(type))
        return VALUE_ERROR(&encoder, "\"%s\" is a struct or union: set its members, %s.MEMBER", name, name);
    return VALUE_ERROR(&encoder, "\"%s\" is a pointer or a floating-point number, which cannot be set", name);
}
