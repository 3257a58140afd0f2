/* SPDX-License-Identifier: MIT */
/* See prototype.h. */
#include "prototype.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <dispatchd/layout.h>

#include "util.h"

/* ---- words --------------------------------------------------------------------------------------------- */

struct word {
    const char *text;           /* NULL: the end */
    size_t length;
};

static bool word_is(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.text, text, word.length) == 0;
}

static bool is_name(struct word word)
{
    return word.length > 0 && (isalpha((unsigned char)*word.text) || *word.text == '_');
}

static struct word next_word(const char **at)
{
    const char *begin = *at + strspn(*at, " \t\n");
    size_t length = 0;

    while (isascii((unsigned char)begin[length]) && (isalnum((unsigned char)begin[length]) || begin[length] == '_'))
        length++;
    if (length == 0 && *begin)
        length = 1;
    *at = begin + length;
    return (struct word){ begin, length };
}

static struct word peek_word(const char *at)
{
    return next_word(&at);
}

/* ---- types --------------------------------------------------------------------------------------------- */

/* Integers that are one word.  char is signed on all processors that we have. */
static const struct {
    const char *name, *canonical;
} integers[] = {
    { "int8_t", "s8" },      { "int16_t", "s16" },    { "int32_t", "s32" },     { "int64_t", "s64" },
    { "uint8_t", "u8" },     { "uint16_t", "u16" },   { "uint32_t", "u32" },    { "uint64_t", "u64" },
    { "intptr_t", "s64" },   { "uintptr_t", "u64" },  { "ptrdiff_t", "s64" },   { "size_t", "u64" },
    { "ssize_t", "s64" },    { "bool", "bool" },      { "_Bool", "bool" },      { "s8", "s8" },
    { "s16", "s16" },        { "s32", "s32" },        { "s64", "s64" },         { "u8", "u8" },
    { "u16", "u16" },        { "u32", "u32" },        { "u64", "u64" },
};

/* A type as it is read. */
struct type {
    bool is_constant, is_tagged, is_enumeration;        /* tagged: struct or union */
    unsigned signs, unsigneds, chars, shorts, ints, longs;      /* words of C's own integers */
    struct word name;                                   /* of any other type */
    unsigned stars;
};

static bool has_integer_words(const struct type *type)
{
    return type->signs + type->unsigneds + type->chars + type->shorts + type->ints + type->longs > 0;
}

/* Take a word of the part before the stars; false: it belongs to what follows. */
static bool take_specifier(struct type *type, struct word word)
{
    const struct {
        const char *name;
        unsigned *count;
    } words[] = {
        { "signed", &type->signs }, { "unsigned", &type->unsigneds }, { "char", &type->chars },
        { "short", &type->shorts }, { "int", &type->ints },           { "long", &type->longs },
    };

    if (word_is(word, "const"))
        return type->is_constant = true;
    if (word_is(word, "volatile"))
        return true;
    if (word_is(word, "struct") || word_is(word, "union"))
        return type->is_tagged = true;
    if (word_is(word, "enum"))
        return type->is_enumeration = true;
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (word_is(word, words[i].name)) {
            ++*words[i].count;
            return true;
        }
    if (!is_name(word) || type->name.length > 0 || has_integer_words(type))
        return false;
    type->name = word;
    return true;
}

/* `long double` is no `long` of the name `double`. */
static bool is_type_word(struct word word)
{
    return word_is(word, "double") || word_is(word, "float") || word_is(word, "_Complex") || word_is(word, "__int128");
}

static void skip_qualifiers(const char **at)
{
    struct word word = peek_word(*at);

    while (word_is(word, "const") || word_is(word, "restrict") || word_is(word, "__restrict")) {
        next_word(at);
        word = peek_word(*at);
    }
}

static void skip_name(const char **at)
{
    if (is_name(peek_word(*at)) && !is_type_word(peek_word(*at)))
        next_word(at);
}

/* A type, without the name that may be behind it. */
static void read_type(const char **at, struct type *ret)
{
    struct type type = { 0 };

    while (take_specifier(&type, peek_word(*at)))
        next_word(at);
    for (skip_qualifiers(at); word_is(peek_word(*at), "*"); skip_qualifiers(at)) {
        next_word(at);
        type.stars++;
    }
    *ret = type;
}

/* The canonical name of what stands before the stars, into `ret`; "": there is none. */
static void name_type(const struct type *type, char ret[PROTOTYPE_BYTES])
{
    unsigned bits = type->chars ? 8 : type->shorts ? 16 : type->longs ? 64 : 32;

    ret[0] = '\0';
    if (has_integer_words(type)) {
        snprintf(ret, PROTOTYPE_BYTES, "%c%u", type->unsigneds ? 'u' : 's', bits);
    } else if (type->is_enumeration) {
        strcpy(ret, "u32");
    } else {
        snprintf(ret, PROTOTYPE_BYTES, "%.*s", (int)type->name.length, type->name.text);
        for (size_t i = 0; !type->is_tagged && i < ARRAY_LENGTH(integers); i++)
            if (strcmp(ret, integers[i].name) == 0)
                strcpy(ret, integers[i].canonical);
    }
}

