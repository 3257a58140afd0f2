/* SPDX-License-Identifier: MIT */
/* See option.h. */
#include "option.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define TIMEOUT_DEFAULT_S 30
#define TEXT(number) TEXT_(number)
#define TEXT_(number) #number

struct option_row {
    const char *name;
    char letter;                        /* 0: none */
    const char *shown;                  /* its value in capitals, for the help; NULL: it takes none */
    bool repeats;                       /* may be given any number of times */
    unsigned group;                     /* enum option_group; 0: all verbs take it */
    /* NULL: that it is given is all.  word: NULL where it takes none. */
    enum status (*read)(const struct option_row *row, const char *word, struct options *options);
    const char *parameter;              /* of the verb's method, if it is one */
    const char *constant;               /* value of the parameter, for constant_read() */
    int64_t minimum, maximum;           /* for numbers */
    const char *help;                   /* lines */
};

/* ---- reading one ---------------------------------------------------------------------------------------- */

/* A whole number in the row's limits that ends at the character `separator`, or at the word's end. */
static bool number_read(const struct option_row *row, const char *word, char separator, int64_t *ret,
                        const char **ret_end)
{
    char *end;

    errno = 0;
    *ret = strtoll(word, &end, 10);
    *ret_end = end;
    return end != word && !errno && *ret >= row->minimum && *ret <= row->maximum && (!*end || *end == separator);
}

static enum status whole_number_read(const struct option_row *row, const char *word, int64_t *ret)
{
    const char *end;

    if (!number_read(row, word, '\0', ret, &end))
        return complain(STATUS_USAGE, "--%s takes a number from %" PRId64 " to %" PRId64 ", not '%s'", row->name,
                        row->minimum, row->maximum, word);
    return STATUS_DONE;
}

static enum status socket_read(const struct option_row *row, const char *word, struct options *options)
{
    options->socket = word;
    return STATUS_DONE;
}

static enum status timeout_read(const struct option_row *row, const char *word, struct options *options)
{
    int64_t seconds;
    enum status status = whole_number_read(row, word, &seconds);

    if (status == STATUS_DONE)
        options->timeout_ms = (int)seconds * 1000;
    return status;
}

static enum status text_read(const struct option_row *row, const char *word, struct options *options)
{
    member_add(options->parameters, row->parameter, json_object_new_string(word));
    return STATUS_DONE;
}

static enum status integer_read(const struct option_row *row, const char *word, struct options *options)
{
    int64_t number;
    enum status status = whole_number_read(row, word, &number);

    if (status == STATUS_DONE)
        member_add(options->parameters, row->parameter, json_object_new_int64(number));
    return status;
}

static enum status integers_read(const struct option_row *row, const char *word, struct options *options)
{
    struct json_object *numbers = require(json_object_new_array());
    const char *at = word;
    int64_t number;

    member_add(options->parameters, row->parameter, numbers);
    for (;;) {
        if (!number_read(row, at, ',', &number, &at))
            return complain(STATUS_USAGE, "--%s takes numbers from %" PRId64 " to %" PRId64
                            ", with commas between them, not '%s'", row->name, row->minimum, row->maximum, word);
        json_object_array_add(numbers, require(json_object_new_int64(number)));
        if (!*at++)
            return STATUS_DONE;
    }
}

static enum status constant_read(const struct option_row *row, const char *word, struct options *options)
{
    return text_read(row, row->constant, options);
}

static enum status true_read(const struct option_row *row, const char *word, struct options *options)
{
    member_add(options->parameters, row->parameter, json_object_new_boolean(true));
    return STATUS_DONE;
}

static enum status level_read(const struct option_row *row, const char *word, struct options *options)
{
    if (strcmp(word, "committed") != 0 && strcmp(word, "live") != 0 && strcmp(word, "quiescent") != 0)
        return complain(STATUS_USAGE, "--%s takes committed, live or quiescent, not '%s'", row->name, word);
    return text_read(row, word, options);
}

