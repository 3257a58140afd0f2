/* SPDX-License-Identifier: MIT */
/*
 * Linking, after the BPF target's ABI ("ELF Relocations" in LLVM's documentation): what an instruction refers to is the
 * symbol of its relocation plus an addend in its immediate, in bytes for lddw, in instructions less one for a call.
 */

#include "linker.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "map_definition.h"

struct linker {
    const struct object *object;
    struct bytecode *bytecode;
    uint32_t *origin;                           /* per function of the bytecode */
    struct origin {
        uint32_t section;                       /* 0: none, it belongs to the map of maps before it */
        uint64_t at;                            /* bytes; of data 0: the whole section is one region */
    } region[BYTECODE_REGIONS_MAX];             /* per region of the bytecode */
    struct jit_error *error;
};

int linker_compare_functions(const void *a, const void *b)
{
    const struct object_function *x = a, *y = b;

    if (x->section != y->section)
        return x->section < y->section ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* ---- functions ---- */

/* Take a function in, unless that has been done. */
static int link_function(struct linker *linker, uint32_t index, uint32_t *ret)
{
    const struct object_function *source = &linker->object->function[index];
    const uint8_t *code = linker->object->file->section[source->section].bytes;
    struct bytecode *bytecode = linker->bytecode;
    struct bytecode_function *function = &bytecode->function[bytecode->functions];

    for (uint32_t i = 0; i < bytecode->functions; i++)
        if (linker->origin[i] == index) {
            *ret = i;
            return 0;
        }
    if (bytecode->functions == BYTECODE_FUNCTIONS_MAX)
        return jit_error_set(linker->error, -EINVAL, "limit", "the program has more than %d functions",
                             BYTECODE_FUNCTIONS_MAX);
    if (source->count > BYTECODE_INSTRUCTIONS_MAX - bytecode->instructions)
        return jit_error_set(linker->error, -EINVAL, "limit", "the program has more than %d instructions",
                             BYTECODE_INSTRUCTIONS_MAX);
    object_name(function->name, source->name);
    function->first = bytecode->instructions;
    function->count = source->count;
    memcpy(&bytecode->instruction[function->first], &code[(size_t)source->first * sizeof(struct instruction)],
           source->count * sizeof(struct instruction));
    bytecode->instructions += source->count;
    linker->origin[bytecode->functions] = index;
    *ret = bytecode->functions++;
    return 0;
}

/* ---- regions ---- */

bool linker_region_kind(const struct object_section *section, enum bytecode_region_kind *ret)
{
    static const struct {
        const char *name;
        enum bytecode_region_kind kind;
    } kinds[] = { { ".rodata", REGION_CONSTANT }, { ".data", REGION_DATA }, { ".bss", REGION_DATA } };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = strlen(kinds[i].name);

        if (strncmp(section->name, kinds[i].name, length) != 0 ||
            (section->name[length] != '\0' && section->name[length] != '.'))
            continue;
        *ret = kinds[i].kind;
        return section->type == SHT_PROGBITS || section->type == SHT_NOBITS;
    }
    return false;
}

static const char *symbol_name(const struct object_file *file, uint32_t index)
{
    const struct object_symbol *symbol = &file->symbol[index];

    return *symbol->name ? symbol->name : file->section[symbol->section].name;
}

/* The variable at this byte, for messages. */
static const char *variable_name(const struct object_file *file, uint32_t section, uint64_t at)
{
    for (uint32_t i = 1; i < file->symbols; i++) {
        const struct object_symbol *symbol = &file->symbol[i];

        if (symbol->section == section && symbol->type == STT_OBJECT && at >= symbol->value &&
            at - symbol->value < symbol->size)
            return symbol->name;
    }
    return file->section[section].name;
}

static int regions_error(struct linker *linker)
{
    return jit_error_set(linker->error, -EINVAL, "limit",
                         "the program refers to more than %d sections of data and maps", BYTECODE_REGIONS_MAX);
}

static int check_region(struct linker *linker, uint32_t index)
{
    const struct object_file *file = linker->object->file;
    const struct object_section *section = &file->section[index];

    if (section->size > BYTECODE_REGION_SIZE_MAX)
        return jit_error_set(linker->error, -EINVAL, "limit",
                             "section \"%s\" has %llu bytes; at most %u are possible: make its arrays smaller",
                             section->name, (unsigned long long)section->size, BYTECODE_REGION_SIZE_MAX);
    if (section->relocations > 0)
        return jit_error_set(linker->error, -EINVAL, "relocation",
                             "\"%s\" in section \"%s\" holds the address of \"%s\": pointers in data are not "
                             "supported; keep the data itself there, or choose it with a switch",
                             variable_name(file, index, section->relocation[0].offset), section->name,
                             symbol_name(file, section->relocation[0].symbol));
    return linker->bytecode->regions == BYTECODE_REGIONS_MAX ? regions_error(linker) : 0;
}

