/* SPDX-License-Identifier: MIT */
#include "refusal.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

static struct json_object *value_of(char type, va_list *arguments)
{
    const char *string;

    switch (type) {
    case 's':
        string = va_arg(*arguments, const char *);
        return json_object_new_string(string ? string : "");
    case 'i':
        return json_object_new_int64(va_arg(*arguments, int64_t));
    case 'o':
        return va_arg(*arguments, struct json_object *);
    default:
        assert(!"a type that refuse() does not know");
        return NULL;
    }
}

int refuse(struct refusal *refusal, int result, const char *error, const char *types, ...)
{
    va_list arguments;

    refusal_done(refusal);
    refusal->error = error;
    refusal->parameters = json_object_new_object();
    va_start(arguments, types);
    for (; *types; types++) {
        const char *name = va_arg(arguments, const char *);

        json_object_object_add(refusal->parameters, name, value_of(*types, &arguments));
    }
    va_end(arguments);
    return result;
}

int refuse_memory(struct refusal *refusal)
{
    return refuse(refusal, -ENOMEM, "LimitExceeded", "si", "limit", "memory of the daemon", "maximum", (int64_t)0);
}

/*
 * Length of the UTF-8 sequence at `at`, 0 if it is none or cut off (RFC 3629; surrogates and overlong forms cannot
 * come: what clients sent was checked, and is only cut here).
 */
static size_t sequence_length(const char *at)
{
    unsigned char first = (unsigned char)*at;
    size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;

    for (size_t i = 1; i < length; i++)
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* A format may have cut what it quotes inside a character. */
static void mend_characters(char *text)
{
    while (*text) {
        size_t length = sequence_length(text);

        if (length == 0)
            *text = '?';
        text += length ? length : 1;
    }
}

int refuse_parameter(struct refusal *refusal, const char *parameter, const char *format, ...)
{
    char reason[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    mend_characters(reason);
    return refuse(refusal, -EINVAL, "InvalidParameter", "ss", "parameter", parameter, "reason", reason);
}

void refusal_done(struct refusal *refusal)
{
    json_object_put(refusal->parameters);
    refusal->parameters = NULL;
    refusal->error = NULL;
}
