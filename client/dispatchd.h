/* SPDX-License-Identifier: MIT */
/*
 * libdispatchd: hooks whose behaviour an operator changes while the process runs.
 *
 *      #include <dispatchd.h>
 *
 *      struct request { const void *data, *data_end; uint32_t method, status; };
 *      DD_TABLE(on_request, struct request, 0,
 *               DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))
 *
 *      dd_open(NULL);
 *      verdict = on_request(route, &request);
 *
 * A hook is a table, which runs one of several programs by key, or a static call (dispatchd/call.h).
 *
 * A hook runs its default until a program is attached.  No daemon, a dead daemon and a restarted daemon are
 * all normal: the library joins when one appears, keeps dispatching when it dies, and moves to the next one.
 *
 * Contents:  opening | event loops | fork | declaring tables | calling tables | guards | the fast path;
 *            dispatchd/call.h: static calls, natives; dispatchd/direct.h: hooks without indirect branches
 *
 * The rules that a worker keeps (each has a test):
 *   - hooks may be called from any thread, from signal handlers and recursively; a thread's first call takes
 *     a reader line, and its exit gives it back;
 *   - fork() is safe at any moment, also inside a guard and from multi-threaded processes; vfork() and exec() too.  Only
 *     a signal handler that interrupted a hook must not fork: a program may be in the middle of a change of a map;
 *     after a raw clone() that copies the address space, dd_after_fork() comes before any hook;
 *   - fork handlers of the application may call hooks if this library was linked at start, and not loaded later;
 *   - closing all descriptors is safe: the worker goes on dispatching;
 *   - C++ exceptions and pthread_exit() may leave a DD_GUARDED block; longjmp() out of one and switching stacks
 *     inside one are forbidden (a guard left by longjmp is found at the thread's next call, and counted).
 *
 * The C ABI is the set of functions and structs below; the macros only fill the structs.  Functions return 0 or a
 * negative errno, never log, never exit and keep errno.  They are thread-safe unless stated; none but the calls
 * of tables and guards is async-signal-safe.
 */
#ifndef DISPATCHD_H
#define DISPATCHD_H

#include <dispatchd/layout.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DD_PUBLIC __attribute__((visibility("default")))

/* ---- opening ------------------------------------------------------------------------------------------- */

enum dd_flags {
    DD_NO_THREAD = 1,           /* no background thread: the caller's event loop calls dd_process() */
};

/* All members may be 0.  Strings are copied. */
struct dd_options {
    uint64_t size;              /* sizeof(struct dd_options): which members the caller knows; 0: those below */
    uint64_t flags;             /* enum dd_flags */
    const char *socket;         /* path of the worker socket; NULL: $DISPATCHD_WORKER_SOCKET, the user's daemon
                                   in $XDG_RUNTIME_DIR where its socket exists, else the system's.
                                   Once joined, the worker stays with that socket until dd_close().  Whoever names
                                   it, a worker joins only a daemon of root's or of its own effective user's
                                   (SO_PEERCRED: systemd, where that made the socket); see dd_status() */
    const char *name;           /* shown by `list workers`; NULL: the program's name */
    int64_t timeout_ms;         /* how long to wait for a daemon that is there; 0: 1000, negative: not at all */
};

/*
 * Join the daemon.  Returns 0 also when no daemon is there: defaults run, and the library joins when one comes.
 * Errors: -EALREADY open already; -EINVAL options; -ENAMETOOLONG the path of the socket; -ENOMEM, -EAGAIN, -EMFILE,
 * -ENFILE memory, thread or descriptors; -EFBIG the limit on the size of files (it makes a sparse one of 640 GiB in
 * memory); -EDEADLK inside a guard that is older than a dd_close(); -ENOSYS, -EPERM, -EINVAL the kernel (Linux 5.14
 * or later is needed) or a filter in front of it has no membarrier or memfd.  A failure leaves nothing behind but
 * memory that the next dd_open() uses.
 * A refusal by the daemon is no error here (the next daemon may accept): see dd_status().
 */
DD_PUBLIC int dd_open(const struct dd_options *options);

