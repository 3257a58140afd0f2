/* SPDX-License-Identifier: MIT */
/*
 * ELF objects from `clang -target bpf`.
 *
 * The steps: open the file and check what it is; find its sections; list its functions; note which
 * instruction has which relocation; then link: start with the program, and take in each function
 * that a call leads to.
 */

#include "object.h"

#include <assert.h>
#include <errno.h>
#include <gelf.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM_PREFIX "table/"
#define NOT_LINKED UINT32_MAX

enum { PROGRAM, TEXT, CODE_SECTIONS };

/* A section with instructions. */
struct code_section {
    size_t index;               /* in the ELF file; 0: there is none */
    char name[64];
    const uint8_t *bytes;       /* of the instructions; not aligned */
    uint32_t instructions;
    uint32_t *symbol;           /* per instruction: symbol of its relocation, 0: none */
};

/* A function of the file, whether the program needs it or not. */
struct candidate {
    const char *name;           /* as the file has it: hostile bytes, for BTF only */
    const struct code_section *section;
    uint32_t first, count;      /* instructions in its section */
    uint32_t linked;            /* index in the object, or NOT_LINKED */
};

struct reader {
    Elf *elf;
    struct code_section code[CODE_SECTIONS];
    Elf_Data *symbols, *btf;
    size_t strings;             /* section of the symbols' names */
    uint32_t symbol_count;
    struct candidate *candidate;
    uint32_t candidates;
    struct object *object;
    struct jit_error *error;
};

/* Names from the file go into messages: nothing but printable ASCII. */
static void copy_printable(char ret[64], const char *name)
{
    size_t i = 0;

    for (; name && name[i] && i < 63; i++)
        ret[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
    ret[i] = '\0';
}

/* ---- the file and its sections ---- */

static int elf_error(struct reader *reader, const char *what)
{
    const char *why = elf_errmsg(-1);

    return jit_error_set(reader->error, -EINVAL, "elf", "%s: %s", what, why ? why : "damaged");
}

static int open_elf(struct reader *reader, const void *bytes, size_t size)
{
    GElf_Ehdr header;

    if (size > OBJECT_SIZE_MAX)
        return jit_error_set(reader->error, -EINVAL, "limit",
                             "the object has %zu bytes; the limit is %u", size, OBJECT_SIZE_MAX);
    elf_version(EV_CURRENT);
    reader->elf = elf_memory((char *)(uintptr_t)bytes, size);   /* which only reads */
    if (!reader->elf || elf_kind(reader->elf) != ELF_K_ELF || !gelf_getehdr(reader->elf, &header))
        return jit_error_set(
            reader->error, -EINVAL, "elf",
            "this is no ELF object; compile the program with clang -target bpf -O2 -g -c");
    if (header.e_machine != EM_BPF)
        return jit_error_set(reader->error, -EINVAL, "machine",
                             "this ELF object is for machine %u, not BPF; compile the program "
                             "with clang -target bpf",
                             header.e_machine);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_type != ET_REL)
        return jit_error_set(
            reader->error, -EINVAL, "elf",
            "this ELF file is no 64-bit little-endian object; compile with clang -target bpf -c");
    return 0;
}

static const char *section_name(struct reader *reader, const GElf_Shdr *header)
{
    size_t strings;

    if (elf_getshdrstrndx(reader->elf, &strings) < 0)
        return NULL;
    return elf_strptr(reader->elf, strings, header->sh_name);
}

/* A section's bytes. NULL with the error filled if it reaches outside the file. */
static Elf_Data *get_data(struct reader *reader, Elf_Scn *section)
{
    Elf_Data *data = elf_getdata(section, NULL);

    if (data && (data->d_size == 0 || data->d_buf))
        return data;
    elf_error(reader, "a section of the object cannot be read");
    return NULL;
}

static int take_code(struct reader *reader, struct code_section *code, Elf_Scn *section,
                     const char *name)
{
    Elf_Data *data;

    if (code->index)
        return jit_error_set(reader->error, -EINVAL, "section",
                             "the object has several sections with code (\"%s\" and \"%s\"); "
                             "one object holds one program",
                             code->name, name);
    data = get_data(reader, section);
    if (!data)
        return -EINVAL;
    if (data->d_size % sizeof(struct instruction) != 0)
        return jit_error_set(
            reader->error, -EINVAL, "instruction",
            "section \"%s\" has %zu bytes, which is not a multiple of 8: half an instruction", name,
            data->d_size);
    code->index = elf_ndxscn(section);
    copy_printable(code->name, name);
    code->bytes = data->d_buf;
    code->instructions = (uint32_t)(data->d_size / sizeof(struct instruction));
    code->symbol = calloc(code->instructions, sizeof(*code->symbol));
    return code->symbol ? 0 : -ENOMEM;
}

