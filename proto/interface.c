/* SPDX-License-Identifier: MIT */
/*
 * See interface.h.  A recursive-descent parser without a separate lexer; the first mistake sticks and everything
 * above it returns NULL.  All tables of an interface live in one chain of blocks and are freed together.
 */
#include "interface.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "envelope.h"
#include "util.h"

/* ---- memory -------------------------------------------------------------------------------------------- */

struct block {
    struct block *next;
    max_align_t content[];
};

struct owned_interface {
    struct interface interface;     /* first: an interface is freed by the pointer to this */
    struct block *blocks;
};

struct interface *interface_free(struct interface *interface)
{
    struct owned_interface *owned = (struct owned_interface *)interface;

    if (!owned)
        return NULL;
    while (owned->blocks) {
        struct block *block = owned->blocks;

        owned->blocks = block->next;
        free(block);
    }
    free(owned);
    return NULL;
}

/* ---- looking up ---------------------------------------------------------------------------------------- */

const struct interface_field *interface_field(const struct interface_type *structure, const char *name)
{
    const struct interface_field *field = structure->fields;

    while (field && strcmp(field->name, name) != 0)
        field = field->next;
    return field;
}

const struct interface_value *interface_value(const struct interface_type *enumeration, const char *name)
{
    const struct interface_value *value = enumeration->values;

    while (value && strcmp(value->name, name) != 0)
        value = value->next;
    return value;
}

static const struct interface_member *find_member(const struct interface_member *member, const char *name)
{
    while (member && strcmp(member->name, name) != 0)
        member = member->next;
    return member;
}

const struct interface_member *interface_method(const struct interface *interface, const char *name)
{
    return find_member(interface->methods, name);
}

const struct interface_member *interface_error(const struct interface *interface, const char *name)
{
    return find_member(interface->errors, name);
}

/* The member part of a qualified name; NULL if that is of another interface. */
static const char *local_name(const struct interface *interface, const char *name)
{
    size_t length;
    const char *local = envelope_split_name(name, &length);

    return local && strlen(interface->name) == length && memcmp(interface->name, name, length) == 0 ? local : NULL;
}

const struct interface_member *interface_qualified_method(const struct interface *interface, const char *name)
{
    const char *local = local_name(interface, name);

    return local ? find_member(interface->methods, local) : NULL;
}

const struct interface_member *interface_qualified_error(const struct interface *interface, const char *name)
{
    const char *local = local_name(interface, name);

    return local ? find_member(interface->errors, local) : NULL;
}

/* ---- parser -------------------------------------------------------------------------------------------- */

#define NESTING_MAX 16

/* A use of a declared type, which may stand before the declaration. */
struct reference {
    struct reference *next;
    struct interface_type *type;
    unsigned line;
};

struct parser {
    struct owned_interface *owned;
    struct reference *references;
    const char *at;
    unsigned line, nesting;
    struct interface_mistake mistake;       /* reason NULL: none so far */
    bool no_memory;
};

static void *fail(struct parser *parser, unsigned line, const char *reason)
{
    if (!parser->mistake.reason)
        parser->mistake = (struct interface_mistake){line, reason};
    return NULL;
}

static void *allocate(struct parser *parser, size_t size)
{
    struct block *block = calloc(1, sizeof *block + size);

    if (!block) {
        parser->no_memory = true;
        return fail(parser, parser->line, "no memory");
    }
    block->next = parser->owned->blocks;
    parser->owned->blocks = block;
    return block->content;
}

/* ---- characters and words ------------------------------------------------------------------------------ */

/* To the next character that means something: over white space and comments. */
static void skip(struct parser *parser)
{
    for (; *parser->at; parser->at++) {
        if (*parser->at == '#')
            parser->at += strcspn(parser->at, "\n");
        if (*parser->at == '\n')
            parser->line++;
        else if (!strchr(" \t\r", *parser->at) || !*parser->at)
            return;
    }
}

/* Is this what comes next?  Then it is consumed. */
static bool accept(struct parser *parser, const char *token)
{
    const size_t length = strlen(token);

    skip(parser);
    if (strncmp(parser->at, token, length) != 0)
        return false;
    if (isalpha((unsigned char)token[0]) && (isalnum((unsigned char)parser->at[length]) || parser->at[length] == '_'))
        return false;       /* a longer word that begins like it */
    parser->at += length;
    return true;
}

static bool expect(struct parser *parser, const char *token, const char *reason)
{
    return accept(parser, token) || fail(parser, parser->line, reason);
}

