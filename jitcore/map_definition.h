/* SPDX-License-Identifier: MIT */
/*
 * Definitions of maps in objects: the variables of section ".maps", whose type says in BTF what the map is, as libbpf's
 * bpf_helpers.h has it (__uint, __type, __array).  Nothing here trusts the object.
 *
 * Taken: type, key, value, key_size, value_size, max_entries, map_flags; of maps of maps, values: what the inner maps
 * are like.  pinning is passed over: maps are shared by name anyway.  What else libbpf knows is refused by name, and so
 * are initial values.
 */
#ifndef JITCORE_MAP_DEFINITION_H
#define JITCORE_MAP_DEFINITION_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "error.h"
#include "object.h"
#include "object_file.h"

/* Is it a section of maps?  Those in the old one, "maps", are refused when they are used. */
bool map_definition_section(const struct object_section *section);

/*
 * The map that begins at byte `at` of section `section`: *ret, and of a map of maps what its maps are like, *ret_inner
 * (else it is zeroed).  What they point to is the caller's (bytecode_region_clear()).
 * -EINVAL with `error`, rule "map": no map begins there; a definition that is incomplete, contradicts itself, or has
 * what is not there; "btf": the types are missing or damaged.  -EOPNOTSUPP with rule "map": what maps cannot have here,
 * by name.  -E2BIG: more memory than maps may have.  -ENOMEM.
 */
int map_definition_read(const struct object *object, uint32_t section, uint64_t at, struct bytecode_region *ret,
                        struct bytecode_region *ret_inner, struct jit_error *error);

#endif
