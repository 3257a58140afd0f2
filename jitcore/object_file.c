/* SPDX-License-Identifier: MIT */
/* The ELF file of an object as plain tables, read with libelf. */

#include "object_file.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"

/* A file while it is read. */
struct reader {
    struct object_file *file;
    Elf *elf;
    size_t size;                /* bytes of the file */
    Elf_Data *symbols;
    size_t strings;             /* index of the section of the symbols' names */
    struct jit_error *error;
};

static int elf_error(struct reader *reader, const char *what)
{
    const char *why = elf_errmsg(-1);

    return jit_error_set(reader->error, -EINVAL, "elf", "%s: %s", what, why ? why : "damaged");
}

static int check_header(struct reader *reader)
{
    GElf_Ehdr header;

    if (!reader->elf || elf_kind(reader->elf) != ELF_K_ELF || !gelf_getehdr(reader->elf, &header))
        return jit_error_set(reader->error, -EINVAL, "elf",
                             "this is no ELF object; compile the program with clang -target bpf -O2 -g -c");
    if (header.e_machine != EM_BPF)
        return jit_error_set(reader->error, -EINVAL, "machine",
                             "this ELF object is for machine %u, not BPF; compile the program with clang -target bpf",
                             header.e_machine);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_REL)
        return jit_error_set(reader->error, -EINVAL, "elf",
                             "this ELF file is no 64-bit little-endian object; compile with clang -target bpf -c");
    return 0;
}

/* libelf gets a copy that is aligned and outlives the caller's bytes. */
static int open_elf(struct reader *reader, const void *bytes)
{
    struct object_file *file = reader->file;

    if (reader->size > OBJECT_SIZE_MAX)
        return jit_error_set(reader->error, -EINVAL, "limit", "the object has %zu bytes; the limit is %u", reader->size,
                             OBJECT_SIZE_MAX);
    file->copy = malloc(reader->size + 1);
    if (!file->copy)
        return -ENOMEM;
    if (reader->size > 0)
        memcpy(file->copy, bytes, reader->size);
    elf_version(EV_CURRENT);
    file->elf = reader->elf = elf_memory(file->copy, reader->size);
    return check_header(reader);
}

/* ---- sections ---- */

/* What the program side looks at; the rest is debug information, hashes and the like. */
static bool is_needed(const char *name, const GElf_Shdr *header)
{
    if (header->sh_type == SHT_NOBITS || header->sh_type == SHT_PROGBITS)
        return header->sh_flags & SHF_ALLOC || strcmp(name, ".BTF") == 0 || strcmp(name, ".BTF.ext") == 0;
    return header->sh_type == SHT_SYMTAB || header->sh_type == SHT_REL || header->sh_type == SHT_RELA;
}

/* NULL with the error filled if its bytes reach outside the file. */
static Elf_Data *get_data(struct reader *reader, uint32_t index)
{
    Elf_Data *data = elf_getdata(elf_getscn(reader->elf, index), NULL);

    if (data && (data->d_size == 0 || data->d_buf))
        return data;
    elf_error(reader, "a section of the object cannot be read");
    return NULL;
}

static int read_symbol_table(struct reader *reader, uint32_t index, const GElf_Shdr *header)
{
    if (reader->symbols)
        return jit_error_set(reader->error, -EINVAL, "elf", "the object has two symbol tables");
    reader->symbols = get_data(reader, index);
    reader->strings = header->sh_link;
    return reader->symbols ? 0 : -EINVAL;
}

