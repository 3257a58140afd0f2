/* SPDX-License-Identifier: MIT */
/*
 * The interface files, the parser, and the checking of parameters.  What is tried against each method is made from
 * the tables themselves, so a new method is tested from the day it stands in its file.
 */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "interface.h"
#include "parameters.h"
#include "util.h"

static struct interface *parse(const char *text)
{
    struct interface *interface = NULL;
    struct interface_mistake mistake = {0};

    if (interface_parse(text, &interface, &mistake) < 0)
        fail_msg("line %u: %s", mistake.line, mistake.reason);
    return interface;
}

/* ---- the embedded files -------------------------------------------------------------------------------- */

static const struct {
    const char *text, *name;
} embedded[] = {
    {interface_text_control, "io.dispatchd.Control"},
    {interface_text_worker, "io.dispatchd.Worker"},
    {interface_text_service, "org.varlink.service"},
};

static void test_embedded_texts_are_the_files(void **state)
{
    const char *source = getenv("SOURCE_DIR") ?: ".";

    for (size_t i = 0; i < ARRAY_LENGTH(embedded); i++) {
        struct interface *interface = parse(embedded[i].text);
        char path[4096], *content = NULL;
        size_t size = 0;
        FILE *file;

        assert_string_equal(interface->name, embedded[i].name);
        assert_string_equal(interface->text, embedded[i].text);
        snprintf(path, sizeof path, "%s/proto/%s.varlink", source, embedded[i].name);
        file = fopen(path, "r");
        if (!file)
            fail_msg("cannot read %s", path);
        assert_true(getdelim(&content, &size, '\0', file) > 0);
        assert_string_equal(content, embedded[i].text);
        fclose(file);
        free(content);
        interface_free(interface);
    }
}

/* ---- parser -------------------------------------------------------------------------------------------- */

static void test_parser_makes_tables(void **state)
{
    struct interface *interface = parse("# A comment\n"
                                        "interface io.example.Test-2 # another\n"
                                        "type Colour (red, dark_green)\n"
                                        "type Tree (left: ?Tree, colours: []Colour, names: [string]?int)\n"
                                        "method Grow(tree: Tree, by: (fast, slow)) -> (size: float, any: object)\n"
                                        "method Rest()->()\n"
                                        "error Withered (why: string, final: bool)\n");
    const struct interface_member *grow = interface_method(interface, "Grow");
    const struct interface_member *tree = interface->types->next;

    assert_string_equal(interface->name, "io.example.Test-2");
    assert_non_null(grow);
    assert_string_equal(grow->next->name, "Rest");
    assert_null(grow->next->input->fields);
    assert_string_equal(grow->input->fields->name, "tree");
    assert_int_equal(grow->input->fields->type->kind, INTERFACE_NAMED);
    assert_ptr_equal(grow->input->fields->type->element, tree->type);
    assert_int_equal(grow->input->fields->next->type->kind, INTERFACE_ENUM);
    assert_non_null(interface_value(grow->input->fields->next->type, "slow"));
    assert_null(interface_value(grow->input->fields->next->type, "slo"));
    assert_int_equal(interface_field(grow->output, "any")->type->kind, INTERFACE_OBJECT);
    assert_int_equal(interface_field(tree->type, "left")->type->kind, INTERFACE_OPTIONAL);
    assert_ptr_equal(interface_field(tree->type, "left")->type->element->element, tree->type);
    assert_int_equal(interface_field(tree->type, "names")->type->element->kind, INTERFACE_OPTIONAL);
    assert_ptr_equal(interface_qualified_method(interface, "io.example.Test-2.Grow"), grow);
    assert_null(interface_qualified_method(interface, "io.example.Test.Grow"));
    assert_null(interface_qualified_method(interface, "Grow"));
    assert_null(interface_qualified_method(interface, "io.example.Test-2.Withered"));
    assert_non_null(interface_qualified_error(interface, "io.example.Test-2.Withered"));
    interface_free(interface);
}

