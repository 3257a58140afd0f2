/* SPDX-License-Identifier: MIT */
/* Refusals and the log. */

#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "analysis.h"

#define LINE_SIZE 4096

static void append(char *buffer, size_t size, const char *text)
{
    size_t length = strlen(buffer);

    snprintf(buffer + length, size - length, "%s", text);
}

/* The registers and slots of the running function that hold something: "R1 = context, R2 = 0..7, R10-8 = ...". */
static void describe_state(const struct analysis *analysis, char *buffer, size_t size)
{
    const struct frame *frame = state_top(&analysis->state);
    char value[VALUE_FORMAT_SIZE], part[VALUE_FORMAT_SIZE + 32];
    const char *separator = "";

    buffer[0] = '\0';
    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++) {
        if (frame->reg[reg].type == VALUE_NOT_INIT)
            continue;
        snprintf(part, sizeof(part), "%sR%u = %s", separator, reg,
                 value_format(&frame->reg[reg], analysis->bytecode, value));
        append(buffer, size, part);
        separator = ", ";
    }
    for (uint32_t slot = 0; slot < frame->slots; slot++) {
        if (!frame->slot[slot].written)
            continue;
        snprintf(part, sizeof(part), "%sR10-%u = %s%s", separator, 8 * (slot + 1),
                 value_format(&frame->slot[slot].value, analysis->bytecode, value),
                 frame->slot[slot].written == 0xff ? "" : " (not all bytes written)");
        append(buffer, size, part);
        separator = ", ";
    }
}

__attribute__((format(printf, 5, 0)))
static int refuse(struct analysis *analysis, int result, const char *rule, const char *hint, const char *format,
                  va_list arguments)
{
    const struct bytecode_function *function =
        &analysis->bytecode->function[bytecode_function_at(analysis->bytecode, analysis->at)];
    char text[sizeof(analysis->error->text)];

    vsnprintf(text, sizeof(text), format, arguments);
    message_log(analysis, "%u: refused (%s): %s", analysis->at, rule, text);
    jit_error_set_at(analysis->error, result, rule, function->name, analysis->at - function->first, "%s", text);
    if (analysis->error) {
        describe_state(analysis, analysis->error->registers, sizeof(analysis->error->registers));
        snprintf(analysis->error->hint, sizeof(analysis->error->hint), "%s", hint ? hint : "");
    }
    return result;
}

int message_refuse(struct analysis *analysis, const char *rule, const char *hint, const char *format, ...)
{
    va_list arguments;
    int r;

    va_start(arguments, format);
    r = refuse(analysis, -EINVAL, rule, hint, format, arguments);
    va_end(arguments);
    return r;
}

int message_limit(struct analysis *analysis, const char *hint, const char *format, ...)
{
    va_list arguments;
    int r;

    va_start(arguments, format);
    r = refuse(analysis, -E2BIG, "limit", hint, format, arguments);
    va_end(arguments);
    return r;
}

void message_log(struct analysis *analysis, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;

    if (!analysis->options || !analysis->options->log)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    analysis->options->log(analysis->options->userdata, line);
}

void message_log_state(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    char state[LINE_SIZE - 128];

    if (!analysis->options || !analysis->options->log)
        return;
    describe_state(analysis, state, sizeof(state));
    message_log(analysis, "%u: %s R%u, R%u, offset %d, immediate %d; before: %s", analysis->at, instruction_name(i),
                instruction_destination(i), instruction_source(i), i.offset, i.immediate, state);
}
