/* SPDX-License-Identifier: MIT */
/*
 * Machine code in this process, with all that it may touch next to pages that fault: the byte behind the end of each
 * memory, or the one before its start.  Everything is mapped once, for many programs one after the other.
 */
#ifndef TESTS_SOUNDNESS_ENCLOSURE_H
#define TESTS_SOUNDNESS_ENCLOSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define ENCLOSURE_ROOMS 8
#define ENCLOSURE_ROOM_SIZE 4096u               /* bytes at most in one room */
#define ENCLOSURE_CODE_SIZE (1u << 20)          /* bytes of code at most */

struct enclosure {
    uint8_t *base;              /* the whole; pages between the rooms fault */
    uint8_t *code;              /* where code is written; it runs at `base` */
    uint64_t (*run)(void *context, uint64_t key);
};

/* Also catches SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM.  Negative errno.  Undo with enclosure_clear(). */
int enclosure_init(struct enclosure *enclosure);
void enclosure_clear(struct enclosure *enclosure);

/* `size` bytes in a room (from 0 on) whose start, or else whose end, is at a page that faults. */
uint8_t *enclosure_room(const struct enclosure *enclosure, unsigned room, uint32_t size, bool at_start);

/*
 * Place the code, region r in room r as enclosure_room() has it.  Constant regions are part of the code, whose end is
 * at a page that faults, but for 15 bytes at most.  -E2BIG, or what code_relocate() returns.
 */
int enclosure_load(struct enclosure *enclosure, const struct bytecode *bytecode, const struct code *code,
                   bool at_start);

/* Run it, for some seconds at most.  The signal that ended it, or 0 and R0 in *ret. */
int enclosure_run(const struct enclosure *enclosure, void *context, uint64_t key, uint64_t *ret);

#endif
