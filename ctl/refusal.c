/* SPDX-License-Identifier: MIT */
/*
 * One row an error.  In a text {name} stands for the error's parameter of that name; what [brackets] enclose is left
 * out if a parameter in it is missing, empty or below 0.
 */
#include "refusal.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "status.h"
#include "util.h"

#define CONTROL "io.dispatchd.Control."
#define SERVICE "org.varlink.service."

static const struct refusal {
    const char *error;
    const char *text;
} refusals[] = {
    { CONTROL "UnknownProgram",
      "no program is named '{program}'; `dispatchctl list programs` shows those that are loaded, "
      "`dispatchctl list workers --json` what natives there are" },
    { CONTROL "TargetAmbiguous",
      "'{target}' is a program and a native with prototype {prototype}: write program:{target} or native:{target}" },
    { CONTROL "UnknownTable",
      "no worker has declared a table '{table}'; `dispatchctl list tables` shows those that are known" },
    { CONTROL "UnknownCall",
      "no worker has declared a static call '{call}'; `dispatchctl list calls` shows those that are known" },
    { CONTROL "UnknownNative",
      "no worker has offered a native '{native}'; `dispatchctl list workers --json` shows what each offers" },
    { CONTROL "PrototypeMismatch",
      "'{target}' does not fit '{table}', whose prototype is {table_prototype}; it is {target_prototype}" },
    { CONTROL "UnknownContext",
      "program[ '{program}'] is for the context '{context}', which no worker has declared; start such a worker first" },
    { CONTROL "UnknownLink",
      "there is no link {link}; `dispatchctl list links` shows those that there are" },
    { CONTROL "ProgramExists",
      "a program '{program}' is loaded already; unload it first, or take another name" },
    { CONTROL "ProgramInUse",
      "program '{program}' is attached; detach first: link {links}" },
    { CONTROL "KeyTaken",
      "{keys} of table '{table}' cannot have it: link {link} has {link_keys} with program '{program}', and {reason};"
      " detach link {link} first, or see --proceed-on" },
    { CONTROL "ContextMismatch",
      "program '{program}' is for the context '{program_context}', but table '{table}' has '{table_context}'" },
    { CONTROL "ObjectInvalid",
      "the object[ of program '{program}'] cannot be used: {reason}" },
    { CONTROL "ProgramRejected",
      "program[ '{program}'] is rejected: {reason}[ (rule {rule})]"
      "[\n  source: {file}, line {line}][: {source}][\n  registers: {registers}][\n  hint: {hint}]" },
    { CONTROL "TranslationFailed",
      "program[ '{program}'] was not translated: {reason}" },
    { CONTROL "LimitExceeded",
      "the limit '{limit}' is reached (at most {maximum})" },
    { CONTROL "ImageFull",
      "no room for the code: it needs {needed} bytes, {available} are free; unload programs that have no link" },
    { CONTROL "ArenaFull",
      "no room for the data: it needs {needed} bytes, {available} are free in one piece; unload programs that have"
      " no link" },
    { CONTROL "QuotaExceeded",
      "user {uid} may have {maximum} bytes of memory for maps and has {used}; this needs {needed}: remove maps, or see"
      " dispatchd --arena-quota" },
    { CONTROL "UnknownMap",
      "no map is named '{map}'; `dispatchctl map list` shows those that there are" },
    { CONTROL "MapExists",
      "a map '{map}' is there already; remove it first, or take another name" },
    { CONTROL "MapInUse",
      "map '{map}' is in use[ by programs: {programs}; unload them first][ in maps: {maps}; delete it there first]" },
    { CONTROL "MapMismatch",
      "map '{map}' is another one than is wanted: {difference}; make the definitions equal, take another name, or"
      " remove the map that is there" },
    { CONTROL "MapInvalid",
      "there can be no such map '{map}': {reason}" },
    { CONTROL "MapUnsuited",
      "map '{map}' is of kind {kind}, which has no {operation}" },
    { CONTROL "MapFull",
      "map '{map}' is full: it has {max_entries} elements; delete some first" },
    { CONTROL "MapEmpty",
      "map '{map}' is empty" },
    { CONTROL "MapBusy",
      "map '{map}' is being changed by a thread that does not go on; try again, and if it stays so look for a"
      " stopped worker: `dispatchctl list workers`" },
    { CONTROL "UnknownElement",
      "map '{map}' has no element with this key; `dispatchctl map dump {map}` shows those that there are" },
    { CONTROL "ElementExists",
      "map '{map}' has an element with this key already" },
    { CONTROL "ImageOverwritten",
      "the code of table '{table}' is not as dispatchd left it: something else wrote there; nothing was changed; restart"
      " dispatchd, which builds it anew" },
    { CONTROL "AnswerTooLong",
      "the answer has more than {maximum} rows; ask for it with `more`, as it then comes in several answers" },
    { CONTROL "DatabaseFailed",
      "the database of dispatchd failed: {reason}; dispatchd's own log says more" },
    { SERVICE "InvalidParameter",
      "parameter '{parameter}' is not accepted[: {reason}]" },
    { SERVICE "MethodNotFound",
      "this dispatchd has no method {method}; it is older or newer than dispatchctl" },
    { SERVICE "InterfaceNotFound",
      "there is no interface {interface} here; is this the control socket of dispatchd?" },
    { SERVICE "PermissionDenied",
      "permission denied; members of group dispatchd may do this" },
};

