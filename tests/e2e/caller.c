/* SPDX-License-Identifier: MIT */
/*
 * A worker with static calls and natives, for tests: reads a command a line, answers a line each.
 *
 *      open                    dd_open() with what the environment says
 *      close
 *      status                  what dd_status() says: "joined", or "refused" and why
 *      sum A B C D E F         the static call `sum` of six integers
 *      text WORD               the static call `text`, whose result is a pointer: what it returned for the word
 *      check N                 the static call `check`, whose result is a bool
 *      wide A B                the static call `wide`, uint64_t(uint64_t, uint64_t): its default gives A ^ B
 *      touch                   the static call `touch` without arguments and result: how often its default has run
 *      many                    the static call `many`, whose last arguments are on the stack
 *      silent                  the static calls `silent` and `zero`, which have no function: what the first of them has
 *                              done, and the result of the second
 *      unknown                 the static call `unknown`, which the library does not take; and what dd_status() says
 *      result TYPE             the static call `result_TYPE`: all of the register that the result is in
 *      verdict KEY             the table `on_event`
 *      late                    register the native `sum_late`
 *      forget                  and take it away again
 *      plug FILE               load a module, with the natives that it offers
 *      unplug                  and unload it again
 *      loop                    a thread that calls `sum` of 1 to 6 without a pause; `stop` says how often, and how many
 *                              sums were none of `allow SUM...`
 *      block                   a thread that calls `sum` once, and is held in `sum_blocking`; `release` lets it go
 *      nested                  the same sum inside a guard: says whether the guard was kept
 *      fork                    a child calls `sum` of 1 to 6: its result
 *
 * Natives: sum_times (result * 100), sum_blocking, event_native (key + 1000), event_blocking, text_upper,
 * many_less, many_blocking and silent_noise; for
 * programs to call, bytes_sum, bytes_fill, event_times and stack_aligned; and program_blocking and not_for_programs,
 * which they cannot.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatchd.h"
#include "results.h"

struct event {
    uint32_t number;
};

/* ---- hooks and what they may lead to ------------------------------------------------------------------- */

static uint64_t sum_plain(uint64_t a, uint32_t b, long c, const void *d, uint8_t e, int f)
{
    return a + b + (uint64_t)c + (uint64_t)(uintptr_t)d + e + (uint64_t)f;
}

static uint64_t wide_plain(uint64_t a, uint64_t b)
{
    return a ^ b;
}

static const char *text_plain(const char *text)
{
    return text;
}

static bool check_plain(int number)
{
    return number > 0;
}

static unsigned touched;

static void touch_plain(void)
{
    touched++;
}

/* More than are in registers. */
static int64_t many_plain(int8_t a, int b, int c, int d, int e, int f, int16_t g, long h, const int *i)
{
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + 1000000L * g + 10000000L * h + 100000000L * *i;
}

/* What its prototype names is not known to the library. */
typedef int foreign;

static int unknown_plain(foreign n)
{
    return 2 * n;
}

DD_CALL_DECLARE(sum, uint64_t(uint64_t, uint32_t, long, const void *, uint8_t, int))
DD_CALL(sum, uint64_t(uint64_t, uint32_t, long, const void *, uint8_t, int), sum_plain)
DD_CALL(wide, uint64_t(uint64_t, uint64_t), wide_plain)
DD_CALL(text, const char *(const char *), text_plain)
DD_CALL(check, bool(int), check_plain)
DD_CALL(touch, void(void), touch_plain)
DD_CALL(many, int64_t(int8_t, int, int, int, int, int, int16_t, long, const int *), many_plain)
DD_CALL_NULL(silent, void(int))
DD_CALL_NULL(zero, const char *(int, int, int, int, int, int, int))
DD_CALL(unknown, int(foreign), unknown_plain)
DD_TABLE(on_event, struct event, 5, DD_READ(number))

static sem_t entered, released;
static struct dd_line *line_inside;     /* of the thread that is in sum_blocking */

static uint64_t sum_late(uint64_t a, uint32_t b, long c, const void *d, uint8_t e, int f)
{
    return 1;
}

static struct dd_native late = {
    "sum_late", "uint64_t(uint64_t, uint32_t, long, const void *, uint8_t, int)", (void (*)(void))sum_late, 0, 0, 0,
    NULL,
};

#ifndef LACKING
/* As if it slept: until `release`. */
static void block(void)
{
    line_inside = dd_thread_self.line;
    sem_post(&entered);
    sem_wait(&released);
}

static uint64_t sum_times(uint64_t a, uint32_t b, long c, const void *d, uint8_t e, int f)
{
    return 100 * sum_plain(a, b, c, d, e, f);
}

static uint64_t sum_blocking(uint64_t a, uint32_t b, long c, const void *d, uint8_t e, int f)
{
    block();
    return 7 * sum_plain(a, b, c, d, e, f);
}