/* Leave the daemon; hooks run their defaults again.  Waits until every guard that may see a program has been left.
 * -EALREADY: not open.  -EDEADLK: the caller is inside a guard.  Not in a signal handler, not in dd_process(). */
DD_PUBLIC int dd_close(void);

enum dd_state {
    DD_CLOSED,                  /* before dd_open() */
    DD_ALONE,                   /* no daemon has been there yet that may be joined: defaults */
    DD_JOINED,                  /* programs of a running daemon */
    DD_ORPHANED,                /* the daemon is gone: its last programs go on */
    DD_REFUSED,                 /* a daemon is there and refused: `error` says why */
};

struct dd_status {
    uint64_t size;              /* in: sizeof(struct dd_status) */
    uint64_t generation;        /* of the window that hooks use; 0: defaults */
    uint32_t state;             /* enum dd_state */
    char error[236];            /* NUL-terminated, "" if none: the last that could not be registered, also by a macro;
                                   and what the daemon refused last */
};

/* Errors: -EINVAL size. */
DD_PUBLIC int dd_status(struct dd_status *ret_status);

/* ---- event loops (DD_NO_THREAD) ------------------------------------------------------------------------ */

/* A descriptor that is readable when dd_process() has work (an epoll descriptor of the library's own).  Ask again
 * in the child of a fork and after closing descriptors that one does not know.  -EBADF: not open with DD_NO_THREAD. */
DD_PUBLIC int dd_fd(void);

/* Do what is due; never blocks.  -EBADF as dd_fd(). */
DD_PUBLIC int dd_process(void);

/* ---- fork ---------------------------------------------------------------------------------------------- */

/*
 * In the child of a raw clone() or _Fork() that copied the address space, before any hook; elsewhere it does nothing.
 * fork() needs no call.  Only where the process had one thread: it allocates, and such a clone leaves the C library's
 * locks as they were.  The child runs its defaults until it has joined by itself.  -ENOMEM and others as dd_open():
 * the child runs its defaults for good.  The clone itself must not come from inside a guard.
 */
DD_PUBLIC int dd_after_fork(void);

/* ---- declaring tables ---------------------------------------------------------------------------------- */

/* One field of a context.  Field names are those that operators and rejections see. */
struct dd_field {
    const char *name;
    uint32_t offset;            /* bytes */
    uint32_t size;              /* bytes: 1, 2, 4 or 8; pointers 8 */
    uint32_t rights;            /* enum dd_rights */
    uint32_t reserved;          /* 0 */
};

/*
 * Code of a table: verdict of the program at this key, or the default, which runs inside the guard: it neither blocks
 * nor throws nor jumps out.
 */
typedef uint32_t dd_entry(void *context, uint32_t key);

struct dd_direct;               /* dispatchd/direct.h */

/*
 * A table, as its worker declares it.  Constant after registration but for `entry`, which the library alone writes:
 * entry[0] is the default, entry[1] and entry[2] belong to the windows of alternating generations.
 * A static call is a table without keys: it has a prototype, and no context.
 */
struct dd_table {
    const char *name;           /* unique on the host; [A-Za-z0-9_.-], at most 63 bytes */
    const char *context;        /* type of the context: programs name it in their section */
    const struct dd_field *field;
    uint32_t fields;
    uint32_t context_size;      /* bytes */
    uint32_t default_verdict;
    uint32_t state;             /* the library's: 0 */
    dd_entry *entry[DD_WINDOW_SLOTS];
    struct dd_table *next;      /* the library's */
    const char *prototype;      /* of a static call, as C spells it; a table: NULL */
    const struct dd_direct *direct;     /* the slot through which it is called; NULL: through `entry` */
    uint64_t digest;            /* the library's */
};

/* Make a table known; before or after dd_open().  The table is the caller's and stays valid until unregistered.
 * -EINVAL: names, sizes or rights, and dd_status() says which; -EEXIST: this very struct is registered. */
DD_PUBLIC int dd_table_register(struct dd_table *table);

/* Before its memory goes (dlclose).  No thread may be inside a call of it.  NULL is fine. */
DD_PUBLIC void dd_table_unregister(struct dd_table *table);

