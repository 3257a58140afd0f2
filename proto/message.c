/* SPDX-License-Identifier: MIT */
/*
 * See message.h.  json-c parses; what it lets pass and we do not (overlong UTF-8, control characters, NULs that would
 * cut C strings short) and what it does not count (members, exact depth) is decided by a scan of the text before it.
 */
#include "message.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "util.h"

/* ---- limits -------------------------------------------------------------------------------------------- */

struct message_limits message_limits_complete(const struct message_limits *limits)
{
    struct message_limits complete = limits ? *limits : (struct message_limits){0};

    if (complete.bytes == 0)
        complete.bytes = MESSAGE_BYTES_DEFAULT;
    if (complete.bytes > INT_MAX / 2)           /* json-c counts in int */
        complete.bytes = INT_MAX / 2;
    if (complete.depth == 0)
        complete.depth = MESSAGE_DEPTH_DEFAULT;
    if (complete.values == 0)
        complete.values = MESSAGE_VALUES_DEFAULT;
    if (complete.descriptors == 0)
        complete.descriptors = MESSAGE_DESCRIPTORS_DEFAULT;
    if (complete.descriptors > MESSAGE_DESCRIPTORS_MAX)
        complete.descriptors = MESSAGE_DESCRIPTORS_MAX;
    return complete;
}

bool message_limit_of(int error, const struct message_limits *limits, const char **ret_name, size_t *ret_value)
{
    const struct message_limits complete = message_limits_complete(limits);

    switch (error) {
    case -EMSGSIZE:
        *ret_name = "bytes", *ret_value = complete.bytes;
        return true;
    case -ELOOP:
        *ret_name = "depth", *ret_value = complete.depth;
        return true;
    case -E2BIG:
        *ret_name = "values", *ret_value = complete.values;
        return true;
    case -ETOOMANYREFS:
        *ret_name = "descriptors", *ret_value = complete.descriptors;
        return true;
    default:
        return false;
    }
}

const char *message_error_text(int error)
{
    switch (error) {
    case -EMSGSIZE:
        return "the message is too long";
    case -ELOOP:
        return "the message is nested too deeply";
    case -E2BIG:
        return "the message has too many members and elements";
    case -ETOOMANYREFS:
        return "too many descriptors came with the message";
    case -EILSEQ:
        return "the message is not UTF-8";
    case -EBADMSG:
        return "the message is not one JSON object";
    default:
        return strerrordesc_np(-error) ?: "unknown error";
    }
}

/* ---- message ------------------------------------------------------------------------------------------- */

void descriptors_free(int *descriptors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close_descriptor(&descriptors[i]);
    free(descriptors);
}

void message_done(struct message *message)
{
    json_object_put(message->object);
    descriptors_free(message->descriptors, message->n_descriptors);
    *message = (struct message){0};
}

int message_take_descriptor(struct message *message, size_t index)
{
    if (index >= message->n_descriptors)
        return -EBADF;
    return TAKE_DESCRIPTOR(message->descriptors[index]);
}

/* ---- text ---------------------------------------------------------------------------------------------- */

/*
 * RFC 3629 section 4: the second byte of a sequence has a narrower range after E0, ED, F0 and F4, which is what keeps
 * overlong forms and surrogates out.
 */
size_t message_utf8_sequence(const unsigned char *text, size_t length)
{
    const unsigned char first = text[0];
    const size_t size = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
    const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;

    if (size == 0 || size > length)
        return 0;
    if (size > 1 && (text[1] < low || text[1] > high))
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

/* The string that begins behind the quote at *position; moves *position behind its end. */
static int scan_string(const unsigned char *text, size_t length, size_t *position)
{
    size_t i = *position + 1;

    while (i < length && text[i] != '"') {
        const size_t size = message_utf8_sequence(text + i, length - i);

        if (size == 0)
            return -EILSEQ;
        if (text[i] < 0x20)
            return -EBADMSG;
        if (text[i] == '\\') {
            if (length - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
                return -EBADMSG;
            i++;    /* what is escaped cannot end the string; json-c checks that it is a valid escape */
            if (i < length && text[i] >= 0x80)
                return -EBADMSG;
        }
        i += size;
    }
    *position = i + 1;
    return 0;
}

/*
 * What has to hold before json-c sees the text.  Outside of strings only what JSON has may stand: json-c also knows
 * NaN, and strings in single quotes, in which everything below would be counted wrong.
 * Members and elements are counted as the characters before them ('{', '[', ','), which is one too many for each
 * empty object or array; those cost memory as well.
 */
static int scan(const unsigned char *text, size_t length, const struct message_limits *limits)
{
    unsigned depth = 0, values = 0;
    size_t i = 0;
    int r;

    while (i < length) {
        const unsigned char c = text[i];

        if (c == '"') {
            r = scan_string(text, length, &i);
            if (r < 0)
                return r;
            continue;
        }
        if (c >= 0x80 && message_utf8_sequence(text + i, length - i) == 0)
            return -EILSEQ;
        if (c == '\0' || !strchr(" \t\n\r{}[]:,+-.0123456789eEtrufalsn", c))
            return -EBADMSG;
        if ((c == '{' || c == '[') && ++depth > limits->depth)
            return -ELOOP;
        if ((c == '}' || c == ']') && depth-- == 0)
            return -EBADMSG;
        if ((c == '{' || c == '[' || c == ',') && ++values > limits->values)
            return -E2BIG;
        i++;
    }
    return 0;
}

static void free_tokener(struct json_tokener **tokener)
{
    if (*tokener)
        json_tokener_free(*tokener);
}

int message_parse(const char *text, size_t length, const struct message_limits *limits, struct json_object **ret)
{
    const struct message_limits complete = message_limits_complete(limits);
    _cleanup_(free_tokener) struct json_tokener *tokener = NULL;
    struct json_object *object;
    int r;

    if (length > complete.bytes)
        return -EMSGSIZE;
    r = scan((const unsigned char *)text, length, &complete);
    if (r < 0)
        return r;

    tokener = json_tokener_new_ex((int)complete.depth + 1);     /* one more: scalars count for json-c */
    if (!tokener)
        return -ENOMEM;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    object = json_tokener_parse_ex(tokener, text, (int)length);
    if (!json_object_is_type(object, json_type_object) || json_tokener_get_parse_end(tokener) != length) {
        json_object_put(object);
        return -EBADMSG;
    }
    *ret = object;
    return 0;
}

int message_format(struct json_object *object, char **ret_text, size_t *ret_length)
{
    size_t length;
    const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    const char *text = json_object_to_json_string_length(object, flags, &length);
    char *copy;

    if (!text)
        return -ENOMEM;
    copy = malloc(length + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, length);
    copy[length] = '\0';
    *ret_text = copy;
    *ret_length = length;
    return 0;
}
