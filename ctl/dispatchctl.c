/* SPDX-License-Identifier: MIT */
/* dispatchctl: options, then a verb, then one call to the daemon, then its answer for people or programs. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "conversation.h"
#include "print.h"
#include "refusal.h"
#include "request.h"
#include "status.h"
#include "util.h"
#include "verb.h"

#define TIMEOUT_DEFAULT_S 30
#define TIMEOUT_MAX_S 86400

struct options {
    const char *socket;
    const char *wait;               /* NULL: the daemon's default */
    int timeout_ms;
    const char *function;           /* NULL: the only program of the object */
    struct json_object *settings;   /* NULL: none */
    struct json_object *priority;   /* NULL: the daemon's default */
    struct json_object *proceed_on; /* NULL: no verdict */
    const char *table;              /* NULL: all */
    struct json_object *link;       /* NULL: all */
    const char *counting;           /* NULL: runs */
    bool misses;                    /* of tables, their misses alone */
    const char *key, *value, *inner, *access;       /* of a map that is created; NULL: not given */
    const char *only;               /* NULL: an element may be new or exist */
    bool drop_oldest, hex, follow;
    bool json, quiet, verbose, help;
};

/* ---- options ------------------------------------------------------------------------------------------- */

static void help_print(void)
{
    puts("Usage: dispatchctl [OPTION...] VERB [ARGUMENT...]\n"
         "Change what running workers do, through dispatchd.\n");
    for (const struct verb *verb = verbs; verb->name; verb++) {
        fputs("  ", stdout);
        verb_usage(stdout, verb);
        printf("\n        %s\n", verb->summary);
    }
    printf("\nOptions, anywhere on the line:\n"
           "  --socket PATH     control socket (default: $DISPATCHD_CONTROL_SOCKET, else the user's own dispatchd in\n"
           "                    $XDG_RUNTIME_DIR/dispatchd/control, else /run/dispatchd/control)\n"
           "  --json            print the answer as JSON, for programs; the tables for people may change\n"
           "  -q, --quiet       print ids only\n"
           "  --timeout SECONDS how long to wait for the answer (default %d)\n"
           "  --help            this text, or that of the verb\n"
           "  --version         the version\n"
           "\nExit codes:\n", TIMEOUT_DEFAULT_S);
    for (int status = 0; status < STATUS_MAX; status++)
        printf("  %d  %s\n", status, status_text[status]);
}

static enum status timeout_read(const char *word, int *ret_ms)
{
    char *end;
    long seconds = strtol(word, &end, 10);

    if (end == word || *end || seconds < 1 || seconds > TIMEOUT_MAX_S)
        return complain(STATUS_USAGE, "--timeout takes seconds from 1 to %d, not '%s'", TIMEOUT_MAX_S, word);
    *ret_ms = (int)seconds * 1000;
    return STATUS_DONE;
}

static enum status wait_read(const char *word, const char **ret)
{
    static const char *const levels[] = { "committed", "live", "quiescent" };

    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++)
        if (strcmp(word, levels[i]) == 0) {
            *ret = word;
            return STATUS_DONE;
        }
    return complain(STATUS_USAGE, "--wait takes committed, live or quiescent, not '%s'", word);
}

static void options_done(struct options *options)
{
    json_object_put(options->settings);
    json_object_put(options->priority);
    json_object_put(options->proceed_on);
    json_object_put(options->link);
}

/* A whole number from `minimum` to `maximum` that ends at one of the characters `ends`, or at the word's end. */
static bool integer_read(const char *word, int64_t minimum, int64_t maximum, const char *ends, int64_t *ret, const char **ret_end)
{
    char *end;

    errno = 0;
    *ret = strtoll(word, &end, 10);
    *ret_end = end;
    return end != word && !errno && *ret >= minimum && *ret <= maximum && (!*end || strchr(ends, *end));
}

static enum status priority_read(const char *word, struct json_object **ret)
{
    const char *end;
    int64_t priority;

    if (!integer_read(word, INT32_MIN, INT32_MAX, "", &priority, &end))
        return complain(STATUS_USAGE, "--priority takes a number from -2147483648 to 2147483647, not '%s'", word);
    json_object_put(*ret);
    *ret = require(json_object_new_int64(priority));
    return STATUS_DONE;
}

static enum status link_read(const char *word, struct json_object **ret)
{
    const char *end;
    int64_t link;

    if (!integer_read(word, 1, INT64_MAX, "", &link, &end))
        return complain(STATUS_USAGE, "--link takes a link's number, not '%s'", word);
    json_object_put(*ret);
    *ret = require(json_object_new_int64(link));
    return STATUS_DONE;
}