static int64_t many_less(int8_t a, int b, int c, int d, int e, int f, int16_t g, long h, const int *i)
{
    return -many_plain(a, b, c, d, e, f, g, h, i);
}

static int64_t many_blocking(int8_t a, int b, int c, int d, int e, int f, int16_t g, long h, const int *i)
{
    return dd_thread_self.line->word == 0 ? -2 * many_plain(a, b, c, d, e, f, g, h, i) : 0;
}

static unsigned noisy;

static void silent_noise(int n)
{
    noisy += (unsigned)n;
}

static const char *text_upper(const char *text)
{
    static char upper[64];
    size_t length = 0;

    for (; text[length] && length + 1 < sizeof(upper); length++)
        upper[length] = (char)toupper((unsigned char)text[length]);
    upper[length] = '\0';
    return upper;
}

static uint32_t event_native(struct event *event, uint32_t key)
{
    return 1000 + key + event->number;
}

static uint32_t event_blocking(struct event *event, uint32_t key)
{
    return dd_thread_self.line->word == 0 ? 2000 + key : 0;
}

static uint32_t bytes_sum(const void *data, uint32_t size)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < size; i++)
        sum += ((const uint8_t *)data)[i];
    return sum;
}

static void bytes_fill(void *data, unsigned long size, uint8_t with)
{
    memset(data, with, size);
}

static int16_t event_times(const struct event *event, int16_t factor)
{
    return (int16_t)((int16_t)event->number * factor);
}

/* As the calling convention has it: compilers put vectors there. */
static bool stack_aligned(void)
{
    return (uintptr_t)__builtin_frame_address(0) % 16 == 0;
}

static uint32_t program_blocking(uint32_t number)
{
    return number;
}

static uint32_t not_for_programs(uint32_t number)
{
    return number;
}

/* Spelled otherwise than the call is: the prototype is the same. */
DD_NATIVE(sum_times, uint64_t(unsigned long a, unsigned b, int64_t c, const void *d, unsigned char e, int32_t f))
DD_NATIVE_BLOCKING(sum_blocking, uint64_t(uint64_t, uint32_t, long, const void *, uint8_t, int))
DD_NATIVE(many_less, int64_t(int8_t, int, int, int, int, int, int16_t, long, const int *))
DD_NATIVE_BLOCKING(many_blocking, int64_t(int8_t, int, int, int, int, int, int16_t, long, const int *))
DD_NATIVE(silent_noise, void(int))
DD_NATIVE(text_upper, const char *(const char *))
DD_NATIVE(event_native, uint32_t(struct event *, uint32_t))
DD_NATIVE_BLOCKING(event_blocking, uint32_t(struct event *, uint32_t))
DD_HELPER(bytes_sum, uint32_t(const void *, uint32_t))
DD_HELPER(bytes_fill, void(void *, unsigned long, uint8_t))
DD_HELPER(event_times, int16_t(const struct event *, int16_t))
DD_HELPER(stack_aligned, bool(void))
DD_NATIVE_BLOCKING(program_blocking, uint32_t(uint32_t))
DD_NATIVE(not_for_programs, uint32_t(uint32_t))
#endif

/* ---- threads ------------------------------------------------------------------------------------------- */

#define ALLOWED_MAX 8

static uint64_t allowed[ALLOWED_MAX];
static unsigned n_allowed;
static _Atomic bool stop;
static _Atomic uint64_t calls, wrong;
static pthread_t thread;
static uint64_t result;

static uint64_t one_to_six(void)
{
    return DD_INVOKE(sum, 1, 2, 3, (const void *)4, 5, 6);
}

static bool is_allowed(uint64_t sum)
{
    for (unsigned i = 0; i < n_allowed; i++)
        if (allowed[i] == sum)
            return true;
    return false;
}

static void *loop_main(void *unused)
{
    while (!stop) {
        wrong += !is_allowed(one_to_six());
        calls++;
    }
    return NULL;
}

static void *block_main(void *unused)
{
    result = one_to_six();
    return NULL;
}

static void *nested_main(void *unused)
{
    DD_GUARDED {
        result = one_to_six();
    }
    return NULL;
}