/* A word of letters, digits and those `others`, that begins with a letter. */
static const char *parse_word(struct parser *parser, const char *others, const char *reason)
{
    size_t length = 0;
    char *word;

    skip(parser);
    if (isalpha((unsigned char)parser->at[0]))
        while (isalnum((unsigned char)parser->at[length]) || (parser->at[length] && strchr(others, parser->at[length])))
            length++;
    if (length == 0)
        return fail(parser, parser->line, reason);
    word = allocate(parser, length + 1);
    if (word)
        memcpy(word, parser->at, length);
    parser->at += length;
    return word;
}

/* The name of a type, method or error: begins with a capital. */
static const char *parse_member_name(struct parser *parser)
{
    skip(parser);
    if (!isupper((unsigned char)*parser->at))
        return fail(parser, parser->line, "a name that begins with a capital is expected");
    return parse_word(parser, "", "a name is expected");
}

/* ---- types --------------------------------------------------------------------------------------------- */

static struct interface_type *parse_type(struct parser *parser);

static struct interface_type *new_type(struct parser *parser, enum interface_kind kind)
{
    struct interface_type *type = allocate(parser, sizeof *type);

    if (type)
        type->kind = kind;
    return type;
}

/* The rest of `(name: type, name: type)`, from the first colon. */
static struct interface_type *parse_fields(struct parser *parser, const char *name)
{
    struct interface_type *type = new_type(parser, INTERFACE_STRUCT);
    const struct interface_field **last = type ? &type->fields : NULL;

    while (last && name) {
        struct interface_field *field = allocate(parser, sizeof *field);

        if (!field || !expect(parser, ":", "`:` and a type are expected after the name of a field"))
            return NULL;
        field->name = name;
        field->type = parse_type(parser);
        if (!field->type)
            return NULL;
        if (interface_field(type, name))
            return fail(parser, parser->line, "two fields have the same name");
        *last = field;
        last = &field->next;
        if (accept(parser, ")"))
            return type;
        if (!expect(parser, ",", "`,` or `)` is expected after a field"))
            return NULL;
        name = parse_word(parser, "_", "the name of a field is expected");
    }
    return NULL;
}

/* The rest of `(name, name)`, from the first comma. */
static struct interface_type *parse_values(struct parser *parser, const char *name)
{
    struct interface_type *type = new_type(parser, INTERFACE_ENUM);
    const struct interface_value **last = type ? &type->values : NULL;

    while (last && name) {
        struct interface_value *value = allocate(parser, sizeof *value);

        if (!value)
            return NULL;
        value->name = name;
        if (interface_value(type, name))
            return fail(parser, parser->line, "two values have the same name");
        *last = value;
        last = &value->next;
        if (accept(parser, ")"))
            return type;
        if (!expect(parser, ",", "`,` or `)` is expected after a value"))
            return NULL;
        name = parse_word(parser, "_", "the name of a value is expected");
    }
    return NULL;
}

/* A struct or an enum, behind its `(`: what follows the first name tells which. */
static struct interface_type *parse_group(struct parser *parser)
{
    const char *name;

    if (accept(parser, ")"))
        return new_type(parser, INTERFACE_STRUCT);
    name = parse_word(parser, "_", "the name of a field or value is expected");
    if (!name)
        return NULL;
    skip(parser);
    return *parser->at == ':' ? parse_fields(parser, name) : parse_values(parser, name);
}

static struct interface_type *parse_element(struct parser *parser, enum interface_kind kind)
{
    struct interface_type *type = new_type(parser, kind), *element = parse_type(parser);

    if (!type || !element)
        return NULL;
    if (kind == INTERFACE_OPTIONAL && element->kind == INTERFACE_OPTIONAL)
        return fail(parser, parser->line, "`?` stands twice");
    type->element = element;
    return type;
}

static struct interface_type *parse_named(struct parser *parser)
{
    struct interface_type *type = new_type(parser, INTERFACE_NAMED);
    struct reference *reference = allocate(parser, sizeof *reference);

    if (!type || !reference)
        return NULL;
    type->name = parse_member_name(parser);
    *reference = (struct reference){parser->references, type, parser->line};
    parser->references = reference;
    return type->name ? type : NULL;
}

static struct interface_type *parse_type_nested(struct parser *parser)
{
    static const struct {
        const char *name;
        enum interface_kind kind;
    } plain[] = {
        {"bool", INTERFACE_BOOL},     {"int", INTERFACE_INT},       {"float", INTERFACE_FLOAT},
        {"string", INTERFACE_STRING}, {"object", INTERFACE_OBJECT},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(plain); i++)
        if (accept(parser, plain[i].name))
            return new_type(parser, plain[i].kind);
    if (accept(parser, "?"))
        return parse_element(parser, INTERFACE_OPTIONAL);
    if (accept(parser, "[]"))
        return parse_element(parser, INTERFACE_ARRAY);
    if (accept(parser, "[string]"))
        return parse_element(parser, INTERFACE_MAP);
    if (accept(parser, "("))
        return parse_group(parser);
    return parse_named(parser);
}

