/* SPDX-License-Identifier: MIT */
/*
 * Run programs that are given as instructions, for test suites.  A JSON object a line on standard input, an answer a
 * line on standard output; or the plugin convention of the public bpf_conformance runner.  Each program is verified,
 * run and interpreted in child processes of its own: a crash is a result.
 */

#include <errno.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfrun_request.h"
#include "execution.h"
#include "raw.h"

#define SECONDS 5               /* of processor time for one run of a program */
#define PROGRAM "bpfrun"

/* ---- standard input and output ---- */

static int failed(const char *what)
{
    fprintf(stderr, PROGRAM ": cannot %s: %s\n", what, strerror(errno));
    return 1;
}

/* Is what was printed where it belongs?  An exit code. */
static int flush_output(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? failed("write to standard output") : 0;
}

/* ---- answers ---- */

static json_object *new_hex(uint64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
    return json_object_new_string(text);
}

/* The instruction is counted from the program's first one, not from its function's. */
static json_object *new_error(const struct jit_error *error, const struct bytecode *bytecode)
{
    json_object *object = json_object_new_object();
    int64_t at = error->instruction;

    for (uint32_t i = 0; bytecode && at >= 0 && i < bytecode->functions; i++)
        if (strcmp(bytecode->function[i].name, error->function) == 0) {
            at += bytecode->function[i].first;
            break;
        }
    json_object_object_add(object, "insn", at < 0 ? NULL : json_object_new_int64(at));
    json_object_object_add(object, "rule", json_object_new_string(error->rule ? error->rule : "memory"));
    json_object_object_add(object, "text", json_object_new_string(error->text));
    return object;
}

static json_object *new_outcome(const struct execution_outcome *outcome, const struct bytecode *bytecode)
{
    json_object *object = json_object_new_object();

    if (outcome->signal) {
        json_object_object_add(object, "signal", json_object_new_int(outcome->signal));
        json_object_object_add(object, "text", json_object_new_string(strsignal(outcome->signal)));
    } else if (outcome->result < 0) {
        json_object_object_add(object, "error", new_error(&outcome->error, bytecode));
    } else {
        json_object_object_add(object, "r0", new_hex(outcome->r0));
    }
    return object;
}

static void refuse(json_object *answer, const struct jit_error *error, const struct bytecode *bytecode)
{
    json_object_object_add(answer, "verdict", json_object_new_string("reject"));
    json_object_object_add(answer, "error", new_error(error, bytecode));
}

/* Accepted?  Else the answer says why not. */
static bool verify(const struct execution *execution, json_object *answer)
{
    struct execution_outcome outcome = { .result = 0 };

    if (execution->verify)
        execution_in_child(execution_verify, execution, SECONDS, &outcome);
    if (outcome.signal)
        outcome.result = jit_error_set(&outcome.error, -EFAULT, "crash", "the verifier was ended by signal %d (%s)",
                                       outcome.signal, strsignal(outcome.signal));
    if (outcome.result < 0) {
        refuse(answer, &outcome.error, execution->bytecode);
        return false;
    }
    json_object_object_add(answer, "verdict", json_object_new_string("accept"));
    return true;
}

static void execute(const struct execution *execution, unsigned mode, json_object *answer)
{
    static const struct {
        unsigned mode;
        const char *key;
        execution_function *function;
    } runs[] = {
        { REQUEST_COMPILED, "jit", execution_compiled },
        { REQUEST_INTERPRETED, "interpret", execution_interpreted },
    };

    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        if (mode & runs[i].mode) {
            struct execution_outcome outcome = { .result = 0 };

            execution_in_child(runs[i].function, execution, SECONDS, &outcome);
            json_object_object_add(answer, runs[i].key, new_outcome(&outcome, execution->bytecode));
        }
}

/* Make it canonical and give it what it runs on.  To be undone with execution_clear(). */
static int make_execution(const struct request *request, struct execution *ret, struct jit_error *error)
{
    struct bytecode *bytecode = NULL;
    struct context *context = NULL;
    int r = raw_bytecode(request->instruction, request->instructions, request->region, request->regions, request->raw,
                         &bytecode, error);

    if (r == 0 && !request->raw)
        r = context_new_bytes(request->memory_size, &context, error);
    if (r < 0) {
        bytecode_free(bytecode);
        return r;
    }
    *ret = (struct execution){
        .bytecode = bytecode,
        .context = context,
        .verify = !request->raw,
        .memory = request->memory_size ? request->memory : NULL,
        .size = request->memory_size,
        .r2 = request->raw ? request->memory_size : 0,
    };
    return 0;
}

static void execution_clear(struct execution *execution)
{
    bytecode_free((struct bytecode *)(uintptr_t)execution->bytecode);
    context_free((struct context *)(uintptr_t)execution->context);
}

static void run(const struct request *request, json_object *answer)
{
    struct execution execution;
    struct jit_error error = { .instruction = -1 };

    if (make_execution(request, &execution, &error) < 0) {
        refuse(answer, &error, NULL);
        return;
    }
    if (verify(&execution, answer))
        execute(&execution, request->mode, answer);
    execution_clear(&execution);
}