/* NAME=VALUE; the first `=` ends the name. */
static enum status setting_read(const struct option_row *row, const char *word, struct options *options)
{
    const char *equals = strchr(word, '=');
    _cleanup_free_ char *name = equals ? require(strndup(word, (size_t)(equals - word))) : NULL;
    struct json_object *settings = json_object_object_get(options->parameters, row->parameter);

    if (!name || !*name)
        return complain(STATUS_USAGE, "--%s takes NAME=VALUE, not '%s'", row->name, word);
    if (!settings) {
        settings = require(json_object_new_object());
        member_add(options->parameters, row->parameter, settings);
    }
    if (json_object_object_get_ex(settings, name, NULL))
        return complain(STATUS_USAGE, "--%s gives '%s' two values", row->name, name);
    member_add(settings, name, json_object_new_string(equals + 1));
    return STATUS_DONE;
}

/* ---- the table ------------------------------------------------------------------------------------------ */

static const struct option_row rows[OPTION_MAX] = {
    [OPTION_SOCKET] = {
        .name = "socket", .shown = "PATH", .read = socket_read,
        .help = "control socket (default: $DISPATCHD_CONTROL_SOCKET, else the user's own\n"
                "dispatchd in $XDG_RUNTIME_DIR/dispatchd/control, else /run/dispatchd/control)",
    },
    [OPTION_JSON] = {
        .name = "json",
        .help = "print the answer as JSON, for programs; the tables for people may change",
    },
    [OPTION_QUIET] = {
        .name = "quiet", .letter = 'q',
        .help = "print ids only",
    },
    [OPTION_TIMEOUT] = {
        .name = "timeout", .shown = "SECONDS", .read = timeout_read, .minimum = 1, .maximum = 86400,
        .help = "how long to wait for the answer (default " TEXT(TIMEOUT_DEFAULT_S) ")",
    },
    [OPTION_HELP] = {
        .name = "help",
        .help = "this text, or that of the verb",
    },
    [OPTION_VERSION] = {
        .name = "version",
        .help = "the version",
    },
    [OPTION_PROGRAM] = {
        .name = "program", .shown = "FUNCTION", .group = OPTIONS_OBJECT, .read = text_read, .parameter = "function",
        .help = "which of the programs, if the object has several",
    },
    [OPTION_SET] = {
        .name = "set", .shown = "NAME=VALUE", .repeats = true, .group = OPTIONS_OBJECT,
        .read = setting_read, .parameter = "settings",
        .help = "give a `const volatile` variable of the object this value; any number of times.\n"
                "VALUE is a number, true, false, the name of an enumerator, or a string, as the\n"
                "variable's type has it; NAME may lead on, as in ports[3] or limits.burst",
    },
    [OPTION_PRIORITY] = {
        .name = "priority", .shown = "N", .group = OPTIONS_CHAIN,
        .read = integer_read, .parameter = "priority", .minimum = INT32_MIN, .maximum = INT32_MAX,
        .help = "place in the chain, -2147483648 to 2147483647 (default: 0)",
    },
    [OPTION_PROCEED_ON] = {
        .name = "proceed-on", .shown = "VERDICT,...", .group = OPTIONS_CHAIN,
        .read = integers_read, .parameter = "proceed_on", .maximum = UINT32_MAX,
        .help = "up to 8 verdicts after which the next link of the chain runs",
    },
    [OPTION_TABLE] = {
        .name = "table", .shown = "TABLE", .group = OPTIONS_SCOPE, .read = text_read, .parameter = "table",
        .help = "of this table (default: all)",
    },
    [OPTION_LINK] = {
        .name = "link", .shown = "LINK", .group = OPTIONS_SCOPE,
        .read = integer_read, .parameter = "link", .minimum = 1, .maximum = INT64_MAX,
        .help = "of this link alone",
    },
    [OPTION_TIME] = {
        .name = "time", .group = OPTIONS_COUNT, .read = constant_read, .parameter = "counting", .constant = "time",
        .help = "also how long they take",
    },
    [OPTION_HISTOGRAM] = {
        .name = "histogram", .group = OPTIONS_COUNT,
        .read = constant_read, .parameter = "counting", .constant = "histogram",
        .help = "also how these times are distributed",
    },
    [OPTION_MISSES] = {
        .name = "misses", .group = OPTIONS_MISSES, .read = true_read, .parameter = "misses",
        .help = "of tables the misses alone: calls with keys that nothing is attached to",
    },
    [OPTION_KEY] = {
        .name = "key", .shown = "TYPE", .group = OPTIONS_MAP, .read = text_read, .parameter = "key",
        .help = "u8, u16, u32, u64, s8, s16, s32, s64, char[N] or u8[N]; kinds without keys take none",
    },
    [OPTION_VALUE] = {
        .name = "value", .shown = "TYPE", .group = OPTIONS_MAP, .read = text_read, .parameter = "value",
        .help = "likewise; a ringbuf and maps of maps take none",
    },
    [OPTION_INNER] = {
        .name = "inner", .shown = "MAP", .group = OPTIONS_MAP, .read = text_read, .parameter = "inner",
        .help = "of maps of maps: they may hold maps that are like this one",
    },
    [OPTION_READ_ONLY] = {
        .name = "read-only", .group = OPTIONS_MAP, .read = constant_read, .parameter = "access",
        .constant = "read_only",
        .help = "programs may not write to it",
    },
    [OPTION_WRITE_ONLY] = {
        .name = "write-only", .group = OPTIONS_MAP, .read = constant_read, .parameter = "access",
        .constant = "write_only",
        .help = "programs may not read it",
    },
    [OPTION_NEW] = {
        .name = "new", .group = OPTIONS_ONLY, .read = constant_read, .parameter = "only", .constant = "new",
        .help = "fail if there is such an element",
    },
    [OPTION_EXISTING] = {
        .name = "existing", .group = OPTIONS_ONLY, .read = constant_read, .parameter = "only", .constant = "existing",
        .help = "fail if there is none",
    },
    [OPTION_DROP_OLDEST] = {
        .name = "drop-oldest", .group = OPTIONS_DROP, .read = true_read, .parameter = "drop_oldest",
        .help = "make room for it where the map is full",
    },
    [OPTION_HEX] = {
        .name = "hex", .group = OPTIONS_HEX,
        .help = "keys and values are bytes, in the order of memory: a word of hexadecimal digits each",
    },
    [OPTION_FOLLOW] = {
        .name = "follow", .group = OPTIONS_FOLLOW, .read = true_read, .parameter = "follow",
        .help = "go on with what comes, until interrupted",
    },
    [OPTION_VERBOSE] = {
        .name = "verbose", .letter = 'v', .group = OPTIONS_VERBOSE, .read = true_read, .parameter = "log",
        .help = "also print what the verifier did, instruction by instruction",
    },
    [OPTION_WAIT] = {
        .name = "wait", .shown = "LEVEL", .group = OPTIONS_WAIT, .read = level_read, .parameter = "wait",
        .help = "when to answer (default: live):\n"
                "committed   the change will outlive dispatchd\n"
                "live        every later call in every worker sees it\n"
                "quiescent   no thread is left in the code that was replaced",
    },
};

