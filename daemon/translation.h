/* SPDX-License-Identifier: MIT */
/*
 * Translation: from an object's bytes to machine code, by processes that may fail as they like (child.h, translator.h).
 *
 *      object, settings --> [read] --> canonical form --> [compile, with the context] --> machine code, data
 *
 * The daemon looks at none of these bytes: it hands the canonical form on as it came, and checks what it uses of an
 * answer (sizes, counts, names) itself: translation_answer.h.  A process that crashes, takes too long or answers
 * nonsense is an error of this translation.  The event loop never waits; a few translations run at once, the others
 * queue.
 */
#ifndef DAEMON_TRANSLATION_H
#define DAEMON_TRANSLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bytecode.h"
#include "compiler.h"
#include "map.h"
#include "prototype.h"
#include "refusal.h"
#include "registry.h"

struct child;
struct daemon;
struct json_object;
struct translation;
struct translations;
struct typed;

#define TRANSLATIONS_RUNNING_MAX 4
#define TRANSLATIONS_BYTES_MAX ((size_t)256 << 20)      /* of objects that are not translated yet */

/* All borrowed, and not needed after translation_start, but for the context. */
struct translation_options {
    const char *program;                /* the name that it is to have, for refusals; NULL: none */
    const void *object;
    size_t object_size;
    const char *function;               /* which of the object's programs; NULL: the only one */
    struct json_object *settings;       /* values of its variables by name, all strings; NULL: none */
    struct shared_context *context;     /* that it must be for; NULL: the registry's of the name that the object says */
    bool log;                           /* keep the verifier's log */
    /* Called from the event loop, never from inside translation_start.  May free the translation. */
    void (*done)(struct translation *translation, void *userdata);
    void *userdata;
};

/* What a program needs of a region: variables that it writes, or a map.  Others are zeroed. */
struct translation_region {
    uint32_t size;                      /* bytes; of a map: that the program reaches by their distance */
    uint8_t *contents;                  /* of variables; NULL: zeros */
    char name[NAME_LENGTH_MAX + 1];     /* of a map */
    struct map_definition definition;   /* of kind 0: it is no map */
    struct map_definition inner;        /* a map of maps: what its inner maps are; else of kind 0 */
    struct typed *key, *value;          /* owned; NULL: nothing is known */
};

/* A function of the workers' that a program calls. */
struct translation_native {
    char name[NAME_LENGTH_MAX + 1];
    char prototype[PROTOTYPE_BYTES];    /* canonical */
};

struct translation {
    /* When it is done: */
    int result;                         /* 0, or negative errno with `refusal`: then the rest is not to be used, */
    struct refusal refusal;
    char *log;                          /* but for this; NULL: none */
    uint8_t digest[32];                 /* SHA-256 of the object */
    char function[BYTECODE_NAME_MAX + 1];       /* the program's name in the object */
    char licence[BYTECODE_NAME_MAX + 1];
    uint32_t instructions;
    uint64_t processed;                 /* instructions, by the verifier, over all paths */
    struct shared_context *context;     /* a reference: while it lasts, no worker can declare the name otherwise */
    uint32_t regions;
    struct translation_region region[BYTECODE_REGIONS_MAX];
    uint32_t natives;
    struct translation_native native[BYTECODE_NATIVES_MAX];
    struct code code;

    /* translation.c: */
    struct translations *all;
    TAILQ_ENTRY(translation) entry;
    enum { TRANSLATION_QUEUED, TRANSLATION_RUNNING, TRANSLATION_DONE } state;
    struct child *child;
    char program[NAME_LENGTH_MAX + 1];
    bool wants_log;
    void *request;                      /* of the first stage, until it begins */
    size_t request_size;
    size_t bytes;                       /* that count against TRANSLATIONS_BYTES_MAX */
    void (*done)(struct translation *translation, void *userdata);
    void *userdata;
};

/* `seconds`: that one process may take.  -ENOMEM; others of open(2). */
int translations_new(struct daemon *daemon, unsigned seconds, struct translations **ret);

/* Seconds of the clock after which a translation that runs has ended. */
unsigned translations_patience(const struct translations *translations);

/* Ends those that are under way: `done` is called, with -ECANCELED.  NULL is fine; returns NULL. */
struct translations *translations_free(struct translations *translations);

/* The daemon's executable, for children of other kinds; a descriptor, borrowed. */
int translations_executable(const struct translations *translations);

/* How many are not done. */
size_t translations_pending(const struct translations *translations);

/* Begin one.  The result is the caller's.  Negative errno with `refusal`: LimitExceeded. */
int translation_start(struct translations *translations, const struct translation_options *options,
                      struct translation **ret, struct refusal *refusal);

/* Ends it where it is under way; `done` is not called.  NULL is fine; returns NULL. */
struct translation *translation_free(struct translation *translation);

#endif
