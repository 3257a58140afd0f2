/* SPDX-License-Identifier: MIT */
/* Reading what the comments of programs say that they must do. */
#include "cases.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_MAX 4096         /* bytes */
#define SOURCE_MAX 65536        /* bytes */

struct reader {
    const char *path;
    const char *at;
    unsigned line;
};

__attribute__((noreturn))
static void refuse(const struct reader *reader, const char *what)
{
    fprintf(stderr, "%s:%u: %s at \"%.20s\"\n", reader->path, reader->line, what, reader->at);
    exit(2);
}

static bool take(struct reader *reader, const char *text)
{
    size_t length = strlen(text);

    if (strncmp(reader->at, text, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static void skip_blanks(struct reader *reader)
{
    while (*reader->at == ' ')
        reader->at++;
}

/* The value's field in a context; NULL if there is none of this name. */
static const struct field {
    const char *name;
    size_t offset, size;
} fields[] = {
#define FIELD(name) { #name "=", offsetof(struct packet, name), sizeof(((struct packet *)0)->name) }
    FIELD(offset), FIELD(size), FIELD(status), FIELD(value), FIELD(small), FIELD(tiny),
};

static uint64_t read_number(struct reader *reader)
{
    char *end;
    uint64_t number = strtoull(reader->at, &end, 0);

    if (end == reader->at)
        refuse(reader, "a number is missing");
    reader->at = end;
    return number;
}

static bool read_field(struct reader *reader, struct packet *packet)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (take(reader, fields[i].name)) {
            uint64_t number = read_number(reader);

            memcpy((uint8_t *)packet + fields[i].offset, &number, fields[i].size);
            return true;
        }
    return false;
}

/* ---- packets ---- */

static int hexadecimal(char character)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = character ? strchr(digits, character) : NULL;

    return found ? (int)(found - digits) : -1;
}

static uint8_t read_hexadecimal(struct reader *reader)
{
    int high = hexadecimal(reader->at[0]), low = high < 0 ? -1 : hexadecimal(reader->at[1]);

    if (low < 0)
        refuse(reader, "two hexadecimal digits are missing");
    reader->at += 2;
    return (uint8_t)(high << 4 | low);
}

static uint8_t read_character(struct reader *reader)
{
    static const char escapes[] = "n\nr\rt\t0\0\"\"\\\\";

    if (*reader->at == '\n' || *reader->at == '\0')
        refuse(reader, "the string has no end");
    if (*reader->at != '\\')
        return (uint8_t)*reader->at++;
    reader->at++;
    if (take(reader, "x"))
        return read_hexadecimal(reader);
    for (size_t i = 0; i < sizeof(escapes) - 1; i += 2)
        if (*reader->at == escapes[i]) {
            reader->at++;
            return (uint8_t)escapes[i + 1];
        }
    refuse(reader, "unknown escape");
}

/* A piece's bytes, at most `room`; returns how many. */
static size_t read_piece(struct reader *reader, uint8_t *ret, size_t room)
{
    bool string = take(reader, "\"");
    size_t size = 0;

    while (string ? !take(reader, "\"") : hexadecimal(*reader->at) >= 0) {
        if (size == room)
            refuse(reader, "the packet is too long");
        ret[size++] = string ? read_character(reader) : read_hexadecimal(reader);
    }
    return size;
}

static size_t repeat(struct reader *reader, uint8_t *bytes, size_t size, size_t room)
{
    uint64_t times = take(reader, "*") ? read_number(reader) : 1;

    if (times * size > room)
        refuse(reader, "the packet is too long");
    for (uint64_t i = 1; i < times; i++)
        memcpy(bytes + i * size, bytes, size);
    return times * size;
}

/* Over the end of a line and the asterisk in front of the next. */
static void skip_to_piece(struct reader *reader)
{
    skip_blanks(reader);
    while (*reader->at == '\n') {
        reader->at++;
        reader->line++;
        skip_blanks(reader);
        take(reader, "*");
        skip_blanks(reader);
    }
}

static void read_packet(struct reader *reader, struct test_case *ret)
{
    uint8_t bytes[PACKET_MAX];
    size_t size = 0;

    do {
        size_t piece;

        skip_to_piece(reader);
        piece = read_piece(reader, bytes + size, PACKET_MAX - size);
        size += repeat(reader, bytes + size, piece, PACKET_MAX - size);
        skip_blanks(reader);
    } while (take(reader, "+"));
    ret->bytes = realloc(ret->bytes, size + 1);
    if (!ret->bytes)
        refuse(reader, "no memory");
    memcpy(ret->bytes, bytes, size);
    ret->size = size;
}

/* ---- lines ---- */

static void read_case(struct reader *reader, struct test_case *ret)
{
    ret->line = reader->line;
    ret->bytes = malloc(1);
    for (skip_blanks(reader); !take(reader, "->"); skip_blanks(reader)) {
        if (take(reader, "packet="))
            read_packet(reader, ret);
        else if (take(reader, "key="))
            ret->key = (uint32_t)read_number(reader);
        else if (!read_field(reader, &ret->before))
            refuse(reader, "no field of the context");
    }
    ret->verdict = (uint32_t)read_number(reader);
    ret->after = ret->before;
    for (skip_blanks(reader); *reader->at != '\n'; skip_blanks(reader))
        if (!read_field(reader, &ret->after))
            refuse(reader, "no field of the context");
}

/* A word up to one of `ends`. */
static void read_word(struct reader *reader, const char *ends, char *ret, size_t room)
{
    size_t length = strcspn(reader->at, ends);

    if (length == 0 || length >= room)
        refuse(reader, "a word is missing or too long");
    memcpy(ret, reader->at, length);
    ret[length] = '\0';
    reader->at += length;
}

static unsigned read_settings(struct reader *reader, struct setting *ret)
{
    unsigned count = 0;

    for (skip_blanks(reader); *reader->at != '\n'; skip_blanks(reader), count++) {
        if (count == SETTINGS_MAX)
            refuse(reader, "too many settings");
        read_word(reader, "= \n", ret[count].name, sizeof(ret->name));
        if (!take(reader, "="))
            refuse(reader, "a value is missing");
        read_word(reader, " \n", ret[count].value, sizeof(ret->value));
    }
    return count;
}

static char *read_source(const char *path)
{
    char *source = calloc(1, SOURCE_MAX + 1);
    FILE *file = fopen(path, "r");

    if (!source || !file || fread(source, 1, SOURCE_MAX, file) == 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    fclose(file);
    return source;
}

struct test_case *cases_read(const char *path, size_t *ret_count)
{
    struct test_case *cases = calloc(CASES_MAX, sizeof(*cases)), begin = { .anew = true };
    char *source = read_source(path);
    struct reader reader = { path, source, 1 };
    size_t count = 0;

    for (; *reader.at; reader.at++, reader.line++) {
        if (take(&reader, " * with:")) {
            begin.anew = true;
            begin.settings = read_settings(&reader, begin.setting);
        } else if (take(&reader, " * expect:")) {
            if (count == CASES_MAX)
                refuse(&reader, "too many cases");
            cases[count] = begin;
            read_case(&reader, &cases[count++]);
            begin = (struct test_case){ 0 };
        } else {
            reader.at += strcspn(reader.at, "\n");
        }
    }
    free(source);
    *ret_count = count;
    return cases;
}

void cases_free(struct test_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(cases[i].bytes);
    free(cases);
}
