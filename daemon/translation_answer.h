/* SPDX-License-Identifier: MIT */
/*
 * What the processes of a translation answer.  They may have been taken over by the object that they work on: of what
 * they say everything is checked here that somebody relies on, and text is made printable.
 */
#ifndef DAEMON_TRANSLATION_ANSWER_H
#define DAEMON_TRANSLATION_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "translator.h"

struct translation;
struct wire_reader;

/* Why a program was refused; printable ASCII. */
struct translation_failure {
    int result;                         /* 0: none */
    char rule[64], function[BYTECODE_NAME_MAX + 1];
    int64_t instruction, line;          /* -1: none; 0: none */
    char file[512], source[512], text[TRANSLATOR_TEXT_MAX], registers[TRANSLATOR_TEXT_MAX], hint[TRANSLATOR_TEXT_MAX];
};

/* The outcome, which an answer begins with.  -EBADMSG: it makes no sense. */
int translation_read_outcome(struct wire_reader *answer, struct translation_failure *ret);

/* The process itself was refused something, so that nothing is said about the program. */
bool translation_is_process_failure(const struct translation_failure *failure);

/*
 * What the reading process says of the object's program, into the translation, and the canonical form, borrowed from
 * the answer: nobody looks at it but the compiling process.  false: it makes no sense.
 */
bool translation_read_program(struct translation *translation, struct wire_reader *answer,
                              char ret_context[CONTEXT_NAME_MAX + 1], const void **ret_bytecode, size_t *ret_size);

/*
 * What the compiling process made, into the translation: regions, natives, code that refers to them and to nothing
 * else.  false: it makes no sense, or no memory; translation_free() frees what is there.
 */
bool translation_read_code(struct translation *translation, struct wire_reader *answer);

/* The verifier's log, if it is wanted; without memory there is none. */
void translation_read_log(struct translation *translation, struct wire_reader *answer);

#endif