static int take_program(struct reader *reader, Elf_Scn *section, const char *name,
                        const char *context)
{
    if (!context_name_valid(context, CONTEXT_NAME_MAX + 1))
        return jit_error_set(reader->error, -EINVAL, "section",
                             "section \"%s\": a context's name has 1 to %d bytes of [A-Za-z0-9_.-]",
                             name, CONTEXT_NAME_MAX);
    strcpy(reader->object->context, context);
    return take_code(reader, &reader->code[PROGRAM], section, name);
}

static int take_symbols(struct reader *reader, Elf_Scn *section, const GElf_Shdr *header)
{
    if (reader->symbols)
        return jit_error_set(reader->error, -EINVAL, "elf", "the object has two symbol tables");
    reader->symbols = get_data(reader, section);
    if (!reader->symbols)
        return -EINVAL;
    reader->symbol_count = (uint32_t)(reader->symbols->d_size / sizeof(Elf64_Sym));
    reader->strings = header->sh_link;
    return 0;
}

static int take_section(struct reader *reader, Elf_Scn *section)
{
    GElf_Shdr header;
    const char *raw = NULL;
    char name[64];

    if (!gelf_getshdr(section, &header) || !(raw = section_name(reader, &header)))
        return elf_error(reader, "the object's table of sections is damaged");
    copy_printable(name, raw);
    if (header.sh_type == SHT_SYMTAB)
        return take_symbols(reader, section, &header);
    if (header.sh_type != SHT_PROGBITS || header.sh_size == 0)
        return 0;
    if (strcmp(name, ".BTF") == 0)
        return (reader->btf = get_data(reader, section)) ? 0 : -EINVAL;
    if (!(header.sh_flags & SHF_EXECINSTR))
        return 0;
    if (strncmp(raw, PROGRAM_PREFIX, strlen(PROGRAM_PREFIX)) == 0)
        return take_program(reader, section, name, raw + strlen(PROGRAM_PREFIX));
    if (strcmp(name, ".text") == 0)
        return take_code(reader, &reader->code[TEXT], section, name);
    return jit_error_set(
        reader->error, -EINVAL, "section",
        "section \"%s\" is of unknown kind; a program for a table is in section \"table/CONTEXT\"",
        name);
}

static int find_sections(struct reader *reader)
{
    size_t sections;
    int r;

    if (elf_getshdrnum(reader->elf, &sections) < 0)
        return elf_error(reader, "the object's table of sections is damaged");
    if (sections == 0)          /* what libelf says of a table outside the file, too */
        return jit_error_set(reader->error, -EINVAL, "elf",
                             "the object has no sections, or is cut off");
    if (sections > OBJECT_SECTIONS_MAX)
        return jit_error_set(reader->error, -EINVAL, "limit",
                             "the object has %zu sections; the limit is %d", sections,
                             OBJECT_SECTIONS_MAX);
    for (size_t i = 1; i < sections; i++) {
        Elf_Scn *section = elf_getscn(reader->elf, i);

        if (!section)
            return elf_error(reader, "the object is cut off or damaged");
        r = take_section(reader, section);
        if (r < 0)
            return r;
    }
    if (!reader->code[PROGRAM].index)
        return jit_error_set(
            reader->error, -EINVAL, "section",
            "the object has no program: no section \"table/CONTEXT\" with code in it");
    if (!reader->symbols)
        return jit_error_set(reader->error, -EINVAL, "elf",
                             "the object has no symbols; do not strip it");
    return 0;
}

/* ---- functions ---- */

static int get_symbol(struct reader *reader, uint32_t index, GElf_Sym *ret)
{
    if (index >= reader->symbol_count || !gelf_getsym(reader->symbols, (int)index, ret))
        return jit_error_set(reader->error, -EINVAL, "elf",
                             "the object refers to symbol %u, which it does not have", index);
    return 0;
}

static const char *symbol_name(struct reader *reader, const GElf_Sym *symbol)
{
    const char *name = elf_strptr(reader->elf, reader->strings, symbol->st_name);

    return name ? name : "";
}

