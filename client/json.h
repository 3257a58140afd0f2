/* SPDX-License-Identifier: MIT */
/* Values put into JSON objects and arrays, with one check for both ways in which memory may be missing. */
#ifndef DISPATCHD_JSON_H
#define DISPATCHD_JSON_H

#include <errno.h>
#include <json-c/json.h>

/* json_object_object_add(), for a value that may not have been made.  Takes the value over.  -ENOMEM. */
static inline int json_add(struct json_object *object, const char *name, struct json_object *value)
{
    if (value && json_object_object_add(object, name, value) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

/* The same for an array's next element. */
static inline int json_append(struct json_object *array, struct json_object *value)
{
    if (value && json_object_array_add(array, value) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

#endif