static bool find_region(const struct linker *linker, uint32_t section, uint64_t at, uint32_t *ret)
{
    for (uint32_t i = 0; i < linker->bytecode->regions; i++)
        if (linker->region[i].section == section && linker->region[i].at == at) {
            *ret = i;
            return true;
        }
    return false;
}

/* Take a section of data in, unless that has been done. */
static int link_region(struct linker *linker, uint32_t index, enum bytecode_region_kind kind, uint32_t *ret)
{
    const struct object_section *section = &linker->object->file->section[index];
    struct bytecode *bytecode = linker->bytecode;
    struct bytecode_region *region = &bytecode->region[bytecode->regions];
    int r;

    if (find_region(linker, index, 0, ret))
        return 0;
    r = check_region(linker, index);
    if (r < 0)
        return r;
    if (section->bytes) {
        region->contents = malloc(section->size + 1);
        if (!region->contents)
            return -ENOMEM;
        memcpy(region->contents, section->bytes, section->size);
    }
    object_name(region->name, section->name);
    region->kind = kind;
    region->size = (uint32_t)section->size;
    linker->region[bytecode->regions] = (struct origin){ index, 0 };
    *ret = bytecode->regions++;
    return 0;
}

/*
 * Take the map that begins at this byte in, unless that has been done;
 * of a map of maps, what its maps are like, too.
 */
static int link_map(struct linker *linker, uint32_t section, uint64_t at, uint32_t *ret)
{
    struct bytecode *bytecode = linker->bytecode;
    struct bytecode_region *region = &bytecode->region[bytecode->regions];
    int r;

    if (find_region(linker, section, at, ret))
        return 0;
    if (bytecode->regions > BYTECODE_REGIONS_MAX - 2)
        return regions_error(linker);
    r = map_definition_read(linker->object, section, at, &region[0], &region[1], linker->error);
    if (r < 0)
        return r;
    linker->region[bytecode->regions] = (struct origin){ section, at };
    *ret = bytecode->regions++;
    if (region[1].kind == REGION_INNER)
        region->inner = bytecode->regions++;
    return 0;
}

/* ---- what instructions refer to ---- */

/* Where an instruction stands: in the bytecode, and in the file. */
struct site {
    const struct object_function *source;
    const struct bytecode_function *function;
    uint32_t index;                             /* in the function */
    struct instruction *instruction;
    const struct object_relocation *relocation; /* NULL: none */
};

#define SITE_ERROR(linker, site, rule, ...) \
    jit_error_set_at((linker)->error, -EINVAL, rule, (site)->function->name, (site)->index, __VA_ARGS__)

static int missing_error(struct linker *linker, const struct site *site)
{
    const struct object_file *file = linker->object->file;
    const struct object_symbol *symbol = &file->symbol[site->relocation->symbol];
    const char *section = file->section[symbol->section].name, *name = symbol_name(file, site->relocation->symbol);

    if (site->instruction->opcode == OPCODE_CALL)
        return SITE_ERROR(linker, site, "relocation",
                          "calls %s, which is no function of this object; a function of the workers' is declared as "
                          "extern ... __ksym, and compiled with -g",
                          name);
    if (symbol->section == 0)
        return SITE_ERROR(linker, site, "relocation",
                          "refers to \"%s\", which is defined nowhere in this object; there are no variables and no "
                          "configuration of a kernel here",
                          name);
    return SITE_ERROR(linker, site, "relocation",
                      "refers to \"%s\" in section \"%s\", which is no section of data; variables are in .rodata, "
                      ".data and .bss, maps in .maps",
                      name, section);
}

/* Link the function that begins at this byte of this section. */
static int link_target(struct linker *linker, const struct site *site, uint32_t section, int64_t at)
{
    const struct object *object = linker->object;
    const struct object_function key = { .section = section, .first = (uint32_t)(at / 8) };
    const struct object_function *target = NULL;
    uint32_t index = 0;
    int r;

    if (at >= 0 && at % 8 == 0 && at / 8 <= UINT32_MAX)
        target = bsearch(&key, object->function, object->functions, sizeof(key), linker_compare_functions);
    if (!target)
        return SITE_ERROR(linker, site, "instruction",
                          "%s leads to no function: none begins at byte %lld of section \"%s\"",
                          instruction_name(*site->instruction), (long long)at, object->file->section[section].name);
    r = link_function(linker, (uint32_t)(target - object->function), &index);
    site->instruction->immediate = (int32_t)index;
    return r;
}

