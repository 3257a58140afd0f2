/* SPDX-License-Identifier: MIT */
/*
 * The ELF file of an object as plain tables: sections, symbols, relocations.  Names and numbers are as the file has
 * them, hostile; what is checked is said with each.
 */
#ifndef JITCORE_OBJECT_FILE_H
#define JITCORE_OBJECT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "bytecode.h"
#include "error.h"

/* The types of relocations (LLVM's documentation, "ELF Relocations" of the BPF target). */
enum object_relocation_type {
    RELOCATION_LOAD_64 = 1,     /* R_BPF_64_64: lddw of an address */
    RELOCATION_CALL = 10,       /* R_BPF_64_32 */
};

struct object_relocation {
    uint64_t offset;            /* bytes from the section's begin; may be outside */
    uint32_t type;              /* enum object_relocation_type, or another */
    uint32_t symbol;            /* index, not 0, less than `symbols` */
};

struct object_section {
    const char *name;
    uint32_t type;              /* SHT_... */
    uint64_t flags;             /* SHF_... */
    uint64_t size;              /* bytes */
    uint8_t *bytes;             /* `size` bytes, aligned to 1; NULL if the file has none (.bss) */
    uint32_t relocations;
    struct object_relocation *relocation;       /* by offset, one an offset; none in sections of debug information */
};

struct object_symbol {
    const char *name;           /* "" for a section's */
    uint8_t type;               /* STT_... */
    uint32_t section;           /* index, less than `sections`; 0: defined nowhere in this object */
    uint64_t value, size;       /* bytes in its section, each less than 2^32; may be outside */
};

struct object_file {
    uint32_t sections, symbols;
    struct object_section *section;     /* [0] is empty, and so are those that are not needed */
    struct object_symbol *symbol;       /* [0] is empty */
    void *copy;                         /* of the object's bytes */
    void *elf;                          /* libelf's */
};

/*
 * Read the file.  `bytes` are only borrowed.  The result is the caller's.
 * -EINVAL with `error`, rule "elf", "machine" or "limit" as object.h says.  -ENOMEM.
 */
int object_file_new(const void *bytes, size_t size, struct object_file **ret, struct jit_error *error);

/* A section's index by name; 0: there is none. */
uint32_t object_file_find(const struct object_file *file, const char *name);

/* The relocation at this offset; NULL if there is none. */
const struct object_relocation *object_section_relocation(const struct object_section *section, uint64_t offset);

/* A name as messages and canonical programs have it: printable, not empty, cut off if longer. */
void object_name(char ret[BYTECODE_NAME_MAX + 1], const char *name);

/* NULL is fine.  Returns NULL. */
struct object_file *object_file_free(struct object_file *file);

#endif
