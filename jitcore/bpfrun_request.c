/* SPDX-License-Identifier: MIT */
/* What bpfrun is asked. */

#include "bpfrun_request.h"

#include <ctype.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

#define REFUSE(error, ...) jit_error_set(error, -EINVAL, "request", __VA_ARGS__)

/* Pairs of hexadecimal digits; white space between them does not count. */
static int parse_hex(const char *text, uint8_t **ret, uint32_t *ret_size, struct jit_error *error)
{
    uint8_t *bytes = malloc(strlen(text) / 2 + 1);
    uint32_t digits = 0;

    if (!bytes)
        return -ENOMEM;
    for (; *text; text++) {
        int digit = isdigit((unsigned char)*text) ? *text - '0' : tolower((unsigned char)*text) - 'a' + 10;

        if (isspace((unsigned char)*text))
            continue;
        if (!isxdigit((unsigned char)*text)) {
            free(bytes);
            return REFUSE(error, "hexadecimal digits are needed");
        }
        bytes[digits / 2] = (uint8_t)(digits % 2 ? bytes[digits / 2] << 4 | digit : digit);
        digits++;
    }
    if (digits % 2) {
        free(bytes);
        return REFUSE(error, "an even number of hexadecimal digits is needed");
    }
    *ret = bytes;
    *ret_size = digits / 2;
    return 0;
}

static int parse_instructions(const char *text, struct request *request, struct jit_error *error)
{
    uint8_t *bytes;
    uint32_t size;
    int r = parse_hex(text, &bytes, &size, error);

    if (r < 0)
        return r;
    if (size == 0 || size % sizeof(struct instruction)) {
        free(bytes);
        return REFUSE(error, "insns has %u bytes; instructions of 8 bytes each are needed", size);
    }
    request->instruction = (struct instruction *)(void *)bytes;
    request->instructions = size / (uint32_t)sizeof(struct instruction);
    return 0;
}

static int read_number(json_object *value, const char *what, uint32_t *ret, struct jit_error *error)
{
    int64_t number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;

    if (number < 0 || number > UINT32_MAX)
        return REFUSE(error, "%s is no number from 0 to 4294967295", what);
    *ret = (uint32_t)number;
    return 0;
}

/* An unsigned number below 2^32 in `object`; absent: `absent`. */
static int parse_number(json_object *object, const char *key, uint32_t absent, uint32_t *ret, struct jit_error *error)
{
    json_object *value;

    *ret = absent;
    return json_object_object_get_ex(object, key, &value) ? read_number(value, key, ret, error) : 0;
}

/* JSON's strings may hold NULs; nothing that is asked for does. */
static int read_string(json_object *value, const char *what, const char **ret, struct jit_error *error)
{
    if (!json_object_is_type(value, json_type_string))
        return REFUSE(error, "%s is no string", what);
    *ret = json_object_get_string(value);
    if (strlen(*ret) != (size_t)json_object_get_string_len(value))
        return REFUSE(error, "%s holds a NUL", what);
    return 0;
}

/* A string in `object`; absent: `absent`. */
static int parse_string(json_object *object, const char *key, const char *absent, const char **ret,
                        struct jit_error *error)
{
    json_object *value;

    *ret = absent;
    if (!json_object_object_get_ex(object, key, &value))
        return absent ? 0 : REFUSE(error, "%s is missing", key);
    return read_string(value, key, ret, error);
}

/* ---- maps ---- */

struct word {
    const char *word;
    uint32_t value;
};

