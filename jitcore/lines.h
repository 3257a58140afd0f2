/* SPDX-License-Identifier: MIT */
/* Which line of the source each instruction comes from: an object's .BTF.ext.  Nothing here trusts the bytes. */
#ifndef JITCORE_LINES_H
#define JITCORE_LINES_H

#include <stdint.h>

#include "bytecode.h"
#include "error.h"
#include "object.h"

#define LINES_TEXT_MAX 255      /* bytes of a line or a file's name; what is longer is cut off: of a file's name the beginning */

/*
 * Fill the lines and strings of a bytecode that linker_run() made.  Without .BTF.ext there are none.
 * -EINVAL with `error`, rule "btf": damaged.  -ENOMEM.
 */
int lines_read(const struct object *object, const uint32_t origin[BYTECODE_FUNCTIONS_MAX], struct bytecode *bytecode,
               struct jit_error *error);

#endif
