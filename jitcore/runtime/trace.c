/* SPDX-License-Identifier: MIT */
/* Formatting of what programs print, into a record of the trace ring. */

#include "trace.h"

#include <errno.h>
#include <string.h>

#include "ring.h"

#define ARGUMENTS 3

struct line {
    char *text;                 /* TRACE_TEXT_MAX bytes */
    uint32_t length;
};

/* One of a format: %[flags][width][l][l]kind */
struct conversion {
    bool left, zero;            /* flags - and 0 */
    uint32_t width;             /* at most TRACE_TEXT_MAX */
    uint32_t longs;             /* 0: the argument's low 32 bits count */
    char kind;                  /* d u x X p c; i is d */
};

static void put(struct line *line, char c)
{
    if (line->length < TRACE_TEXT_MAX)
        line->text[line->length++] = c;
}

static void put_times(struct line *line, char c, uint32_t times)
{
    while (times-- > 0)
        put(line, c);
}

/* A prefix (a sign, 0x, or nothing), then digits, padded to the width. */
static void put_padded(struct line *line, const struct conversion *conversion, const char *prefix, const char *digits,
                       uint32_t count)
{
    uint32_t length = count + (prefix[0] ? prefix[1] ? 2 : 1 : 0);
    uint32_t pad = conversion->width > length ? conversion->width - length : 0;
    bool zero = conversion->zero && !conversion->left;

    if (!conversion->left && !zero)
        put_times(line, ' ', pad);
    for (; *prefix; prefix++)
        put(line, *prefix);
    if (zero)
        put_times(line, '0', pad);
    for (uint32_t i = 0; i < count; i++)
        put(line, digits[i]);
    if (conversion->left)
        put_times(line, ' ', pad);
}

static void put_number(struct line *line, const struct conversion *conversion, uint64_t value)
{
    uint32_t base = conversion->kind == 'd' || conversion->kind == 'u' ? 10 : 16;
    const char *digits = conversion->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = conversion->kind == 'p' ? "0x" : "";
    char buffer[20];            /* 2^64 has 20 digits */
    uint32_t at = sizeof(buffer);

    if (conversion->kind == 'd' && (int64_t)value < 0) {
        prefix = "-";
        value = 0 - value;
    }
    do
        buffer[--at] = digits[value % base];
    while (value /= base);
    put_padded(line, conversion, prefix, &buffer[at], (uint32_t)sizeof(buffer) - at);
}

static void put_argument(struct line *line, const struct conversion *conversion, uint64_t value)
{
    char c = (char)value;

    if (conversion->kind == 'c') {
        put_padded(line, conversion, "", &c, 1);
        return;
    }
    if (!conversion->longs && conversion->kind != 'p')
        value = conversion->kind == 'd' ? (uint64_t)(int64_t)(int32_t)value : (uint32_t)value;
    put_number(line, conversion, value);
}

/* *at is behind the percent sign, and then behind the conversion; false: not one of ours. */
static bool read_conversion(const char **at, struct conversion *ret)
{
    const char *c = *at;

    *ret = (struct conversion){ 0 };
    for (; *c == '-' || *c == '0'; c++) {
        ret->left |= *c == '-';
        ret->zero |= *c == '0';
    }
    for (; *c >= '0' && *c <= '9'; c++) {
        ret->width = ret->width * 10 + (uint32_t)(*c - '0');
        ret->width = ret->width < TRACE_TEXT_MAX ? ret->width : TRACE_TEXT_MAX;
    }
    for (; *c == 'l' && ret->longs < 2; c++)
        ret->longs++;
    ret->kind = *c == 'i' ? 'd' : *c;
    *at = c + 1;
    if (ret->kind == 'p' || ret->kind == 'c')
        return !ret->longs;
    return ret->kind == 'd' || ret->kind == 'u' || ret->kind == 'x' || ret->kind == 'X';
}

static bool is_text(char c)
{
    return (c >= ' ' && c <= '~') || (c >= '\t' && c <= '\r');
}

const char *trace_find_refused(const char *format)
{
    uint32_t used = 0;

    while (*format) {
        const char *begin = format++;
        struct conversion conversion;

        if (!is_text(*begin))
            return begin;
        if (*begin != '%')
            continue;
        if (*format == '%')
            format++;
        else if (!read_conversion(&format, &conversion) || used++ == ARGUMENTS)
            return begin;
    }
    return NULL;
}

/* Of a format in which nothing is refused. */
static void format_line(struct line *line, const char *format, const uint64_t argument[ARGUMENTS])
{
    while (*format) {
        struct conversion conversion;
        char c = *format++;

        if (c != '%' || *format == '%') {
            put(line, c);
            format += c == '%';
            continue;
        }
        read_conversion(&format, &conversion);
        put_argument(line, &conversion, *argument++);
    }
}

long trace_print(const char *format, uint64_t size, uint64_t first, uint64_t second, uint64_t third,
                 struct thread *thread)
{
    const uint64_t argument[ARGUMENTS] = { first, second, third };
    char copy[TRACE_FORMAT_MAX];        /* the format may lie in the arena and change while it is read */
    struct trace_record record;
    struct line line = { record.text, 0 };
    long r;

    if (size == 0 || size > sizeof(copy))
        return -EINVAL;
    memcpy(copy, format, size);
    if (copy[size - 1])
        return -EINVAL;
    if (trace_find_refused(copy))
        return -EINVAL;
    if (!trace_map.kind)
        return -ENODEV;
    format_line(&line, copy, argument);
    record.process = thread->process;
    record.thread = thread->id;
    r = ring_output(&trace_map, &record, offsetof(struct trace_record, text) + line.length, 0, 0, thread);
    return r < 0 ? r : (long)line.length;
}