static const struct code_section *find_code(const struct reader *reader, size_t index)
{
    for (size_t i = 0; i < CODE_SECTIONS; i++)
        if (reader->code[i].index == index && index != 0)
            return &reader->code[i];
    return NULL;
}

static int add_candidate(struct reader *reader, const GElf_Sym *symbol)
{
    const struct code_section *section = find_code(reader, symbol->st_shndx);
    uint64_t size = section ? (uint64_t)section->instructions * sizeof(struct instruction) : 0;
    char name[64];

    if (!section)
        return 0;
    copy_printable(name, symbol_name(reader, symbol));
    if (symbol->st_size == 0 || symbol->st_size % 8 != 0 || symbol->st_value % 8 != 0 ||
        symbol->st_value > size || symbol->st_size > size - symbol->st_value)
        return jit_error_set(
            reader->error, -EINVAL, "instruction",
            "function %s is empty, not whole instructions or outside section \"%s\"", name,
            section->name);
    if (reader->candidates == OBJECT_FUNCTIONS_MAX)
        return jit_error_set(reader->error, -EINVAL, "limit",
                             "the object has more than %d functions", OBJECT_FUNCTIONS_MAX);
    reader->candidate[reader->candidates++] = (struct candidate){
        .name = symbol_name(reader, symbol),
        .section = section,
        .first = (uint32_t)(symbol->st_value / 8),
        .count = (uint32_t)(symbol->st_size / 8),
        .linked = NOT_LINKED,
    };
    return 0;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->section != y->section)
        return x->section < y->section ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/*
 * Afterwards the candidates are sorted, disjoint, and the first one is the only one in the
 * program's section.
 */
static int check_candidates(struct reader *reader)
{
    const struct candidate *candidate = reader->candidate;
    char name[64], other[64];

    if (reader->candidates > 0)
        qsort(reader->candidate, reader->candidates, sizeof(*candidate), compare_candidates);
    if (reader->candidates == 0 || candidate[0].section != &reader->code[PROGRAM])
        return jit_error_set(reader->error, -EINVAL, "section", "section \"%s\" holds no function",
                             reader->code[PROGRAM].name);
    for (uint32_t i = 1; i < reader->candidates; i++) {
        copy_printable(name, candidate[i - 1].name);
        copy_printable(other, candidate[i].name);
        if (candidate[i].section == &reader->code[PROGRAM])
            return jit_error_set(reader->error, -EINVAL, "section",
                                 "section \"%s\" holds two functions, %s and %s; one object "
                                 "holds one program, and what it calls needs no section",
                                 reader->code[PROGRAM].name, name, other);
        if (candidate[i].section == candidate[i - 1].section &&
            candidate[i].first < candidate[i - 1].first + candidate[i - 1].count)
            return jit_error_set(reader->error, -EINVAL, "instruction",
                                 "functions %s and %s overlap", name, other);
    }
    return 0;
}

static int find_functions(struct reader *reader)
{
    reader->candidate = calloc(OBJECT_FUNCTIONS_MAX, sizeof(*reader->candidate));
    if (!reader->candidate)
        return -ENOMEM;
    for (uint32_t i = 1; i < reader->symbol_count; i++) {
        GElf_Sym symbol;
        int r = get_symbol(reader, i, &symbol);

        if (r == 0 && GELF_ST_TYPE(symbol.st_info) == STT_FUNC)
            r = add_candidate(reader, &symbol);
        if (r < 0)
            return r;
    }
    return check_candidates(reader);
}

/* ---- relocations ---- */

static int note_relocation(struct reader *reader, const struct code_section *code,
                           const GElf_Rel *relocation)
{
    uint64_t at = relocation->r_offset / sizeof(struct instruction);
    uint32_t symbol = (uint32_t)GELF_R_SYM(relocation->r_info);

    if (relocation->r_offset % sizeof(struct instruction) != 0 || at >= code->instructions ||
        symbol == 0 || symbol >= reader->symbol_count || code->symbol[at] != 0)
        return jit_error_set(reader->error, -EINVAL, "elf",
                             "a relocation of section \"%s\" at byte %llu is damaged", code->name,
                             (unsigned long long)relocation->r_offset);
    code->symbol[at] = symbol;
    return 0;
}

