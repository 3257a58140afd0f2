/* SPDX-License-Identifier: MIT */
/* From words to parameters: the only checks are those that the wire cannot express. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "element.h"
#include "message.h"
#include "util.h"

void request_done(struct request *request)
{
    json_object_put(request->parameters);
    close_descriptor(&request->descriptor);
}

static enum status number_read(const char *shown, const char *word, uint64_t maximum, uint64_t *ret)
{
    bool hex = strncmp(word, "0x", 2) == 0 || strncmp(word, "0X", 2) == 0;
    const char *digits = hex ? word + 2 : word;
    uint64_t value;

    errno = 0;
    value = strtoull(digits, NULL, hex ? 16 : 10);
    if (!*digits || digits[strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789")] || errno || value > maximum)
        return complain(STATUS_USAGE, "%s is a number from 0 to %" PRIu64 ", in decimal or as 0x..., not '%s'", shown,
                        maximum, word);
    *ret = value;
    return STATUS_DONE;
}

static enum status number_add(struct request *request, const struct argument *argument, const char *name,
                              const char *word, uint64_t maximum)
{
    uint64_t number = 0;
    enum status status = number_read(argument->shown, word, maximum, &number);

    if (status == STATUS_DONE)
        member_add(request->parameters, name, json_object_new_int64((int64_t)number));
    return status;
}

/* A key, FIRST-LAST, or `default`. */
static enum status keys_add(struct request *request, const struct argument *argument, const char *word)
{
    const char *dash = strchr(word, '-');
    _cleanup_free_ char *first = NULL;
    enum status status;

    if (strcmp(word, "default") == 0) {
        member_add(request->parameters, "default", json_object_new_boolean(true));
        return STATUS_DONE;
    }
    if (!dash)
        return number_add(request, argument, "key", word, UINT32_MAX);
    first = require(strndup(word, (size_t)(dash - word)));
    status = number_add(request, argument, "first", first, UINT32_MAX);
    return status == STATUS_DONE ? number_add(request, argument, "last", dash + 1, UINT32_MAX) : status;
}

static enum status policy_add(struct request *request, const struct argument *argument, const char *word)
{
    bool no_indirect = strcmp(word, "no-indirect") == 0;

    if (!no_indirect && strcmp(word, "any") != 0)
        return complain(STATUS_USAGE, "%s is any or no-indirect, not '%s'", argument->shown, word);
    member_add(request->parameters, argument->parameter, json_object_new_string(no_indirect ? "no_indirect" : "any"));
    return STATUS_DONE;
}

/* A bare name is whichever of the two it is. */
static void target_add(struct request *request, const char *word)
{
    static const char *const kinds[] = { "program", "native" };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (strncmp(word, kinds[i], strlen(kinds[i])) == 0 && word[strlen(kinds[i])] == ':') {
            member_add(request->parameters, kinds[i], json_object_new_string(word + strlen(kinds[i]) + 1));
            return;
        }
    member_add(request->parameters, "target", json_object_new_string(word));
}

/* A target, value:N, which the call's result decides on, or `default`: then nothing is asked for. */
static void call_target_add(struct request *request, const char *word)
{
    static const char value[] = "value:";

    if (strncmp(word, value, strlen(value)) == 0)
        member_add(request->parameters, "value_text", json_object_new_string(word + strlen(value)));
    else if (strcmp(word, "default") != 0)
        target_add(request, word);
}

/* O_NONBLOCK: a FIFO without a writer is opened too, and refused by the daemon, instead of waited for. */
static enum status file_open(const char *path, int *ret)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (descriptor < 0)
        return complain(STATUS_LOCAL, "cannot open '%s': %s", path, strerror(errno));
    *ret = descriptor;
    return STATUS_DONE;
}

/* How many, but none. */
static enum status count_add(struct request *request, const struct argument *argument, const char *word)
{
    if (strcmp(word, "0") == 0)
        return complain(STATUS_USAGE, "%s is at least 1", argument->shown);
    return number_add(request, argument, argument->parameter, word, UINT32_MAX);
}

static enum status argument_add(struct request *request, const struct argument *argument, const char *word)
{
    switch (argument->kind) {
    case ARGUMENT_FILE:
        return file_open(word, &request->descriptor);
    case ARGUMENT_NAME:
        member_add(request->parameters, argument->parameter, json_object_new_string(word));
        return STATUS_DONE;
    case ARGUMENT_TARGET:
        target_add(request, word);
        return STATUS_DONE;
    case ARGUMENT_CALL_TARGET:
        call_target_add(request, word);
        return STATUS_DONE;
    case ARGUMENT_POLICY:
        return policy_add(request, argument, word);
    case ARGUMENT_KEYS:
        return keys_add(request, argument, word);
    case ARGUMENT_LINK:
        return number_add(request, argument, argument->parameter, word, INT64_MAX);
    case ARGUMENT_NUMBER:
        return count_add(request, argument, word);
    case ARGUMENT_KEY:
    case ARGUMENT_VALUE:
    case ARGUMENT_ELEMENT:
        break;
    }
    return STATUS_DONE;
}

static bool is_of_element(const struct argument *argument)
{
    return argument->kind >= ARGUMENT_KEY;
}

bool request_needs_map(const struct verb *verb)
{
    for (int i = 0; verb->argument[i].shown; i++)
        if (is_of_element(&verb->argument[i]))
            return true;
    return false;
}

static enum status arguments_add(struct request *request, const struct verb *verb, const struct words *words)
{
    enum status status = STATUS_DONE;
    int i = 0;

    for (; verb->argument[i].shown && !is_of_element(&verb->argument[i]) && status == STATUS_DONE; i++)
        status = argument_add(request, &verb->argument[i], words->word[i]);
    if (status != STATUS_DONE || !verb->argument[i].shown)
        return status;
    return element_add(request->parameters, verb->argument[i].kind, words->word + i, words->count - i, words->map,
                       words->hex);
}

/* The daemon would close the connection on text that is not UTF-8, so it is refused here, by the same rule. */
static enum status text_check(struct json_object *parameters)
{
    _cleanup_free_ char *text = NULL;
    struct json_object *copy = NULL;
    size_t length;
    int r;

    r = message_format(parameters, &text, &length);
    if (r >= 0)
        r = message_parse(text, length, NULL, &copy);
    json_object_put(copy);
    if (r < 0)
        return complain(STATUS_USAGE, "the arguments cannot be sent: %s", message_error_text(r));
    return STATUS_DONE;
}

enum status request_make(const struct verb *verb, const struct words *words, struct json_object *parameters,
                         struct request *ret)
{
    _cleanup_(request_done) struct request request = { parameters, -EBADF };
    enum status status;

    status = arguments_add(&request, verb, words);
    if (status == STATUS_DONE)
        status = text_check(request.parameters);
    if (status != STATUS_DONE)
        return status;
    ret->parameters = TAKE_POINTER(request.parameters);
    ret->descriptor = TAKE_DESCRIPTOR(request.descriptor);
    return STATUS_DONE;
}
