/* SPDX-License-Identifier: MIT */
/* From an object to machine code: check, then translate twice, first to count. */

#include "compiler.h"

#include <errno.h>
#include <stdlib.h>

#include "checker.h"

static int translate(const struct checked_program *program, const struct architecture *architecture,
                     struct code *ret)
{
    struct emitter count, emitter;
    struct code code;

    emitter_init(&count, NULL, 0, 0);
    architecture->emit_program(&count, program);
    if (count.error)
        return count.error;
    code = (struct code){ malloc(count.size), count.size };
    if (!code.bytes)
        return -ENOMEM;
    emitter_init(&emitter, code.bytes, code.size, 0);
    architecture->emit_program(&emitter, program);
    if (emitter.error) {
        free(code.bytes);
        return emitter.error;
    }
    *ret = code;
    return 0;
}

int compile(const struct object *object, const struct context *context,
            const struct architecture *architecture, struct code *ret, struct jit_error *error)
{
    struct checked_program program;
    int r = checker_run(object, context, &program, error);

    if (r < 0)
        return r;
    r = translate(&program, architecture, ret);
    checked_program_clear(&program);
    if (r == -ERANGE)
        return jit_error_set(error, -E2BIG, "limit",
                             "the program's code is larger than a branch reaches");
    return r;
}