/* Say whether the thread's line is in a guard while its native sleeps. */
static void start_blocked(void *(*run)(void *))
{
    pthread_create(&thread, NULL, run, NULL);
    sem_wait(&entered);
    printf("%s\n", __atomic_load_n(&line_inside->word, __ATOMIC_ACQUIRE) ? "inside" : "outside");
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void do_sum(char *argument)
{
    unsigned long long n[6] = { 0 };

    for (unsigned i = 0; i < 6; i++)
        n[i] = strtoull(argument, &argument, 0);
    printf("%llu\n", (unsigned long long)DD_INVOKE(sum, n[0], (uint32_t)n[1], (long)n[2], (const void *)(uintptr_t)n[3],
                                                   (uint8_t)n[4], (int)n[5]));
}

static void do_wide(char *argument)
{
    uint64_t a = strtoull(argument, &argument, 0), b = strtoull(argument, &argument, 0);

    printf("%#llx\n", (unsigned long long)DD_INVOKE(wide, a, b));
}

static void do_text(char *argument)
{
    const char *text = DD_INVOKE(text, argument);

    printf("%s\n", text ? text : "NULL");
}

static void do_check(char *argument)
{
    printf("%d\n", DD_INVOKE(check, atoi(argument)));
}

static void do_touch(char *argument)
{
    DD_INVOKE(touch);
    printf("%u\n", touched);
}

static void do_many(char *argument)
{
    const int nine = 9;

    printf("%lld\n", (long long)DD_INVOKE(many, -1, 2, 3, 4, 5, 6, 7, 8, &nine));
}

static void do_silent(char *argument)
{
    const char *text = DD_INVOKE(zero, 1, 2, 3, 4, 5, 6, 7);

    DD_INVOKE(silent, 3);
#ifndef LACKING
    printf("%u %s\n", noisy, text ? text : "NULL");
#else
    printf("0 %s\n", text ? text : "NULL");
#endif
}

static void do_unknown(char *argument)
{
    struct dd_status status = { .size = sizeof(status) };

    dd_status(&status);
    printf("%d %s\n", DD_INVOKE(unknown, 4), status.error);
}

/* All of the register: the compiler would make good what is missing. */
static void do_result(char *argument)
{
    printf("%lld\n", (long long)result_of(argument));
}

static void do_verdict(char *argument)
{
    struct event event = { 3 };

    printf("%u\n", on_event((uint32_t)atoi(argument), &event));
}

static void do_allow(char *argument)
{
    char *end;

    for (n_allowed = 0; n_allowed < ALLOWED_MAX; n_allowed++, argument = end) {
        allowed[n_allowed] = strtoull(argument, &end, 0);
        if (end == argument)
            break;
    }
    printf("ok\n");
}

static void do_loop(char *argument)
{
    stop = false;
    calls = wrong = 0;
    printf("%d\n", pthread_create(&thread, NULL, loop_main, NULL));
}

static void do_stop(char *argument)
{
    stop = true;
    pthread_join(thread, NULL);
    printf("calls %llu wrong %llu\n", (unsigned long long)calls, (unsigned long long)wrong);
}

static void do_block(char *argument)
{
    start_blocked(block_main);
}

static void do_nested(char *argument)
{
    start_blocked(nested_main);
}

static void do_release(char *argument)
{
    sem_post(&released);
    pthread_join(thread, NULL);
    printf("%llu\n", (unsigned long long)result);
}

static void do_fork(char *argument)
{
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        printf("%llu\n", (unsigned long long)one_to_six());
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        printf("error %#x\n", (unsigned)status);
}

static void do_open(char *argument)
{
    printf("%d\n", dd_open(NULL));
}

static void do_close(char *argument)
{
    printf("%d\n", dd_close());
}

static void do_status(char *argument)
{
    struct dd_status status = { .size = sizeof(status) };
    int r = dd_status(&status);

    const char *state = status.state == DD_JOINED ? "joined" : status.state == DD_REFUSED ? "refused" : "other";

    printf("%s %s\n", r == 0 ? state : "error", status.error);
}

static void do_late(char *argument)
{
    printf("%d\n", dd_native_register(&late));
}

static void do_forget(char *argument)
{
    printf("%d\n", dd_native_unregister(&late));
}

static void *module;

static void do_plug(char *argument)
{
    module = dlopen(argument, RTLD_NOW | RTLD_LOCAL);
    printf("%s\n", module ? "ok" : dlerror());
}

static void do_unplug(char *argument)
{
    printf("%d\n", dlclose(module));
}

static const struct {
    const char *name;
    void (*run)(char *argument);
} commands[] = {
    { "open", do_open },   { "close", do_close },     { "sum", do_sum },       { "wide", do_wide },
    { "text", do_text },   { "check", do_check },     { "touch", do_touch },   { "late", do_late },
    { "verdict", do_verdict },
    { "allow", do_allow }, { "loop", do_loop },       { "stop", do_stop },   { "block", do_block },
    { "fork", do_fork },   { "release", do_release }, { "forget", do_forget }, { "nested", do_nested },
    { "plug", do_plug },   { "unplug", do_unplug },   { "many", do_many },     { "silent", do_silent },
    { "unknown", do_unknown }, { "result", do_result }, { "status", do_status },
};

static void run(char *line)
{
    char *argument = line + strcspn(line, " \n");

    if (*argument)
        *argument++ = '\0';
    argument[strcspn(argument, "\n")] = '\0';
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, line) == 0) {
            commands[i].run(argument);
            return;
        }
    printf("error no command %s\n", line);
}

int main(void)
{
    char line[256];

    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin))
        run(line);
    return 0;
}