static int read_section(struct reader *reader, uint32_t index, size_t names, uint64_t *room)
{
    struct object_section *section = &reader->file->section[index];
    Elf_Scn *scn = elf_getscn(reader->elf, index);
    GElf_Shdr header;
    Elf_Data *data;

    if (!scn || !gelf_getshdr(scn, &header) || !(section->name = elf_strptr(reader->elf, names, header.sh_name)))
        return elf_error(reader, "the object is cut off, or its table of sections is damaged");
    if (!is_needed(section->name, &header))
        return 0;
    /* Each byte of the file is in one section at most, which bounds all that is made of it. */
    if (header.sh_type != SHT_NOBITS && header.sh_size > *room)
        return jit_error_set(reader->error, -EINVAL, "elf", "sections of the object overlap or lie outside the file");
    *room -= header.sh_type == SHT_NOBITS ? 0 : header.sh_size;
    if (header.sh_type == SHT_SYMTAB)
        return read_symbol_table(reader, index, &header);
    section->type = header.sh_type;
    section->flags = header.sh_flags;
    section->size = header.sh_size;
    if (header.sh_type != SHT_PROGBITS)
        return 0;
    data = get_data(reader, index);
    if (!data)
        return -EINVAL;
    section->bytes = data->d_buf;
    section->size = data->d_size;
    return 0;
}

static int read_sections(struct reader *reader)
{
    size_t sections, names;
    uint64_t room = reader->size;
    int r = 0;

    if (elf_getshdrnum(reader->elf, &sections) < 0 || elf_getshdrstrndx(reader->elf, &names) < 0)
        return elf_error(reader, "the object's table of sections is damaged");
    if (sections == 0)          /* what libelf says of a table outside the file, too */
        return jit_error_set(reader->error, -EINVAL, "elf", "the object has no sections, or is cut off");
    if (sections > OBJECT_SECTIONS_MAX)
        return jit_error_set(reader->error, -EINVAL, "limit", "the object has %zu sections; the limit is %d", sections,
                             OBJECT_SECTIONS_MAX);
    reader->file->section = calloc(sections, sizeof(*reader->file->section));
    if (!reader->file->section)
        return -ENOMEM;
    reader->file->sections = (uint32_t)sections;
    reader->file->section[0].name = "";
    for (uint32_t i = 1; r == 0 && i < sections; i++)
        r = read_section(reader, i, names, &room);
    return r;
}

/* ---- symbols ---- */

static int read_symbol(struct reader *reader, uint32_t index)
{
    struct object_symbol *symbol = &reader->file->symbol[index];
    const char *name;
    GElf_Sym raw;

    if (!gelf_getsym(reader->symbols, (int)index, &raw))
        return elf_error(reader, "the object's symbols are damaged");
    name = elf_strptr(reader->elf, reader->strings, raw.st_name);
    symbol->name = name ? name : "";
    symbol->type = GELF_ST_TYPE(raw.st_info);
    symbol->section = raw.st_shndx < reader->file->sections ? raw.st_shndx : 0;
    symbol->value = raw.st_value;
    symbol->size = raw.st_size;
    if (symbol->section && (raw.st_value > UINT32_MAX || raw.st_size > UINT32_MAX))
        return jit_error_set(reader->error, -EINVAL, "elf", "symbol \"%s\" lies outside the object", symbol->name);
    return 0;
}

static int read_symbols(struct reader *reader)
{
    size_t symbols;
    int r = 0;

    if (!reader->symbols)
        return jit_error_set(reader->error, -EINVAL, "elf", "the object has no symbols; do not strip it");
    symbols = reader->symbols->d_size / sizeof(Elf64_Sym);
    reader->file->symbol = calloc(symbols + 1, sizeof(*reader->file->symbol));
    if (!reader->file->symbol)
        return -ENOMEM;
    reader->file->symbols = (uint32_t)symbols;
    for (uint32_t i = 0; r == 0 && i < symbols; i++)
        r = read_symbol(reader, i);
    return r;
}

/* ---- relocations ---- */

