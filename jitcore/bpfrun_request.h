/* SPDX-License-Identifier: MIT */
/* What bpfrun is asked: one program, what it runs on, and what is to be done with it.  Nothing here trusts the text. */
#ifndef JITCORE_BPFRUN_REQUEST_H
#define JITCORE_BPFRUN_REQUEST_H

#include <json.h>
#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "error.h"

enum request_mode { REQUEST_COMPILED = 1, REQUEST_INTERPRETED = 2 };

struct request {
    struct instruction *instruction;    /* raw; a map is named by the index of its region */
    uint32_t instructions;
    uint8_t *memory;
    uint32_t memory_size;               /* bytes */
    struct bytecode_region region[BYTECODE_REGIONS_MAX];
    uint32_t regions;
    unsigned mode;                      /* of enum request_mode; 0: only verify */
    bool raw;
};

/*
 * Read a line, which a NUL follows: one value of JSON, null as NULL, for json_object_put().  -ENOMEM; -EINVAL with
 * `error`, rule "request".
 */
int request_parse_line(const char *line, size_t size, json_object **ret, struct jit_error *error);

/*
 * Read a request from JSON, or from the texts of the plugin convention, into a zeroed *ret; request_clear() it even on
 * failure.  -ENOMEM; -EINVAL with `error`, rule "request".
 */
int request_parse_json(json_object *object, struct request *ret, struct jit_error *error);
int request_parse_hex(const char *instructions, const char *memory, struct request *ret, struct jit_error *error);

void request_clear(struct request *request);

#endif
