/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include <dispatchd/layout.h>

#include "arena.h"

#define MEBIBYTE ((size_t)1 << 20)
#define TEXT_SIZE_DEFAULT (64 * MEBIBYTE)
#define PLANNING_INTERVAL_DEFAULT_MS 250
#define PLANNING_INTERVAL_MAX_MS 3600000
#define TRANSLATION_SECONDS_DEFAULT 20
#define TRANSLATION_SECONDS_MAX 3600

static const char help[] =
    "Usage: dispatchd [OPTION]...\n"
    "Change what running processes do, without restarting them.\n"
    "\n"
    "  --user               run for one user: sockets in $XDG_RUNTIME_DIR/dispatchd,\n"
    "                       database in $XDG_STATE_HOME/dispatchd (~/.local/state/dispatchd)\n"
    "  --runtime-dir DIR    directory of the sockets `control` and `worker` [/run/dispatchd]\n"
    "  --state-dir DIR      directory of the database [/var/lib/dispatchd]\n"
    "  --text-size MIB      size of the image, 1 to 1024 [64]; memory is taken as it is used\n"
    "  --arena-quota MIB    memory that maps and data of programs of one user may take, 1 to 512 [256];\n"
    "                       programs share 512 MiB\n"
    "  --policy any|no-indirect\n"
    "                       no-indirect: all tables are decision trees, without an indirect branch [any];\n"
    "                       dispatchctl set-policy does it for one table\n"
    "  --planning-interval MS\n"
    "                       from one table's sample of keys to the next one's, by which tables get the shape\n"
    "                       that fits them, 0 to 3600000 [250]; 0: never, and the number of entries decides\n"
    "  --no-host-check      do not try at start whether this processor executes what is being replaced\n"
    "                       correctly: for emulators that cannot, such as valgrind\n"
    "  --translation-time SECONDS\n"
    "                       of a processor that reading or compiling one program may take,\n"
    "                       1 to 3600 [20]; five times as long by the clock\n"
    "  --forget-program NAME\n"
    "                       take a program that keeps dispatchd from starting out of the database, with its\n"
    "                       links, and end\n"
    "  --debug              log more\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 stopped, 2 usage, 3 socket in use, 4 database is newer, 5 database,\n"
    "6 permission, 7 no executable memory files, 8 host check failed, 9 cannot restore.\n";

static int use_directory(char *ret, const char *path)
{
    if (strlen(path) >= PATH_MAX - 32) {
        fprintf(stderr, "dispatchd: the directory's name is over %d bytes: %.60s...\n", PATH_MAX - 32, path);
        return -EINVAL;
    }
    strcpy(ret, path);
    return 0;
}

/* Empty is unset: XDG Base Directory Specification. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* XDG Base Directory Specification: the runtime directory has no default, the state directory has. */
static int use_user_directories(struct options *options)
{
    const char *runtime = environment("XDG_RUNTIME_DIR"), *state = environment("XDG_STATE_HOME"),
        *home = environment("HOME");

    if (!options->runtime_directory[0]) {
        if (!runtime || strlen(runtime) >= PATH_MAX - 32) {
            fprintf(stderr, "dispatchd: --user needs $XDG_RUNTIME_DIR: log in with a session, or give --runtime-dir\n");
            return -EINVAL;
        }
        sprintf(options->runtime_directory, "%s/dispatchd", runtime);
    }
    if (!options->state_directory[0]) {
        if ((!state && !home) || strlen(state ? state : home) >= PATH_MAX - 64) {
            fprintf(stderr, "dispatchd: --user needs $XDG_STATE_HOME or $HOME, or give --state-dir\n");
            return -EINVAL;
        }
        if (state)
            sprintf(options->state_directory, "%s/dispatchd", state);
        else
            sprintf(options->state_directory, "%s/.local/state/dispatchd", home);
    }
    return 0;
}