static int compare_relocations(const void *a, const void *b)
{
    const struct object_relocation *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Afterwards they are sorted. */
static int check_relocations(struct reader *reader, const struct object_section *section)
{
    const struct object_relocation *relocation = section->relocation;

    qsort(section->relocation, section->relocations, sizeof(*relocation), compare_relocations);
    for (uint32_t i = 0; i < section->relocations; i++)
        if (relocation[i].symbol == 0 || relocation[i].symbol >= reader->file->symbols ||
            (i > 0 && relocation[i].offset == relocation[i - 1].offset))
            return jit_error_set(reader->error, -EINVAL, "elf",
                                 "a relocation of section \"%s\" at byte %llu is damaged: it has no symbol, or is "
                                 "there twice",
                                 section->name, (unsigned long long)relocation[i].offset);
    return 0;
}

static int read_relocations(struct reader *reader, uint32_t index, struct object_section *section)
{
    Elf_Data *data = get_data(reader, index);
    size_t count = data ? data->d_size / sizeof(Elf64_Rel) : 0;
    GElf_Rel raw;

    if (!data)
        return -EINVAL;
    if (section->relocation)
        return jit_error_set(reader->error, -EINVAL, "elf", "section \"%s\" has two tables of relocations",
                             section->name);
    section->relocation = calloc(count + 1, sizeof(*section->relocation));
    if (!section->relocation)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        if (!gelf_getrel(data, (int)i, &raw))
            return elf_error(reader, "the object's relocations are damaged");
        section->relocation[i] = (struct object_relocation){ raw.r_offset, (uint32_t)GELF_R_TYPE(raw.r_info),
                                                             (uint32_t)GELF_R_SYM(raw.r_info) };
    }
    section->relocations = (uint32_t)count;
    return check_relocations(reader, section);
}

static int read_all_relocations(struct reader *reader)
{
    GElf_Shdr header;
    int r = 0;

    for (uint32_t i = 1; r == 0 && i < reader->file->sections; i++) {
        struct object_section *target;

        if (reader->file->section[i].type != SHT_REL && reader->file->section[i].type != SHT_RELA)
            continue;
        if (!gelf_getshdr(elf_getscn(reader->elf, i), &header) || header.sh_info >= reader->file->sections)
            return elf_error(reader, "the object's relocations are for a section that it does not have");
        target = &reader->file->section[header.sh_info];
        if (!(target->flags & SHF_ALLOC))       /* debug information */
            continue;
        if (header.sh_type == SHT_RELA)
            return jit_error_set(reader->error, -EINVAL, "elf",
                                 "section \"%s\" has relocations of a form (RELA) that BPF objects do not use",
                                 target->name);
        r = read_relocations(reader, i, target);
    }
    return r;
}

/* ---- all ---- */

int object_file_new(const void *bytes, size_t size, struct object_file **ret, struct jit_error *error)
{
    struct reader reader = { .file = calloc(1, sizeof(*reader.file)), .size = size, .error = error };
    int r = reader.file ? open_elf(&reader, bytes) : -ENOMEM;

    if (r == 0)
        r = read_sections(&reader);
    if (r == 0)
        r = read_symbols(&reader);
    if (r == 0)
        r = read_all_relocations(&reader);
    if (r < 0) {
        object_file_free(reader.file);
        return r;
    }
    *ret = reader.file;
    return 0;
}

uint32_t object_file_find(const struct object_file *file, const char *name)
{
    for (uint32_t i = 1; i < file->sections; i++)
        if (file->section[i].type == SHT_PROGBITS && strcmp(file->section[i].name, name) == 0)
            return i;
    return 0;
}

const struct object_relocation *object_section_relocation(const struct object_section *section, uint64_t offset)
{
    const struct object_relocation key = { .offset = offset };

    if (section->relocations == 0)
        return NULL;
    return bsearch(&key, section->relocation, section->relocations, sizeof(key), compare_relocations);
}

void object_name(char ret[BYTECODE_NAME_MAX + 1], const char *name)
{
    size_t i = 0;

    for (; name[i] && i < BYTECODE_NAME_MAX; i++)
        ret[i] = name[i] > ' ' && name[i] <= '~' ? name[i] : '?';
    if (i == 0)
        ret[i++] = '?';
    ret[i] = '\0';
}

struct object_file *object_file_free(struct object_file *file)
{
    if (!file)
        return NULL;
    for (uint32_t i = 0; i < file->sections; i++)
        free(file->section[i].relocation);
    free(file->section);
    free(file->symbol);
    elf_end(file->elf);
    free(file->copy);
    free(file);
    return NULL;
}
