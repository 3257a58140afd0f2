/* SPDX-License-Identifier: MIT */
/* What a failure of jitcore tells its caller besides a negative errno. */

#include "error.h"

#include <stdarg.h>
#include <stdio.h>

static void make_printable(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

int jit_error_set(struct jit_error *error, int result, const char *rule, const char *format, ...)
{
    va_list arguments;

    if (!error)
        return result;
    *error = (struct jit_error){ .rule = rule, .instruction = -1 };
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    make_printable(error->text);
    return result;
}

int jit_error_set_at(struct jit_error *error, int result, const char *rule, const char *function,
                     int64_t instruction, const char *format, ...)
{
    va_list arguments;
    int prefix;

    if (!error)
        return result;
    *error = (struct jit_error){ .rule = rule, .instruction = instruction };
    snprintf(error->function, sizeof(error->function), "%s", function);
    if (instruction < 0)
        prefix = snprintf(error->text, sizeof(error->text), "function %s: ", error->function);
    else
        prefix =
            snprintf(error->text, sizeof(error->text),
                     "function %s, instruction %lld: ", error->function, (long long)instruction);
    va_start(arguments, format);
    vsnprintf(error->text + prefix, sizeof(error->text) - (size_t)prefix, format, arguments);
    va_end(arguments);
    make_printable(error->function);
    make_printable(error->text);
    return result;
}