static const enum option_id exclusive[][2] = {
    { OPTION_JSON, OPTION_QUIET },
    { OPTION_TABLE, OPTION_LINK },
    { OPTION_LINK, OPTION_MISSES },     /* misses are a table's */
    { OPTION_TIME, OPTION_HISTOGRAM },
    { OPTION_READ_ONLY, OPTION_WRITE_ONLY },
    { OPTION_NEW, OPTION_EXISTING },
};

/* ---- the command line ----------------------------------------------------------------------------------- */

#define WITHOUT_LETTER 256              /* getopt returns this and the row of an option that has no letter */

/* What getopt wants to know of the rows. */
static void getopt_rows(struct option ret[static OPTION_MAX + 1])
{
    for (int id = 0; id < OPTION_MAX; id++)
        ret[id] = (struct option){
            .name = rows[id].name,
            .has_arg = rows[id].shown ? required_argument : no_argument,
            .val = rows[id].letter ? rows[id].letter : WITHOUT_LETTER + id,
        };
    ret[OPTION_MAX] = (struct option){ 0 };
}

static enum status option_take(const struct option *options, int found, struct options *ret)
{
    int id = 0;

    while (id < OPTION_MAX && options[id].val != found)
        id++;
    if (id == OPTION_MAX)
        return STATUS_USAGE;            /* getopt has said what is wrong */
    if (ret->given[id] && !rows[id].repeats)
        return complain(STATUS_USAGE, "--%s is given twice; it can be given once", rows[id].name);
    ret->given[id] = true;
    return rows[id].read ? rows[id].read(&rows[id], optarg, ret) : STATUS_DONE;
}

