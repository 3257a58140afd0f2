/* SPDX-License-Identifier: MIT */
#include "translator.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytecode.h"
#include "compiler.h"
#include "measurer.h"
#include "object.h"
#include "sandbox.h"
#include "typed.h"
#include "util.h"
#include "wire.h"

/* What an answer says first: nothing went wrong, or what. */
static void put_outcome(struct wire_writer *answer, int result, const struct jit_error *error)
{
    wire_put_number(answer, (uint64_t)-result);
    if (result >= 0)
        return;
    wire_put_text(answer, error->rule);
    wire_put_text(answer, error->function);
    wire_put_number(answer, (uint64_t)(error->instruction + 1));        /* 0: none */
    wire_put_text(answer, error->file);
    wire_put_number(answer, error->line);
    wire_put_text(answer, error->source);
    wire_put_text(answer, error->text);
    wire_put_text(answer, error->registers);
    wire_put_text(answer, error->hint);
}

static int refuse_memory(struct jit_error *error)
{
    return jit_error_set(error, -ENOMEM, "limit", "needs more than %lu MiB of memory", SANDBOX_MEMORY_MAX >> 20);
}

/* ---- read: an object to canonical form ----------------------------------------------------------------- */

static int read_settings(struct wire_reader *request, struct object *object, struct jit_error *error)
{
    uint64_t settings = wire_number(request, UINT32_MAX);
    int r = 0;

    for (uint64_t i = 0; r >= 0 && i < settings && !request->failed; i++) {
        const char *name = wire_text(request, SIZE_MAX - 1), *value = wire_text(request, SIZE_MAX - 1);

        r = object_set(object, name, value, error);
    }
    return r;
}

/* The program's name as well: what the daemon keeps. */
static int read_program(struct object *object, const char *name, uint32_t *ret_program, struct bytecode **ret,
                        struct jit_error *error)
{
    int r;

    r = object_find(object, *name ? name : NULL, ret_program, error);
    return r < 0 ? r : object_bytecode(object, *ret_program, ret, error);
}

static int put_program(struct wire_writer *answer, const struct object *object, uint32_t program,
                       const struct bytecode *bytecode, struct jit_error *error)
{
    _cleanup_free_ void *bytes = NULL;
    size_t size;
    int r;

    r = bytecode_encode(bytecode, &bytes, &size);
    if (r < 0)
        return refuse_memory(error);
    put_outcome(answer, 0, NULL);
    wire_put_text(answer, object->program[program].name);
    wire_put_text(answer, bytecode->context);
    wire_put_text(answer, object->licence);
    wire_put_number(answer, bytecode->instructions);
    wire_put_bytes(answer, bytes, size);
    return 0;
}

static int serve_read(struct wire_reader *request, struct wire_writer *answer, struct jit_error *error)
{
    const char *name = wire_text(request, SIZE_MAX - 1);
    struct bytecode *bytecode = NULL;
    struct object *object = NULL;
    const void *bytes;
    uint32_t program;
    size_t size;
    int r;

    bytes = wire_bytes(request, &size);
    r = object_read(bytes, size, &object, error);
    if (r >= 0)
        r = read_settings(request, object, error);
    if (r >= 0)
        r = read_program(object, name, &program, &bytecode, error);
    if (r >= 0)
        r = put_program(answer, object, program, bytecode, error);
    bytecode_free(bytecode);
    object_free(object);
    return r;
}

/* ---- compile: canonical form to machine code ----------------------------------------------------------- */

/* The last lines of the verifier's log, in two halves: when the second is full, the first is left out. */
struct log {
    char *text;                         /* 2 * TRANSLATOR_LOG_MAX bytes; NULL: none is wanted, or there is no memory */
    size_t length;
    bool cut;
};

static void log_line_of(void *userdata, const char *line)
{
    struct log *log = userdata;
    size_t length = strlen(line);

    if (!log->text || length >= TRANSLATOR_LOG_MAX)
        return;
    if (log->length + length + 1 > 2 * TRANSLATOR_LOG_MAX) {
        log->length -= TRANSLATOR_LOG_MAX;
        memmove(log->text, log->text + TRANSLATOR_LOG_MAX, log->length);
        log->cut = true;
    }
    memcpy(log->text + log->length, line, length);
    log->text[log->length + length] = '\n';
    log->length += length + 1;
}

