/* SPDX-License-Identifier: MIT */
/*
 * Which line of the source each instruction comes from.  The form of .BTF.ext is described in the kernel's
 * Documentation/bpf/btf.rst: a header; then, of its line information, the size of a record and a table for each
 * section with code.
 */

#include "lines.h"

#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "linker.h"
#include "types.h"

#define MAGIC 0xeb9f

struct header {
    uint16_t magic;
    uint8_t version, flags;
    uint32_t size;              /* of the header; the offsets count from its end */
    uint32_t functions_offset, functions_size;
    uint32_t lines_offset, lines_size;
};

/* Bytes that are left to read. */
struct view {
    const uint8_t *bytes;
    size_t size;
};

struct reader {
    const struct btf *btf;
    struct bytecode *bytecode;
    struct view lines;          /* the tables */
    uint32_t record_size;
    uint32_t *copied;           /* per offset in the BTF's strings: offset in bytecode->string, 0: not there yet */
    uint32_t copied_size;
    uint32_t strings_max;       /* bytes */
    struct jit_error *error;
};

static int damaged(struct reader *reader)
{
    return jit_error_set(reader->error, -EINVAL, "btf",
                         "the object's .BTF.ext section is damaged; compile the program anew");
}

/* ---- strings ---- */

/* Printable, without the blanks in front.  0, which is an empty string, if there is no room. */
static uint32_t add_string(struct reader *reader, const char *source, bool is_file)
{
    struct bytecode *bytecode = reader->bytecode;
    uint32_t at = bytecode->strings;
    size_t length = strlen(source);

    if (is_file && length > LINES_TEXT_MAX)
        source += length - LINES_TEXT_MAX;
    source += strspn(source, " \t");
    length = strnlen(source, LINES_TEXT_MAX);
    if (length == 0 || length + 1 > reader->strings_max - at)
        return 0;
    for (size_t i = 0; i < length; i++)
        bytecode->string[at + i] = source[i] == '\t' ? ' ' : source[i] < ' ' || source[i] > '~' ? '?' : source[i];
    bytecode->string[at + length] = '\0';
    bytecode->strings += (uint32_t)length + 1;
    return at;
}

static uint32_t copy_string(struct reader *reader, uint32_t offset, bool is_file)
{
    if (offset >= reader->copied_size)
        return 0;
    if (reader->copied[offset] == 0)
        reader->copied[offset] = add_string(reader, types_string(reader->btf, offset), is_file);
    return reader->copied[offset];
}

/* ---- tables ---- */

static bool take(struct view *view, size_t size, struct view *ret)
{
    if (size > view->size)
        return false;
    *ret = (struct view){ view->bytes, size };
    view->bytes += size;
    view->size -= size;
    return true;
}

static bool take_number(struct view *view, uint32_t *ret)
{
    struct view number;

    if (!take(view, sizeof(*ret), &number))
        return false;
    memcpy(ret, number.bytes, sizeof(*ret));
    return true;
}

static int open_lines(struct reader *reader, const struct object_section *section)
{
    struct header header;
    struct view rest = { section->bytes, section->size }, skipped;

    if (rest.size < sizeof(header))
        return damaged(reader);
    memcpy(&header, rest.bytes, sizeof(header));
    if (header.magic != MAGIC || header.version != 1 || header.size < sizeof(header) ||
        !take(&rest, header.size, &skipped) || !take(&rest, header.lines_offset, &skipped) ||
        !take(&rest, header.lines_size, &reader->lines))
        return damaged(reader);
    if (header.lines_size > 0 && (!take_number(&reader->lines, &reader->record_size) ||
                                  reader->record_size < sizeof(struct bpf_line_info)))
        return damaged(reader);
    return 0;
}

/* The next table: the records of one section. */
static int next_table(struct reader *reader, struct view *tables, const char **ret_section, struct view *ret)
{
    uint32_t name, count;

    if (!take_number(tables, &name) || !take_number(tables, &count) ||
        !take(tables, (size_t)count * reader->record_size, ret))
        return damaged(reader);
    *ret_section = types_string(reader->btf, name);
    return 0;
}