static void test_parser_names_line_and_reason(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *reason;
    } cases[] = {
        {"", 1, "`interface`"},
        {"method A() -> ()", 1, "`interface`"},
        {"interfaces a.b", 1, "`interface`"},
        {"interface\n", 2, "name of the interface"},
        {"interface ab", 1, "domain"},
        {"interface a.b\nfoo", 2, "`type`, `method` or `error`"},
        {"interface a.b\nmethods A() -> ()", 2, "`type`, `method` or `error`"},
        {"interface a.b\n\nmethod a() -> ()", 3, "capital"},
        {"interface a.b\nmethod A", 2, "`(`"},
        {"interface a.b\nmethod A()", 2, "`->`"},
        {"interface a.b\nmethod A() -> (", 2, "name of a field"},
        {"interface a.b\nmethod A(b) -> ()", 2, "fields with types"},
        {"interface a.b\nmethod A(b:) -> ()", 2, "capital"},
        {"interface a.b\nmethod A(b: int c: int) -> ()", 2, "`,` or `)`"},
        {"interface a.b\nmethod A(b: int, b: int) -> ()", 2, "same name"},
        {"interface a.b\nmethod A(b: int,) -> ()", 2, "name of a field"},
        {"interface a.b\nmethod A(b: (c, c)) -> ()", 2, "same name"},
        {"interface a.b\nmethod A(b: (c, d: int)) -> ()", 2, "`,` or `)`"},
        {"interface a.b\nmethod A(b: ??int) -> ()", 2, "twice"},
        {"interface a.b\nmethod A(b: integer) -> ()", 2, "capital"},
        {"interface a.b\nmethod A(b: [int]int) -> ()", 2, "capital"},
        {"interface a.b\n\nerror A (b: C)", 3, "not declared"},
        {"interface a.b\ntype A (b: int)\nerror A ()", 3, "same name"},
        {"interface a.b\nmethod A() -> ()\nmethod A() -> ()", 3, "same name"},
        {"interface a.b\ntype A (b: [][][][][][][][][][][][][][][][][][][][]int)", 2, "nested"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct interface *interface = NULL;
        struct interface_mistake mistake = {0};

        assert_int_equal(interface_parse(cases[i].text, &interface, &mistake), -EBADMSG);
        assert_null(interface);
        if (mistake.line != cases[i].line || !strstr(mistake.reason, cases[i].reason))
            fail_msg("case %zu: line %u: %s", i, mistake.line, mistake.reason);
    }
}

/*
 * However the file is cut or damaged: a clean error or a clean interface.  At each fifth place, as each costs a parse of
 * the whole; 5 has no divisor in common with 6.
 */
static void test_parser_survives_damage(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(embedded); i++) {
        const size_t length = strlen(embedded[i].text);
        unsigned refused = 0, tried = 0;

        for (size_t at = 0; at < length; at += 5, tried++) {
            struct interface *interface = NULL;
            char *text = strdup(embedded[i].text);

            text[at] = at % 2 ? '\0' : "(,:?[-"[at % 6];
            refused += interface_parse(text, &interface, NULL) < 0;
            interface_free(interface);
            free(text);
        }
        assert_true(refused > tried / 4);
    }
}

/* ---- parameters, from the tables ----------------------------------------------------------------------- */

static struct json_object *make_sample(const struct interface_type *type, unsigned depth)
{
    struct json_object *object;

    switch (type->kind) {
    case INTERFACE_BOOL:
        return json_object_new_boolean(1);
    case INTERFACE_INT:
        return json_object_new_int64(7);
    case INTERFACE_FLOAT:
        return json_object_new_double(0.5);
    case INTERFACE_STRING:
        return json_object_new_string("text");
    case INTERFACE_OBJECT:
        return json_object_new_object();
    case INTERFACE_ENUM:
        return json_object_new_string(type->values->name);
    case INTERFACE_OPTIONAL:
        return depth > 8 ? NULL : make_sample(type->element, depth + 1);
    case INTERFACE_NAMED:
        return make_sample(type->element, depth + 1);
    case INTERFACE_STRUCT:
        object = json_object_new_object();
        for (const struct interface_field *field = type->fields; field; field = field->next)
            json_object_object_add(object, field->name, make_sample(field->type, depth + 1));
        return object;
    case INTERFACE_ARRAY:
        object = json_object_new_array();
        for (int i = 0; i < 3; i++)
            json_object_array_add(object, make_sample(type->element, depth + 1));
        return object;
    case INTERFACE_MAP:
        object = json_object_new_object();
        json_object_object_add(object, "name", make_sample(type->element, depth + 1));
        return object;
    }
    abort();
}

