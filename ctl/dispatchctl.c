/* SPDX-License-Identifier: MIT */
/* dispatchctl: options, then a verb, then one call to the daemon, then its answer for people or programs. */
#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "conversation.h"
#include "option.h"
#include "print.h"
#include "refusal.h"
#include "request.h"
#include "status.h"
#include "util.h"
#include "verb.h"

/* ---- help and checks ------------------------------------------------------------------------------------ */

static void help_print(void)
{
    puts("Usage: dispatchctl [OPTION...] VERB [ARGUMENT...]\n"
         "Change what running workers do, through dispatchd.\n");
    for (const struct verb *verb = verbs; verb->name; verb++) {
        fputs("  ", stdout);
        verb_usage(stdout, verb);
        printf("\n        %s\n", verb->summary);
    }
    puts("\nOptions, anywhere on the line:");
    options_help(stdout, 0);
    puts("\nExit codes:");
    for (int status = 0; status < STATUS_MAX; status++)
        printf("  %d  %s\n", status, status_text[status]);
}

static enum status help(char **words, int n_words)
{
    if (n_words == 0)
        help_print();
    else if (verb_help(words[0]) == 0)
        return verb_missing(words[0]);
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
    return options_check(options, verb->name, verb->options);
}

/* ---- one verb ------------------------------------------------------------------------------------------- */

/* What options ask of the daemon, and what the verb does unless they say otherwise.  The caller gives it back. */
static struct json_object *parameters_make(const struct verb *verb, const struct options *options)
{
    struct json_object *parameters = require(json_object_get(options->parameters));

    if (verb->counting && !json_object_object_get_ex(parameters, "counting", NULL))
        member_add(parameters, "counting", json_object_new_string(verb->counting));
    if (options->given[OPTION_HEX] && verb->print)      /* else the words alone are in hexadecimal digits */
        member_add(parameters, "hex", json_object_new_boolean(true));
    return parameters;
}

static void refusal_print(const struct options *options, const struct caller_reply *reply)
{
    _cleanup_free_ char *text = refusal_text(reply->error, reply->parameters);

    if (options->given[OPTION_JSON]) {
        struct json_object *object = require(json_object_new_object());

        member_add(object, "error", json_object_new_string(reply->error));
        member_add(object, "parameters", json_object_get(reply->parameters));
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
    if (options->given[OPTION_JSON]) {
        print_json(reply);
        return;
    }
    if (verb->print)
        verb->print(verb, reply, options->given[OPTION_QUIET]);
    unmoved_print(reply);
}

/* The answers of a method that gives many. */
struct answers {
    const struct verb *verb;
    const struct options *options;
    bool merges;                        /* they are shown as one, */
    struct json_object *all;            /* which is this; NULL: none came yet */
};

/* Its lists behind those that came before. */
static void answer_merge(struct json_object *all, struct json_object *reply)
{
    json_object_object_foreach(reply, name, value) {
        struct json_object *list = json_object_object_get(all, name);

        if (!json_object_is_type(value, json_type_array) || !json_object_is_type(list, json_type_array))
            continue;
        for (size_t i = 0; i < json_object_array_length(value); i++)
            json_object_array_add(list, json_object_get(json_object_array_get_idx(value, i)));
    }
}

static void answer_take(void *userdata, struct json_object *reply)
{
    struct answers *answers = userdata;

    if (!answers->merges) {
        reply_print(answers->verb, answers->options, reply);
        fflush(stdout);
    } else if (answers->all) {
        answer_merge(answers->all, reply);
    } else {
        answers->all = json_object_get(reply);
    }
}

static enum status verb_converse_more(const struct verb *verb, const struct options *options, const char *path,
                                      struct json_object *parameters, struct caller_reply *reply)
{
    int timeout_ms = verb->answers == ANSWERS_STREAMED ? CONVERSATION_ENDLESS_MS : options->timeout_ms;
    struct answers answers = { .verb = verb, .options = options, .merges = verb->answers == ANSWERS_MERGED };
    enum status status;

    answers.merges |= verb->answers == ANSWERS_GATHERED && !options->given[OPTION_JSON];
    status = converse_more(path, timeout_ms, verb->method, parameters, answer_take, &answers, reply);
    if (status == STATUS_DONE && answers.all)
        reply_print(verb, options, answers.all);
    json_object_put(answers.all);
    return status;
}

/* What the map is like that the verb's first argument names. */
static enum status map_ask(const char *path, const struct options *options, const char *name, struct caller_reply *ret)
{
    struct json_object *parameters = require(json_object_new_object());
    enum status status;

    member_add(parameters, "map", json_object_new_string(name));
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
    status = request_make(verb, words, parameters_make(verb, options), &request);
    if (status != STATUS_DONE)
        return status;
    if (verb->answers != ANSWERS_ONE)
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
    struct words words = { .word = arguments, .count = n_arguments, .hex = options->given[OPTION_HEX] };
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
    if (options.given[OPTION_VERSION]) {
        puts("dispatchctl " PACKAGE_VERSION);
        return STATUS_DONE;
    }
    if (options.given[OPTION_HELP])
        return help(argv, argc);
    if (argc == 0)
        return complain(STATUS_USAGE, "what to do? see dispatchctl --help");
    verb = verb_find(argv, argc, &words);
    if (!verb)
        return verb_missing(argv[0]);
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