static enum status proceed_on_read(const char *word, struct json_object **ret)
{
    const char *at = word;
    int64_t verdict;

    json_object_put(*ret);
    *ret = require(json_object_new_array());
    for (;;) {
        if (!integer_read(at, 0, UINT32_MAX, ",", &verdict, &at))
            return complain(STATUS_USAGE, "--proceed-on takes verdicts from 0 to 4294967295, with commas between them, not '%s'",
                            word);
        json_object_array_add(*ret, require(json_object_new_int64(verdict)));
        if (!*at++)
            return STATUS_DONE;
    }
}

/* NAME=VALUE; the first `=` ends the name. */
static enum status setting_read(const char *word, struct json_object **settings)
{
    const char *equals = strchr(word, '=');
    _cleanup_free_ char *name = equals ? require(strndup(word, (size_t)(equals - word))) : NULL;

    if (!name || !*name)
        return complain(STATUS_USAGE, "--set takes NAME=VALUE, not '%s'", word);
    if (!*settings)
        *settings = require(json_object_new_object());
    if (json_object_object_get_ex(*settings, name, NULL))
        return complain(STATUS_USAGE, "--set gives '%s' two values", name);
    if (json_object_object_add(*settings, name, require(json_object_new_string(equals + 1))) < 0)
        require(NULL);
    return STATUS_DONE;
}

/* One of two words that exclude each other. */
static enum status choice_set(const char **choice, const char *word, const char *both)
{
    if (*choice && strcmp(*choice, word) != 0)
        return complain(STATUS_USAGE, "%s exclude each other; choose one", both);
    *choice = word;
    return STATUS_DONE;
}

enum letter { SOCKET = 1, JSON, TIMEOUT, WAIT, PROGRAM, SET, PRIORITY, PROCEED_ON, TABLE, LINK, TIME, HISTOGRAM, MISSES, KEY, VALUE,
              INNER, READ_ONLY, WRITE_ONLY, NEW, EXISTING, DROP_OLDEST, HEX, FOLLOW, HELP, SHOW_VERSION };
static const struct option option_table[] = {
    { "socket", required_argument, NULL, SOCKET },
    { "json", no_argument, NULL, JSON },
    { "quiet", no_argument, NULL, 'q' },
    { "timeout", required_argument, NULL, TIMEOUT },
    { "wait", required_argument, NULL, WAIT },
    { "program", required_argument, NULL, PROGRAM },
    { "set", required_argument, NULL, SET },
    { "priority", required_argument, NULL, PRIORITY },
    { "proceed-on", required_argument, NULL, PROCEED_ON },
    { "table", required_argument, NULL, TABLE },
    { "link", required_argument, NULL, LINK },
    { "time", no_argument, NULL, TIME },
    { "histogram", no_argument, NULL, HISTOGRAM },
    { "misses", no_argument, NULL, MISSES },
    { "key", required_argument, NULL, KEY },
    { "value", required_argument, NULL, VALUE },
    { "inner", required_argument, NULL, INNER },
    { "read-only", no_argument, NULL, READ_ONLY },
    { "write-only", no_argument, NULL, WRITE_ONLY },
    { "new", no_argument, NULL, NEW },
    { "existing", no_argument, NULL, EXISTING },
    { "drop-oldest", no_argument, NULL, DROP_OLDEST },
    { "hex", no_argument, NULL, HEX },
    { "follow", no_argument, NULL, FOLLOW },
    { "verbose", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, HELP },
    { "version", no_argument, NULL, SHOW_VERSION },
    { 0 },
};

/* Options may stand anywhere; getopt moves the words behind them. */
static enum status options_read(int argc, char **argv, struct options *ret)
{
    struct options options = { .timeout_ms = TIMEOUT_DEFAULT_S * 1000 };
    enum status status = STATUS_DONE;
    int letter;