/* One run over a struct type: the whole sample, and how much was tried. */
struct trial {
    const struct interface_type *type;
    struct json_object *sample;
    const char *what;
    unsigned refused;
};

/* Where in the sample a value stands. */
struct slot {
    struct json_object *parent;
    const char *name;       /* NULL: an element */
    size_t index;
};

static void slot_set(const struct slot *slot, struct json_object *value)
{
    if (slot->name)
        json_object_object_add(slot->parent, slot->name, value);
    else
        json_object_array_put_idx(slot->parent, slot->index, value);
}

static struct json_object *slot_get(const struct slot *slot)
{
    return slot->name ? json_object_object_get(slot->parent, slot->name)
                      : json_object_array_get_idx(slot->parent, slot->index);
}

static void expect_fault(struct trial *trial, const char *path, const char *reason)
{
    struct parameters_fault fault = {"", ""};

    if (parameters_check(trial->type, trial->sample, 0, &fault) != -EINVAL)
        fail_msg("%s: accepted with %s wrong (%s): %s", trial->what, path, reason,
                 json_object_to_json_string(trial->sample));
    if (strcmp(fault.parameter, path) != 0 || !strstr(fault.reason, reason))
        fail_msg("%s: %s wrong (%s), but told `%s` %s", trial->what, path, reason, fault.parameter, fault.reason);
    trial->refused++;
}

static bool fits(const struct interface_type *type, struct json_object *value)
{
    const enum json_type found = json_object_get_type(value);

    switch (type->kind) {
    case INTERFACE_BOOL:
        return found == json_type_boolean;
    case INTERFACE_INT:
        return found == json_type_int;
    case INTERFACE_FLOAT:
        return found == json_type_int || found == json_type_double;
    case INTERFACE_STRING:
        return found == json_type_string;
    case INTERFACE_OBJECT:
    case INTERFACE_STRUCT:
    case INTERFACE_MAP:
        return found == json_type_object;
    case INTERFACE_ARRAY:
        return found == json_type_array;
    case INTERFACE_OPTIONAL:
        return found == json_type_null || fits(type->element, value);
    case INTERFACE_NAMED:
        return fits(type->element, value);
    default:
        return false;
    }
}

static void try_wrong_value(struct trial *trial, const struct slot *slot, const char *path, struct json_object *value,
                            const char *reason)
{
    struct json_object *right = json_object_get(slot_get(slot));

    slot_set(slot, value);
    expect_fault(trial, path, reason);
    slot_set(slot, right);
}