static struct interface_type *parse_type(struct parser *parser)
{
    struct interface_type *type = NULL;

    if (parser->nesting == NESTING_MAX)
        return fail(parser, parser->line, "types are nested too deeply");
    parser->nesting++;
    type = parse_type_nested(parser);
    parser->nesting--;
    return type;
}

/* `(...)` with fields: what methods and errors take. */
static const struct interface_type *parse_struct(struct parser *parser)
{
    const struct interface_type *type;

    if (!expect(parser, "(", "`(` is expected"))
        return NULL;
    type = parse_group(parser);
    if (type && type->kind != INTERFACE_STRUCT)
        return fail(parser, parser->line, "fields with types are expected");
    return type;
}

/* ---- members ------------------------------------------------------------------------------------------- */

static bool parse_type_member(struct parser *parser, struct interface_member *member)
{
    if (!expect(parser, "(", "`(` is expected"))
        return false;
    member->type = parse_group(parser);
    return member->type;
}

static bool parse_method_member(struct parser *parser, struct interface_member *member)
{
    member->input = parse_struct(parser);
    if (!member->input || !expect(parser, "->", "`->` is expected after the parameters of a method"))
        return false;
    member->output = parse_struct(parser);
    return member->output;
}

static bool parse_error_member(struct parser *parser, struct interface_member *member)
{
    member->input = parse_struct(parser);
    return member->input;
}

/* One member, behind its keyword, appended to its list. */
static bool parse_member(struct parser *parser, const struct interface_member **list,
                         bool (*parse)(struct parser *, struct interface_member *))
{
    const struct interface *interface = &parser->owned->interface;
    struct interface_member *member = allocate(parser, sizeof *member);

    if (!member)
        return false;
    member->name = parse_member_name(parser);
    if (!member->name || !parse(parser, member))
        return false;
    if (find_member(interface->types, member->name) || find_member(interface->methods, member->name) ||
        find_member(interface->errors, member->name))
        return fail(parser, parser->line, "two members have the same name");
    while (*list)
        list = (const struct interface_member **)&(*list)->next;
    *list = member;
    return true;
}

static bool parse_members(struct parser *parser)
{
    struct interface *interface = &parser->owned->interface;
    bool fits = true;

    while (fits) {
        skip(parser);
        if (!*parser->at)
            return true;
        if (accept(parser, "type"))
            fits = parse_member(parser, &interface->types, parse_type_member);
        else if (accept(parser, "method"))
            fits = parse_member(parser, &interface->methods, parse_method_member);
        else if (accept(parser, "error"))
            fits = parse_member(parser, &interface->errors, parse_error_member);
        else
            fits = fail(parser, parser->line, "`type`, `method` or `error` is expected");
    }
    return false;
}

static bool resolve_references(struct parser *parser)
{
    for (struct reference *reference = parser->references; reference; reference = reference->next) {
        const struct interface_member *member = find_member(parser->owned->interface.types, reference->type->name);

        if (!member)
            return fail(parser, reference->line, "a type is used that is not declared");
        reference->type->element = member->type;
    }
    return true;
}

static bool parse_interface(struct parser *parser, const char *text)
{
    struct interface *interface = &parser->owned->interface;
    const size_t size = strlen(text) + 1;
    char *copy = allocate(parser, size);
    size_t length;

    if (!copy)
        return false;
    interface->text = parser->at = memcpy(copy, text, size);
    if (!expect(parser, "interface", "`interface` is expected at the beginning"))
        return false;
    interface->name = parse_word(parser, ".-", "the name of the interface is expected");
    if (!interface->name)
        return false;
    if (!envelope_split_name(interface->name, &length))
        return fail(parser, parser->line, "the name of the interface needs a domain: io.example.Name");
    return parse_members(parser) && resolve_references(parser);
}

int interface_parse(const char *text, struct interface **ret, struct interface_mistake *reterr)
{
    struct parser parser = {.line = 1, .owned = calloc(1, sizeof *parser.owned)};

    if (!parser.owned)
        return -ENOMEM;
    if (parse_interface(&parser, text)) {
        *ret = &parser.owned->interface;
        return 0;
    }
    interface_free(&parser.owned->interface);
    if (reterr)
        *reterr = parser.mistake;
    return parser.no_memory ? -ENOMEM : -EBADMSG;
}
