/* SPDX-License-Identifier: MIT */
/* Functions of the workers' that programs call as helpers: prototypes from BTF, and what they say. */

#include "native.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "types.h"

#define RULE "native"
#define KSYMS ".ksyms"                  /* the section that __ksym puts declarations in */
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define CHAIN_MAX 32                    /* types that modify each other, as libbpf has it */

/* ---- canonical prototypes ---- */

static const struct integer {
    const char *name;
    uint32_t bits;
    bool is_signed;
} integers[] = {
    { "bool", 1, false }, { "u8", 8, false }, { "u16", 16, false }, { "u32", 32, false }, { "u64", 64, false },
    { "s8", 8, true },    { "s16", 16, true }, { "s32", 32, true }, { "s64", 64, true },
};

/* One type of a prototype, as it stands there. */
struct type {
    bool is_constant;
    const char *name;
    size_t length;
    unsigned stars;
};

static bool name_is(const struct type *type, const char *name)
{
    return type->length == strlen(name) && memcmp(type->name, name, type->length) == 0;
}

static const struct integer *integer_of(const struct type *type)
{
    for (size_t i = 0; type->stars == 0 && i < sizeof(integers) / sizeof(integers[0]); i++)
        if (name_is(type, integers[i].name))
            return &integers[i];
    return NULL;
}

/* False: no type stands there. */
static bool read_type(const char **at, struct type *ret)
{
    static const char constant[] = "const ";

    *ret = (struct type){ .is_constant = strncmp(*at, constant, sizeof(constant) - 1) == 0 };
    *at += ret->is_constant ? sizeof(constant) - 1 : 0;
    ret->name = *at;
    ret->length = strspn(*at, NAME_CHARACTERS);
    *at += ret->length;
    ret->stars = (unsigned)strspn(*at, "*");
    *at += ret->stars;
    return ret->length > 0 && !(ret->is_constant && ret->stars == 0);
}

static int refuse_argument(uint32_t index, const char *why, struct jit_error *error)
{
    return jit_error_set(error, -EINVAL, RULE,
                         "argument %u is %s; a program can pass integers, a pointer with its size in bytes behind it, "
                         "and a const pointer to its context",
                         index + 1, why);
}

/* `before`: the argument before it is a pointer whose size this one is. */
static int read_argument(const struct type *type, const char *context, bool before, uint32_t index,
                         struct native_argument *ret, struct jit_error *error)
{
    const struct integer *integer = integer_of(type);

    if (before && !integer)
        return refuse_argument(index - 1, "a pointer without a size", error);
    if (integer) {
        *ret = (struct native_argument){ before ? NATIVE_SIZE : NATIVE_INTEGER, integer->bits, integer->is_signed };
        return 0;
    }
    if (type->stars != 1)
        return refuse_argument(index, type->stars ? "a pointer to a pointer" : "neither an integer nor a pointer",
                               error);
    if (*context && name_is(type, context)) {
        *ret = (struct native_argument){ .kind = NATIVE_CONTEXT };
        return type->is_constant ? 0 : refuse_argument(index, "a pointer to the context that is not const", error);
    }
    *ret = (struct native_argument){ .kind = type->is_constant ? NATIVE_MEMORY : NATIVE_MEMORY_WRITE };
    return 0;
}

static bool needs_size(const struct native_signature *signature)
{
    enum native_argument_kind last;

    if (signature->arguments == 0)
        return false;
    last = signature->argument[signature->arguments - 1].kind;
    return last == NATIVE_MEMORY || last == NATIVE_MEMORY_WRITE;
}

static int read_arguments(const char **at, const char *context, struct native_signature *signature,
                          struct jit_error *error)
{
    struct type type;

    while (**at != ')') {
        uint32_t index = signature->arguments;
        int r;

        if (index == NATIVE_ARGUMENTS_MAX)
            return jit_error_set(error, -EINVAL, RULE, "more than %d arguments; so many can be passed",
                                 NATIVE_ARGUMENTS_MAX);
        if ((index > 0 && *(*at)++ != ',') || !read_type(at, &type))
            return jit_error_set(error, -EINVAL, RULE, "argument %u is no type", index + 1);
        r = read_argument(&type, context, needs_size(signature), index, &signature->argument[index], error);
        if (r < 0)
            return r;
        signature->arguments++;
    }
    return needs_size(signature) ? refuse_argument(signature->arguments - 1, "a pointer without a size", error) : 0;
}

