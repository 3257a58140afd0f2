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

/* A distance to be filled in: four bytes at `at`, counted from the byte behind them. */
struct code_relocation {
    uint32_t at;                /* bytes from the first one emitted */
    uint32_t region;            /* to this region (REGION_DATA, REGION_MAP) of the program, */
    int32_t addend;             /* plus this */
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

/* Four bytes for the distance to `addend` bytes into a region, which is known where the code is placed. */
void emit_relocation_32(struct emitter *emitter, uint32_t region, int32_t addend);

#endif
