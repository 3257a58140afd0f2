/* SPDX-License-Identifier: MIT */
/* See element.h. */
#include "element.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "print.h"
#include "util.h"

struct form {
    const char *name;           /* "key" or "value" */
    const char *hex_name;
    struct json_object *type;   /* DataType; borrowed */
};

static bool form_exists(const struct form *form)
{
    return json_object_get_int64(json_object_object_get(form->type, "size")) > 0;
}

static size_t form_members(const struct form *form)
{
    return json_object_array_length(json_object_object_get(form->type, "members"));
}

/* Is the word NAME=VALUE, or NAME.MORE=VALUE, with the name of a member? */
static bool is_member(const struct form *form, const char *word)
{
    struct json_object *members = json_object_object_get(form->type, "members");
    size_t length = strcspn(word, ".=");

    for (size_t i = 0; strchr(word, '=') && i < json_object_array_length(members); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(members, i));

        if (strlen(name) == length && strncmp(name, word, length) == 0)
            return true;
    }
    return false;
}

static enum status complain_form(const struct form *form, bool hex, const char *word)
{
    _cleanup_free_ char *members = value_text(json_object_object_get(form->type, "members"));
    _cleanup_free_ char *text = value_text(json_object_object_get(form->type, "text"));
    long long size = json_object_get_int64(json_object_object_get(form->type, "size"));

    if (word && !form_exists(form))
        return complain(STATUS_USAGE, "elements of this map have no %s, so what is '%s'?", form->name, word);
    if (hex)
        return complain(STATUS_USAGE, "with --hex the %s is one word of %lld hexadecimal digits%s%s%s", form->name,
                        2 * size, word ? ", not '" : "", word ? word : "", word ? "'" : "");
    if (form_members(form) == 0)
        return complain(STATUS_USAGE, "the %s is one word: it is a %s", form->name, text);
    return complain(STATUS_USAGE, "the %s is given as MEMBER=VALUE%s%s%s; its members are: %s", form->name,
                    word ? ", not '" : "", word ? word : "", word ? "'" : "", members);
}

/* NAME.NAME=VALUE into objects inside each other. */
static enum status path_add(struct json_object *object, const char *word)
{
    size_t length = strcspn(word, ".=");
    _cleanup_free_ char *name = require(strndup(word, length));
    struct json_object *inner = json_object_object_get(object, name);

    if (word[length] == '=') {
        if (inner)
            return complain(STATUS_USAGE, "'%s' is given twice", name);
        member_add(object, name, json_object_new_string(word + length + 1));
        return STATUS_DONE;
    }
    if (inner && !json_object_is_type(inner, json_type_object))
        return complain(STATUS_USAGE, "'%s' is given twice", name);
    if (!inner) {
        inner = require(json_object_new_object());
        member_add(object, name, inner);
    }
    return path_add(inner, word + length + 1);
}

static enum status members_add(struct json_object *parameters, const struct form *form, char **words, int n_words)
{
    struct json_object *object = require(json_object_new_object());
    enum status status = STATUS_DONE;

    member_add(parameters, form->name, object);
    for (int i = 0; status == STATUS_DONE && i < n_words; i++)
        status = is_member(form, words[i]) ? path_add(object, words[i]) : complain_form(form, false, words[i]);
    return status;
}

static void word_add(struct json_object *parameters, const struct form *form, const char *word)
{
    struct json_object *object = require(json_object_new_object());

    member_add(parameters, form->name, object);
    member_add(object, "value", json_object_new_string(word));
}

/* How many of the words are the key: those with members of it, of each once; else one. */
static int key_words(const struct form *form, char **words, int n_words, bool hex)
{
    int n = 0;

    if (!form_exists(form) || n_words == 0)
        return 0;
    if (hex || form_members(form) == 0)
        return 1;
    while (n < n_words && is_member(form, words[n])) {
        for (int i = 0; i < n; i++)
            if (strcspn(words[i], "=") == strcspn(words[n], "=") &&
                !strncmp(words[i], words[n], strcspn(words[n], "=")))
                return n;               /* the value has a member of this name too */
        n++;
    }
    return n;
}

/* A key or a value of all these words. */
static enum status form_add(struct json_object *parameters, const struct form *form, char **words, int n_words,
                            bool hex)
{
    if (!form_exists(form) && n_words == 0)
        return STATUS_DONE;
    if (!form_exists(form) || n_words == 0)
        return complain_form(form, hex, n_words ? words[0] : NULL);
    if (!hex && form_members(form) > 0)
        return members_add(parameters, form, words, n_words);
    if (n_words > 1)
        return complain_form(form, hex, words[1]);
    if (hex)
        member_add(parameters, form->hex_name, json_object_new_string(words[0]));
    else
        word_add(parameters, form, words[0]);
    return STATUS_DONE;
}

enum status element_add(struct json_object *parameters, enum argument_kind kind, char **words, int n_words,
                        struct json_object *map, bool hex)
{
    const struct form key = { "key", "key_hex", json_object_object_get(map, "key") };
    const struct form value = { "value", "value_hex", json_object_object_get(map, "value") };
    enum status status;
    int n;

    if (kind == ARGUMENT_KEY)
        return form_add(parameters, &key, words, n_words, hex);
    if (kind == ARGUMENT_VALUE)
        return form_add(parameters, &value, words, n_words, hex);
    n = key_words(&key, words, n_words, hex);
    status = form_add(parameters, &key, words, n, hex);
    return status == STATUS_DONE ? form_add(parameters, &value, words + n, n_words - n, hex) : status;
}
