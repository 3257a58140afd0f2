/* SPDX-License-Identifier: MIT */
#include "translation_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linkage.h"
#include "runtime.h"
#include "translation.h"
#include "wire.h"

/* ---- outcome, log, names ------------------------------------------------------------------------------- */

/* Printable ASCII; `kept` besides. */
static void copy_printable(char *ret, const char *text, size_t length, char kept)
{
    for (size_t i = 0; i < length; i++)
        ret[i] = (text[i] >= ' ' && text[i] <= '~') || text[i] == kept ? text[i] : '?';
    ret[length] = 0;
}

static void read_printable(struct wire_reader *answer, char *ret, size_t room)
{
    const char *text = wire_text(answer, room - 1);

    copy_printable(ret, text, strlen(text), ' ');
}

int translation_read_outcome(struct wire_reader *answer, struct translation_failure *ret)
{
    ret->result = -(int)wire_number(answer, 4095);
    if (answer->failed || ret->result == 0)
        return answer->failed ? -EBADMSG : 0;
    read_printable(answer, ret->rule, sizeof(ret->rule));
    read_printable(answer, ret->function, sizeof(ret->function));
    ret->instruction = (int64_t)wire_number(answer, BYTECODE_INSTRUCTIONS_MAX) - 1;
    read_printable(answer, ret->file, sizeof(ret->file));
    ret->line = (int64_t)wire_number(answer, UINT32_MAX);
    read_printable(answer, ret->source, sizeof(ret->source));
    read_printable(answer, ret->text, sizeof(ret->text));
    read_printable(answer, ret->registers, sizeof(ret->registers));
    read_printable(answer, ret->hint, sizeof(ret->hint));
    return answer->failed ? -EBADMSG : 0;
}

bool translation_is_process_failure(const struct translation_failure *failure)
{
    return failure->result == -ENOMEM || !strcmp(failure->rule, TRANSLATOR_SANDBOX);
}

void translation_read_log(struct translation *translation, struct wire_reader *answer)
{
    static const char cut[] = "(the beginning is left out)\n";
    size_t length, prefix = wire_number(answer, true) ? sizeof(cut) - 1 : 0;
    const char *text = wire_bytes(answer, &length);

    if (answer->failed || !translation->wants_log)
        return;
    translation->log = malloc(prefix + length + 1);
    if (!translation->log)
        return;
    memcpy(translation->log, cut, prefix);
    copy_printable(translation->log + prefix, text, length, '\n');
}

bool translation_read_program(struct translation *translation, struct wire_reader *answer,
                              char ret_context[CONTEXT_NAME_MAX + 1], const void **ret_bytecode, size_t *ret_size)
{
    read_printable(answer, translation->function, sizeof(translation->function));
    read_printable(answer, ret_context, CONTEXT_NAME_MAX + 1);
    read_printable(answer, translation->licence, sizeof(translation->licence));
    translation->instructions = (uint32_t)wire_number(answer, BYTECODE_INSTRUCTIONS_MAX);
    *ret_bytecode = wire_bytes(answer, ret_size);
    return *ret_bytecode && wire_complete(answer);
}

/* ---- regions -------------------------------------------------------------------------------------------- */

static bool read_contents(struct wire_reader *answer, struct translation_region *region)
{
    const void *contents;
    size_t size;

    region->size = (uint32_t)wire_number(answer, BYTECODE_REGION_SIZE_MAX);
    contents = wire_bytes(answer, &size);
    if (answer->failed || region->size == 0 || (size > 0 && size != region->size))
        return false;
    if (size == 0)
        return true;
    region->contents = malloc(size);
    if (!region->contents)
        return false;
    memcpy(region->contents, contents, size);
    return true;
}

static struct map_definition read_definition(struct wire_reader *answer)
{
    struct map_definition definition;

    definition.kind = (uint32_t)wire_number(answer, UINT32_MAX);
    definition.key_size = (uint32_t)wire_number(answer, UINT32_MAX);
    definition.value_size = (uint32_t)wire_number(answer, UINT32_MAX);
    definition.max_entries = (uint32_t)wire_number(answer, UINT32_MAX);
    definition.flags = (uint32_t)wire_number(answer, UINT32_MAX);
    return definition;
}

/* The type of what has `expected` bytes; none is fine. */
static bool read_type(struct wire_reader *answer, uint32_t expected, struct typed **ret)
{
    size_t size;
    const void *bytes = wire_bytes(answer, &size);

    if (answer->failed || size == 0)
        return !answer->failed;
    return typed_decode(bytes, size, ret) >= 0 && typed_size(*ret) == expected;
}

/* The code reaches its elements by their distance: more of them than there are would lead it outside. */
static bool fits(const struct translation_region *region)
{
    struct map layout;

    return map_lay_out(&region->definition, &layout, NULL) >= 0 && region->size <= layout.size - layout.elements_at &&
           (region->inner.kind == 0 || map_lay_out(&region->inner, &layout, NULL) >= 0);
}

