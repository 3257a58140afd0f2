/* SPDX-License-Identifier: MIT */
/* One run of a program. */

#include "execution.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler.h"
#include "interpreter.h"
#include "machine.h"

/* ---- memory ---- */

/* FNV-1a */
static uint64_t add_to_digest(uint64_t digest, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ bytes[i]) * 0x100000001b3;
    return digest;
}

/* What a run works on: copies, as what R1 points to, the packet, and the program's regions. */
struct memories {
    uint8_t *context, *packet;
    const struct test_arena *arena;     /* the program's regions and maps */
};

/*
 * The addresses of the packet and of a context that holds one differ from run to run and do not count.
 */
static uint64_t digest_of(const struct execution *execution, const struct memories *memories)
{
    const struct bytecode *bytecode = execution->bytecode;
    const struct context *context = execution->context;
    uint64_t digest = 0xcbf29ce484222325;

    if (memories->packet) {
        memset(memories->context + context->field[context->data].offset, 0, 8);
        memset(memories->context + context->field[context->data_end].offset, 0, 8);
    }
    digest = add_to_digest(digest, memories->context, memories->context ? execution->size : 0);
    for (uint32_t i = 0; i < bytecode->regions; i++)
        digest = add_to_digest(digest, memories->arena->memory[i], memories->arena->memory_size[i]);
    return digest;
}

static bool has_packet(const struct execution *execution)
{
    return execution->context && execution->context->data >= 0;
}

static void set_packet(const struct execution *execution, uint8_t *context, uint64_t packet)
{
    uint64_t end = packet + execution->packet_size;

    memcpy(context + execution->context->field[execution->context->data].offset, &packet, sizeof(packet));
    memcpy(context + execution->context->field[execution->context->data_end].offset, &end, sizeof(end));
}

/* ---- guarded memory ---- */

struct guarded {
    uint8_t *base;
    size_t mapped;
    uint8_t *bytes;             /* 8-byte aligned; at most 7 bytes behind them a page begins that faults */
};

static bool guarded_new(const uint8_t *contents, size_t size, struct guarded *ret)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (size + 7) & ~(size_t)7;
    size_t inner = (rounded + page - 1) / page * page;
    struct guarded guarded = { .mapped = inner + 2 * page };

    guarded.base = mmap(NULL, guarded.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guarded.base == MAP_FAILED)
        return false;
    if (inner && mprotect(guarded.base + page, inner, PROT_READ | PROT_WRITE) < 0) {
        munmap(guarded.base, guarded.mapped);
        return false;
    }
    guarded.bytes = guarded.base + page + inner - rounded;
    if (size)
        memcpy(guarded.bytes, contents, size);
    *ret = guarded;
    return true;
}

static void guarded_clear(struct guarded *guarded)
{
    if (guarded->base)
        munmap(guarded->base, guarded->mapped);
}

/* ---- machine code ---- */

void execution_verify(const struct execution *execution, struct execution_outcome *ret)
{
    struct verified verified;

    ret->result =
        verifier_run(execution->bytecode, execution->context, execution->options, &verified, NULL, &ret->error);
    if (ret->result == 0)
        verified_clear(&verified);
}

static int compile_execution(const struct execution *execution, struct code *code, struct jit_error *error)
{
    struct verified verified;
    int r;

    if (execution->verify)
        return compile(execution->bytecode, execution->context, architecture_native(), execution->options, code,
                       error);
    r = verified_assume(execution->bytecode, &verified);
    if (r < 0)
        return r;
    r = compile_verified(&verified, architecture_native(), code, error);
    verified_clear(&verified);
    return r;
}

static void run_machine(const struct execution *execution, const struct machine *machine,
                        struct execution_outcome *ret)
{
    struct guarded context = { .base = NULL }, packet = { .base = NULL };

    if ((execution->memory && !guarded_new(execution->memory, execution->size, &context)) ||
        (has_packet(execution) && !guarded_new(execution->packet, execution->packet_size, &packet))) {
        ret->result = -ENOMEM;
    } else {
        struct memories memories = { context.bytes, packet.bytes, &machine->arena };

        if (packet.bytes)
            set_packet(execution, context.bytes, (uintptr_t)packet.bytes);
        ret->r0 = machine->run(context.bytes, execution->r2);
        ret->digest = digest_of(execution, &memories);
    }
    guarded_clear(&context);
    guarded_clear(&packet);
}

void execution_compiled(const struct execution *execution, struct execution_outcome *ret)
{
    struct code code;
    struct machine machine;

    ret->result = compile_execution(execution, &code, &ret->error);
    if (ret->result < 0)
        return;
    ret->result = machine_load(execution->bytecode, &code, &machine, &ret->error);
    code_clear(&code);
    if (ret->result < 0)
        return;
    run_machine(execution, &machine, ret);
    machine_clear(&machine);
}

/* ---- the interpreter ---- */

static void interpret(const struct execution *execution, struct interpreter *interpreter, uint8_t *context,
                      uint8_t *packet, struct execution_outcome *ret)
{
    struct memories memories = { context, packet, &interpreter->arena };
    uint64_t r1 = 0;

    if (context)
        r1 = interpreter_add(interpreter, "the context", context, execution->size, true);
    if (packet)
        set_packet(execution, context,
                   interpreter_add(interpreter, "the packet", packet, execution->packet_size, false));
    ret->result = interpreter_run(interpreter, r1, execution->r2, &ret->r0, &ret->error);
    ret->digest = digest_of(execution, &memories);
}

static uint8_t *copy_of(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

void execution_interpreted(const struct execution *execution, struct execution_outcome *ret)
{
    struct interpreter *interpreter = interpreter_new(execution->bytecode, EXECUTION_STEPS_MAX);
    uint8_t *context = execution->memory ? copy_of(execution->memory, execution->size) : NULL;
    uint8_t *packet = has_packet(execution) ? copy_of(execution->packet, execution->packet_size) : NULL;

    if (!interpreter || (execution->memory && !context) || (has_packet(execution) && !packet))
        ret->result = -ENOMEM;
    else
        interpret(execution, interpreter, context, packet, ret);
    free(context);
    free(packet);
    interpreter_free(interpreter);
}

/* ---- children ---- */

/* A signal ends the child, whatever handlers there are (sanitizers bring some), and leaves no core file behind. */
static void expect_crash(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGPROF };

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        signal(signals[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(const struct rlimit){ 0, 0 });
}

void execution_limit(unsigned seconds)
{
    setitimer(ITIMER_PROF, &(const struct itimerval){ .it_value = { .tv_sec = seconds } }, NULL);
}

static int wait_for(pid_t child, int *status)
{
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

void execution_in_child(execution_function *function, const struct execution *execution, unsigned seconds,
                        struct execution_outcome *ret)
{
    struct execution_outcome *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0, r = 0;
    pid_t child;

    if (shared == MAP_FAILED) {
        ret->result = jit_error_set(&ret->error, -errno, "child", "no memory to share with a child");
        return;
    }
    child = fork();
    if (child == 0) {
        expect_crash();
        execution_limit(seconds);
        function(execution, shared);
        _exit(0);
    }
    r = child < 0 ? -errno : wait_for(child, &status);
    *ret = *shared;
    munmap(shared, sizeof(*shared));
    if (r < 0)
        ret->result = jit_error_set(&ret->error, r, "child", "no child process: %s", strerror(-r));
    ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