static int note_relocations(struct reader *reader, Elf_Scn *section, const GElf_Shdr *header)
{
    const struct code_section *code = find_code(reader, header->sh_info);
    GElf_Rel relocation;
    Elf_Data *data;
    int r = 0;

    if (!code)                  /* of debug information */
        return 0;
    if (header->sh_type == SHT_RELA)
        return jit_error_set(
            reader->error, -EINVAL, "elf",
            "section \"%s\" has relocations of a form (RELA) that BPF objects do not use",
            code->name);
    data = get_data(reader, section);
    if (!data)
        return -EINVAL;
    for (int i = 0; r == 0 && (size_t)i < data->d_size / sizeof(Elf64_Rel); i++) {
        if (!gelf_getrel(data, i, &relocation))
            return elf_error(reader, "the object's relocations are damaged");
        r = note_relocation(reader, code, &relocation);
    }
    return r;
}

static int find_relocations(struct reader *reader)
{
    GElf_Shdr header;
    Elf_Scn *section = NULL;
    int r = 0;

    while (r == 0 && (section = elf_nextscn(reader->elf, section))) {
        if (!gelf_getshdr(section, &header))
            return elf_error(reader, "the object's table of sections is damaged");
        if (header.sh_type == SHT_REL || header.sh_type == SHT_RELA)
            r = note_relocations(reader, section, &header);
    }
    return r;
}

/* ---- linking ---- */

/* The function that begins at this instruction of this section. */
static struct candidate *find_candidate(struct reader *reader, const struct code_section *section,
                                        int64_t first)
{
    for (uint32_t i = 0; i < reader->candidates; i++)
        if (reader->candidate[i].section == section && reader->candidate[i].first == first)
            return &reader->candidate[i];
    return NULL;
}

/* Take a function into the object. */
static int link_function(struct reader *reader, struct candidate *candidate)
{
    struct object *object = reader->object;
    struct object_function *function = &object->function[object->functions];

    if (candidate->count > OBJECT_INSTRUCTIONS_MAX - object->instructions)
        return jit_error_set(reader->error, -EINVAL, "limit",
                             "the program has more than %d instructions", OBJECT_INSTRUCTIONS_MAX);
    copy_printable(function->name, candidate->name);
    function->first = object->instructions;
    function->count = candidate->count;
    memcpy(&object->instruction[function->first],
           &candidate->section->bytes[candidate->first * sizeof(struct instruction)],
           candidate->count * sizeof(struct instruction));
    object->instructions += candidate->count;
    candidate->linked = object->functions++;
    return 0;
}

/* What a relocation refers to, for messages: the symbol, or its section. */
static void describe_symbol(struct reader *reader, const GElf_Sym *symbol, char ret[64])
{
    Elf_Scn *section = elf_getscn(reader->elf, symbol->st_shndx);
    GElf_Shdr header;

    if (GELF_ST_TYPE(symbol->st_info) == STT_SECTION && section && gelf_getshdr(section, &header))
        copy_printable(ret, section_name(reader, &header));
    else
        copy_printable(ret, symbol_name(reader, symbol));
}

/* Where an instruction stands: in the object, and in the file. */
struct site {
    const struct candidate *candidate;
    uint32_t index;             /* in its function */
    struct instruction *instruction;
    uint32_t symbol;            /* of its relocation, 0: none */
};

static int relocation_error(struct reader *reader, const struct site *site, const GElf_Sym *symbol)
{
    const char *function = reader->object->function[site->candidate->linked].name;
    char name[64];

    describe_symbol(reader, symbol, name);
    if (site->instruction->opcode == OPCODE_CALL)
        return jit_error_set_at(reader->error, -EINVAL, "relocation", function, site->index,
                                "calls %s, which is no function of this object", name);
    return jit_error_set_at(
        reader->error, -EINVAL, "relocation", function, site->index,
        "refers to \"%s\": maps, global variables and constants in memory are not supported "
        "yet; keep data on the stack, or make it static const and small enough to be folded "
        "into the code",
        name);
}

/*
 * Link the function that a call leads to: by its relocation, or else relative to the instruction
 * (RFC 9669 section 4.3.2).
 */