/*
 * DD_TABLE(name, type, default_verdict, fields...): define a table and the function that calls it,
 *      static inline uint32_t name(uint32_t key, type *context);
 * Fields: DD_READ(f) DD_WRITE(f) DD_PACKET(data, data_end); what is not named cannot be touched by programs.
 * DD_TABLE_DECLARE(name, type) in a header makes the same function from a table defined elsewhere.
 */
#define DD_READ(member) (DD_FIELD_ONE_, member, DD_FIELD_READ)
#define DD_WRITE(member) (DD_FIELD_ONE_, member, DD_FIELD_WRITE)
#define DD_PACKET(data_member, data_end_member) (DD_FIELD_PAIR_, data_member, data_end_member)

#define DD_TABLE(table_name, type, verdict, ...)                                                        \
    DD_NAME_FITS_(#table_name)                                                                          \
    static uint32_t table_name##_default_(void *context_, uint32_t key_) __asm__(#table_name "_default_"); \
    static uint32_t table_name##_default_(void *context_, uint32_t key_)                                \
    {                                                                                                   \
        (void)context_;                                                                                 \
        (void)key_;                                                                                     \
        return (uint32_t)(verdict);                                                                     \
    }                                                                                                   \
    static const struct dd_field table_name##_fields_[] = { DD_EACH_(type, __VA_ARGS__) };              \
    DD_DIRECT_DECLARE_(table_name, dd_entry)                                                            \
    DD_DIRECT_(table_name, table_name##_default_, #table_name "_default_")                              \
    struct dd_table table_name##_table = {                                                              \
        #table_name, #type, table_name##_fields_,                                                       \
        (uint32_t)(sizeof(table_name##_fields_) / sizeof(struct dd_field)),                             \
        (uint32_t)sizeof(type), (uint32_t)(verdict), 0,                                                \
        { table_name##_default_, table_name##_default_, table_name##_default_ }, 0, 0,                  \
        DD_DIRECT_SLOT_(table_name), 0                                                                  \
    };                                                                                                  \
    DD_REGISTERED_(table_name, dd_table_register, dd_table_unregister, &table_name##_table)             \
    DD_TABLE_CALL_(table_name, type)

#define DD_TABLE_DECLARE(table_name, type)      \
    extern struct dd_table table_name##_table;  \
    DD_DIRECT_DECLARE_(table_name, dd_entry)    \
    DD_TABLE_CALL_(table_name, type)

#ifdef DD_NO_INDIRECT
#define DD_TABLE_CALL_(table_name, type)                                                                \
    __attribute__((unused)) static inline uint32_t table_name(uint32_t key_, type *context_)            \
    {                                                                                                   \
        char *base_ = 0;                                                                                \
        struct dd_guard guard_ __attribute__((cleanup(dd_hook_leave))) = dd_hook_enter(&base_);         \
                                                                                                        \
        return guard_.line ? table_name##_direct_(context_, key_) : table_name##_fallback_(context_, key_);     \
    }
#else
#define DD_TABLE_CALL_(table_name, type)                                                                \
    __attribute__((unused)) static inline uint32_t table_name(uint32_t key_, type *context_)            \
    {                                                                                                   \
        return dd_table_call_inline(&table_name##_table, key_, context_);                               \
    }
#endif

#define DD_NAME_FITS_(text) DD_STATIC_ASSERT(sizeof(text) <= 64, "the name has more than 63 bytes");

/* One or two struct dd_field from each field argument. */
#define DD_FIELD_ONE_(type, member, rights) \
    { #member, (uint32_t)offsetof(type, member), DD_FIELD_SIZE_(sizeof(((type *)0)->member)), rights, 0 },
/* A negative array size here: a field has 1, 2, 4 or 8 bytes. */
#define DD_FIELD_SIZE_(size) \
    ((uint32_t)(size) + 0 * (uint32_t)sizeof(char[(size) <= 8 && ((size) & ((size) - 1)) == 0 ? 1 : -1]))
#define DD_FIELD_PAIR_(type, first, second)          \
    DD_FIELD_ONE_(type, first, DD_FIELD_DATA)        \
    DD_FIELD_ONE_(type, second, DD_FIELD_DATA_END)
#define DD_FIELD_(type, item) DD_FIELD_APPLY_(type, DD_STRIP_ item)
#define DD_STRIP_(...) __VA_ARGS__
#define DD_FIELD_APPLY_(...) DD_FIELD_CALL_(__VA_ARGS__)
#define DD_FIELD_CALL_(type, kind, first, second) kind(type, first, second)

/* DD_EACH_(type, item...): DD_FIELD_(type, item) for up to 16 items. */
#define DD_EACH_(type, ...)                                                                             \
    DD_PICK_(__VA_ARGS__, DD_E16_, DD_E15_, DD_E14_, DD_E13_, DD_E12_, DD_E11_, DD_E10_, DD_E9_,        \
             DD_E8_, DD_E7_, DD_E6_, DD_E5_, DD_E4_, DD_E3_, DD_E2_, DD_E1_, )(type, __VA_ARGS__)
#define DD_PICK_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, picked, ...) picked
#define DD_E1_(t, x) DD_FIELD_(t, x)
#define DD_E2_(t, x, ...) DD_FIELD_(t, x) DD_E1_(t, __VA_ARGS__)
#define DD_E3_(t, x, ...) DD_FIELD_(t, x) DD_E2_(t, __VA_ARGS__)
#define DD_E4_(t, x, ...) DD_FIELD_(t, x) DD_E3_(t, __VA_ARGS__)
#define DD_E5_(t, x, ...) DD_FIELD_(t, x) DD_E4_(t, __VA_ARGS__)
#define DD_E6_(t, x, ...) DD_FIELD_(t, x) DD_E5_(t, __VA_ARGS__)
#define DD_E7_(t, x, ...) DD_FIELD_(t, x) DD_E6_(t, __VA_ARGS__)
#define DD_E8_(t, x, ...) DD_FIELD_(t, x) DD_E7_(t, __VA_ARGS__)
#define DD_E9_(t, x, ...) DD_FIELD_(t, x) DD_E8_(t, __VA_ARGS__)
#define DD_E10_(t, x, ...) DD_FIELD_(t, x) DD_E9_(t, __VA_ARGS__)
#define DD_E11_(t, x, ...) DD_FIELD_(t, x) DD_E10_(t, __VA_ARGS__)
#define DD_E12_(t, x, ...) DD_FIELD_(t, x) DD_E11_(t, __VA_ARGS__)
#define DD_E13_(t, x, ...) DD_FIELD_(t, x) DD_E12_(t, __VA_ARGS__)
#define DD_E14_(t, x, ...) DD_FIELD_(t, x) DD_E13_(t, __VA_ARGS__)
#define DD_E15_(t, x, ...) DD_FIELD_(t, x) DD_E14_(t, __VA_ARGS__)
#define DD_E16_(t, x, ...) DD_FIELD_(t, x) DD_E15_(t, __VA_ARGS__)

/* ---- calling tables ------------------------------------------------------------------------------------ */

/* Call a table, for callers that cannot use the inline function (other languages).  entry[0] may be NULL there: then
 * the default verdict is returned.  Async-signal-safe. */
DD_PUBLIC uint32_t dd_table_call(struct dd_table *table, uint32_t key, void *context);

/* ---- guards -------------------------------------------------------------------------------------------- */

/*
 * A guard: while a thread is inside one, no code that it could reach is reused.  Table calls open their own; an
 * explicit one makes several calls cheaper and is for code that must not see a reuse between them.
 *
 *      DD_GUARDED { a = first(key, &context); b = second(key, &context); }
 *
 * Leaving the block in any way but longjmp() leaves the guard.  Never sleep inside one: code memory that
 * was replaced meanwhile stays allocated, and `list workers` names the process.
 */
struct dd_guard {
    struct dd_line *line;
    uint64_t outer;             /* what the line held on entry: 0, or an outer guard's epoch */
};

static inline struct dd_guard dd_guard_enter(void);
static inline void dd_guard_leave(struct dd_guard *guard);

#define DD_GUARDED DD_GUARDED_(DD_JOIN_(dd_guard_, __COUNTER__), DD_JOIN_(dd_once_, __COUNTER__))
#define DD_GUARDED_(guard_, once_)                                                                      \
    for (struct dd_guard guard_ __attribute__((cleanup(dd_guard_leave))) = dd_guard_enter(),            \
                         *once_ = &guard_; once_; once_ = 0)
#define DD_JOIN_(first, second) DD_JOIN_AGAIN_(first, second)
#define DD_JOIN_AGAIN_(first, second) first##second

/* ---- the fast path ------------------------------------------------------------------------------------- */

/* Thread state, in the initial thread-local block.  `line` is NULL until the thread's first guard, and where only
 * dd_thread_join() can tell which it is. */
struct dd_thread {
    struct dd_line *line;
    void *counters;             /* of the line: code of the image counts there */
    uint64_t nested;            /* calls inside other guards: a native that may block cannot leave those */
};

extern DD_PUBLIC __thread struct dd_thread dd_thread_self __attribute__((tls_model("initial-exec")));

/* The current window: its head page.  The mover switches it with one store; one load of it decides slot and epoch. */
extern DD_PUBLIC char *dd_window_base;

/*
 * Slow paths, out of line; async-signal-safe.
 * dd_thread_join: the thread's first guard, or one inside outer guards on a line of an older set.  NULL: not open, or
 *      no line is left: the default runs.
 * dd_thread_renew: the epoch is not the line's `last`: serialise and remember it; where the process has a newer set of
 *      lines, go on in a line of that one.  Returns the guard, with its line (NULL: none is left there).
 * dd_thread_leaked: the line holds an outer guard whose frame seems gone (left by longjmp): count it.  The guard stays,
 *      as ending it by mistake would be unsafe; it holds replaced code until the thread ends, and is shown.
 */
DD_PUBLIC struct dd_line *dd_thread_join(void);
DD_PUBLIC struct dd_guard dd_thread_renew(struct dd_guard guard, uint64_t epoch);
DD_PUBLIC void dd_thread_leaked(struct dd_line *line);

/* Two guards of one function may see stack pointers that differ by arguments pushed between: that is no leak. */
#define DD_STACK_SLACK_ 128

/* Each hook has its own indirect call then, which always goes to one place and so is predicted: one call shared by
 * several hooks would not be. */
#define DD_ALWAYS_INLINE_ static inline __attribute__((always_inline))

#define DD_LIKELY_(condition) __builtin_expect(!!(condition), 1)
#define DD_COMPILER_BARRIER_() __asm__ volatile("" ::: "memory")

static inline uint64_t dd_stack_pointer_(void)
{
#if defined(__x86_64__)
    uint64_t pointer;

    __asm__("mov %%rsp, %0" : "=r"(pointer));   /* __builtin_frame_address would force a frame pointer on the caller */
    return pointer;
#else
    return (uint64_t)__builtin_frame_address(0);
#endif
}

/*
 * Enter.  The steps and their order are those of doc/model/guard.pml, where each other order fails:
 *   1 the line is stored, with the last epoch that this thread knows: from here on the daemon waits for it;
 *   2 the window's base, then that window's epoch are loaded (x86 may let these pass the store of step 1: the daemon's
 *     membarrier, between its bump of the epoch and its reading of the lines, makes one of the two visible);
 *   3 an unknown epoch: serialise, so that no instruction fetched before the daemon's poke is executed after it;
 *   4 only then may an entry pointer of that window be read.
 * A nested guard (signal handler, recursion) leaves the line alone and does steps 2 to 4.
 *
 * `last` lies in the line, not beside the pointer to it: when a signal handler runs between the load of the pointer
 * and step 1 and moves the thread to a newer set of lines, it leaves DD_LINE_UNSEEN in the old line's `last`, so that
 * step 1 still says "inside" there (0 would let the window be unmapped between the two loads of step 2) and step 3
 * finds the new line.
 */
DD_ALWAYS_INLINE_ struct dd_guard dd_guard_enter_window(char **ret_base)
{
    struct dd_guard guard = { dd_thread_self.line, 0 };
    uint64_t epoch;

    if (!DD_LIKELY_(guard.line != 0)) {
        guard.line = dd_thread_join();
        if (!guard.line)
            return guard;
    }
    guard.outer = __atomic_load_n(&guard.line->word, __ATOMIC_RELAXED);
    if (DD_LIKELY_(guard.outer == 0)) {
        __atomic_store_n(&guard.line->word, guard.line->last, __ATOMIC_RELAXED);        /* 1 */
        guard.line->stack = (uint32_t)dd_stack_pointer_();
    } else if (guard.line->stack &&
               (int32_t)((uint32_t)dd_stack_pointer_() - guard.line->stack) > DD_STACK_SLACK_) {
        dd_thread_leaked(guard.line);
    }
    for (;;) {
        DD_COMPILER_BARRIER_();         /* orders 1 before 2 in program order */
        *ret_base = __atomic_load_n(&dd_window_base, __ATOMIC_RELAXED);                 /* 2 */
        epoch = __atomic_load_n((uint64_t *)(void *)(*ret_base + DD_WINDOW_CONTROL), __ATOMIC_RELAXED);
        if (DD_LIKELY_(epoch == guard.line->last))
            break;
        guard = dd_thread_renew(guard, epoch);                                          /* 3 */
        if (!DD_LIKELY_(guard.line != 0))
            return guard;
    }
    DD_COMPILER_BARRIER_();             /* 4: orders 2 and 3 before all that the caller loads */
    return guard;
}

static inline struct dd_guard dd_guard_enter(void)
{
    char *base;

    return dd_guard_enter_window(&base);
}

/* Leave: release, so that nothing of the guard's inside moves behind it.  Its partner is the daemon's poll. */
static inline void dd_guard_leave(struct dd_guard *guard)
{
    if (guard->line) {
        if (guard->outer == 0)
            guard->line->stack = 0;
        __atomic_store_n(&guard->line->word, guard->outer, __ATOMIC_RELEASE);
    }
}

/*
 * A table call: the steps of dd_guard_enter_window for the common case, a thread that has a line, is in no guard and
 * knows the epoch.  All else (first guard, nested, a new epoch, a line of an older set) leaves again and goes the long
 * way.  It records no stack pointer: nothing but a signal handler's longjmp could leave it, and a store is a tenth of
 * its cost.
 */
DD_ALWAYS_INLINE_ uint32_t dd_table_call_inline(struct dd_table *table, uint32_t key, void *context)
{
    struct dd_line *line = dd_thread_self.line;
    uint32_t verdict;
    uint64_t epoch;
    char *base;

    if (!DD_LIKELY_(line != 0) || !DD_LIKELY_(__atomic_load_n(&line->word, __ATOMIC_RELAXED) == 0))
        return dd_table_call(table, key, context);
    __atomic_store_n(&line->word, line->last, __ATOMIC_RELAXED);                        /* 1 */
    DD_COMPILER_BARRIER_();             /* orders 1 before 2 in program order */
    base = __atomic_load_n(&dd_window_base, __ATOMIC_RELAXED);                          /* 2 */
    epoch = __atomic_load_n((uint64_t *)(void *)(base + DD_WINDOW_CONTROL), __ATOMIC_RELAXED);
    if (!DD_LIKELY_(epoch == line->last)) {     /* loaded again: the line may have become an old one before step 1 */
        __atomic_store_n(&line->word, 0, __ATOMIC_RELEASE);
        return dd_table_call(table, key, context);                                      /* 3 */
    }
    DD_COMPILER_BARRIER_();             /* 4: orders 2 before the load of the entry pointer */
    verdict = table->entry[((struct dd_window_head *)(void *)base)->slot](context, key);
    __atomic_store_n(&line->word, 0, __ATOMIC_RELEASE);
    return verdict;
}

#include <dispatchd/direct.h>
#include <dispatchd/call.h>

#ifdef __cplusplus
}
#endif
#endif