/* Take a function of the workers' in, unless that has been done.  -ENOENT: it is not declared as one. */
static int link_native(struct linker *linker, const struct site *site, const char *name, uint32_t *ret)
{
    struct bytecode *bytecode = linker->bytecode;
    struct bytecode_native native = { .name = "" };
    struct native_signature ignored;
    struct jit_error why = { .rule = "native" };
    int r;

    for (uint32_t i = 0; i < bytecode->natives; i++)
        if (strcmp(bytecode->native[i].name, name) == 0) {
            *ret = i;
            return 0;
        }
    if (bytecode->natives == BYTECODE_NATIVES_MAX)
        return SITE_ERROR(linker, site, "limit", "calls %s: more than %d functions of the workers'", name,
                          BYTECODE_NATIVES_MAX);
    r = linker->object->btf ? native_from_btf(linker->object->btf, name, native.prototype, &why) : -ENOENT;
    if (r == 0)
        r = native_parse(native.prototype, bytecode->context, &ignored, &why);
    if (r == -ENOENT)
        return r;
    if (r < 0 || !context_name_valid(name, sizeof(native.name)))
        return SITE_ERROR(linker, site, "native", "calls %s of the workers: %s", name,
                          r < 0 ? why.text : "no function that they offer has such a name");
    object_name(native.name, name);
    bytecode->native[bytecode->natives] = native;
    *ret = bytecode->natives++;
    return 0;
}

/* A function that is not in this object. */
static int link_elsewhere(struct linker *linker, const struct site *site)
{
    const struct object_file *file = linker->object->file;
    uint32_t index = 0;
    int r = link_native(linker, site, file->symbol[site->relocation->symbol].name, &index);

    if (r == -ENOENT)
        return missing_error(linker, site);
    if (r < 0)
        return r;
    site->instruction->registers = (uint8_t)(CALL_NATIVE << 4);
    site->instruction->immediate = (int32_t)index;
    return 0;
}

/* By its relocation, or else relative to the instruction (RFC 9669 section 4.3.2). */
static int link_call(struct linker *linker, const struct site *site)
{
    const struct object_file *file = linker->object->file;
    int64_t addend = ((int64_t)site->instruction->immediate + 1) * 8;
    const struct object_symbol *symbol;

    if (!site->relocation)
        return link_target(linker, site, site->source->section,
                           ((int64_t)site->source->first + site->index) * 8 + addend);
    symbol = &file->symbol[site->relocation->symbol];
    if (symbol->section == 0)
        return link_elsewhere(linker, site);
    if (!(file->section[symbol->section].flags & SHF_EXECINSTR))
        return missing_error(linker, site);
    return link_target(linker, site, symbol->section, (int64_t)symbol->value + addend);
}

static void set_source(struct instruction *instruction, enum instruction_wide source)
{
    instruction->registers = (uint8_t)(instruction_destination(*instruction) | (unsigned)source << 4);
}

/* A pointer into a region may stand just behind its last byte. */
static int link_data(struct linker *linker, const struct site *site, enum bytecode_region_kind kind)
{
    const struct object_file *file = linker->object->file;
    const struct object_symbol *symbol = &file->symbol[site->relocation->symbol];
    const struct object_section *section = &file->section[symbol->section];
    int64_t at = (int64_t)symbol->value + site->instruction->immediate;
    uint32_t index = 0;
    int r;

    if (at < 0 || (uint64_t)at > section->size)
        return SITE_ERROR(linker, site, "relocation", "refers to byte %lld of section \"%s\", which has %llu",
                          (long long)at, section->name, (unsigned long long)section->size);
    r = link_region(linker, symbol->section, kind, &index);
    if (r < 0)
        return r;
    set_source(&site->instruction[0], WIDE_MAP_VALUE);
    site->instruction[0].immediate = (int32_t)index;
    site->instruction[1].immediate = (int32_t)at;
    return 0;
}