    while (status == STATUS_DONE && (letter = getopt_long(argc, argv, "qv", option_table, NULL)) >= 0)
        switch (letter) {
        case SOCKET:
            options.socket = optarg;
            break;
        case JSON:
            options.json = true;
            break;
        case 'q':
            options.quiet = true;
            break;
        case TIMEOUT:
            status = timeout_read(optarg, &options.timeout_ms);
            break;
        case WAIT:
            status = wait_read(optarg, &options.wait);
            break;
        case PROGRAM:
            options.function = optarg;
            break;
        case SET:
            status = setting_read(optarg, &options.settings);
            break;
        case PRIORITY:
            status = priority_read(optarg, &options.priority);
            break;
        case PROCEED_ON:
            status = proceed_on_read(optarg, &options.proceed_on);
            break;
        case TABLE:
            options.table = optarg;
            break;
        case LINK:
            status = link_read(optarg, &options.link);
            break;
        case TIME:
            options.counting = "time";
            break;
        case HISTOGRAM:
            options.counting = "histogram";
            break;
        case MISSES:
            options.misses = true;
            break;
        case KEY:
            options.key = optarg;
            break;
        case VALUE:
            options.value = optarg;
            break;
        case INNER:
            options.inner = optarg;
            break;
        case READ_ONLY:
        case WRITE_ONLY:
            status = choice_set(&options.access, letter == READ_ONLY ? "read_only" : "write_only",
                                "--read-only and --write-only");
            break;
        case NEW:
        case EXISTING:
            status = choice_set(&options.only, letter == NEW ? "new" : "existing", "--new and --existing");
            break;
        case DROP_OLDEST:
            options.drop_oldest = true;
            break;
        case HEX:
            options.hex = true;
            break;
        case FOLLOW:
            options.follow = true;
            break;
        case 'v':
            options.verbose = true;
            break;
        case HELP:
            options.help = true;
            break;
        case SHOW_VERSION:
            puts("dispatchctl " PACKAGE_VERSION);
            exit(STATUS_DONE);
        default:                        /* getopt has said what is wrong */
            status = STATUS_USAGE;
        }
    if (status == STATUS_DONE && options.json && options.quiet)
        status = complain(STATUS_USAGE, "--json and --quiet are two kinds of output; choose one");
    *ret = options;
    return status;
}

/* ---- one verb ------------------------------------------------------------------------------------------ */

static enum status help(char **words, int n_words)
{
    if (n_words == 0)
        help_print();
    else if (verb_help(words[0]) == 0)
        return complain(STATUS_USAGE, "there is no verb '%s'; see dispatchctl --help", words[0]);
    return STATUS_DONE;
}

static enum status verb_check(const struct verb *verb, const struct options *options, int n_arguments)
{
    if (!verb_takes(verb, n_arguments)) {
        complain(STATUS_USAGE, "%s takes other arguments:", verb->name);
        fputs("  dispatchctl ", stderr);
        verb_usage(stderr, verb);
        fputc('\n', stderr);
        return STATUS_USAGE;
    }
    if (options->wait && !(verb->options & VERB_WAIT))
        return complain(STATUS_USAGE, "%s takes no --wait; see dispatchctl --help", verb->name);
    if ((options->function || options->settings) && !(verb->options & VERB_OBJECT))
        return complain(STATUS_USAGE, "%s takes no --program and no --set; see dispatchctl --help", verb->name);
    if ((options->priority || options->proceed_on) && !(verb->options & VERB_CHAIN))
        return complain(STATUS_USAGE, "%s takes no --priority and no --proceed-on; see dispatchctl --help", verb->name);
    if ((options->table || options->link) && !(verb->options & VERB_SCOPE))
        return complain(STATUS_USAGE, "%s takes no --table and no --link; see dispatchctl --help", verb->name);
    if (options->table && options->link)
        return complain(STATUS_USAGE, "--table and --link are two scopes; choose one");
    if (options->misses && !(verb->options & VERB_MISSES))
        return complain(STATUS_USAGE, "%s takes no --misses; see dispatchctl --help", verb->name);
    if (options->misses && options->link)
        return complain(STATUS_USAGE, "a link has no --misses: they are its table's");
    if (options->counting && !(verb->options & VERB_COUNT))
        return complain(STATUS_USAGE, "%s takes no --time and no --histogram; see dispatchctl --help", verb->name);
    if ((options->key || options->value || options->inner || options->access) && !(verb->options & VERB_MAP))
        return complain(STATUS_USAGE, "%s takes no --key, --value, --inner, --read-only or --write-only; see dispatchctl --help",
                        verb->name);
    if (options->only && !(verb->options & VERB_ONLY))
        return complain(STATUS_USAGE, "%s takes no --new and no --existing; see dispatchctl --help", verb->name);
    if (options->drop_oldest && !(verb->options & VERB_DROP))
        return complain(STATUS_USAGE, "%s takes no --drop-oldest; see dispatchctl --help", verb->name);
    if (options->hex && !(verb->options & VERB_HEX))
        return complain(STATUS_USAGE, "%s takes no --hex; see dispatchctl --help", verb->name);
    if (options->follow && !(verb->options & VERB_FOLLOW))
        return complain(STATUS_USAGE, "%s takes no --follow; see dispatchctl --help", verb->name);
    if (options->verbose && !(verb->options & VERB_VERBOSE))
        return complain(STATUS_USAGE, "%s takes no --verbose; see dispatchctl --help", verb->name);
    return STATUS_DONE;
}