/* At most TRANSLATOR_LOG_MAX bytes of whole lines. */
static void put_log(struct wire_writer *answer, const struct log *log)
{
    const char *begin = log->text ? log->text : "", *end = begin + log->length;
    bool cut = log->cut;

    if (log->length > TRANSLATOR_LOG_MAX) {
        begin = end - TRANSLATOR_LOG_MAX;
        cut = true;
    }
    if (cut) {
        begin = memchr(begin, '\n', (size_t)(end - begin));
        begin = begin ? begin + 1 : end;
    }
    wire_put_number(answer, cut);
    wire_put_bytes(answer, begin, (size_t)(end - begin));
}

static int read_context(struct wire_reader *request, struct context **ret, struct jit_error *error)
{
    struct context_field field[CONTEXT_FIELDS_MAX];
    const char *name = wire_text(request, CONTEXT_NAME_MAX);
    uint32_t size = (uint32_t)wire_number(request, UINT32_MAX);
    uint32_t fields = (uint32_t)wire_number(request, CONTEXT_FIELDS_MAX);

    for (uint32_t i = 0; i < fields; i++) {
        strcpy(field[i].name, wire_text(request, CONTEXT_NAME_MAX));
        field[i].offset = (uint32_t)wire_number(request, UINT32_MAX);
        field[i].size = (uint32_t)wire_number(request, UINT32_MAX);
        field[i].rights = (enum context_rights)wire_number(request, CONTEXT_DATA_END);
    }
    return context_new(name, size, field, fields, ret, error);
}

static void put_definition(struct wire_writer *answer, const struct bytecode_region *region)
{
    wire_put_number(answer, region ? region->map_type : 0);
    wire_put_number(answer, region ? region->key_size : 0);
    wire_put_number(answer, region ? region->value_size : 0);
    wire_put_number(answer, region ? region->max_entries : 0);
    wire_put_number(answer, region ? region->map_flags : 0);
}

static void put_type(struct wire_writer *answer, const struct typed *typed)
{
    _cleanup_free_ void *bytes = NULL;
    size_t size = 0;

    if (typed && typed_encode(typed, &bytes, &size) < 0)
        answer->failed = true;
    wire_put_bytes(answer, bytes, size);
}

static void put_map(struct wire_writer *answer, const struct bytecode *bytecode, const struct bytecode_region *region)
{
    wire_put_number(answer, TRANSLATOR_REGION_MAP);
    wire_put_number(answer, region->size);
    wire_put_text(answer, region->name);
    put_definition(answer, region);
    put_definition(answer, bytecode_map_of_maps(region) ? &bytecode->region[region->inner] : NULL);
    put_type(answer, region->key_type);
    put_type(answer, region->value_type);
}

static void put_regions(struct wire_writer *answer, const struct bytecode *bytecode)
{
    wire_put_number(answer, bytecode->regions);
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        const struct bytecode_region *region = &bytecode->region[i];

        if (region->kind == REGION_MAP) {
            put_map(answer, bytecode, region);
        } else if (region->kind == REGION_DATA && region->size > 0) {
            wire_put_number(answer, TRANSLATOR_REGION_DATA);
            wire_put_number(answer, region->size);
            wire_put_bytes(answer, region->contents, region->contents ? region->size : 0);
        } else {
            wire_put_number(answer, TRANSLATOR_REGION_NONE);
        }
    }
}

static void put_natives(struct wire_writer *answer, const struct bytecode *bytecode)
{
    wire_put_number(answer, bytecode->natives);
    for (uint32_t i = 0; i < bytecode->natives; i++) {
        wire_put_text(answer, bytecode->native[i].name);
        wire_put_text(answer, bytecode->native[i].prototype);
    }
}

static void put_code(struct wire_writer *answer, const struct bytecode *bytecode, const struct code *code,
                     const struct verifier_statistics *statistics)
{
    put_outcome(answer, 0, NULL);
    wire_put_number(answer, statistics->processed);
    put_regions(answer, bytecode);
    put_natives(answer, bytecode);
    wire_put_bytes(answer, code->bytes, code->size);
    wire_put_number(answer, code->relocations);
    for (size_t i = 0; i < code->relocations; i++) {
        wire_put_number(answer, code->relocation[i].at);
        wire_put_number(answer, code->relocation[i].kind);
        wire_put_number(answer, code->relocation[i].index);
        wire_put_number(answer, (uint64_t)(int64_t)code->relocation[i].addend);
    }
}

