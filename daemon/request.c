/* SPDX-License-Identifier: MIT */
/* See request.h. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call.h"
#include "element.h"
#include "map.h"
#include "object.h"
#include "service.h"
#include "util.h"

int request_name(struct json_object *json, const char *member, char *ret, struct refusal *refusal)
{
    const char *name = parameter_string(json, member);

    if (!name)
        return refuse_parameter(refusal, member, "this operation needs it");
    if (strlen(name) > NAME_LENGTH_MAX)
        return refuse_parameter(refusal, member, "\"%.80s...\" is over %d bytes", name, NAME_LENGTH_MAX);
    strcpy(ret, name);
    return 0;
}

/* The object in a descriptor: a regular file or memfd, copied at once, so that nobody changes it under the checks. */
static int read_object_file(int descriptor, struct operation *operation, struct refusal *refusal)
{
    struct stat status;
    size_t size = 0;

    if (fstat(descriptor, &status) < 0 || !S_ISREG(status.st_mode))
        return refuse_parameter(refusal, "object", "the descriptor is not a regular file: pass the object file itself");
    if (status.st_size > OBJECT_SIZE_MAX)
        return refuse(refusal, -EFBIG, "LimitExceeded", "si", "limit", "bytes of an object", "maximum",
                      (int64_t)OBJECT_SIZE_MAX);
    operation->object = malloc((size_t)status.st_size + 1);
    if (!operation->object)
        return refuse_memory(refusal);
    while (size < (size_t)status.st_size) {
        ssize_t n = pread(descriptor, (char *)operation->object + size, (size_t)status.st_size - size, (off_t)size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_parameter(refusal, "object", "cannot be read: %s", strerror(errno));
        if (n == 0)
            break;                      /* it was truncated meanwhile: the ELF reader says so */
        size += (size_t)n;
    }
    operation->object_size = size;
    return 0;
}

static int read_object_text(const char *text, struct operation *operation, struct refusal *refusal)
{
    struct base64_decode_ctx decoder;
    size_t length = strlen(text), size = BASE64_DECODE_LENGTH(length);

    if (size > OBJECT_SIZE_MAX)
        return refuse(refusal, -EFBIG, "LimitExceeded", "si", "limit", "bytes of an object", "maximum",
                      (int64_t)OBJECT_SIZE_MAX);
    operation->object = malloc(size + 1);
    if (!operation->object)
        return refuse_memory(refusal);
    base64_decode_init(&decoder);
    if (!base64_decode_update(&decoder, &size, operation->object, length, text) || !base64_decode_final(&decoder))
        return refuse_parameter(refusal, "object", "is not base64 (RFC 4648 section 4)");
    operation->object_size = size;
    return 0;
}

static int read_options(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    const char *function = parameter_string(json, "function");

    operation->settings = json_object_get(json_object_object_get(json, "settings"));
    operation->function = function ? strdup(function) : NULL;
    return function && !operation->function ? refuse_memory(refusal) : 0;
}

int request_object(struct call *call, struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    const char *text = parameter_string(json, "object");
    int64_t index = parameter_int(json, "descriptor");
    _cleanup_close_ int descriptor = -EBADF;
    int r;

    r = read_options(json, operation, refusal);
    if (r < 0)
        return r;
    if (text)
        return read_object_text(text, operation, refusal);
    if (index >= 0 && index < 4096)
        descriptor = call_take_descriptor(call, (size_t)index);
    if (descriptor < 0)
        return refuse_parameter(refusal, "object", "send the object as descriptor %lld of this call, or as base64",
                                (long long)index);
    return read_object_file(descriptor, operation, refusal);
}

static int read_load(struct call *call, struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    int r = request_name(json, "program", operation->program_name, refusal);

    return r < 0 ? r : request_object(call, json, operation, refusal);
}

static int read_unload(struct call *call, struct json_object *json, struct operation *operation,
                       struct refusal *refusal)
{
    (void)call;
    return request_name(json, "program", operation->program_name, refusal);
}

int request_number(struct json_object *json, const char *member, int64_t minimum, int64_t maximum, int64_t *ret,
                   struct refusal *refusal)
{
    int64_t number = parameter_int(json, member);

    if (json_object_object_get(json, member) && (number < minimum || number > maximum))
        return refuse_parameter(refusal, member, "%lld is outside %lld to %lld", (long long)number, (long long)minimum,
                                (long long)maximum);
    *ret = number;
    return 0;
}

/* Which keys: one, a range, or all others. */
static int read_keys(struct json_object *json, struct link *wanted, struct refusal *refusal)
{
    bool key = json_object_object_get(json, "key"), otherwise = parameter_bool(json, "default");
    bool first = json_object_object_get(json, "first"), last = json_object_object_get(json, "last");
    int64_t low, high;
    int r;

    if (first != last || key + first + otherwise != 1)
        return refuse_parameter(refusal, "key", "this operation needs one of: key, first and last, default");
    r = request_number(json, key ? "key" : "first", 0, UINT32_MAX, &low, refusal);
    if (r >= 0)
        r = request_number(json, key ? "key" : "last", 0, UINT32_MAX, &high, refusal);
    if (r < 0)
        return r;
    if (low > high)
        return refuse_parameter(refusal, "last", "%lld is below first, which is %lld", (long long)high, (long long)low);
    wanted->otherwise = otherwise;
    wanted->first = (uint32_t)low;
    wanted->last = (uint32_t)high;
    return 0;
}

/* Its place in a chain. */
static int read_place(struct json_object *json, struct link *wanted, struct refusal *refusal)
{
    int64_t priority;
    int r;

    r = request_number(json, "priority", INT32_MIN, INT32_MAX, &priority, refusal);
    if (r < 0)
        return r;
    wanted->priority = (int32_t)priority;
    if (link_read_proceed(wanted, json_object_object_get(json, "proceed_on")) < 0)
        return refuse_parameter(refusal, "proceed_on", "takes up to %d different verdicts from 0 to 4294967295",
                                PROCEED_MAX);
    return 0;
}

/* A program, a native function of the workers, or whichever has the name. */
static int read_target(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    bool native = json_object_object_get(json, "native"), target = json_object_object_get(json, "target");
    int r;

    if (native + target + !!json_object_object_get(json, "program") > 1)
        return refuse_parameter(refusal, "native", "this operation takes one of: program, native, target");
    if (native)
        return request_name(json, "native", operation->native_name, refusal);
    r = request_name(json, target ? "target" : "program", operation->program_name, refusal);
    if (r >= 0 && target)
        strcpy(operation->native_name, operation->program_name);
    return r;
}

int request_link(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    if (!json_object_object_get(json, "link"))
        return refuse_parameter(refusal, "link", "this operation needs it");
    operation->link_id = parameter_int(json, "link");
    return 0;
}

static int read_attach(struct call *call, struct json_object *json, struct operation *operation,
                       struct refusal *refusal)
{
    int r;

    (void)call;
    r = request_name(json, "table", operation->table_name, refusal);
    if (r >= 0)
        r = read_target(json, operation, refusal);
    if (r >= 0)
        r = read_keys(json, &operation->wanted, refusal);
    return r < 0 ? r : read_place(json, &operation->wanted, refusal);
}

static int read_detach(struct call *call, struct json_object *json, struct operation *operation,
                       struct refusal *refusal)
{
    (void)call;
    return request_link(json, operation, refusal);
}

static int read_replace(struct call *call, struct json_object *json, struct operation *operation,
                        struct refusal *refusal)
{
    int r = request_link(json, operation, refusal);

    (void)call;
    return r < 0 ? r : read_target(json, operation, refusal);
}

static int read_set_policy(struct call *call, struct json_object *json, struct operation *operation,
                           struct refusal *refusal)
{
    const char *policy = parameter_string(json, "policy");

    (void)call;
    if (!policy)
        return refuse_parameter(refusal, "policy", "this operation needs it");
    operation->no_indirect = !strcmp(policy, "no_indirect");
    return request_name(json, "table", operation->table_name, refusal);
}

static int count_values(struct json_object *json)
{
    return !!json_object_object_get(json, "value") + !!json_object_object_get(json, "value_text");
}

/* Of which the wire's integers are not all. */
static int read_value(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    const char *text = parameter_string(json, "value_text");
    int64_t number = parameter_int(json, "value");

    operation->has_value = count_values(json) > 0;
    operation->value = (uint64_t)number;
    operation->value_negative = number < 0;
    if (text && !element_read_number(text, &operation->value, &operation->value_negative))
        return refuse_parameter(refusal, "value_text", "'%.40s' is no number of 64 bits, in decimal or as 0x...", text);
    return 0;
}

static int read_set_call(struct call *call, struct json_object *json, struct operation *operation,
                         struct refusal *refusal)
{
    bool program = json_object_object_get(json, "program"), native = json_object_object_get(json, "native");
    bool target = json_object_object_get(json, "target");
    int r;

    (void)call;
    if (program + native + target + count_values(json) > 1)
        return refuse_parameter(refusal, "value",
                                "this operation takes one of: program, native, target, value, value_text");
    r = request_name(json, "call", operation->table_name, refusal);
    if (r >= 0)
        r = read_value(json, operation, refusal);
    if (r < 0)
        return r;
    return program || native || target ? read_target(json, operation, refusal) : 0;
}

#define KINDS "array, hash, lru_hash, percpu_array, percpu_hash, lpm_trie, queue, stack, ringbuf, array_of_maps, " \
    "hash_of_maps"

/* BPF_F_* that say what programs may do with a map. */
static uint32_t read_access(struct json_object *json)
{
    const char *access = parameter_string(json, "access");

    if (access && !strcmp(access, "read_only"))
        return BPF_F_RDONLY_PROG;
    return access && !strcmp(access, "write_only") ? BPF_F_WRONLY_PROG : 0;
}

static int read_kind(struct json_object *json, uint32_t *ret, struct refusal *refusal)
{
    const char *name = parameter_string(json, "kind");
    const struct map_kind *kind = map_kind_named(name);

    if (!kind)
        return refuse_parameter(refusal, "kind", "'%.40s' is none of: " KINDS, name);
    *ret = kind->kind;
    return 0;
}

/* The type of keys or values, and their size; none where it is not given. */
static int read_type(struct json_object *json, const char *member, struct typed **ret, uint32_t *ret_size,
                     struct refusal *refusal)
{
    const char *text = parameter_string(json, member);
    int r;

    if (!text)
        return 0;
    r = element_read_type(text, member, ret, refusal);
    if (r >= 0)
        *ret_size = typed_size(*ret);
    return r;
}

static int read_create_map(struct call *call, struct json_object *json, struct operation *operation,
                           struct refusal *refusal)
{
    struct map_definition *definition = &operation->definition;
    int64_t max_entries;
    int r;

    (void)call;
    r = request_name(json, "map", operation->map_name, refusal);
    if (r >= 0)
        r = read_kind(json, &definition->kind, refusal);
    if (r >= 0)
        r = request_number(json, "max_entries", 1, UINT32_MAX, &max_entries, refusal);
    if (r >= 0)
        r = read_type(json, "key", &operation->key_type, &definition->key_size, refusal);
    if (r >= 0)
        r = read_type(json, "value", &operation->value_type, &definition->value_size, refusal);
    if (r < 0)
        return r;
    definition->max_entries = (uint32_t)max_entries;
    definition->flags = read_access(json);
    return parameter_string(json, "inner") ? request_name(json, "inner", operation->inner_name, refusal) : 0;
}

static int read_remove_map(struct call *call, struct json_object *json, struct operation *operation,
                           struct refusal *refusal)
{
    (void)call;
    return request_name(json, "map", operation->map_name, refusal);
}

/* Operations that clients may ask for: one row each. */
static const struct verb {
    const struct operation_kind *kind;
    int (*read)(struct call *call, struct json_object *json, struct operation *operation, struct refusal *refusal);
} verbs[] = {
    { &operation_load, read_load },
    { &operation_unload, read_unload },
    { &operation_attach, read_attach },
    { &operation_detach, read_detach },
    { &operation_replace, read_replace },
    { &operation_set_policy, read_set_policy },
    { &operation_set_call, read_set_call },
    { &operation_create_map, read_create_map },
    { &operation_remove_map, read_remove_map },
};

int request_operation(struct call *call, const char *name, struct json_object *json, struct operation *operation,
                      struct refusal *refusal)
{
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
        if (strcasecmp(verbs[i].kind->name, name))
            continue;
        operation->kind = verbs[i].kind;
        return verbs[i].read(call, json, operation, refusal);
    }
    return refuse_parameter(refusal, "operation", "\"%s\" is none", name);
}