static bool value_shown(struct json_object *value)
{
    if (json_object_is_type(value, json_type_string))
        return json_object_get_string_len(value) > 0;
    if (json_object_is_type(value, json_type_int))
        return json_object_get_int64(value) >= 0;
    if (json_object_is_type(value, json_type_array))
        return json_object_array_length(value) > 0;
    return value != NULL;
}

/* Write `length` bytes of a text with its parameters.  Returns false if one of them has nothing to show. */
static bool text_fill(FILE *out, const char *text, size_t length, struct json_object *parameters)
{
    bool complete = true;

    while (length > 0) {
        const char *close = *text == '{' ? memchr(text, '}', length) : NULL;
        size_t used = 1;

        if (close) {
            _cleanup_free_ char *name = require(strndup(text + 1, (size_t)(close - text - 1)));
            struct json_object *value = json_object_object_get(parameters, name);
            _cleanup_free_ char *shown = value_text(value);

            fputs(shown, out);
            complete &= value_shown(value);
            used = (size_t)(close - text) + 1;
        } else
            fputc(*text, out);
        text += used;
        length -= used;
    }
    return complete;
}

static void optional_fill(FILE *out, const char *text, size_t length, struct json_object *parameters)
{
    _cleanup_free_ char *filled = NULL;
    size_t size = 0;
    FILE *part = require(open_memstream(&filled, &size));
    bool complete = text_fill(part, text, length, parameters);

    fclose(part);
    if (complete)
        fputs(require(filled), out);
}

static void sentence_fill(FILE *out, const char *text, struct json_object *parameters)
{
    while (*text) {
        size_t plain = strcspn(text, "[");

        text_fill(out, text, plain, parameters);
        text += plain;
        if (*text == '[') {
            size_t length = strcspn(text + 1, "]");

            optional_fill(out, text + 1, length, parameters);
            text += length + 2;
        }
    }
}

static void unknown_fill(FILE *out, const char *error, struct json_object *parameters)
{
    const char *separator = " with ";

    fputs(error, out);
    json_object_object_foreach(parameters, name, value) {
        _cleanup_free_ char *shown = value_text(value);

        fprintf(out, "%s%s=%s", separator, name, shown);
        separator = ", ";
    }
}

char *refusal_text(const char *error, struct json_object *parameters)
{
    char *text = NULL;
    size_t size = 0, i = 0;
    FILE *out = require(open_memstream(&text, &size));

    while (i < ARRAY_LENGTH(refusals) && strcmp(refusals[i].error, error) != 0)
        i++;
    if (i < ARRAY_LENGTH(refusals))
        sentence_fill(out, refusals[i].text, parameters);
    else
        unknown_fill(out, error, parameters);
    fclose(out);
    return require(text);
}