static bool is_integer(const char *canonical)
{
    for (size_t i = 0; i < ARRAY_LENGTH(integers); i++)
        if (strcmp(canonical, integers[i].canonical) == 0)
            return true;
    return false;
}

#define DEPTH_MAX 4             /* of pointers to functions that take such: whoever writes a text recurses with it */

/* ---- prototypes ---------------------------------------------------------------------------------------- */

static int append(struct prototype *prototype, const char *text)
{
    if (strlen(prototype->text) + strlen(text) >= PROTOTYPE_BYTES)
        return -E2BIG;
    strcat(prototype->text, text);
    return 0;
}

/* Read and write one type.  *ret_result: what a function that returns it returns. */
static int read_one(const char **at, struct prototype *prototype, enum prototype_result *ret_result)
{
    char name[PROTOTYPE_BYTES];
    struct type type;
    int r = 0;

    read_type(at, &type);
    if (type.name.length >= PROTOTYPE_BYTES)
        return -E2BIG;
    name_type(&type, name);
    if (name[0] == '\0')
        return -EINVAL;
    if (type.stars > 0)
        *ret_result = PROTOTYPE_POINTER;
    else if (strcmp(name, "void") == 0)
        *ret_result = PROTOTYPE_VOID;
    else if (is_integer(name) && !type.is_tagged)
        *ret_result = strcmp(name, "bool") == 0 ? PROTOTYPE_BOOL : PROTOTYPE_INTEGER;
    else
        return -EINVAL;
    if (type.is_constant && type.stars > 0)
        r = append(prototype, "const ");
    if (r == 0)
        r = append(prototype, name);
    for (unsigned i = 0; r == 0 && i < type.stars; i++)
        r = append(prototype, "*");
    return r;
}

static int read_arguments(const char **at, unsigned depth, struct prototype *prototype);

/* Behind the type of its result: `(*name)(arguments)`, as `(*)(arguments)`. */
static int read_function_pointer(const char **at, unsigned depth, struct prototype *prototype)
{
    struct prototype function = { .text = "(*)(" };
    int r;

    if (depth == DEPTH_MAX)
        return -E2BIG;
    next_word(at);
    if (!word_is(next_word(at), "*"))
        return -EINVAL;
    skip_qualifiers(at);
    skip_name(at);
    if (!word_is(next_word(at), ")") || !word_is(next_word(at), "("))
        return -EINVAL;
    r = read_arguments(at, depth + 1, &function);
    return r < 0 ? r : append(prototype, function.text);
}

/* One argument, and its name. */
static int read_argument(const char **at, unsigned depth, struct prototype *prototype)
{
    enum prototype_result kind;
    int r = read_one(at, prototype, &kind);

    if (r < 0)
        return r;
    if (word_is(peek_word(*at), "("))
        return read_function_pointer(at, depth, prototype);
    skip_name(at);
    return kind == PROTOTYPE_VOID ? -EINVAL : 0;
}

static int read_arguments(const char **at, unsigned depth, struct prototype *prototype)
{
    const char *after = *at;

    if (word_is(next_word(&after), "void") && word_is(peek_word(after), ")"))
        *at = after;
    while (prototype->arguments > 0 || !word_is(peek_word(*at), ")")) {
        int r;

        if (prototype->arguments == PROTOTYPE_ARGUMENTS_MAX)
            return -E2BIG;
        r = read_argument(at, depth, prototype);
        if (r < 0)
            return r;
        prototype->arguments++;
        if (!word_is(peek_word(*at), ","))
            break;
        next_word(at);
        r = append(prototype, ",");
        if (r < 0)
            return r;
    }
    return word_is(next_word(at), ")") ? append(prototype, ")") : -EINVAL;
}

int prototype_read(const char *text, struct prototype *ret)
{
    struct prototype prototype = { 0 };
    int r;

    r = read_one(&text, &prototype, &prototype.result);
    if (r < 0)
        return r;
    if (!word_is(next_word(&text), "("))
        return -EINVAL;
    r = append(&prototype, "(");
    if (r == 0)
        r = read_arguments(&text, 0, &prototype);
    if (r < 0)
        return r;
    if (peek_word(text).length > 0)
        return -EINVAL;
    *ret = prototype;
    return 0;
}

const char *prototype_mistake(int error)
{
    _Static_assert(PROTOTYPE_ARGUMENTS_MAX == 12, "the text says so");
    if (error == -E2BIG)
        return "its prototype is too long, or has more than 12 arguments";
    return "its prototype has a type that is neither an integer nor a pointer, or a typedef that is to be spelled out";
}

uint64_t prototype_native_digest(const char *name, const char *prototype, bool may_block)
{
    return dd_digest(name, prototype) + may_block;
}

void prototype_of_table(const char *context, struct prototype *ret)
{
    *ret = (struct prototype){ .result = PROTOTYPE_INTEGER, .arguments = 2 };
    snprintf(ret->text, sizeof(ret->text), "u32(%.127s*,u32)", context);
}