static void parameter_add(struct json_object *parameters, const char *name, struct json_object *value)
{
    if (json_object_object_add(parameters, name, require(value)) < 0)
        require(NULL);
}

/* What the options ask of the daemon. */
static struct json_object *options_parameters(const struct verb *verb, const struct options *options)
{
    struct json_object *parameters = require(json_object_new_object());

    if (options->wait)
        parameter_add(parameters, "wait", json_object_new_string(options->wait));
    if (options->function)
        parameter_add(parameters, "function", json_object_new_string(options->function));
    if (options->settings)
        parameter_add(parameters, "settings", json_object_get(options->settings));
    if (options->priority)
        parameter_add(parameters, "priority", json_object_get(options->priority));
    if (options->proceed_on)
        parameter_add(parameters, "proceed_on", json_object_get(options->proceed_on));
    if (options->table)
        parameter_add(parameters, "table", json_object_new_string(options->table));
    if (options->link)
        parameter_add(parameters, "link", json_object_get(options->link));
    if (options->misses)
        parameter_add(parameters, "misses", json_object_new_boolean(true));
    if (verb->options & VERB_COUNT)
        parameter_add(parameters, "counting", json_object_new_string(options->counting ? options->counting : "runs"));
    if (verb->options & VERB_COUNT_OFF)
        parameter_add(parameters, "counting", json_object_new_string("off"));
    if (options->key)
        parameter_add(parameters, "key", json_object_new_string(options->key));
    if (options->value)
        parameter_add(parameters, "value", json_object_new_string(options->value));
    if (options->inner)
        parameter_add(parameters, "inner", json_object_new_string(options->inner));
    if (options->access)
        parameter_add(parameters, "access", json_object_new_string(options->access));
    if (options->only)
        parameter_add(parameters, "only", json_object_new_string(options->only));
    if (options->drop_oldest)
        parameter_add(parameters, "drop_oldest", json_object_new_boolean(true));
    if (options->hex && verb->print)
        parameter_add(parameters, "hex", json_object_new_boolean(true));
    if (options->follow)
        parameter_add(parameters, "follow", json_object_new_boolean(true));
    if (options->verbose)
        parameter_add(parameters, "log", json_object_new_boolean(true));
    return parameters;
}

static void refusal_print(const struct options *options, const struct caller_reply *reply)
{
    _cleanup_free_ char *text = refusal_text(reply->error, reply->parameters);

    if (options->json) {
        struct json_object *object = require(json_object_new_object());

        json_object_object_add(object, "error", json_object_new_string(reply->error));
        json_object_object_add(object, "parameters", json_object_get(reply->parameters));
        print_json(object);
        json_object_put(object);
    } else {
        log_show(reply->parameters);
    }
    complain(STATUS_REFUSED, "%s", text);
}

/* A change is live in all workers of this daemon; those of an earlier one are named. */
static void unmoved_print(struct json_object *reply)
{
    struct json_object *unmoved = json_object_object_get(reply, "unmoved");

    for (size_t i = 0; unmoved && i < json_object_array_length(unmoved); i++) {
        struct json_object *worker = json_object_array_get_idx(unmoved, i);
        _cleanup_free_ char *pid = value_text(json_object_object_get(worker, "pid"));
        _cleanup_free_ char *name = value_text(json_object_object_get(worker, "name"));

        complain(STATUS_DONE, "worker %s (%s) still runs the code of an earlier dispatchd and does not see this yet",
                 pid, name);
    }
}

static void reply_print(const struct verb *verb, const struct options *options, struct json_object *reply)
{
    if (options->json) {
        print_json(reply);
        return;
    }
    if (verb->print)
        verb->print(verb, reply, options->quiet);
    unmoved_print(reply);
}

/* The answers of a method that gives many. */
struct answers {
    const struct verb *verb;
    const struct options *options;
    struct json_object *rows;           /* VERB_GATHER: of all of them */
};