static enum status exclusive_check(const struct options *options)
{
    for (size_t i = 0; i < ARRAY_LENGTH(exclusive); i++)
        if (options->given[exclusive[i][0]] && options->given[exclusive[i][1]])
            return complain(STATUS_USAGE, "--%s and --%s exclude each other; choose one", rows[exclusive[i][0]].name,
                            rows[exclusive[i][1]].name);
    return STATUS_DONE;
}

enum status options_read(int argc, char **argv, struct options *ret)
{
    _cleanup_(options_done) struct options options = { .timeout_ms = TIMEOUT_DEFAULT_S * 1000 };
    struct option long_options[OPTION_MAX + 1];
    enum status status = STATUS_DONE;
    int found;

    options.parameters = require(json_object_new_object());
    getopt_rows(long_options);
    while (status == STATUS_DONE && (found = getopt_long(argc, argv, "qv", long_options, NULL)) >= 0)
        status = option_take(long_options, found, &options);
    if (status == STATUS_DONE)
        status = exclusive_check(&options);
    if (status != STATUS_DONE)
        return status;
    *ret = options;
    options.parameters = NULL;
    return STATUS_DONE;
}

enum status options_check(const struct options *options, const char *verb, unsigned groups)
{
    for (int id = 0; id < OPTION_MAX; id++)
        if (options->given[id] && rows[id].group && !(rows[id].group & groups))
            return complain(STATUS_USAGE, "%s takes no --%s; see dispatchctl --help", verb, rows[id].name);
    return STATUS_DONE;
}

void options_done(struct options *options)
{
    json_object_put(options->parameters);
}

/* ---- help ----------------------------------------------------------------------------------------------- */

/* "--program FUNCTION"; returns its length. */
static int option_print(FILE *out, const struct option_row *row)
{
    return fprintf(out, "--%s%s%s", row->name, row->shown ? " " : "", row->shown ? row->shown : "");
}

/* Do usages show this one and the next as alternatives? */
static bool is_alternative(int id)
{
    for (size_t i = 0; i < ARRAY_LENGTH(exclusive); i++)
        if ((int)exclusive[i][0] == id && (int)exclusive[i][1] == id + 1)
            return true;
    return false;
}

void options_usage(FILE *out, unsigned groups)
{
    const char *before = " [";

    for (int id = 0; id < OPTION_MAX; id++) {
        if (!(rows[id].group & groups))
            continue;
        fputs(before, out);
        option_print(out, &rows[id]);
        before = is_alternative(id) ? " | " : " [";
        if (!is_alternative(id))
            fputs(rows[id].repeats ? "]..." : "]", out);
    }
}

#define HELP_COLUMN 24

static void option_help(FILE *out, const struct option_row *row)
{
    int column = row->letter ? fprintf(out, "  -%c, ", row->letter) : fprintf(out, "  ");
    const char *line = row->help;

    column += option_print(out, row);
    if (column >= HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    for (;;) {
        int length = (int)strcspn(line, "\n");

        fprintf(out, "%*s%.*s\n", HELP_COLUMN - column, "", length, line);
        if (!line[length])
            return;
        line += length + 1;
        column = 0;
    }
}

void options_help(FILE *out, unsigned groups)
{
    for (int id = 0; id < OPTION_MAX; id++)
        if (groups ? rows[id].group & groups : !rows[id].group)
            option_help(out, &rows[id]);
}
