/* SPDX-License-Identifier: MIT */
/*
 * The verbs: one row each says what it takes, what it asks of the daemon, what it prints and what --help says.
 * Parsing, help and the manual's test come from the same rows; options have rows of their own (option.h).
 */
#ifndef CTL_VERB_H
#define CTL_VERB_H

#include <stdbool.h>
#include <stdio.h>

#include "option.h"
#include "status.h"

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

enum verb_answers {
    ANSWERS_ONE,
    ANSWERS_MERGED,         /* many, whose lists are shown as one answer's */
    ANSWERS_GATHERED,       /* the same for people; for programs each by itself */
    ANSWERS_STREAMED,       /* many, printed as they come, perhaps without an end */
};

struct verb {
    const char *name;                   /* one word, or two: "list WHAT" */
    struct argument argument[VERB_ARGUMENTS_MAX + 1];
    unsigned options;                   /* enum option_group */
    enum verb_answers answers;
    const char *counting;               /* what is counted unless options say; NULL: the method does not ask */
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

/* Complain that this word alone is no verb: it may be the first of two. */
enum status verb_missing(const char *word);

#endif