static void answer_take(void *userdata, struct json_object *reply)
{
    struct answers *answers = userdata;
    struct json_object *rows = answers->rows ? json_object_object_get(reply, answers->verb->rows) : NULL;

    if (!rows) {
        reply_print(answers->verb, answers->options, reply);
        fflush(stdout);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        json_object_array_add(answers->rows, json_object_get(json_object_array_get_idx(rows, i)));
}

static enum status verb_converse_more(const struct verb *verb, const struct options *options, const char *path,
                                      struct json_object *parameters, struct caller_reply *reply)
{
    bool gather = verb->options & VERB_GATHER && !options->json;
    int timeout_ms = verb->options & VERB_STREAM ? CONVERSATION_ENDLESS_MS : options->timeout_ms;
    struct answers answers = { verb, options, gather ? require(json_object_new_array()) : NULL };
    struct json_object *all;
    enum status status;

    status = converse_more(path, timeout_ms, verb->method, parameters, answer_take, &answers, reply);
    if (status == STATUS_DONE && gather) {
        all = require(json_object_new_object());
        parameter_add(all, verb->rows, json_object_get(answers.rows));
        reply_print(verb, options, all);
        json_object_put(all);
    }
    json_object_put(answers.rows);
    return status;
}

/* What the map is like that the verb's first argument names. */
static enum status map_ask(const char *path, const struct options *options, const char *name, struct caller_reply *ret)
{
    struct json_object *parameters = require(json_object_new_object());
    enum status status;

    parameter_add(parameters, "map", json_object_new_string(name));
    status = converse(path, options->timeout_ms, "ShowMap", parameters, -EBADF, ret);
    json_object_put(parameters);
    return status;
}

static enum status verb_converse(const struct verb *verb, const struct options *options, const char *path,
                                 struct words *words, struct caller_reply *reply)
{
    _cleanup_(request_done) struct request request = { NULL, -EBADF };
    _cleanup_(caller_reply_done) struct caller_reply map = { 0 };
    enum status status = STATUS_DONE;

    if (request_needs_map(verb)) {
        status = map_ask(path, options, words->word[0], reply);
        if (status != STATUS_DONE)
            return status;
        map = *reply;
        *reply = (struct caller_reply){ 0 };
        words->map = json_object_object_get(map.parameters, "map");
    }
    status = request_make(verb, words, options_parameters(verb, options), &request);
    if (status != STATUS_DONE)
        return status;
    if (verb->options & (VERB_GATHER | VERB_STREAM))
        return verb_converse_more(verb, options, path, request.parameters, reply);
    status = converse(path, options->timeout_ms, verb->method, request.parameters, request.descriptor, reply);
    if (status == STATUS_DONE)
        reply_print(verb, options, reply->parameters);
    return status;
}

static enum status verb_run(const struct verb *verb, const struct options *options, char **arguments, int n_arguments)
{
    _cleanup_(caller_reply_done) struct caller_reply reply = { 0 };
    _cleanup_free_ char *path = socket_path(options->socket);
    struct words words = { .word = arguments, .count = n_arguments, .hex = options->hex };
    enum status status;

    status = verb_converse(verb, options, path, &words, &reply);
    if (status == STATUS_REFUSED)
        refusal_print(options, &reply);
    return status;
}

static enum status run(int argc, char **argv)
{
    _cleanup_(options_done) struct options options = { 0 };
    const struct verb *verb;
    enum status status;
    int words;

    status = options_read(argc, argv, &options);
    argv += optind;
    argc -= optind;
    if (status != STATUS_DONE)
        return status;
    if (options.help)
        return help(argv, argc);
    if (argc == 0)
        return complain(STATUS_USAGE, "what to do? see dispatchctl --help");
    verb = verb_find(argv, argc, &words);
    if (!verb && strcmp(argv[0], "list") == 0)
        return complain(STATUS_USAGE, "list programs, tables, calls, links or workers?");
    if (!verb && strcmp(argv[0], "stats") == 0)
        return complain(STATUS_USAGE, "stats on, off or show?");
    if (!verb && strcmp(argv[0], "map") == 0)
        return complain(STATUS_USAGE, "map list, show, create, remove, get, set, delete, dump, clear, push, pop or read?");
    if (!verb)
        return complain(STATUS_USAGE, "there is no verb '%s'; see dispatchctl --help", argv[0]);
    status = verb_check(verb, &options, argc - words);
    return status == STATUS_DONE ? verb_run(verb, &options, argv + words, argc - words) : status;
}

int main(int argc, char **argv)
{
    enum status status = run(argc, argv);

    if (fflush(stdout) == EOF || ferror(stdout))
        return complain(STATUS_LOCAL, "cannot write the answer: %m");
    return status;
}
