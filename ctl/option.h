/* SPDX-License-Identifier: MIT */
/*
 * The options: one row each says which verbs take it, what it asks of the daemon and what --help says.
 * Reading, checking, usages and help come from the same rows.
 */
#ifndef CTL_OPTION_H
#define CTL_OPTION_H

#include <stdbool.h>
#include <stdio.h>

#include "status.h"

struct json_object;

/* Options that the same verbs take.  Those of no group are for all verbs. */
enum option_group {
    OPTIONS_OBJECT = 1 << 0,            /* --program, --set */
    OPTIONS_CHAIN = 1 << 1,             /* --priority, --proceed-on */
    OPTIONS_SCOPE = 1 << 2,             /* --table, --link */
    OPTIONS_COUNT = 1 << 3,             /* --time, --histogram */
    OPTIONS_MISSES = 1 << 4,            /* --misses */
    OPTIONS_MAP = 1 << 5,               /* --key, --value, --inner, --read-only, --write-only */
    OPTIONS_ONLY = 1 << 6,              /* --new, --existing */
    OPTIONS_DROP = 1 << 7,              /* --drop-oldest */
    OPTIONS_HEX = 1 << 8,               /* --hex */
    OPTIONS_FOLLOW = 1 << 9,            /* --follow */
    OPTIONS_VERBOSE = 1 << 10,          /* --verbose */
    OPTIONS_WAIT = 1 << 11,             /* --wait */
};

/* In the order of usages and help. */
enum option_id {
    OPTION_SOCKET,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_TIMEOUT,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_PROGRAM,
    OPTION_SET,
    OPTION_PRIORITY,
    OPTION_PROCEED_ON,
    OPTION_TABLE,
    OPTION_LINK,
    OPTION_TIME,
    OPTION_HISTOGRAM,
    OPTION_MISSES,
    OPTION_KEY,
    OPTION_VALUE,
    OPTION_INNER,
    OPTION_READ_ONLY,
    OPTION_WRITE_ONLY,
    OPTION_NEW,
    OPTION_EXISTING,
    OPTION_DROP_OLDEST,
    OPTION_HEX,
    OPTION_FOLLOW,
    OPTION_VERBOSE,
    OPTION_WAIT,
    OPTION_MAX,
};

/* What the command line gives.  All zero before use. */
struct options {
    bool given[OPTION_MAX];
    const char *socket;                 /* NULL: not given */
    int timeout_ms;
    struct json_object *parameters;     /* owned; what is asked of the daemon besides the verb's arguments */
};

/*
 * Read the options, which may stand anywhere; the words are moved behind them, to argv + optind.  `*ret` points into
 * argv; the caller ends it with options_done().  STATUS_USAGE after a complaint.
 */
enum status options_read(int argc, char **argv, struct options *ret);

/* STATUS_USAGE after a complaint where one is given that is in none of the groups (enum option_group) of the verb. */
enum status options_check(const struct options *options, const char *verb, unsigned groups);

/* Fine on options that are all zero. */
void options_done(struct options *options);

/* " [--program FUNCTION] [--set NAME=VALUE]... [--wait LEVEL]" */
void options_usage(FILE *out, unsigned groups);

/* A paragraph with some lines for each option of these groups; 0: for those of all verbs. */
void options_help(FILE *out, unsigned groups);

#endif
