/* SPDX-License-Identifier: MIT */
/*
 * The C type of a map's keys or values, so far as people want to see it: names and places of what is in them.  Made
 * from BTF; self-contained, and it can be sent to another process and kept in a database.
 *
 *      a type                  typed_from_btf(), typed_integer(), typed_bytes(); to and from bytes
 *      what is where           struct typed as it is; struct typed_place leads through it and the bytes of a value
 *      numbers in a value      typed_read(), typed_write()
 *
 * What has no form for people (pointers, floating point, integers of 16 bytes), and a type that is too big to be
 * described, is just bytes.  Anonymous structs and unions are part of the struct that they are in.
 */
#ifndef JITCORE_TYPED_H
#define JITCORE_TYPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define TYPED_TYPES_MAX 256             /* of one description */
#define TYPED_MEMBERS_MAX 512
#define TYPED_ENUMERATORS_MAX 512
#define TYPED_STRINGS_MAX 16384         /* bytes */
#define TYPED_SIZE_MAX (1u << 20)       /* bytes of a value */
#define TYPED_LEAVES_MAX 65536          /* numbers, texts and pieces of bytes in a value: what a walk over it meets */

enum typed_kind {
    TYPED_BYTES,
    TYPED_UNSIGNED, TYPED_SIGNED,       /* integers of 1, 2, 4 or 8 bytes, little endian; in a bit-field, fewer bits */
    TYPED_BOOL,                         /* likewise; 0 is false */
    TYPED_ENUM,                         /* likewise; the numbers that have names */
    TYPED_TEXT,                         /* an array of char: up to the first NUL, or all of it */
    TYPED_ARRAY,
    TYPED_STRUCT, TYPED_UNION,
};

struct typed_type {
    uint32_t kind;              /* enum typed_kind */
    uint32_t size;              /* bytes; not 0 but for empty structs */
    uint32_t first;             /* ARRAY: the elements' type; STRUCT, UNION: first member; ENUM: first enumerator */
    uint32_t count;             /* elements, members, enumerators */
    uint32_t is_signed;         /* ENUM: 1 if its numbers are */
};

struct typed_member {
    uint32_t name;              /* offset in `string`; [A-Za-z0-9_], not empty */
    uint32_t bit, bits;         /* from the struct's first byte's lowest bit on; of a bit-field fewer than its type's */
    uint32_t type;
};

struct typed_enumerator {
    uint32_t name;
    uint64_t number;            /* of a signed one: sign-extended */
};

/* A tree: each type but the first is in one other, which stands before it.  All lies inside what it is in. */
struct typed {
    uint32_t types, members, enumerators, strings;
    struct typed_type *type;    /* [0] is the whole; at least one */
    struct typed_member *member;
    struct typed_enumerator *enumerator;
    char *string;               /* NUL-terminated strings */
};

/* ---- types ---- */

struct btf;

/*
 * The type with this id, with libbpf's reader; nothing here trusts it.  The result is the caller's.
 * -EINVAL with `error`, rule "btf": it has no size, or more than TYPED_SIZE_MAX.  -ENOMEM.
 */
int typed_from_btf(const struct btf *btf, uint32_t id, struct typed **ret, struct jit_error *error);

/* An integer of 1, 2, 4 or 8 bytes; `size` bytes, 1 to TYPED_SIZE_MAX.  NULL: no memory. */
struct typed *typed_integer(uint32_t size, bool is_signed);
struct typed *typed_bytes(uint32_t size);

/* Bytes of a value. */
static inline uint32_t typed_size(const struct typed *typed)
{
    return typed->type[0].size;
}

/* The same members with the same names at the same places.  Names of the types themselves do not count. */
bool typed_equal(const struct typed *a, const struct typed *b);

/* The type as C would have it, on one line: "struct { u32 tenant; u32 rate:4; char name[16]; }".  Cut off if longer. */
const char *typed_format(const struct typed *typed, char *buffer, size_t size);

/*
 * To and from bytes, the same for equal types.  *ret is the caller's (free(), typed_free()).  Decoding trusts nothing.
 * -EINVAL: these bytes are no type.  -ENOMEM.
 */
int typed_encode(const struct typed *typed, void **ret, size_t *ret_size);
int typed_decode(const void *bytes, size_t size, struct typed **ret);

/* NULL: no memory, or `typed` is NULL. */
struct typed *typed_copy(const struct typed *typed);

/* NULL is fine.  Returns NULL. */
struct typed *typed_free(struct typed *typed);

/* ---- values ---- */

/* Something in a value: the whole, a member, an element. */
struct typed_place {
    const struct typed *typed;
    const struct typed_type *type;
    uint32_t bit, bits;         /* from the value's first byte's lowest bit on; whole bytes but for bit-fields */
};

struct typed_place typed_whole(const struct typed *typed);

/* Of a struct or union, or an array; `index` is below place->type->count.  A member's name: typed_member_name(). */
struct typed_place typed_member(const struct typed_place *place, uint32_t index);
struct typed_place typed_element(const struct typed_place *place, uint32_t index);
const char *typed_member_name(const struct typed_place *place, uint32_t index);

/* The member of this name; false: there is none. */
bool typed_find_member(const struct typed_place *place, const char *name, struct typed_place *ret);

/* An enumeration's names: of a number, as typed_read() gives it (NULL: it has none); the number of a name. */
const char *typed_enumerator_name(const struct typed_place *place, uint64_t number);
bool typed_find_enumerator(const struct typed_place *place, const char *name, uint64_t *ret);

/* Where it begins in the value; BYTES, TEXT, ARRAY, STRUCT and UNION begin with a whole byte. */
static inline uint32_t typed_byte(const struct typed_place *place)
{
    return place->bit / 8;
}

/* Has the number a sign (SIGNED, some ENUM)? */
bool typed_is_signed(const struct typed_place *place);

/*
 * The number there (UNSIGNED, SIGNED, BOOL, ENUM), of typed_size() bytes `value`; with a sign, extended to 64 bits.
 * -ERANGE: the place has no room for it; `negative`: `number` is an int64_t below 0.  Then nothing is written.
 */
uint64_t typed_read(const struct typed_place *place, const uint8_t *value);
int typed_write(const struct typed_place *place, uint8_t *value, uint64_t number, bool negative);

#endif