static int link_map_address(struct linker *linker, const struct site *site)
{
    const struct object_symbol *symbol = &linker->object->file->symbol[site->relocation->symbol];
    uint32_t index = 0;
    int r = link_map(linker, symbol->section, symbol->value + (uint64_t)(int64_t)site->instruction->immediate, &index);

    if (r < 0)
        return r;
    set_source(&site->instruction[0], WIDE_MAP);
    site->instruction[0].immediate = (int32_t)index;
    site->instruction[1].immediate = 0;
    return 0;
}

static int link_address(struct linker *linker, const struct site *site)
{
    const struct object_file *file = linker->object->file;
    const struct object_symbol *symbol = &file->symbol[site->relocation->symbol];
    const struct object_section *section = &file->section[symbol->section];
    enum bytecode_region_kind kind;
    int r;

    if (site->index + 1 == site->function->count)
        return SITE_ERROR(linker, site, "instruction", "lddw: its second half is missing");
    if (linker_region_kind(section, &kind))
        return link_data(linker, site, kind);
    if (map_definition_section(section))
        return link_map_address(linker, site);
    if (!(section->flags & SHF_EXECINSTR))
        return missing_error(linker, site);
    r = link_target(linker, site, symbol->section, (int64_t)symbol->value + site->instruction->immediate);
    set_source(&site->instruction[0], WIDE_FUNCTION);
    site->instruction[1].immediate = 0;
    return r;
}

static int link_site(struct linker *linker, const struct site *site)
{
    const struct instruction i = *site->instruction;
    const struct object_relocation *relocation = site->relocation;

    if (i.opcode == OPCODE_CALL && instruction_source(i) == CALL_LOCAL &&
        (!relocation || relocation->type == RELOCATION_CALL))
        return link_call(linker, site);
    if (i.opcode == OPCODE_LOAD_64 && relocation && relocation->type == RELOCATION_LOAD_64)
        return link_address(linker, site);
    if (relocation)
        return SITE_ERROR(linker, site, "relocation",
                          "%s has a relocation of type %u (to \"%s\"), which is not supported here",
                          instruction_name(i), relocation->type, symbol_name(linker->object->file, relocation->symbol));
    if (i.opcode == OPCODE_LOAD_64 && instruction_source(i) != WIDE_NUMBER)
        return SITE_ERROR(linker, site, "instruction",
                          "lddw of kind %u has no relocation that says what it refers to", instruction_source(i));
    return 0;
}

/* The second half of an lddw is looked at like an instruction: a relocation is wrong there, too. */
static int link_sites(struct linker *linker, uint32_t index)
{
    const struct object_function *source = &linker->object->function[linker->origin[index]];
    const struct object_section *section = &linker->object->file->section[source->section];
    struct site site = { .source = source, .function = &linker->bytecode->function[index] };
    int r = 0;

    for (; r == 0 && site.index < source->count; site.index++) {
        site.instruction = &linker->bytecode->instruction[site.function->first + site.index];
        site.relocation = object_section_relocation(section, ((uint64_t)source->first + site.index) * 8);
        r = link_site(linker, &site);
    }
    return r;
}

/* Memory for as much as the object can need: each of its functions is taken in once at most. */
static int allocate(struct linker *linker)
{
    const struct object *object = linker->object;
    struct bytecode *bytecode = linker->bytecode;
    uint64_t instructions = 0;

    for (uint32_t i = 0; i < object->functions; i++)
        instructions += object->function[i].count;
    if (instructions > BYTECODE_INSTRUCTIONS_MAX)
        instructions = BYTECODE_INSTRUCTIONS_MAX;
    bytecode->instruction = calloc(instructions, sizeof(*bytecode->instruction));
    bytecode->function = calloc(BYTECODE_FUNCTIONS_MAX, sizeof(*bytecode->function));
    bytecode->region = calloc(BYTECODE_REGIONS_MAX, sizeof(*bytecode->region));
    bytecode->native = calloc(BYTECODE_NATIVES_MAX, sizeof(*bytecode->native));
    return bytecode->instruction && bytecode->function && bytecode->region && bytecode->native ? 0 : -ENOMEM;
}

int linker_run(const struct object *object, uint32_t program, struct bytecode *bytecode,
               uint32_t origin[BYTECODE_FUNCTIONS_MAX], struct jit_error *error)
{
    struct linker linker = { .object = object, .bytecode = bytecode, .origin = origin, .error = error };
    uint32_t index;
    int r = allocate(&linker);

    if (r == 0)
        r = link_function(&linker, program, &index);
    for (uint32_t i = 0; r == 0 && i < bytecode->functions; i++)        /* grows as references are found */
        r = link_sites(&linker, i);
    return r;
}
