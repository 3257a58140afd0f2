/* SPDX-License-Identifier: MIT */
#include "translation.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "daemon.h"
#include "translation_answer.h"
#include "translator.h"
#include "typed.h"
#include "util.h"
#include "wire.h"

struct translations {
    struct daemon *daemon;
    int executable;
    unsigned seconds;
    struct event *advance;              /* active when a queued translation may begin */
    TAILQ_HEAD(translation_list, translation) queued, running;
    size_t pending, running_count, bytes;
};

/* ---- the end of one ------------------------------------------------------------------------------------ */

static void free_request(struct translation *translation)
{
    free(TAKE_POINTER(translation->request));
    translation->all->bytes -= translation->bytes;
    translation->bytes = 0;
}

/* Take it out of its list. */
static void leave(struct translation *translation)
{
    struct translations *all = translation->all;

    if (translation->state == TRANSLATION_DONE)
        return;
    if (translation->state == TRANSLATION_RUNNING) {
        TAILQ_REMOVE(&all->running, translation, entry);
        all->running_count--;
    } else {
        TAILQ_REMOVE(&all->queued, translation, entry);
    }
    all->pending--;
    translation->state = TRANSLATION_DONE;
    translation->child = child_free(translation->child);
    free_request(translation);
    event_active(all->advance, 0, 0);
}

static void finish(struct translation *translation, int result)
{
    leave(translation);
    translation->result = result;
    translation->done(translation, translation->userdata);
}

static void fail(struct translation *translation, const char *stage, const char *reason)
{
    char text[512];

    snprintf(text, sizeof(text), "the process that %s %s",
             strcmp(stage, TRANSLATOR_READ) ? "compiles" : "reads objects", reason);
    finish(translation, refuse(&translation->refusal, -EIO, "TranslationFailed", "ss", "program", translation->program,
                               "reason", text));
}

static void free_region(struct translation_region *region)
{
    free(region->contents);
    typed_free(region->key);
    typed_free(region->value);
}

struct translation *translation_free(struct translation *translation)
{
    if (!translation)
        return NULL;
    leave(translation);
    refusal_done(&translation->refusal);
    shared_context_put(translation->context);
    for (uint32_t i = 0; i < translation->regions; i++)
        free_region(&translation->region[i]);
    code_clear(&translation->code);
    free(translation->log);
    free(translation);
    return NULL;
}

/* ---- second stage: compile ----------------------------------------------------------------------------- */

static void refuse_program(struct translation *translation, const struct translation_failure *failure)
{
    struct refusal *refusal = &translation->refusal;

    refuse(refusal, failure->result, "ProgramRejected", "ssisisssss", "program", translation->program, "function",
           failure->function, "instruction", failure->instruction, "file", failure->file, "line", failure->line, "source",
           failure->source, "rule", failure->rule, "reason", failure->text, "registers", failure->registers, "hint",
           failure->hint);
    if (translation->log)
        json_object_object_add(refusal->parameters, "log", json_object_new_string(translation->log));
    finish(translation, failure->result);
}

static void on_compiled(void *userdata, const char *failed, const void *bytes, size_t size)
{
    struct wire_reader answer = { .at = bytes, .left = size };
    struct translation *translation = userdata;
    struct translation_failure failure;

    if (failed) {
        fail(translation, TRANSLATOR_COMPILE, failed);
        return;
    }
    if (translation_read_outcome(&answer, &failure) < 0 ||
        (failure.result == 0 && !translation_read_code(translation, &answer))) {
        fail(translation, TRANSLATOR_COMPILE, "gave an answer that makes no sense");
        return;
    }
    if (answer.left > 0)
        translation_read_log(translation, &answer);
    if (!wire_complete(&answer))
        fail(translation, TRANSLATOR_COMPILE, "gave an answer that makes no sense");
    else if (failure.result == 0)
        finish(translation, 0);
    else if (translation_is_process_failure(&failure))
        fail(translation, TRANSLATOR_COMPILE, failure.text);
    else
        refuse_program(translation, &failure);
}

/* ---- a stage ------------------------------------------------------------------------------------------- */