/* ---- lines ---- */

/* Those behind the last one, and of another line than it, only. */
static void add_line(struct reader *reader, const struct bytecode_function *function, uint32_t instruction,
                     const struct bpf_line_info *record)
{
    struct bytecode *bytecode = reader->bytecode;
    struct bytecode_line line = {
        .instruction = instruction,
        .line = BPF_LINE_INFO_LINE_NUM(record->line_col),
        .file = copy_string(reader, record->file_name_off, true),
        .text = copy_string(reader, record->line_off, false),
    };
    const struct bytecode_line *last = bytecode->lines > 0 ? &bytecode->line[bytecode->lines - 1] : NULL;

    if (last && last->instruction >= function->first &&
        (last->instruction >= instruction || (last->line == line.line && last->file == line.file)))
        return;
    bytecode->line[bytecode->lines++] = line;
}

static void read_table(struct reader *reader, struct view table, const struct object_function *source,
                       const struct bytecode_function *function)
{
    struct view bytes;
    struct bpf_line_info record;

    while (take(&table, reader->record_size, &bytes)) {
        uint32_t index;

        memcpy(&record, bytes.bytes, sizeof(record));
        index = record.insn_off / sizeof(struct instruction);
        if (BPF_LINE_INFO_LINE_NUM(record.line_col) > 0 && index - source->first < source->count)
            add_line(reader, function, function->first + (index - source->first), &record);
    }
}

static int read_function(struct reader *reader, const char *section, const struct object_function *source,
                         const struct bytecode_function *function)
{
    struct view tables = reader->lines, table = { .size = 0 };
    const char *name = "";

    for (unsigned i = 0; tables.size > 0; i++) {
        int r = i < OBJECT_SECTIONS_MAX ? next_table(reader, &tables, &name, &table) : damaged(reader);

        if (r < 0)
            return r;
        if (strcmp(name, section) == 0)
            read_table(reader, table, source, function);
    }
    return 0;
}

static int read_functions(struct reader *reader, const struct object *object, const uint32_t *origin)
{
    struct bytecode *bytecode = reader->bytecode;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < bytecode->functions; i++) {
        const struct object_function *source = &object->function[origin[i]];

        r = read_function(reader, object->file->section[source->section].name, source, &bytecode->function[i]);
    }
    return r;
}

/* Memory for as much as there can be: each instruction has a line of its own, with two strings. */
static int allocate(struct reader *reader)
{
    struct bytecode *bytecode = reader->bytecode;
    uint32_t max = 1 + bytecode->instructions * 2 * (LINES_TEXT_MAX + 1);

    reader->strings_max = max < BYTECODE_STRINGS_MAX ? max : BYTECODE_STRINGS_MAX;
    btf__raw_data(reader->btf, &reader->copied_size);   /* more than its strings */
    reader->copied = calloc(reader->copied_size, sizeof(*reader->copied));
    bytecode->line = calloc(bytecode->instructions, sizeof(*bytecode->line));
    bytecode->string = calloc(reader->strings_max, 1);
    if (!reader->copied || !bytecode->line || !bytecode->string)
        return -ENOMEM;
    bytecode->strings = 1;      /* the empty one */
    return 0;
}

int lines_read(const struct object *object, const uint32_t origin[BYTECODE_FUNCTIONS_MAX], struct bytecode *bytecode,
               struct jit_error *error)
{
    uint32_t section = object_file_find(object->file, ".BTF.ext");
    struct reader reader = { .btf = object->btf, .bytecode = bytecode, .error = error };
    int r;

    if (!section || !object->btf)
        return 0;
    r = allocate(&reader);
    if (r == 0)
        r = open_lines(&reader, &object->file->section[section]);
    if (r == 0)
        r = read_functions(&reader, object, origin);
    free(reader.copied);
    return r;
}
