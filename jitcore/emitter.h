/* SPDX-License-Identifier: MIT */
/*
 * Bytes of machine code under construction.  Where they are written and where they will run are
 * different things: `buffer` is the write address, `final` the image offset of its first byte, and
 * all relative references are computed from `final`.  An emitter without a buffer only counts
 * (buffer NULL): emit twice, first to size. Errors stick: emit hundreds of times, look once at the
 * end.  Relocations are treated as bytes are: counted, and recorded where there is room for them.
 */
#ifndef JITCORE_EMITTER_H
#define JITCORE_EMITTER_H

#include <stddef.h>
#include <stdint.h>

/* What code refers to that lies elsewhere: where that is, is known where the code is placed (compiler.h). */
enum relocation_kind {
    RELOCATION_REGION,          /* the bytes of region `index` of the program: its data, or an array's first value */
    RELOCATION_MAP,             /* the descriptor of the map that region `index` is */
    RELOCATION_RUNTIME,         /* `index` bytes into the runtime (runtime.h) */
    RELOCATION_LINKAGE,         /* `index` bytes into the linkage (linkage.h) */
    RELOCATION_NATIVE,          /* the stub of native `index` of the program */
    RELOCATION_KINDS,
};

/* A distance to be filled in: four bytes at `at`, counted from the byte behind them. */
struct code_relocation {
    uint32_t at;                /* bytes from the first one emitted */
    uint32_t kind;              /* enum relocation_kind */
    uint32_t index;
    int32_t addend;             /* is added */
};

struct emitter {
    uint8_t *buffer;            /* write address, or NULL */
    size_t capacity;            /* bytes; ignored when buffer is NULL */
    size_t size;                /* bytes emitted so far */
    uint64_t final;             /* image offset of the first byte */
    struct code_relocation *relocation;         /* NULL: they are only counted */
    size_t relocations_max;     /* ignored when relocation is NULL */
    size_t relocations;         /* recorded or counted so far */
    int error;                  /* 0, or the first one: -ENOSPC, -ERANGE (branch out of range) */
};

void emitter_init(struct emitter *emitter, void *buffer, size_t capacity, uint64_t final);

void emit_bytes(struct emitter *emitter, const void *bytes, size_t size);
void emit_8(struct emitter *emitter, uint8_t value);
void emit_32(struct emitter *emitter, uint32_t value);
void emit_64(struct emitter *emitter, uint64_t value);

/* Image offset of the next byte. */
uint64_t emitter_position(const struct emitter *emitter);

/* Overwrite one or four bytes emitted earlier, at `at` bytes from the first. */
void emitter_patch_8(struct emitter *emitter, size_t at, uint8_t value);
void emitter_patch_32(struct emitter *emitter, size_t at, uint32_t value);

/*
 * The distance of a branch to image offset `to`, relative to the end of a four-byte field at the
 * current position.
 */
void emit_relative_32(struct emitter *emitter, uint64_t to);

/* Four bytes for the distance to what is known where the code is placed, plus `addend`. */
void emit_relocation_32(struct emitter *emitter, enum relocation_kind kind, uint32_t index, int32_t addend);

#endif