static int link_call(struct reader *reader, const struct site *site, const GElf_Sym *symbol)
{
    const struct code_section *section = site->candidate->section;
    int64_t first =
        (int64_t)site->candidate->first + site->index + site->instruction->immediate + 1;
    struct candidate *callee;
    int r = 0;

    if (site->symbol) {
        section = find_code(reader, symbol->st_shndx);
        if (!section)
            return relocation_error(reader, site, symbol);
        first = (int64_t)(symbol->st_value / sizeof(struct instruction)) +
                site->instruction->immediate + 1;
    }
    callee = find_candidate(reader, section, first);
    if (!callee)
        return jit_error_set_at(
            reader->error, -EINVAL, "instruction",
            reader->object->function[site->candidate->linked].name, site->index,
            "call leads to no function: none begins at instruction %lld of section \"%s\"",
            (long long)first, section->name);
    if (callee->linked == NOT_LINKED)
        r = link_function(reader, callee);
    site->instruction->immediate = (int32_t)callee->linked;
    return r;
}

static int link_site(struct reader *reader, const struct site *site)
{
    GElf_Sym symbol = { 0 };
    int r = site->symbol ? get_symbol(reader, site->symbol, &symbol) : 0;

    if (r < 0)
        return r;
    if (site->instruction->opcode == OPCODE_CALL &&
        instruction_source(*site->instruction) == CALL_LOCAL)
        return link_call(reader, site, &symbol);
    return site->symbol ? relocation_error(reader, site, &symbol) : 0;
}

static int link_sites(struct reader *reader, const struct candidate *candidate)
{
    uint32_t first = reader->object->function[candidate->linked].first;

    for (uint32_t i = 0; i < candidate->count;) {
        struct site site = {
            .candidate = candidate,
            .index = i,
            .instruction = &reader->object->instruction[first + i],
            .symbol = candidate->section->symbol[candidate->first + i],
        };
        int r = link_site(reader, &site);

        if (r < 0)
            return r;
        i += instruction_length(*site.instruction);
    }
    return 0;
}

static struct candidate *find_linked(struct reader *reader, uint32_t index)
{
    for (uint32_t i = 0; i < reader->candidates; i++)
        if (reader->candidate[i].linked == index)
            return &reader->candidate[i];
    assert(0 && "every function of the object comes from a candidate");
    return NULL;
}

static int link_program(struct reader *reader)
{
    struct object *object = reader->object;
    size_t instructions =
        reader->code[PROGRAM].instructions + (size_t)reader->code[TEXT].instructions;
    int r;

    object->instruction = calloc(instructions, sizeof(*object->instruction));
    object->function = calloc(reader->candidates, sizeof(*object->function));
    if (!object->instruction || !object->function)
        return -ENOMEM;
    r = link_function(reader, &reader->candidate[0]);
    for (uint32_t i = 0; r == 0 && i < object->functions; i++)  /* grows as calls are found */
        r = link_sites(reader, find_linked(reader, i));
    return r;
}

static int read_types(struct reader *reader)
{
    struct object *object = reader->object;

    if (!reader->btf)
        return 0;
    return types_read(reader->btf->d_buf, reader->btf->d_size, reader->candidate[0].name,
                      object->context, &object->field, &object->fields, reader->error);
}

static void digest(const void *bytes, size_t size, uint8_t ret[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx context;

    sha256_init(&context);
    sha256_update(&context, size, bytes);
    sha256_digest(&context, SHA256_DIGEST_SIZE, ret);
}

static int read_object(struct reader *reader, const void *bytes, size_t size)
{
    int r = open_elf(reader, bytes, size);

    if (r == 0)
        r = find_sections(reader);
    if (r == 0)
        r = find_functions(reader);
    if (r == 0)
        r = find_relocations(reader);
    if (r == 0)
        r = link_program(reader);
    if (r == 0)
        r = read_types(reader);
    return r;
}

int object_read(const void *bytes, size_t size, struct object **ret, struct jit_error *error)
{
    struct reader reader = { .error = error };
    int r;

    reader.object = calloc(1, sizeof(*reader.object));
    if (!reader.object)
        return -ENOMEM;
    r = read_object(&reader, bytes, size);
    elf_end(reader.elf);
    free(reader.candidate);
    for (size_t i = 0; i < CODE_SECTIONS; i++)
        free(reader.code[i].symbol);
    if (r < 0) {
        object_free(reader.object);
        return r;
    }
    digest(bytes, size, reader.object->digest);
    *ret = reader.object;
    return 0;
}

struct object *object_free(struct object *object)
{
    if (!object)
        return NULL;
    free(object->instruction);
    free(object->function);
    free(object->field);
    free(object);
    return NULL;
}
