/* SPDX-License-Identifier: MIT */
/* See stubs.h. */
#include "stubs.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <time.h>

#include "dispatchd.h"
#include "native.h"
#include "signals.h"
#include "table.h"
#include "thread.h"

static unsigned char locked;

sigset_t stubs_lock(void)
{
    sigset_t saved = signals_block();

    while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE))
        sched_yield();
    return saved;
}

void stubs_unlock(const sigset_t *saved)
{
    __atomic_clear(&locked, __ATOMIC_RELEASE);
    signals_restore(saved);
}

void stubs_after_fork(void)
{
    __atomic_clear(&locked, __ATOMIC_RELEASE);
}

/* ---- what stubs ask ------------------------------------------------------------------------------------ */

/* In two registers.  target NULL: there is nothing to jump to, return the value. */
struct answer {
    void (*target)(void);
    uint64_t value;
};

static const struct dd_directory_entry *directory_entry(const uint64_t *word, uint32_t index)
{
    const struct dd_linkage_data *data =
        (const void *)((const char *)word - offsetof(struct dd_linkage_data, target) - index * sizeof(*word));
    const char *base = (const char *)data - DD_WINDOW_DATA;
    const struct dd_directory_entry *directory = (const void *)(base + DD_WINDOW_CONTROL + DD_CONTROL_DIRECTORY);

    return &directory[index];
}

/*
 * The native; without it the default of the hook.  A table without the function has its default verdict, and a program
 * that calls what is not there, or not for programs, gets -ENOSYS.  Stored under the lock: whoever takes a native away
 * clears the word afterwards.
 */
static struct answer find(uint64_t *word, uint32_t index)
{
    const struct dd_directory_entry *entry = directory_entry(word, index);
    bool for_programs = entry->hook == DD_DIRECTORY_HELPER;
    const struct dd_native *native = entry->native ? native_find(entry->native) : NULL;
    const struct dd_table *table = native || for_programs ? NULL : table_find(entry->hook);
    struct answer answer = { NULL, table ? table->default_verdict : 0 };

    if (for_programs && !(native && native->flags & DD_FOR_PROGRAMS))
        answer.value = (uint64_t)-ENOSYS;
    else if (native)
        answer.target = native->function;
    else if (table)
        answer.target = (void (*)(void))table->entry[0];
    __atomic_store_n(word, (uint64_t)(uintptr_t)answer.target, __ATOMIC_RELAXED);
    return answer;
}

__attribute__((used)) static struct answer stubs_resolve(uint64_t *word, uint32_t index)
{
    sigset_t saved = stubs_lock();
    struct answer answer = find(word, index);

    stubs_unlock(&saved);
    return answer;
}

/*
 * For a native that may block: leave the guard, unless another is around it.  From then on the window may go, and
 * nothing of it is executed any more: the native returns to the hook's caller.  Release, as in dd_guard_leave.
 */
__attribute__((used)) static struct answer stubs_leave(uint64_t *word, uint32_t index)
{
    void (*known)(void) = (void (*)(void))__atomic_load_n(word, __ATOMIC_RELAXED);
    struct answer answer = known ? (struct answer){ known, 0 } : stubs_resolve(word, index);
    struct dd_line *line = thread_line();

    if (answer.target && dd_thread_self.nested == 0)
        __atomic_store_n(&line->word, 0, __ATOMIC_RELEASE);
    return answer;
}

/*
 * Entered by a stub's jump, with index in eax and word in r10; all arguments of the hook are in their registers.
 * Asks `function`, and goes on to what it answers.
 */
#define ASK(function, go_to_rax)                \
    __asm__("push %rdi\n\t"                     \
            "push %rsi\n\t"                     \
            "push %rdx\n\t"                     \
            "push %rcx\n\t"                     \
            "push %r8\n\t"                      \
            "push %r9\n\t"                      \
            "sub $8, %rsp\n\t"                  \
            "mov %r10, %rdi\n\t"                \
            "mov %eax, %esi\n\t"                \
            "call " #function "\n\t"            \
            "mov %rdx, %r11\n\t"                \
            "add $8, %rsp\n\t"                  \
            "pop %r9\n\t"                       \
            "pop %r8\n\t"                       \
            "pop %rcx\n\t"                      \
            "pop %rdx\n\t"                      \
            "pop %rsi\n\t"                      \
            "pop %rdi\n\t"                      \
            "test %rax, %rax\n\t"               \
            "jz 1f\n\t"                         \
            go_to_rax "\n"                      \
            "1:\tmov %r11, %rax\n\t"            \
            "ret")

