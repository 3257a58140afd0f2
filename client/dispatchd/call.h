/* SPDX-License-Identifier: MIT */
/*
 * Static calls, and the functions of a worker that hooks can be pointed at.  Part of dispatchd.h, which includes it.
 *
 *      uint32_t checksum_plain(const void *data, size_t size);
 *      DD_CALL(checksum, uint32_t(const void *, size_t), checksum_plain)
 *      DD_NATIVE(checksum_avx2, uint32_t(const void *, size_t))        programs may call it with DD_HELPER in its place
 *
 *      sum = DD_INVOKE(checksum, data, size);              $ dispatchctl set-call checksum native:checksum_avx2
 *
 * Contents:  static calls | natives | calling
 */
#ifndef DISPATCHD_CALL_H
#define DISPATCHD_CALL_H

#include <dispatchd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- static calls -------------------------------------------------------------------------------------- */

/*
 * DD_CALL(name, prototype, function): define a static call: one function that an operator exchanges while the
 * process runs, for a native, a program or a value.  Until then it is `function`, which has this prototype, of up
 * to twelve arguments; these and the result are integers of C, <stdint.h> or <stddef.h>, and pointers.  It runs inside
 * the guard, so neither throws nor jumps out.
 *
 * The library knows types by their spelling: any other typedef is written as the type that it stands for.  What it does
 * not take still compiles: then `function` runs for good, no operator sees the call, and dd_status() says why.
 *
 * DD_CALL_NULL(name, prototype): one without a function: until it is set it does nothing, and returns 0 or NULL.
 *
 * DD_CALL_DECLARE(name, prototype) in a header gives modules the right to call it.  No module has the right to set
 * it: that is the control socket's.
 */
