/* SPDX-License-Identifier: MIT */
/*
 * One program in canonical form: what the loader makes of an object, and all that verifier, interpreter and
 * compiler work from.  Self-contained (no ELF, no BTF), and it can be sent to another process.
 *
 * In the instructions
 *      call, source 1                  immediate = index of the function
 *      call, source 0                  immediate = number of the helper
 *      call, source 2                  immediate = index of a native: a function of the workers'
 *      lddw, source 0                  a 64-bit number
 *      lddw, source 1                  immediate = index of a region: the map itself, for helpers
 *      lddw, source 2                  immediate = index of a region, next immediate = offset in it, bytes
 *      lddw, source 4                  immediate = index of a function: a callback
 */
#ifndef JITCORE_BYTECODE_H
#define JITCORE_BYTECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "error.h"
#include "instruction.h"
#include "map.h"
#include "native.h"
#include "typed.h"
#include "types.h"

#define BYTECODE_INSTRUCTIONS_MAX 65536
#define BYTECODE_FUNCTIONS_MAX 256
#define BYTECODE_REGIONS_MAX 64
#define BYTECODE_NATIVES_MAX 32
#define BYTECODE_REGION_SIZE_MAX (1u << 20)     /* bytes of variables; of a map, what map.h says */
#define BYTECODE_LINES_MAX BYTECODE_INSTRUCTIONS_MAX
#define BYTECODE_STRINGS_MAX (4u << 20)         /* bytes */
#define BYTECODE_NAME_MAX 63                    /* bytes, without the NUL */

/*
 * A function: instructions [first, first + count).  Function 0 is the program.  They lie behind each other, from
 * instruction 0 to the last one.
 */
struct bytecode_function {
    char name[BYTECODE_NAME_MAX + 1];   /* printable; cut off if longer */
    uint32_t first, count;              /* count > 0 */
};

enum bytecode_region_kind {
    REGION_CONSTANT,            /* .rodata: sealed memory; its contents are known to the verifier */
    REGION_DATA,                /* .data, .bss: the arena; programs read and write it */
    REGION_MAP,                 /* a map, shared by its name; the kinds with direct access (array) have `size` bytes */
    REGION_INNER,               /* what the maps in a map of maps are like: no instruction refers to it */
};

/* Memory beside the code that instructions refer to. */
struct bytecode_region {
    char name[BYTECODE_NAME_MAX + 1];
    enum bytecode_region_kind kind;
    uint32_t size;              /* bytes that may be addressed directly; 0 if there is no direct access; for an array:
                                   max_entries times bytecode_map_stride() */
    uint8_t *contents;          /* size bytes; NULL: zeros */
    /* REGION_MAP, REGION_INNER */
    uint32_t map_type, key_size, value_size, max_entries, map_flags;    /* as <linux/bpf.h> has them */
    uint32_t inner;             /* of a map of maps: index of its REGION_INNER; else 0 */
    struct typed *key_type, *value_type;        /* of key_size and value_size bytes; NULL: not known */
};

/* A function of the workers' that the program calls. */
struct bytecode_native {
    char name[BYTECODE_NAME_MAX + 1];
    char prototype[NATIVE_PROTOTYPE_SIZE];      /* canonical; native_parse() accepts it for the program's context */
};

/* Instructions from `instruction` on come from this place in the source. */
struct bytecode_line {
    uint32_t instruction;
    uint32_t line;
    uint32_t file;              /* offset in strings of the file's name, 0 if unknown */
    uint32_t text;              /* offset in strings of the line's text, 0 if unknown */
};

struct bytecode {
    char context[CONTEXT_NAME_MAX + 1]; /* the hooks that it is for: section "table/CONTEXT" */
    uint32_t instructions, functions, regions, natives, fields, lines, strings;
    struct instruction *instruction;
    struct bytecode_function *function; /* the program and all that it calls or names; none is dead */
    struct bytecode_region *region;
    struct bytecode_native *native;
    struct types_field *field;          /* the context as the program was compiled against it */
    struct bytecode_line *line;         /* by instruction, no instruction twice; may be empty */
    char *string;                       /* NUL-terminated strings; [0] is empty; file names and lines */
};

/*
 * For makers of one: all arrays of the size that `counts` says, zeroed; nothing else is taken from it.  NULL: no
 * memory.  To be freed with bytecode_free(), the regions' contents (malloc()) too.
 */
struct bytecode *bytecode_new(const struct bytecode *counts);

/*
 * A function's index by instruction; bytecode->functions if the instruction is in none.
 */
uint32_t bytecode_function_at(const struct bytecode *bytecode, uint32_t instruction);

/* The source of an instruction; NULL if it is not known. */
const struct bytecode_line *bytecode_line_at(const struct bytecode *bytecode, uint32_t instruction);

/*
 * Say where in the source the instruction is that `error` names.  What is not known stays as it is.  NULL is fine.
 */
void bytecode_locate(const struct bytecode *bytecode, struct jit_error *error);

/* Bytes from one value of an array to the next. */
uint64_t bytecode_map_stride(const struct bytecode_region *region);

/* What a region that is a map, or like the maps in one, says that it is. */
struct map_definition bytecode_map_definition(const struct bytecode_region *region);

/* Is it a map of maps? */
bool bytecode_map_of_maps(const struct bytecode_region *region);

/*
 * To and from bytes, for another process.  The result is the caller's (free(), bytecode_free()).  Decoding trusts
 * nothing and ends with bytecode_check(), whose errors it returns.  -ENOMEM.
 */
int bytecode_encode(const struct bytecode *bytecode, void **ret, size_t *ret_size);
int bytecode_decode(const void *bytes, size_t size, struct bytecode **ret, struct jit_error *error);

/* Free what a region points to. */
void bytecode_region_clear(struct bytecode_region *region);

/* NULL is fine.  Returns NULL. */
struct bytecode *bytecode_free(struct bytecode *bytecode);

#endif
