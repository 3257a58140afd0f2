/* SPDX-License-Identifier: MIT */
/* See native.h. */
#include "native.h"

#include <errno.h>
#include <json-c/json.h>

#include "json.h"
#include "stubs.h"
#include "name.h"
#include "prototype.h"

enum native_state { NATIVE_NEW, NATIVE_TOLD };

static struct dd_native *first;

const char *native_mistake(struct dd_native *native)
{
    struct prototype prototype;
    int r;

    if (!name_is_valid(native->name))
        return "its name is not 1 to 63 of [A-Za-z0-9_.-]";
    if (!native->function)
        return "it has no function";
    r = native->prototype ? prototype_read(native->prototype, &prototype) : -EINVAL;
    if (r < 0)
        return prototype_mistake(r);
    if (native->flags & ~(uint32_t)(DD_MAY_BLOCK | DD_FOR_PROGRAMS))
        return "its flags are none of enum dd_native_flags";
    if (native->flags == (DD_MAY_BLOCK | DD_FOR_PROGRAMS))
        return "it may block, which programs cannot";
    native->digest = prototype_native_digest(native->name, prototype.text, native->flags & DD_MAY_BLOCK);
    return NULL;
}

static struct dd_native **find(const struct dd_native *native)
{
    struct dd_native **link = &first;

    while (*link && *link != native)
        link = &(*link)->next;
    return link;
}

int native_add(struct dd_native *native)
{
    struct dd_native **link = find(native);
    sigset_t saved;

    if (*link)
        return -EEXIST;
    native->state = NATIVE_NEW;
    native->next = NULL;
    saved = stubs_lock();
    *link = native;
    stubs_unlock(&saved);
    return 0;
}

void native_remove(struct dd_native *native)
{
    struct dd_native **link = find(native);
    sigset_t saved = stubs_lock();

    if (*link)
        *link = native->next;
    stubs_unlock(&saved);
}

const struct dd_native *native_find(uint64_t digest)
{
    const struct dd_native *native = first;

    while (native && native->digest != digest)
        native = native->next;
    return native;
}

bool native_any_new(void)
{
    const struct dd_native *native = first;

    while (native && native->state != NATIVE_NEW)
        native = native->next;
    return native != NULL;
}

void native_forget(void)
{
    for (struct dd_native *native = first; native; native = native->next)
        native->state = NATIVE_NEW;
}

static struct json_object *describe(const struct dd_native *native)
{
    struct json_object *object = json_object_new_object();
    struct prototype prototype;

    prototype_read(native->prototype, &prototype);
    if (!object || json_add(object, "name", json_object_new_string(native->name)) < 0 ||
        json_add(object, "prototype", json_object_new_string(prototype.text)) < 0 ||
        json_add(object, "may_block", json_object_new_boolean(native->flags & DD_MAY_BLOCK)) < 0) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

struct json_object *native_describe(void)
{
    struct json_object *array = json_object_new_array();

    for (const struct dd_native *native = first; array && native; native = native->next)
        if (native->state == NATIVE_NEW && json_append(array, describe(native)) < 0) {
            json_object_put(array);
            return NULL;
        }
    for (struct dd_native *native = first; array && native; native = native->next)
        native->state = NATIVE_TOLD;
    return array;
}