static void start_child(struct translation *translation, const char *stage, void *request, size_t size,
                        void (*done)(void *userdata, const char *failure, const void *answer, size_t size))
{
    const struct translations *all = translation->all;
    const struct child_options options = {
        .base = all->daemon->base, .executable = all->executable, .stage = stage, .seconds = all->seconds, .done = done,
        .userdata = translation,
    };
    char reason[128];
    int r;

    translation->child = child_free(translation->child);
    r = child_start(&options, request, size, &translation->child);
    if (r < 0) {
        snprintf(reason, sizeof(reason), "cannot be started: %s", strerror(-r));
        fail(translation, stage, reason);
    }
}

static void put_context(struct wire_writer *request, const struct context *context)
{
    wire_put_text(request, context->name);
    wire_put_number(request, context->size);
    wire_put_number(request, context->fields);
    for (uint32_t i = 0; i < context->fields; i++) {
        wire_put_text(request, context->field[i].name);
        wire_put_number(request, context->field[i].offset);
        wire_put_number(request, context->field[i].size);
        wire_put_number(request, context->field[i].rights);
    }
}

/* The canonical form goes on as it came. */
static void start_compiling(struct translation *translation, const void *bytecode, size_t size)
{
    struct wire_writer request = { 0 };

    wire_put_number(&request, translation->wants_log);
    put_context(&request, translation->context->description);
    wire_put_bytes(&request, bytecode, size);
    if (request.failed) {
        free(request.bytes);
        finish(translation, refuse_memory(&translation->refusal));
        return;
    }
    start_child(translation, TRANSLATOR_COMPILE, request.bytes, request.size, on_compiled);
}

/* ---- first stage: read --------------------------------------------------------------------------------- */

/* Where it is one of its instructions, that is said as the verifier says it. */
static void refuse_object(struct translation *translation, const struct translation_failure *failure)
{
    if (failure->function[0] && failure->instruction >= 0)
        refuse_program(translation, failure);
    else
        finish(translation, refuse(&translation->refusal, failure->result, "ObjectInvalid", "ss", "program",
                                   translation->program, "reason", failure->text));
}

/* Find the context that the object names. */
static int find_context(struct translation *translation, const char *name)
{
    struct shared_context *context = translation->context;

    if (!context)
        context = registry_context(&translation->all->daemon->registry, name);
    if (!context || strcmp(context->description->name, name))
        return refuse(&translation->refusal, -ENOENT, "UnknownContext", "ss", "program", translation->program,
                      "context", name);
    if (!translation->context)
        translation->context = shared_context_get(context);
    return 0;
}

static void take_program(struct translation *translation, struct wire_reader *answer)
{
    char context[CONTEXT_NAME_MAX + 1];
    const void *bytecode;
    size_t size;
    int r;

    if (!translation_read_program(translation, answer, context, &bytecode, &size)) {
        fail(translation, TRANSLATOR_READ, "gave an answer that makes no sense");
        return;
    }
    if (!translation->program[0])
        snprintf(translation->program, sizeof(translation->program), "%s", translation->function);
    r = find_context(translation, context);
    if (r < 0)
        finish(translation, r);
    else
        start_compiling(translation, bytecode, size);
}

static void on_read(void *userdata, const char *failed, const void *bytes, size_t size)
{
    struct wire_reader answer = { .at = bytes, .left = size };
    struct translation *translation = userdata;
    struct translation_failure failure;

    if (failed)
        fail(translation, TRANSLATOR_READ, failed);
    else if (translation_read_outcome(&answer, &failure) < 0)
        fail(translation, TRANSLATOR_READ, "gave an answer that makes no sense");
    else if (failure.result == 0)
        take_program(translation, &answer);
    else if (translation_is_process_failure(&failure))
        fail(translation, TRANSLATOR_READ, failure.text);
    else
        refuse_object(translation, &failure);
}

/* ---- the queue ----------------------------------------------------------------------------------------- */