/* ---- JSON lines ---- */

static json_object *answer_line(const char *line, size_t size)
{
    json_object *object = NULL, *id = NULL, *answer = json_object_new_object();
    struct request request = { .instruction = NULL };
    struct jit_error error = { .instruction = -1 };
    int r = request_parse_line(line, size, &object, &error);

    json_object_object_get_ex(object, "id", &id);
    json_object_object_add(answer, "id", json_object_get(id));
    if (r == 0)
        r = request_parse_json(object, &request, &error);
    if (r < 0)
        refuse(answer, &error, NULL);
    else
        run(&request, answer);
    request_clear(&request);
    json_object_put(object);
    return answer;
}

static bool is_blank(const char *line, size_t size)
{
    return strspn(line, " \t\r\n") == size;
}

static int answer_lines(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int status = 0;

    while (status == 0 && (size = getline(&line, &room, stdin)) > 0) {
        json_object *answer;

        if (is_blank(line, (size_t)size))
            continue;
        answer = answer_line(line, (size_t)size);
        printf("%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
        status = flush_output();
        json_object_put(answer);
    }
    if (status == 0 && !feof(stdin))
        status = failed("read standard input");
    free(line);
    return status;
}

/* ---- the plugin convention ---- */

static int plugin_failed(const struct execution_outcome *outcome)
{
    if (outcome->signal)
        fprintf(stderr, PROGRAM ": the program was ended by signal %d (%s)\n", outcome->signal,
                strsignal(outcome->signal));
    else
        fprintf(stderr, PROGRAM ": %s\n", outcome->error.text);
    return 1;
}

/* All of standard input, which has no NUL in it.  To be freed even on failure. */
static int read_program(char **ret, struct jit_error *error)
{
    size_t room = 0;
    ssize_t size = getdelim(ret, &room, '\0', stdin);

    if (size < 0)
        return jit_error_set(error, -EINVAL, "request", "no program on standard input");
    if (strlen(*ret) < (size_t)size)
        return jit_error_set(error, -EINVAL, "request", "there is a NUL in the program on standard input");
    return 0;
}

/* The program in hexadecimal digits on standard input; R0 likewise on standard output. */
static int run_plugin(const char *memory, execution_function *function)
{
    struct request request = { .instruction = NULL };
    struct execution execution;
    struct execution_outcome outcome = { .result = 0 };
    char *text = NULL;
    int r = read_program(&text, &outcome.error);

    if (r == 0)
        r = request_parse_hex(text, memory, &request, &outcome.error);
    if (r == 0)
        r = make_execution(&request, &execution, &outcome.error);
    if (r == 0) {
        execution_in_child(function, &execution, SECONDS, &outcome);
        execution_clear(&execution);
    }
    request_clear(&request);
    free(text);
    if (r < 0 || outcome.result < 0 || outcome.signal)
        return plugin_failed(&outcome);
    printf("%llx\n", (unsigned long long)outcome.r0);
    return flush_output();
}

/* ---- main ---- */

static const char usage[] =
    "Usage: " PROGRAM "                          a JSON object a line, an answer a line\n"
    "       " PROGRAM " --plugin [MEMORY]        a program in hexadecimal digits; prints R0\n"
    "       " PROGRAM " --plugin --interpret [MEMORY]\n"
    "Run programs that are given as instructions, each in a child process of its own.\n"
    "The keys of requests and answers are described in HACKING.md.\n"
    "Exit codes: 0; 1 where a program fails, or reading or writing; 2 for a wrong command line.\n";

struct arguments {
    bool help, plugin;
    execution_function *function;
    const char *memory;                 /* "": none */
};

/* 2, the exit code. */
static int misused(const char *what, const char *word)
{
    fprintf(stderr, PROGRAM ": %s '%s'\n%s", what, word, usage);
    return 2;
}

/* The runner gives the memory first and its plugin's options behind it; where there are none, an empty argument. */
static int read_arguments(int argc, char **argv, struct arguments *ret)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--plugin") == 0)
            ret->plugin = true;
        else if (strcmp(argv[i], "--interpret") == 0)
            ret->function = execution_interpreted;
        else if (strcmp(argv[i], "--help") == 0)
            ret->help = true;
        else if (argv[i][0] == '-')
            return misused("there is no option", argv[i]);
        else if (argv[i][0] && ret->memory[0])
            return misused("there is a MEMORY already, before", argv[i]);
        else if (argv[i][0])
            ret->memory = argv[i];
    }
    if (argc > 1 && !ret->plugin && !ret->help)
        return misused("without --plugin there is nothing to do with", argv[1]);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .function = execution_compiled, .memory = "" };
    int status = read_arguments(argc, argv, &arguments);

    if (status)
        return status;
    if (arguments.help) {
        fputs(usage, stdout);
        return flush_output();
    }
    return arguments.plugin ? run_plugin(arguments.memory, arguments.function) : answer_lines();
}