static bool read_map(struct wire_reader *answer, struct translation_region *region)
{
    region->size = (uint32_t)wire_number(answer, MAP_SIZE_MAX);
    snprintf(region->name, sizeof(region->name), "%s", wire_text(answer, NAME_LENGTH_MAX));
    region->definition = read_definition(answer);
    region->inner = read_definition(answer);
    return read_type(answer, region->definition.key_size, &region->key) &&
           read_type(answer, region->definition.value_size, &region->value) && registry_name_valid(region->name) &&
           fits(region);
}

static bool read_region(struct wire_reader *answer, struct translation_region *region)
{
    switch (wire_number(answer, TRANSLATOR_REGION_MAP)) {
    case TRANSLATOR_REGION_DATA:
        return read_contents(answer, region);
    case TRANSLATOR_REGION_MAP:
        return read_map(answer, region);
    default:
        return !answer->failed;
    }
}

/*
 * Of the process that proved what the program does with them, not of the one that read the object: a lie of that one
 * would let proven code write behind its data.
 */
static bool read_regions(struct translation *translation, struct wire_reader *answer)
{
    uint32_t regions = (uint32_t)wire_number(answer, BYTECODE_REGIONS_MAX);

    while (translation->regions < regions && !answer->failed)
        if (!read_region(answer, &translation->region[translation->regions++]))
            return false;
    return !answer->failed;
}

/* ---- natives and code ---------------------------------------------------------------------------------- */

static bool read_native(struct wire_reader *answer, struct translation_native *native)
{
    struct prototype prototype;

    snprintf(native->name, sizeof(native->name), "%s", wire_text(answer, NAME_LENGTH_MAX));
    snprintf(native->prototype, sizeof(native->prototype), "%s", wire_text(answer, PROTOTYPE_BYTES - 1));
    return !answer->failed && registry_name_valid(native->name) && prototype_read(native->prototype, &prototype) >= 0 &&
           !strcmp(prototype.text, native->prototype);
}

static bool read_natives(struct translation *translation, struct wire_reader *answer)
{
    uint32_t natives = (uint32_t)wire_number(answer, BYTECODE_NATIVES_MAX);

    while (translation->natives < natives && !answer->failed)
        if (!read_native(answer, &translation->native[translation->natives++]))
            return false;
    return !answer->failed;
}

/* Does it lead to what the program was given, and not outside? */
static bool relocation_is_valid(const struct translation *translation, const struct code_relocation *relocation)
{
    const struct translation_region *region =
        relocation->index < translation->regions ? &translation->region[relocation->index] : NULL;

    switch (relocation->kind) {
    case RELOCATION_REGION:
        return region && region->size > 0 && relocation->addend >= 0 && (uint32_t)relocation->addend <= region->size;
    case RELOCATION_MAP:
        return region && region->definition.kind && relocation->addend == 0;
    case RELOCATION_RUNTIME:
        return relocation->index < runtime_size() && relocation->addend == 0;
    case RELOCATION_NATIVE:
        return relocation->index < translation->natives && relocation->addend == 0;
    case RELOCATION_LINKAGE:
        return relocation->index < LINKAGE_STUBS && relocation->addend == 0;
    default:
        return false;
    }
}

static bool read_relocation(struct translation *translation, struct wire_reader *answer, struct code_relocation *ret)
{
    int64_t addend;

    ret->at = (uint32_t)wire_number(answer, translation->code.size - sizeof(int32_t));
    ret->kind = (uint32_t)wire_number(answer, RELOCATION_KINDS - 1);
    ret->index = (uint32_t)wire_number(answer, UINT32_MAX);
    addend = (int64_t)wire_number(answer, UINT64_MAX);
    ret->addend = (int32_t)addend;
    return !answer->failed && addend == ret->addend && relocation_is_valid(translation, ret);
}

static bool read_relocations(struct translation *translation, struct wire_reader *answer)
{
    struct code *code = &translation->code;
    size_t relocations = wire_number(answer, code->size / sizeof(int32_t));

    code->relocation = calloc(relocations + 1, sizeof(*code->relocation));
    for (; code->relocation && code->relocations < relocations; code->relocations++)
        if (!read_relocation(translation, answer, &code->relocation[code->relocations]))
            return false;
    return code->relocation;
}

bool translation_read_code(struct translation *translation, struct wire_reader *answer)
{
    const void *bytes;
    size_t size;

    translation->processed = wire_number(answer, UINT32_MAX);
    if (!read_regions(translation, answer) || !read_natives(translation, answer))
        return false;
    bytes = wire_bytes(answer, &size);
    if (size == 0)
        return false;
    translation->code.bytes = malloc(size);
    if (!translation->code.bytes)
        return false;
    memcpy(translation->code.bytes, bytes, size);
    translation->code.size = size;
    return read_relocations(translation, answer);
}