static int prove_and_compile(const struct bytecode *bytecode, const struct context *context, struct log *log,
                             struct wire_writer *answer, struct jit_error *error)
{
    const struct verifier_options options = { .log = log->text ? log_line_of : NULL, .userdata = log };
    struct verifier_statistics statistics = { 0 };
    struct verified verified = { 0 };
    struct code code = { 0 };
    int r;

    r = verifier_run(bytecode, context, &options, &verified, &statistics, error);
    if (r < 0)
        return r;
    r = compile_verified(&verified, architecture_native(), &code, error);
    if (r >= 0)
        put_code(answer, bytecode, &code, &statistics);
    code_clear(&code);
    verified_clear(&verified);
    return r;
}

static int serve_compile(struct wire_reader *request, struct wire_writer *answer, struct jit_error *error)
{
    bool wants_log = wire_number(request, true);
    struct log log = { .text = wants_log ? malloc(2 * TRANSLATOR_LOG_MAX) : NULL };
    struct bytecode *bytecode = NULL;
    struct context *context = NULL;
    const void *bytes;
    size_t size;
    int r;

    r = read_context(request, &context, error);
    bytes = wire_bytes(request, &size);
    if (r >= 0)
        r = bytecode_decode(bytes, size, &bytecode, error);
    if (r >= 0)
        r = prove_and_compile(bytecode, context, &log, answer, error);
    if (r < 0 && bytecode && r != -ENOMEM) {
        bytecode_locate(bytecode, error);
        put_outcome(answer, r, error);
        r = 0;
    }
    if (r >= 0)
        put_log(answer, &log);
    bytecode_free(bytecode);
    context_free(context);
    free(log.text);
    return r;
}

/* ---- one request --------------------------------------------------------------------------------------- */

static const struct stage {
    const char *name;
    /* Write an answer, or fail with `error`. */
    int (*serve)(struct wire_reader *request, struct wire_writer *answer, struct jit_error *error);
    bool trusted;               /* no sandbox: its request is the daemon's own */
} stages[] = {
    { TRANSLATOR_READ, serve_read, false },
    { TRANSLATOR_COMPILE, serve_compile, false },
    { TRANSLATOR_MEASURE, measurer_serve, true },
};

static const struct stage *find_stage(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(stages); i++)
        if (!strcmp(stages[i].name, name))
            return &stages[i];
    return NULL;
}

/* To its end. */
static void read_request(struct wire_writer *request)
{
    static uint8_t bytes[64 << 10];
    ssize_t n;

    while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
        wire_append(request, bytes, (size_t)n);
}

static bool write_answer(const struct wire_writer *answer)
{
    size_t written = 0;

    while (written < answer->size) {
        ssize_t n = write(STDIN_FILENO, answer->bytes + written, answer->size - written);

        if (n <= 0)
            return false;
        written += (size_t)n;
    }
    return true;
}

static void serve(const struct stage *stage, struct wire_writer *answer)
{
    struct wire_writer request = { 0 };
    struct jit_error error = { 0 };
    struct wire_reader reader;
    int r;

    read_request(&request);
    reader = (struct wire_reader){ .at = request.bytes, .left = request.size };
    r = request.failed ? -ENOMEM : stage->serve(&reader, answer, &error);
    if (r == -ENOMEM)
        refuse_memory(&error);
    if (r < 0)
        put_outcome(answer, r, &error);
}

/* _exit: what is still allocated goes with the process, and exit handlers are not for the sandbox. */
void translator_main(int argc, char **argv)
{
    const struct stage *stage = argc == 4 ? find_stage(argv[2]) : NULL;
    struct wire_writer answer = { 0 };
    struct jit_error error;
    const char *refused = NULL;
    int r;

    if (!stage)
        _exit(EXIT_FAILURE);
    r = stage->trusted ? 0 : sandbox_enter((unsigned)atoi(argv[3]), &refused);
    if (r < 0) {
        jit_error_set(&error, r, TRANSLATOR_SANDBOX, "cannot enter its sandbox, this host refuses %s: %s", refused,
                      strerror(-r));
        put_outcome(&answer, r, &error);
    } else {
        serve(stage, &answer);
    }
    _exit(answer.failed || !write_answer(&answer) ? EXIT_FAILURE : EXIT_SUCCESS);
}