#define DD_CALL(call_name, prototype, function)                                                         \
    DD_CALL_DECLARE(call_name, prototype)                                                               \
    DD_SAME_TYPE_(call_name##_call_, function)                                                          \
    DD_CALL_DEFINE_(call_name, #prototype, function, DD_SYMBOL_(function))

/* Any prototype may call this: who calls takes the arguments back, and all results are in one register. */
#define DD_CALL_NULL(call_name, prototype)                                                              \
    DD_CALL_DECLARE(call_name, prototype)                                                               \
    static uint64_t call_name##_nothing_(void) __asm__(#call_name "_nothing_");                        \
    static uint64_t call_name##_nothing_(void)                                                          \
    {                                                                                                   \
        return 0;                                                                                       \
    }                                                                                                   \
    DD_CALL_DEFINE_(call_name, #prototype, call_name##_nothing_, #call_name "_nothing_")

#define DD_CALL_DEFINE_(call_name, prototype, function, symbol)                                         \
    DD_NAME_FITS_(#call_name)                                                                           \
    DD_DIRECT_(call_name, function, symbol)                                                             \
    struct dd_table call_name##_call = {                                                                \
        #call_name, 0, 0, 0, 0, 0, 0,                                                                   \
        { DD_ENTRY_(function), DD_ENTRY_(function), DD_ENTRY_(function) }, 0, prototype,                \
        DD_DIRECT_SLOT_(call_name), 0                                                                   \
    };                                                                                                  \
    DD_REGISTERED_(call_name, dd_table_register, dd_table_unregister, &call_name##_call)

#define DD_ENTRY_(function) (dd_entry *)(void (*)(void))(function)

#define DD_CALL_DECLARE(call_name, prototype)           \
    typedef __typeof__(prototype) call_name##_call_;    \
    extern struct dd_table call_name##_call;            \
    DD_DIRECT_DECLARE_(call_name, call_name##_call_)

/* ---- natives ------------------------------------------------------------------------------------------- */

enum dd_native_flags {
    DD_MAY_BLOCK = 1,           /* it may sleep: the hook's guard is left before it runs, where no other is around it */
    DD_FOR_PROGRAMS = 2,        /* programs may call it, too; not with DD_MAY_BLOCK */
};

/* A function that an operator may choose as the target of hooks with its prototype. */
struct dd_native {
    const char *name;           /* [A-Za-z0-9_.-], at most 63 bytes */
    const char *prototype;      /* as C spells it */
    void (*function)(void);
    uint32_t flags;             /* enum dd_native_flags */
    uint32_t state;             /* the library's: 0 */
    uint64_t digest;            /* the library's */
    struct dd_native *next;     /* the library's */
};

/* Make a native known; before or after dd_open().  It is the caller's and stays valid until unregistered.  -EINVAL:
 * name, prototype or flags, and dd_status() says which; -EEXIST: this very struct is registered. */
DD_PUBLIC int dd_native_register(struct dd_native *native);

/*
 * Before its memory goes (dlclose; DD_NATIVE does it).  From here on hooks that lead to it run their defaults, and once
 * it returns no thread is in the function through a hook: it waits for the guards that are open, so the caller holds
 * nothing that their hooks wait for.  One that may block has left its guard: there the caller knows that nobody is in
 * it or on the way.  While the process exits it waits for nobody.
 * -EDEADLK, and nobody was waited for: the calling thread is inside a guard.  -EPERM and others of membarrier(2): the
 * same, after a filter of the application forbade it.  The native is taken away in any case.  NULL is fine.
 */
DD_PUBLIC int dd_native_unregister(struct dd_native *native);

/*
 * DD_NATIVE(function, prototype): offer a function under its name.  For tables with context `struct request` the
 * prototype is uint32_t(struct request *, uint32_t): context, key.  DD_NATIVE_BLOCKING: one that may sleep.
 *
 * DD_HELPER(function, prototype): one that programs may call by its name, too, which they declare as
 *      extern __u32 checksum(const void *data, __u32 size) __ksym;
 * They can pass integers, a pointer with an integer behind it, and a const pointer to their context.  The integer is
 * the size in bytes of what the pointer leads to, which may be read and, without const, written; it may be map memory,
 * which other processes change meanwhile: read once what counts.  The function runs inside the guard, and in signal
 * handlers whose hooks lead to it.  Where a process does not offer it, the program gets -ENOSYS.
 */
#define DD_HELPER(function, prototype) DD_NATIVE_(function, prototype, DD_FOR_PROGRAMS)
#define DD_NATIVE(function, prototype) DD_NATIVE_(function, prototype, 0)
#define DD_NATIVE_BLOCKING(function, prototype) DD_NATIVE_(function, prototype, DD_MAY_BLOCK)
#define DD_NATIVE_(function, prototype, flags)                                                          \
    DD_NAME_FITS_(#function)                                                                            \
    typedef __typeof__(prototype) function##_native_;                                                   \
    DD_SAME_TYPE_(function##_native_, function)                                                         \
    static struct dd_native function##_offer_ = {                                                       \
        #function, #prototype, (void (*)(void))(function), flags, 0, 0, 0                               \
    };                                                                                                  \
    DD_REGISTERED_(function##_native, dd_native_register, dd_native_unregister, &function##_offer_)

#ifdef __cplusplus
#define DD_SAME_TYPE_(type, function) static type &type##checked_ __attribute__((unused)) = function;
#else
#define DD_SAME_TYPE_(type, function) \
    DD_STATIC_ASSERT(__builtin_types_compatible_p(type, __typeof__(function)), "the function has another prototype");
#endif

#define DD_REGISTERED_(name, enter, leave, object)                              \
    __attribute__((constructor)) static void name##_register_(void)             \
    {                                                                           \
        enter(object);                                                          \
    }                                                                           \
    __attribute__((destructor)) static void name##_unregister_(void)            \
    {                                                                           \
        leave(object);                                                          \
    }

/* ---- calling ------------------------------------------------------------------------------------------- */

/* Slow paths of a hook's guard, out of line; async-signal-safe. */
DD_PUBLIC struct dd_guard dd_hook_enter_slowly(char **ret_base);
DD_PUBLIC void dd_hook_leave_slowly(struct dd_guard *guard);

/* The slow paths see copies: what the fast path has stays in registers then. */
static inline struct dd_guard dd_hook_enter_aside(char **ret_base)
{
    char *base = 0;
    struct dd_guard guard = DD_ENTER_SLOWLY_(&base);

    *ret_base = base;
    return guard;
}

static inline void dd_hook_leave_aside(struct dd_guard guard)
{
    DD_LEAVE_SLOWLY_(&guard);
}

/*
 * The guard of a hook: the steps of dd_guard_enter_window for the common case, a thread that has a line, is in no
 * guard and knows the epoch.  All else (first guard, nested, a new epoch, a line of an older set) leaves again and
 * goes the long way.  It records no stack pointer: nothing but a signal handler's longjmp could leave it, and a
 * store is a tenth of its cost.
 */
DD_ALWAYS_INLINE_ struct dd_guard dd_hook_enter(char **ret_base)
{
    struct dd_guard guard = { dd_thread_self.line, 0 };
    uint64_t epoch;

    if (!DD_LIKELY_(guard.line != 0) || !DD_LIKELY_(__atomic_load_n(&guard.line->word, __ATOMIC_RELAXED) == 0))
        return dd_hook_enter_aside(ret_base);
    __atomic_store_n(&guard.line->word, guard.line->last, __ATOMIC_RELAXED);            /* 1 */
    DD_COMPILER_BARRIER_();             /* orders 1 before 2 in program order */
    *ret_base = __atomic_load_n(&dd_window_base, __ATOMIC_RELAXED);                     /* 2 */
    epoch = __atomic_load_n((uint64_t *)(void *)(*ret_base + DD_WINDOW_CONTROL), __ATOMIC_RELAXED);
    if (!DD_LIKELY_(epoch == guard.line->last)) {       /* loaded again: it may have become an old one before 1 */
        __atomic_store_n(&guard.line->word, 0, __ATOMIC_RELEASE);
        return dd_hook_enter_aside(ret_base);                                           /* 3 */
    }
    DD_COMPILER_BARRIER_();             /* 4: orders 2 before the load of the entry pointer */
    return guard;
}

DD_ALWAYS_INLINE_ void dd_hook_leave(struct dd_guard *guard)
{
    if (DD_LIKELY_(guard->line != 0) && DD_LIKELY_(guard->outer == 0))
        __atomic_store_n(&guard->line->word, 0, __ATOMIC_RELEASE);
    else
        dd_hook_leave_aside(*guard);
}

DD_ALWAYS_INLINE_ void (*dd_hook_entry(const struct dd_table *table, const struct dd_guard *guard, char *base))(void)
{
    return (void (*)(void))table->entry[guard->line ? ((struct dd_window_head *)(void *)base)->slot : 0];
}

/*
 * DD_INVOKE(name, arguments...): call a static call.  An expression with the result's type.  The arguments are
 * evaluated inside the guard: what may sleep belongs before it.
 */
#define DD_INVOKE(...)                                                                                  \
    DD_INVOKE_PICK_(__VA_ARGS__, DD_INVOKE_SOME_, DD_INVOKE_SOME_, DD_INVOKE_SOME_, DD_INVOKE_SOME_,    \
                    DD_INVOKE_SOME_, DD_INVOKE_SOME_, DD_INVOKE_SOME_, DD_INVOKE_SOME_,                 \
                    DD_INVOKE_SOME_, DD_INVOKE_SOME_, DD_INVOKE_SOME_, DD_INVOKE_SOME_,                 \
                    DD_INVOKE_NONE_, )(__VA_ARGS__)
#define DD_INVOKE_PICK_(name, a, b, c, d, e, f, g, h, i, j, k, l, picked, ...) picked
#define DD_INVOKE_NONE_(name) DD_INVOKE_WITH_(name, ())
#define DD_INVOKE_SOME_(name, ...) DD_INVOKE_WITH_(name, (__VA_ARGS__))
#define DD_INVOKE_WITH_(name, arguments) \
    DD_INVOKE_GUARDED_(name, arguments, DD_JOIN_(dd_base_, __COUNTER__), DD_JOIN_(dd_guard_, __COUNTER__))

#define DD_INVOKE_GUARDED_(call_name, arguments, base_, guard_)                                         \
    __extension__({                                                                                     \
        char *base_ = 0;                                                                                \
        struct dd_guard guard_ __attribute__((cleanup(dd_hook_leave))) = dd_hook_enter(&base_);         \
                                                                                                        \
        DD_INVOKE_ENTRY_(call_name, arguments, base_, guard_);                                          \
    })
#ifdef DD_NO_INDIRECT
#define DD_INVOKE_ENTRY_(call_name, arguments, base_, guard_) \
    guard_.line ? call_name##_direct_ arguments : call_name##_fallback_ arguments
#else
#define DD_INVOKE_ENTRY_(call_name, arguments, base_, guard_) \
    ((call_name##_call_ *)dd_hook_entry(&call_name##_call, &guard_, base_)) arguments
#endif

#ifdef __cplusplus
}
#endif
#endif
