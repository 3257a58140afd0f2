/* SPDX-License-Identifier: MIT */
/* Refusals and the log. */

#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../helper.h"
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

static const struct bytecode_function *function_at_hand(const struct analysis *analysis)
{
    return &analysis->bytecode->function[bytecode_function_at(analysis->bytecode, analysis->at)];
}

/* "" unless it is an argument's memory that is looked at.  Returns the length. */
static int describe_argument(const struct message_argument *argument, char *buffer, size_t size)
{
    if (!argument)
        return snprintf(buffer, size, "%s", "");
    if (argument->what)
        return snprintf(buffer, size, "R%u of %s%s must point to the %u bytes of %s of %s; ", argument->reg,
                        argument->prefix, argument->function, argument->size, argument->what, argument->map);
    return snprintf(buffer, size, "R%u of %s%s must point to %u bytes, as R%u says; ", argument->reg,
                    argument->prefix, argument->function, argument->size, argument->reg + 1);
}

__attribute__((format(printf, 5, 0)))
static int refuse(struct analysis *analysis, int result, const char *rule, const char *hint, const char *format,
                  va_list arguments)
{
    const struct bytecode_function *function = function_at_hand(analysis);
    char text[sizeof(analysis->error->text)];
    int prefix = describe_argument(analysis->argument, text, sizeof(text));

    vsnprintf(text + prefix, sizeof(text) - (size_t)prefix, format, arguments);
    message_log(analysis, "refused (%s): %s", rule, text);
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

/* ---- the log ---- */

static bool is_logged(const struct analysis *analysis)
{
    return analysis->options && analysis->options->log;
}

void message_log(struct analysis *analysis, const char *format, ...)
{
    const struct bytecode_function *function;
    char line[LINE_SIZE];
    va_list arguments;
    int prefix;

    if (!is_logged(analysis))
        return;
    function = function_at_hand(analysis);
    prefix = snprintf(line, sizeof(line), "%s+%u: ", function->name, analysis->at - function->first);
    va_start(arguments, format);
    vsnprintf(line + prefix, sizeof(line) - (size_t)prefix, format, arguments);
    va_end(arguments);
    analysis->options->log(analysis->options->userdata, line);
}

/* The source, where it is another line than that of the instruction before. */
static void log_source(struct analysis *analysis)
{
    const struct bytecode *bytecode = analysis->bytecode;
    const struct bytecode_line *source = bytecode_line_at(bytecode, analysis->at);
    const char *text = source ? bytecode->string + source->text : "";
    char line[LINE_SIZE];

    if (!source || source == analysis->logged)
        return;
    analysis->logged = source;
    snprintf(line, sizeof(line), "; %s%s@ %s:%u", text, *text ? " " : "", bytecode->string + source->file,
             source->line);
    analysis->options->log(analysis->options->userdata, line);
}

/* What a call or an lddw refers to; NULL: a number. */
static const char *name_target(const struct bytecode *bytecode, const struct instruction *i, char *buffer, size_t size)
{
    unsigned kind = instruction_source(*i);
    const char *helper;

    if (i->opcode == OPCODE_CALL && kind == CALL_HELPER) {
        helper = helper_name(i->immediate);
        snprintf(buffer, size, "bpf_%s", helper ? helper : "");
        return helper ? buffer : NULL;
    }
    if (i->opcode == OPCODE_CALL)
        return kind == CALL_LOCAL ? bytecode->function[i->immediate].name : bytecode->native[i->immediate].name;
    if (i->opcode != OPCODE_LOAD_64 || kind == WIDE_NUMBER)
        return NULL;
    if (kind == WIDE_FUNCTION)
        return bytecode->function[i->immediate].name;
    if (kind == WIDE_MAP)
        return bytecode->region[i->immediate].name;
    snprintf(buffer, size, "%s + %d", bytecode->region[i->immediate].name, i[1].immediate);
    return buffer;
}

void message_log_state(struct analysis *analysis)
{
    const struct instruction *i = &analysis->bytecode->instruction[analysis->at];
    char state[LINE_SIZE - 256], name[BYTECODE_NAME_MAX + 16], text[INSTRUCTION_FORMAT_SIZE];

    if (!is_logged(analysis))
        return;
    log_source(analysis);
    describe_state(analysis, state, sizeof(state));
    instruction_format(*i, instruction_length(*i) == 2 ? i[1].immediate : 0,
                       name_target(analysis->bytecode, i, name, sizeof(name)), text);
    message_log(analysis, "%s; before: %s", text, state);
}
