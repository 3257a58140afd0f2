/* SPDX-License-Identifier: MIT */
/* See envelope.h. */
#include "envelope.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "util.h"

const char *envelope_split_name(const char *name, size_t *ret_interface_length)
{
    const char *dot = strrchr(name, '.');

    if (!dot || dot == name || dot[1] == '\0')
        return NULL;
    *ret_interface_length = (size_t)(dot - name);
    return dot + 1;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static bool read_flag(struct json_object *value, bool *ret)
{
    if (!json_object_is_type(value, json_type_boolean))
        return false;
    *ret = json_object_get_boolean(value);
    return true;
}

static bool read_name(struct json_object *value, const char **ret)
{
    size_t length;

    if (!json_object_is_type(value, json_type_string) || !envelope_split_name(json_object_get_string(value), &length))
        return false;
    *ret = json_object_get_string(value);
    return true;
}

static bool read_parameters(struct json_object *value, struct json_object **ret)
{
    if (value && !json_object_is_type(value, json_type_object))
        return false;
    *ret = value;
    return true;
}

int envelope_read_call(struct json_object *message, struct envelope_call *ret, const char **reterr_member)
{
    struct envelope_call call = {0};

    json_object_object_foreach(message, member, value) {
        bool fits = false;

        if (strcmp(member, "method") == 0)
            fits = read_name(value, &call.method);
        else if (strcmp(member, "parameters") == 0)
            fits = read_parameters(value, &call.parameters);
        else if (strcmp(member, "oneway") == 0)
            fits = read_flag(value, &call.oneway);
        else if (strcmp(member, "more") == 0)
            fits = read_flag(value, &call.more);
        if (!fits) {
            *reterr_member = member;
            return -EINVAL;
        }
    }
    if (!call.method || (call.oneway && call.more)) {
        *reterr_member = call.method ? "more" : "method";
        return -EINVAL;
    }
    *ret = call;
    return 0;
}

int envelope_read_reply(struct json_object *message, struct envelope_reply *ret)
{
    struct envelope_reply reply = {0};

    json_object_object_foreach(message, member, value) {
        bool fits = true;

        if (strcmp(member, "error") == 0)
            fits = read_name(value, &reply.error);
        else if (strcmp(member, "parameters") == 0)
            fits = read_parameters(value, &reply.parameters);
        else if (strcmp(member, "continues") == 0)
            fits = read_flag(value, &reply.continues);
        if (!fits)
            return -EBADMSG;
    }
    if (reply.error && reply.continues)
        return -EBADMSG;
    *ret = reply;
    return 0;
}

/* ---- making -------------------------------------------------------------------------------------------- */

static void put_object(struct json_object **object)
{
    json_object_put(*object);
}

/* Add a member; the reference to the value passes in either case.  A NULL value is an allocation that failed. */
static int add(struct json_object *object, const char *member, struct json_object *value)
{
    if (!value || json_object_object_add(object, member, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static int add_parameters(struct json_object *message, struct json_object *parameters)
{
    return add(message, "parameters", parameters ? json_object_get(parameters) : json_object_new_object());
}

int envelope_make_call(const struct envelope_call *call, struct json_object **ret)
{
    _cleanup_(put_object) struct json_object *message = json_object_new_object();

    if (!message || add(message, "method", json_object_new_string(call->method)) < 0 ||
        add_parameters(message, call->parameters) < 0)
        return -ENOMEM;
    if (call->oneway && add(message, "oneway", json_object_new_boolean(true)) < 0)
        return -ENOMEM;
    if (call->more && add(message, "more", json_object_new_boolean(true)) < 0)
        return -ENOMEM;
    *ret = TAKE_POINTER(message);
    return 0;
}

int envelope_make_reply(const struct envelope_reply *reply, struct json_object **ret)
{
    _cleanup_(put_object) struct json_object *message = json_object_new_object();

    if (!message)
        return -ENOMEM;
    if (reply->error && add(message, "error", json_object_new_string(reply->error)) < 0)
        return -ENOMEM;
    if (add_parameters(message, reply->parameters) < 0)
        return -ENOMEM;
    if (reply->continues && add(message, "continues", json_object_new_boolean(true)) < 0)
        return -ENOMEM;
    *ret = TAKE_POINTER(message);
    return 0;
}