/* A value of every wrong JSON type. */
static void try_wrong_types(struct trial *trial, const struct interface_type *type, const struct slot *slot,
                            const char *path)
{
    struct json_object *const values[] = {
        NULL, json_object_new_boolean(1), json_object_new_int(1), json_object_new_double(1.5),
        json_object_new_string("no such value"), json_object_new_array(), json_object_new_object(),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        if (fits(type, values[i]))
            json_object_put(values[i]);
        else
            try_wrong_value(trial, slot, path, values[i], "must be ");
}

static void try_value(struct trial *trial, const struct interface_type *type, const struct slot *slot,
                      const char *path);

static void try_fields(struct trial *trial, const struct interface_type *type, struct json_object *object,
                       const char *path)
{
    char below[256];

    for (const struct interface_field *field = type->fields; field; field = field->next) {
        struct json_object *right = json_object_get(json_object_object_get(object, field->name));

        snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", field->name);
        json_object_object_del(object, field->name);
        if (field->type->kind == INTERFACE_OPTIONAL)
            assert_int_equal(parameters_check(trial->type, trial->sample, 0, NULL), 0);
        else
            expect_fault(trial, below, "is missing");
        json_object_object_add(object, field->name, right);
        try_value(trial, field->type, &(struct slot){object, field->name, 0}, below);
    }
    snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", "surplus");
    json_object_object_add(object, "surplus", json_object_new_int(1));
    expect_fault(trial, below, "is unknown");
    assert_int_equal(parameters_check(trial->type, trial->sample, PARAMETERS_ALLOW_UNKNOWN, NULL), 0);
    json_object_object_del(object, "surplus");
}

/* Everything that can be wrong with one value, and with what it holds. */
static void try_value(struct trial *trial, const struct interface_type *type, const struct slot *slot, const char *path)
{
    char below[256];

    try_wrong_types(trial, type, slot, path);
    if (!slot_get(slot))
        return;     /* an optional one that the sample leaves out */
    while (type->kind == INTERFACE_NAMED || type->kind == INTERFACE_OPTIONAL)
        type = type->element;
    if (type->kind == INTERFACE_INT) {
        try_wrong_value(trial, slot, path, json_object_new_uint64(UINT64_MAX), "must be an int of 64 bits");
        try_wrong_value(trial, slot, path, json_object_new_int64(INT64_MIN), "must be an int of 64 bits");
    }
    if (type->kind == INTERFACE_ENUM)
        try_wrong_value(trial, slot, path, json_object_new_string(""), "must be one of ");
    if (type->kind == INTERFACE_STRUCT)
        try_fields(trial, type, slot_get(slot), path);
    if (type->kind == INTERFACE_ARRAY) {
        snprintf(below, sizeof below, "%s[1]", path);
        try_value(trial, type->element, &(struct slot){slot_get(slot), NULL, 1}, below);
    }
    if (type->kind == INTERFACE_MAP) {
        snprintf(below, sizeof below, "%s.name", path);
        try_value(trial, type->element, &(struct slot){slot_get(slot), "name", 0}, below);
    }
}

static unsigned try_all(const struct interface_type *type, const char *what)
{
    struct trial trial = {.type = type, .what = what, .sample = make_sample(type, 0)};

    assert_int_equal(parameters_check(type, trial.sample, 0, NULL), 0);
    try_fields(&trial, type, trial.sample, "");
    assert_int_equal(parameters_check(type, trial.sample, 0, NULL), 0);
    json_object_put(trial.sample);
    return trial.refused;
}

static void test_every_method_and_error_checks_every_parameter(void **state)
{
    unsigned refused = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(embedded); i++) {
        struct interface *interface = parse(embedded[i].text);

        for (const struct interface_member *method = interface->methods; method; method = method->next) {
            refused += try_all(method->input, method->name);
            refused += try_all(method->output, method->name);
        }
        for (const struct interface_member *error = interface->errors; error; error = error->next)
            refused += try_all(error->input, error->name);
        interface_free(interface);
    }
    print_message("# %u wrong parameters refused by name\n", refused);
    assert_true(refused > 500);
}

/* The kinds that our own files do not use yet. */
static void test_every_kind_is_checked(void **state)
{
    struct interface *interface = parse("interface a.b\n"
                                        "type Leaf (value: float, flag: bool)\n"
                                        "method All(map: [string]Leaf, maps: [][string]int, any: object, colour: (red, blue),\n"
                                        "  tree: (leaves: []Leaf, next: ?Leaf), maybe: ?[]?string) -> ()\n");

    assert_true(try_all(interface_method(interface, "All")->input, "All") > 80);
    interface_free(interface);
}

/* ---- parameters, by hand ------------------------------------------------------------------------------- */

static void expect_parameter_fault(const struct interface_type *type, const char *text, const char *parameter,
                                   const char *reason)
{
    struct json_object *object = json_tokener_parse(text);
    struct parameters_fault fault;

    assert_non_null(object);
    assert_int_equal(parameters_check(type, object, 0, &fault), -EINVAL);
    assert_string_equal(fault.parameter, parameter);
    assert_string_equal(fault.reason, reason);
    json_object_put(object);
}