#define JUMP "jmp *%rax"
#define RETURN_THUNK "call 3f\n2:\tpause\n\tlfence\n\tjmp 2b\n3:\tmov %rax, (%rsp)\n\tret"

__attribute__((naked)) static void resolve(void)
{
    ASK(stubs_resolve, JUMP);
}

__attribute__((naked)) static void leave(void)
{
    ASK(stubs_leave, JUMP);
}

__attribute__((naked)) static void resolve_without_indirect(void)
{
    ASK(stubs_resolve, RETURN_THUNK);
}

__attribute__((naked)) static void leave_without_indirect(void)
{
    ASK(stubs_leave, RETURN_THUNK);
}

/* ---- services ------------------------------------------------------------------------------------------ */

/*
 * What programs' helpers need of the process: called inside guards, also by programs that run in signal handlers.  The
 * C library answers them without a system call where the kernel lets it (vdso, rseq).
 */
static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;

    if (clock_gettime(clock, &time) < 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t clock_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t clock_boot(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

static uint32_t processor(void)
{
    int number = sched_getcpu();

    return number < 0 ? 0 : (uint32_t)number;
}

/* In the order of layout.h. */
static void fill_services(uint64_t *service)
{
    service[0] = (uint64_t)(uintptr_t)clock_monotonic;
    service[1] = (uint64_t)(uintptr_t)clock_boot;
    service[2] = (uint64_t)(uintptr_t)processor;
}

/* ---- windows ------------------------------------------------------------------------------------------- */

/* The same distance in all threads: dd_thread_self lies in the initial thread-local block. */
static uint64_t counters_distance(void)
{
    char *thread_pointer;

    __asm__("mov %%fs:0, %0" : "=r"(thread_pointer));
    return (uint64_t)((char *)&dd_thread_self.counters - thread_pointer);
}

void stubs_fill(const struct window *window, bool no_indirect)
{
    struct dd_linkage_data *data = window_linkage(window);

    data->counters = counters_distance();
    fill_services(data->service);
    data->resolve = (uint64_t)(uintptr_t)(no_indirect ? resolve_without_indirect : resolve);
    data->leave = (uint64_t)(uintptr_t)(no_indirect ? leave_without_indirect : leave);
}

/* Under the lock.  Words that are 0 are left alone: their pages may never have been written. */
static void forget(struct dd_linkage_data *data)
{
    for (size_t i = 0; i < DD_LINKAGE_MAX; i++)
        if (__atomic_load_n(&data->target[i], __ATOMIC_RELAXED))
            __atomic_store_n(&data->target[i], 0, __ATOMIC_RELAXED);
}

void stubs_forget(const struct window *window)
{
    sigset_t saved = stubs_lock();

    if (window)
        forget(window_linkage(window));
    stubs_unlock(&saved);
}

/* By itself, as it is rare and calls the C library, by indirect jumps (direct.h). */
__attribute__((noinline))
static void forget_all(struct dd_linkage_data *data, uint64_t version)
{
    sigset_t saved = stubs_lock();

    forget(data);
    __atomic_store_n(&data->directory_version, version, __ATOMIC_RELEASE);
    stubs_unlock(&saved);
}

/*
 * The window stays, as the caller's guard keeps it.  Acquire, for the version in the control page: the partner is the
 * daemon's release after it has cleared entries, so none of these is found again.  Acquire and release, for the
 * process's own: a thread that finds it raised by another finds the targets gone.
 */
void stubs_follow(void)
{
    char *base = __atomic_load_n(&dd_window_base, __ATOMIC_RELAXED);
    const struct dd_control *control = (const void *)(base + DD_WINDOW_CONTROL);
    struct dd_linkage_data *data = (void *)(base + DD_WINDOW_DATA);
    uint64_t version;

    if (((const struct dd_window_head *)(const void *)base)->slot == 0)
        return;                         /* the default window has neither */
    version = __atomic_load_n(&control->directory_version, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&data->directory_version, __ATOMIC_ACQUIRE) != version)
        forget_all(data, version);
}
