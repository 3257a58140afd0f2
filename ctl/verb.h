/* SPDX-License-Identifier: MIT */
/*
 * The verbs: one row each says what it takes, what it asks of the daemon, what it prints and what --help says.
 * Parsing, help and the manual's test come from the same rows.
 */
#ifndef CTL_VERB_H
#define CTL_VERB_H

#include <stdbool.h>
#include <stdio.h>

struct column;
struct json_object;

enum argument_kind {
    ARGUMENT_NAME,          /* passed on as it is */
    ARGUMENT_KEYS,          /* 0 to 4294967295, decimal or 0x..., or FIRST-LAST, or `default` */
    ARGUMENT_TARGET,        /* a program's name, or native:NAME */
    ARGUMENT_CALL_TARGET,   /* the same, or value:N, or `default` */
    ARGUMENT_POLICY,        /* any or no-indirect */
    ARGUMENT_LINK,          /* an id as `list links` shows it */
    ARGUMENT_FILE,          /* opened here; its descriptor is passed on */
    ARGUMENT_NUMBER,        /* 1 to 4294967295 */
    /* All words that are left, which are of the map that the first argument names: element.h. */
    ARGUMENT_KEY,
    ARGUMENT_VALUE,
    ARGUMENT_ELEMENT,       /* key and value */
};

struct argument {
    const char *shown;      /* in capitals, for the help; NULL: no more arguments */
    const char *parameter;  /* of the method; a file has none */
    enum argument_kind kind;
};

#define VERB_ARGUMENTS_MAX 3

enum verb_options {
    VERB_WAIT = 1 << 0,                 /* --wait */
    VERB_OBJECT = 1 << 1,               /* --program, --set */
    VERB_VERBOSE = 1 << 2,              /* --verbose */
    VERB_CHAIN = 1 << 3,                /* --priority, --proceed-on */
    VERB_SCOPE = 1 << 4,                /* --table, --link */
    VERB_COUNT = 1 << 5,                /* --time, --histogram; counting is switched on */
    VERB_COUNT_OFF = 1 << 6,            /* counting is switched off */
    VERB_MISSES = 1 << 7,               /* --misses */
    VERB_HEX = 1 << 8,                  /* --hex */
    VERB_ONLY = 1 << 9,                 /* --new, --existing */
    VERB_DROP = 1 << 10,                /* --drop-oldest */
    VERB_MAP = 1 << 11,                 /* --key, --value, --inner, --read-only, --write-only */
    VERB_FOLLOW = 1 << 12,              /* --follow */
    VERB_GATHER = 1 << 13,              /* many answers, whose rows are printed together */
    VERB_STREAM = 1 << 14,              /* many answers, printed as they come, perhaps without an end */
};

struct verb {
    const char *name;                   /* one word, or two: "list WHAT" */
    struct argument argument[VERB_ARGUMENTS_MAX + 1];
    unsigned options;                   /* enum verb_options */
    const char *summary;                /* one line */
    const char *help;                   /* what a user needs to know besides */
    const char *method;                 /* of interface io.dispatchd.Control */
    /* For people; quiet: ids only.  NULL: nothing to print. */
    void (*print)(const struct verb *verb, struct json_object *reply, bool quiet);
    const char *rows;                   /* member of the reply that print shows as a table */
    const struct column *columns;       /* of the rows; the first is the id */
};

extern const struct verb verbs[];       /* ends with a NULL name */

/* The verb that the words begin with; *ret_words of them are its name.  NULL: none. */
const struct verb *verb_find(char **words, int n_words, int *ret_words);

/* Does it take so many words?  The last argument may be any number of them. */
bool verb_takes(const struct verb *verb, int words);

/* "load NAME FILE [--program FUNCTION] [--set NAME=VALUE]... [--wait LEVEL]" */
void verb_usage(FILE *out, const struct verb *verb);

/* Print the log that a reply or an error of Verify may have. */
void log_show(struct json_object *object);

/* Help for all verbs whose name begins with this word; returns how many there are. */
int verb_help(const char *word);

#endif