static void test_faults_say_where_and_why(void **state)
{
    struct interface *interface = parse(interface_text_control);
    const struct interface_type *apply = interface_method(interface, "Apply")->input;
    const struct interface_type *attach = interface_method(interface, "Attach")->input;

    expect_parameter_fault(apply, "{\"operations\":[{\"operation\":\"detach\"},{\"operation\":\"load\"},"
                                  "{\"operation\":\"attach\",\"key\":\"3\"}]}",
                           "operations[2].key", "must be an int, not string");
    expect_parameter_fault(apply, "{\"operations\":[{\"operation\":\"destroy\"}]}", "operations[0].operation",
                           "must be one of load, unload, attach, detach, replace, set_policy, set_call");
    expect_parameter_fault(attach, "{\"table\":\"t\",\"key\":3.0,\"program\":\"p\"}", "key",
                           "must be an int, not double");
    expect_parameter_fault(attach, "{\"table\":\"t\",\"key\":99999999999999999999,\"program\":\"p\"}", "key",
                           "must be an int of 64 bits");
    expect_parameter_fault(attach, "{\"table\":\"t\",\"key\":-99999999999999999999,\"program\":\"p\"}", "key",
                           "must be an int of 64 bits");
    expect_parameter_fault(attach, "{\"table\":null,\"key\":3,\"program\":\"p\"}", "table",
                           "must be a string, not null");
    expect_parameter_fault(attach, "{\"key\":3,\"program\":\"p\"}", "table", "is missing");
    assert_int_equal(parameters_check(attach, NULL, 0, NULL), -EINVAL);
    assert_int_equal(parameters_check(interface_method(interface, "Info")->input, NULL, 0, NULL), 0);
    interface_free(interface);
}

/* A name that the peer chose comes back in our answer, which has to stay UTF-8, and short. */
static void test_long_names_are_cut_at_a_character(void **state)
{
    struct interface *interface = parse("interface a.b\nmethod None() -> ()");

    for (size_t lead = 0; lead < 4; lead++) {
        struct json_object *object = json_object_new_object();
        struct parameters_fault fault;
        char name[400] = "";
        size_t length;

        memset(name, 'x', lead);
        while (strlen(name) < 390)
            strcat(name, "\xf0\x9f\x90\xa7");
        json_object_object_add(object, name, NULL);
        assert_int_equal(parameters_check(interface->methods->input, object, 0, &fault), -EINVAL);
        length = strlen(fault.parameter);
        assert_true(length > 100 && length < sizeof fault.parameter);
        assert_int_equal((length - lead) % 4, 0);
        json_object_put(object);
    }
    interface_free(interface);
}

static void test_floats_are_finite(void **state)
{
    struct interface *interface = parse("interface a.b\nmethod One(number: float) -> ()");
    const struct interface_type *one = interface->methods->input;
    struct json_object *object = json_tokener_parse("{\"number\":1e999}");
    struct parameters_fault fault;

    assert_int_equal(parameters_check(one, object, 0, &fault), -EINVAL);
    assert_string_equal(fault.reason, "must be a finite number");
    json_object_put(object);
    object = json_tokener_parse("{\"number\":-3}");
    assert_int_equal(parameters_check(one, object, 0, &fault), 0);
    json_object_put(object);
    interface_free(interface);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedded_texts_are_the_files),
        cmocka_unit_test(test_parser_makes_tables),
        cmocka_unit_test(test_parser_names_line_and_reason),
        cmocka_unit_test(test_parser_survives_damage),
        cmocka_unit_test(test_every_method_and_error_checks_every_parameter),
        cmocka_unit_test(test_every_kind_is_checked),
        cmocka_unit_test(test_faults_say_where_and_why),
        cmocka_unit_test(test_long_names_are_cut_at_a_character),
        cmocka_unit_test(test_floats_are_finite),
    };

    return cmocka_run_group_tests_name("interface", tests, NULL, NULL);
}