static void advance(evutil_socket_t descriptor, short events, void *userdata)
{
    struct translations *all = userdata;
    struct translation *next;

    (void)descriptor, (void)events;
    while (all->running_count < TRANSLATIONS_RUNNING_MAX && (next = TAILQ_FIRST(&all->queued))) {
        TAILQ_REMOVE(&all->queued, next, entry);
        TAILQ_INSERT_TAIL(&all->running, next, entry);
        all->running_count++;
        next->state = TRANSLATION_RUNNING;
        start_child(next, TRANSLATOR_READ, TAKE_POINTER(next->request), next->request_size, on_read);
    }
}

static int make_request(struct translation *translation, const struct translation_options *options)
{
    struct wire_writer request = { 0 };

    wire_put_text(&request, options->function);
    wire_put_bytes(&request, options->object, options->object_size);
    wire_put_number(&request, options->settings ? (uint64_t)json_object_object_length(options->settings) : 0);
    if (options->settings) {
        json_object_object_foreach(options->settings, name, value) {
            wire_put_text(&request, name);
            wire_put_text(&request, json_object_get_string(value));
        }
    }
    translation->request = request.bytes;
    translation->request_size = request.size;
    return request.failed ? -ENOMEM : 0;
}

static void set_digest(struct translation *translation, const struct translation_options *options)
{
    struct sha256_ctx digest;

    sha256_init(&digest);
    sha256_update(&digest, options->object_size, options->object);
    sha256_digest(&digest, sizeof(translation->digest), translation->digest);
}

int translation_start(struct translations *all, const struct translation_options *options, struct translation **ret,
                      struct refusal *refusal)
{
    struct translation *translation;

    if (options->object_size > TRANSLATIONS_BYTES_MAX - all->bytes)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "bytes of objects that are being translated",
                      "maximum", (int64_t)TRANSLATIONS_BYTES_MAX);
    translation = calloc(1, sizeof(*translation));
    if (!translation)
        return refuse_memory(refusal);
    if (make_request(translation, options) < 0) {
        free(translation->request);
        free(translation);
        return refuse_memory(refusal);
    }
    translation->all = all;
    snprintf(translation->program, sizeof(translation->program), "%s", options->program ? options->program : "");
    translation->context = options->context ? shared_context_get(options->context) : NULL;
    translation->wants_log = options->log;
    translation->done = options->done;
    translation->userdata = options->userdata;
    set_digest(translation, options);
    translation->bytes = options->object_size;
    all->bytes += translation->bytes;
    all->pending++;
    TAILQ_INSERT_TAIL(&all->queued, translation, entry);
    event_active(all->advance, 0, 0);
    *ret = translation;
    return 0;
}

int translations_executable(const struct translations *translations)
{
    return translations->executable;
}

size_t translations_pending(const struct translations *all)
{
    return all->pending;
}

unsigned translations_patience(const struct translations *all)
{
    return 2 * CHILD_PATIENCE * all->seconds;       /* two processes, one after the other */
}

int translations_new(struct daemon *daemon, unsigned seconds, struct translations **ret)
{
    struct translations *all = calloc(1, sizeof(*all));
    int r;

    if (!all)
        return -ENOMEM;
    *all = (struct translations){ .daemon = daemon, .seconds = seconds };
    TAILQ_INIT(&all->queued);
    TAILQ_INIT(&all->running);
    /* Opened once: the file may be replaced while we run, but not what we execute. */
    all->executable = RETURN_ERRNO(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    all->advance = event_new(daemon->base, -1, 0, advance, all);
    r = all->executable < 0 ? all->executable : all->advance ? 0 : -ENOMEM;
    if (r < 0) {
        translations_free(all);
        return r;
    }
    *ret = all;
    return 0;
}

static void cancel(struct translation *translation)
{
    finish(translation, refuse(&translation->refusal, -ECANCELED, "TranslationFailed", "ss", "program",
                               translation->program, "reason", "dispatchd stops"));
}

struct translations *translations_free(struct translations *all)
{
    struct translation *translation;

    if (!all)
        return NULL;
    while ((translation = TAILQ_FIRST(&all->queued)) || (translation = TAILQ_FIRST(&all->running)))
        cancel(translation);
    if (all->advance)
        event_free(all->advance);
    close_descriptor(&all->executable);
    free(all);
    return NULL;
}