int native_parse(const char *prototype, const char *context, struct native_signature *ret, struct jit_error *error)
{
    struct native_signature signature = { 0 };
    const struct integer *integer;
    const char *at = prototype;
    struct type result;
    int r;

    if (!read_type(&at, &result) || *at++ != '(')
        return jit_error_set(error, -EINVAL, RULE, "\"%s\" is no prototype in canonical form", prototype);
    if (!integer_of(&result) && !(name_is(&result, "void") && result.stars == 0))
        return jit_error_set(error, -EINVAL, RULE, "the result of \"%s\" is neither an integer nor void", prototype);
    integer = integer_of(&result);
    signature.returns = integer != NULL;
    if (integer)
        signature.result = (struct native_argument){ NATIVE_INTEGER, integer->bits, integer->is_signed };
    r = read_arguments(&at, context, &signature, error);
    if (r < 0)
        return r;
    if (strcmp(at, ")") != 0)
        return jit_error_set(error, -EINVAL, RULE, "\"%s\" does not end where a prototype does", prototype);
    *ret = signature;
    return 0;
}

/* ---- from BTF ---- */

/* A prototype while it is written. */
struct writer {
    const struct btf *btf;
    char *text;
    size_t used;
    bool failed;
};

__attribute__((format(printf, 2, 3)))
static void append(struct writer *writer, const char *format, ...)
{
    size_t room = NATIVE_PROTOTYPE_SIZE - writer->used;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(writer->text + writer->used, room, format, arguments);
    va_end(arguments);
    writer->failed |= length < 0 || (size_t)length >= room;
    if (!writer->failed)
        writer->used += (size_t)length;
}

/* An integer's canonical name; false: it has none. */
static bool append_integer(struct writer *writer, const struct btf_type *type)
{
    bool is_integer = btf_is_int(type) && type->size <= 8;

    if (is_integer && btf_int_encoding(type) & BTF_INT_BOOL)
        append(writer, "bool");
    else if (is_integer)
        append(writer, "%c%u", btf_int_encoding(type) & BTF_INT_SIGNED ? 's' : 'u', type->size * 8);
    else if (btf_is_any_enum(type) && type->size == 4)
        append(writer, "u32");
    else
        return false;
    return true;
}

/* What a pointer leads to: const, void, an integer, or the name that stands in the source. */
static void append_target(struct writer *writer, uint32_t id)
{
    const struct btf_type *type = btf__type_by_id(writer->btf, id), *resolved;
    unsigned chain = 0;

    for (; type && btf_is_mod(type) && chain < CHAIN_MAX; chain++) {
        if (btf_is_const(type))
            append(writer, "const ");
        type = btf__type_by_id(writer->btf, type->type);
    }
    resolved = type && btf_is_typedef(type) ? types_resolve(writer->btf, type->type) : type;
    if (type && btf_is_void(type))
        append(writer, "void*");
    else if (resolved && (btf_is_int(resolved) || btf_is_any_enum(resolved)) && append_integer(writer, resolved))
        append(writer, "*");
    else if (type && (btf_is_composite(type) || btf_is_fwd(type) || btf_is_typedef(type)))
        append(writer, "%s*", types_string(writer->btf, type->name_off));
    else
        writer->failed = true;
}

static void append_type(struct writer *writer, uint32_t id)
{
    const struct btf_type *type = types_resolve(writer->btf, id);

    if (id == 0)
        append(writer, "void");
    else if (type && btf_is_ptr(type))
        append_target(writer, type->type);
    else
        writer->failed |= !type || !append_integer(writer, type);
}

static void append_prototype(struct writer *writer, const struct btf_type *prototype)
{
    append_type(writer, prototype->type);
    append(writer, "(");
    for (uint32_t i = 0; i < btf_vlen(prototype) && !writer->failed; i++) {
        append(writer, "%s", i > 0 ? "," : "");
        append_type(writer, btf_params(prototype)[i].type);
    }
    append(writer, ")");
}

/* The prototype of a function that is declared in this section; NULL: there is none. */
static const struct btf_type *find_prototype(const struct btf *btf, const char *name)
{
    const struct btf_type *function = types_find_declared(btf, KSYMS, name);
    const struct btf_type *prototype = function && btf_is_func(function) ? btf__type_by_id(btf, function->type) : NULL;

    return prototype && btf_is_func_proto(prototype) ? prototype : NULL;
}

int native_from_btf(const struct btf *btf, const char *name, char ret[NATIVE_PROTOTYPE_SIZE], struct jit_error *error)
{
    const struct btf_type *prototype = find_prototype(btf, name);
    char text[NATIVE_PROTOTYPE_SIZE] = "";
    struct writer writer = { .btf = btf, .text = text };

    if (!prototype)
        return -ENOENT;
    append_prototype(&writer, prototype);
    if (writer.failed)
        return jit_error_set(error, -EINVAL, RULE,
                             "its prototype has other types than integers and pointers to what has a name, or is too "
                             "long");
    memcpy(ret, text, sizeof(text));
    return 0;
}