/* A number from `minimum` to `maximum`, of what `unit` says. */
static int read_number(const char *option, const char *text, const char *unit, size_t minimum, size_t maximum,
                       size_t *ret)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || value < minimum || value > maximum) {
        fprintf(stderr, "dispatchd: --%s \"%s\" is not a number of %s from %zu to %zu\n", option, text, unit, minimum,
                maximum);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

static int use_text_size(struct options *options, const char *text)
{
    size_t mebibytes;
    int r;

    r = read_number("text-size", text, "MiB", 1, DD_TEXT_SIZE_MAX / MEBIBYTE, &mebibytes);
    if (r >= 0)
        options->text_size = mebibytes * MEBIBYTE;
    return r;
}

static int use_arena_quota(struct options *options, const char *text)
{
    size_t mebibytes;
    int r;

    r = read_number("arena-quota", text, "MiB", 1, DD_ARENA_SIZE / MEBIBYTE, &mebibytes);
    if (r >= 0)
        options->arena_quota = mebibytes * MEBIBYTE;
    return r;
}

static int use_translation_time(struct options *options, const char *text)
{
    size_t seconds;
    int r;

    r = read_number("translation-time", text, "seconds", 1, TRANSLATION_SECONDS_MAX, &seconds);
    if (r >= 0)
        options->translation_seconds = (unsigned)seconds;
    return r;
}

static int use_planning_interval(struct options *options, const char *text)
{
    size_t milliseconds;
    int r;

    r = read_number("planning-interval", text, "milliseconds", 0, PLANNING_INTERVAL_MAX_MS, &milliseconds);
    if (r >= 0)
        options->planning_interval_ms = (unsigned)milliseconds;
    return r;
}

static int use_policy(struct options *options, const char *text)
{
    options->no_indirect = !strcmp(text, "no-indirect");
    if (!options->no_indirect && strcmp(text, "any")) {
        fprintf(stderr, "dispatchd: --policy is any or no-indirect, not \"%s\"\n", text);
        return -EINVAL;
    }
    return 0;
}

enum {
    OPTION_USER = 256, OPTION_RUNTIME, OPTION_STATE, OPTION_TEXT, OPTION_ARENA_QUOTA, OPTION_POLICY,
    OPTION_PLANNING_INTERVAL, OPTION_NO_HOST_CHECK, OPTION_TRANSLATION_TIME, OPTION_FORGET_PROGRAM,
    OPTION_DEBUG, OPTION_HELP, OPTION_VERSION,
};

static const struct option long_options[] = {
    { "user", no_argument, NULL, OPTION_USER },
    { "runtime-dir", required_argument, NULL, OPTION_RUNTIME },
    { "state-dir", required_argument, NULL, OPTION_STATE },
    { "text-size", required_argument, NULL, OPTION_TEXT },
    { "arena-quota", required_argument, NULL, OPTION_ARENA_QUOTA },
    { "policy", required_argument, NULL, OPTION_POLICY },
    { "planning-interval", required_argument, NULL, OPTION_PLANNING_INTERVAL },
    { "no-host-check", no_argument, NULL, OPTION_NO_HOST_CHECK },
    { "translation-time", required_argument, NULL, OPTION_TRANSLATION_TIME },
    { "forget-program", required_argument, NULL, OPTION_FORGET_PROGRAM },
    { "debug", no_argument, NULL, OPTION_DEBUG },
    { "help", no_argument, NULL, OPTION_HELP },
    { "version", no_argument, NULL, OPTION_VERSION },
    { NULL, 0, NULL, 0 },
};

static int use_option(struct options *options, int option)
{
    switch (option) {
    case OPTION_USER:
        options->user = true;
        return 0;
    case OPTION_RUNTIME:
        return use_directory(options->runtime_directory, optarg);
    case OPTION_STATE:
        return use_directory(options->state_directory, optarg);
    case OPTION_TEXT:
        return use_text_size(options, optarg);
    case OPTION_ARENA_QUOTA:
        return use_arena_quota(options, optarg);
    case OPTION_PLANNING_INTERVAL:
        return use_planning_interval(options, optarg);
    case OPTION_POLICY:
        return use_policy(options, optarg);
    case OPTION_NO_HOST_CHECK:
        options->no_host_check = true;
        return 0;
    case OPTION_TRANSLATION_TIME:
        return use_translation_time(options, optarg);
    case OPTION_FORGET_PROGRAM:
        options->forget_program = optarg;
        return 0;
    case OPTION_DEBUG:
        options->debug = true;
        return 0;
    case OPTION_HELP:
        fputs(help, stdout);
        return 1;
    case OPTION_VERSION:
        puts(PACKAGE_NAME " " PACKAGE_VERSION);
        return 1;
    default:
        fprintf(stderr, "dispatchd: see dispatchd --help\n");
        return -EINVAL;
    }
}

int options_parse(int argc, char **argv, struct options *ret)
{
    struct options options = {
        .text_size = TEXT_SIZE_DEFAULT,
        .arena_quota = ARENA_QUOTA_DEFAULT,
        .planning_interval_ms = PLANNING_INTERVAL_DEFAULT_MS,
        .translation_seconds = TRANSLATION_SECONDS_DEFAULT,
    };
    int option, r = 0;

    while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
        r = use_option(&options, option);
    if (r == 0 && optind < argc) {
        fprintf(stderr, "dispatchd: unknown argument \"%s\"; see dispatchd --help\n", argv[optind]);
        r = -EINVAL;
    }
    if (r == 0 && options.user)
        r = use_user_directories(&options);
    if (r != 0)
        return r;
    if (!options.runtime_directory[0])
        strcpy(options.runtime_directory, "/run/dispatchd");
    if (!options.state_directory[0])
        strcpy(options.state_directory, "/var/lib/dispatchd");
    *ret = options;
    return 0;
}