static const struct word map_types[] = {
    { "hash", BPF_MAP_TYPE_HASH },
    { "array", BPF_MAP_TYPE_ARRAY },
    { "prog_array", BPF_MAP_TYPE_PROG_ARRAY },
    { "perf_event_array", BPF_MAP_TYPE_PERF_EVENT_ARRAY },
    { "percpu_hash", BPF_MAP_TYPE_PERCPU_HASH },
    { "percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY },
    { "lru_hash", BPF_MAP_TYPE_LRU_HASH },
    { "lru_percpu_hash", BPF_MAP_TYPE_LRU_PERCPU_HASH },
    { "lpm_trie", BPF_MAP_TYPE_LPM_TRIE },
    { "array_of_maps", BPF_MAP_TYPE_ARRAY_OF_MAPS },
    { "hash_of_maps", BPF_MAP_TYPE_HASH_OF_MAPS },
    { "queue", BPF_MAP_TYPE_QUEUE },
    { "stack", BPF_MAP_TYPE_STACK },
    { "ringbuf", BPF_MAP_TYPE_RINGBUF },
    { "bloom_filter", BPF_MAP_TYPE_BLOOM_FILTER },
    { NULL, 0 },
};

static const struct word map_flags[] = {
    { "rdonly_prog", BPF_F_RDONLY_PROG },
    { "wronly_prog", BPF_F_WRONLY_PROG },
    { "no_prealloc", BPF_F_NO_PREALLOC },
    { NULL, 0 },
};

static const struct word modes[] = {
    { "verify", 0 },
    { "jit", REQUEST_COMPILED },
    { "interpret", REQUEST_INTERPRETED },
    { "all", REQUEST_COMPILED | REQUEST_INTERPRETED },
    { NULL, 0 },
};

static int find_word(const struct word *words, const char *what, const char *word, uint32_t *ret,
                     struct jit_error *error)
{
    for (; words->word; words++)
        if (strcmp(words->word, word) == 0) {
            *ret = words->value;
            return 0;
        }
    return REFUSE(error, "%s \"%.40s\" is not known", what, word);
}

static int parse_flags(json_object *map, struct bytecode_region *region, struct jit_error *error)
{
    json_object *flags;

    if (!json_object_object_get_ex(map, "flags", &flags))
        return 0;
    if (!json_object_is_type(flags, json_type_array))
        return REFUSE(error, "the flags of a map are no array");
    for (size_t i = 0; i < json_object_array_length(flags); i++) {
        const char *word = NULL;
        uint32_t flag = 0;
        int r = read_string(json_object_array_get_idx(flags, i), "a flag of a map", &word, error);

        if (r == 0)
            r = find_word(map_flags, "flag", word, &flag, error);
        if (r < 0)
            return r;
        region->map_flags |= flag;
    }
    return 0;
}

/* The lddw at `index` is of this region. */
static int set_reference(struct request *request, uint32_t index, uint32_t region, bool *named,
                         struct jit_error *error)
{
    struct instruction *i = request->instruction + index;

    if (index >= request->instructions || i->opcode != OPCODE_LOAD_64 ||
        (instruction_source(*i) != WIDE_MAP && instruction_source(*i) != WIDE_MAP_VALUE) || named[index])
        return REFUSE(error, "maps: instruction %u is no lddw of one map", index);
    i->immediate = (int32_t)region;
    named[index] = true;
    return 0;
}

static int parse_references(json_object *map, struct request *request, bool *named, struct jit_error *error)
{
    uint32_t index = 0;
    json_object *list;
    int r;

    if (!json_object_object_get_ex(map, "insn", &list))
        return REFUSE(error, "maps: insn is missing");
    if (!json_object_is_type(list, json_type_array)) {
        r = parse_number(map, "insn", 0, &index, error);
        return r < 0 ? r : set_reference(request, index, request->regions, named, error);
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        r = read_number(json_object_array_get_idx(list, i), "an element of insn", &index, error);
        if (r == 0)
            r = set_reference(request, index, request->regions, named, error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* An array's values may be addressed directly; it has to fit. */
static int set_size(struct bytecode_region *region, struct jit_error *error)
{
    if (region->map_type != BPF_MAP_TYPE_ARRAY)
        return 0;
    if (bytecode_map_stride(region) * region->max_entries > BYTECODE_REGION_SIZE_MAX)
        return REFUSE(error, "maps: an array of more than %u bytes", BYTECODE_REGION_SIZE_MAX);
    region->size = (uint32_t)(bytecode_map_stride(region) * region->max_entries);
    return 0;
}

/* What a map of either sort is: all but which instructions refer to it. */
static int parse_definition(json_object *map, struct bytecode_region *region, struct jit_error *error)
{
    const char *type = NULL;
    int r = json_object_is_type(map, json_type_object) ? 0 : REFUSE(error, "maps: there is one that is no object");

    if (r == 0)
        r = parse_string(map, "type", NULL, &type, error);
    if (r == 0)
        r = find_word(map_types, "map type", type, &region->map_type, error);
    if (r == 0)
        r = parse_number(map, "key_size", 4, &region->key_size, error);
    if (r == 0)
        r = parse_number(map, "value_size", 0, &region->value_size, error);
    if (r == 0)
        r = parse_number(map, "max_entries", 1, &region->max_entries, error);
    return r == 0 ? parse_flags(map, region, error) : r;
}

/* What a map of maps holds is one more region, behind those of all maps so far. */
static int parse_inner(json_object *map, struct request *request, struct bytecode_region *outer,
                       struct jit_error *error)
{
    struct bytecode_region *region = &request->region[request->regions];
    json_object *inner;

    if (!json_object_object_get_ex(map, "inner", &inner))
        return 0;
    if (request->regions == BYTECODE_REGIONS_MAX)
        return REFUSE(error, "maps: more than %d", BYTECODE_REGIONS_MAX);
    outer->inner = request->regions;
    outer->value_size = sizeof(int64_t);
    *region = (struct bytecode_region){ .kind = REGION_INNER };
    snprintf(region->name, sizeof(region->name), "inner_%u", request->regions++);
    return parse_definition(inner, region, error);
}

static int parse_map(json_object *map, struct request *request, bool *named, struct jit_error *error)
{
    struct bytecode_region *region = &request->region[request->regions];
    int r;

    if (request->regions == BYTECODE_REGIONS_MAX)
        return REFUSE(error, "maps: more than %d", BYTECODE_REGIONS_MAX);
    *region = (struct bytecode_region){ .kind = REGION_MAP };
    snprintf(region->name, sizeof(region->name), "map_%u", request->regions);
    r = parse_definition(map, region, error);
    if (r == 0)
        r = set_size(region, error);
    if (r == 0)
        r = parse_references(map, request, named, error);
    request->regions++;
    return r == 0 ? parse_inner(map, request, region, error) : r;
}

static int check_references(const struct request *request, const bool *named, struct jit_error *error)
{
    const struct instruction *i = request->instruction;

    for (uint32_t at = 0; at < request->instructions; at += instruction_length(i[at]))
        if (i[at].opcode == OPCODE_LOAD_64 && !named[at] &&
            (instruction_source(i[at]) == WIDE_MAP || instruction_source(i[at]) == WIDE_MAP_VALUE))
            return REFUSE(error, "maps: none for the lddw at instruction %u", at);
    return 0;
}

static int parse_maps(json_object *object, struct request *request, struct jit_error *error)
{
    bool *named = calloc(request->instructions, sizeof(*named));
    json_object *maps = NULL;
    size_t count = 0;
    int r = named ? 0 : -ENOMEM;

    if (r == 0 && json_object_object_get_ex(object, "maps", &maps))
        r = json_object_is_type(maps, json_type_array) ? 0 : REFUSE(error, "maps is no array");
    if (r == 0 && maps)
        count = json_object_array_length(maps);
    if (count > BYTECODE_REGIONS_MAX)
        r = REFUSE(error, "maps: more than %d", BYTECODE_REGIONS_MAX);
    for (size_t i = 0; i < count && r == 0; i++)
        r = parse_map(json_object_array_get_idx(maps, i), request, named, error);
    if (r == 0)
        r = check_references(request, named, error);
    free(named);
    return r;
}

/* ---- whole requests ---- */

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const char *text)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    const unsigned char *at = (const unsigned char *)text;

    while (*at) {
        const unsigned char first = *at++;
        const unsigned more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        uint32_t character = more ? first & (0x3f >> more) : first;

        if ((first >= 0x80 && first < 0xc0) || first >= 0xf8)
            return false;
        for (unsigned i = 0; i < more; i++) {
            if ((*at & 0xc0) != 0x80)
                return false;
            character = character << 6 | (*at++ & 0x3f);
        }
        if (character < least[more] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
            return false;
    }
    return true;
}

/* json-c would end at a NUL, and hand on what is not UTF-8, which then stood in the answer. */
int request_parse_line(const char *line, size_t size, json_object **ret, struct jit_error *error)
{
    json_tokener *tokener;
    enum json_tokener_error fault;

    if (memchr(line, '\0', size))
        return REFUSE(error, "the line is no JSON: there is a NUL in it");
    if (!is_utf8(line))
        return REFUSE(error, "the line is no JSON: it is not UTF-8");
    tokener = json_tokener_new();
    if (!tokener)
        return -ENOMEM;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    *ret = json_tokener_parse_ex(tokener, line, (int)size);
    fault = json_tokener_get_error(tokener);
    json_tokener_free(tokener);
    if (fault != json_tokener_success)
        return REFUSE(error, "the line is no JSON: %s", json_tokener_error_desc(fault));
    return 0;
}

/* `mem`; for a context with zeros behind it up to ctx_size. */
static int parse_memory(json_object *object, struct request *request, struct jit_error *error)
{
    const char *text = NULL;
    uint32_t size = 0;
    uint8_t *bytes;
    int r = parse_string(object, "mem", "", &text, error);

    if (r == 0)
        r = parse_hex(text, &request->memory, &request->memory_size, error);
    if (r == 0)
        r = parse_number(object, "ctx_size", 0, &size, error);
    if (r < 0 || request->raw)
        return r;
    size = size > request->memory_size ? size : request->memory_size;
    if (size > CONTEXT_SIZE_MAX)
        return REFUSE(error, "a context of %u bytes; at most %d are possible", size, CONTEXT_SIZE_MAX);
    bytes = realloc(request->memory, size + 1ul);
    if (!bytes)
        return -ENOMEM;
    memset(bytes + request->memory_size, 0, size - request->memory_size);
    request->memory = bytes;
    request->memory_size = size;
    return 0;
}

static int parse_mode(json_object *object, struct request *request, struct jit_error *error)
{
    const char *word;
    json_object *raw;
    uint32_t mode = 0;
    int r = parse_string(object, "mode", "all", &word, error);

    if (r == 0)
        r = find_word(modes, "mode", word, &mode, error);
    request->mode = mode;
    if (r == 0 && json_object_object_get_ex(object, "raw", &raw)) {
        request->raw = json_object_get_boolean(raw);
        r = json_object_is_type(raw, json_type_boolean) ? 0 : REFUSE(error, "raw is neither true nor false");
    }
    return r;
}

int request_parse_json(json_object *object, struct request *request, struct jit_error *error)
{
    const char *instructions = NULL;
    int r = json_object_is_type(object, json_type_object) ? 0 : REFUSE(error, "the line is no JSON object");

    if (r == 0)
        r = parse_mode(object, request, error);
    if (r == 0)
        r = parse_string(object, "insns", NULL, &instructions, error);
    if (r == 0)
        r = parse_instructions(instructions, request, error);
    if (r == 0)
        r = parse_memory(object, request, error);
    if (r == 0)
        r = parse_maps(object, request, error);
    return r;
}

int request_parse_hex(const char *instructions, const char *memory, struct request *request, struct jit_error *error)
{
    int r = parse_instructions(instructions, request, error);

    request->raw = true;
    return r < 0 ? r : parse_hex(memory, &request->memory, &request->memory_size, error);
}

void request_clear(struct request *request)
{
    free(request->instruction);
    free(request->memory);
}
