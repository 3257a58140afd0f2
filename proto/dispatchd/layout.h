/* SPDX-License-Identifier: MIT */
/*
 * The memory that dispatchd and its workers share: one place for every size, offset and rule.
 *
 * The window, one reservation in the address space of a worker for each generation (offsets in bytes):
 *
 *      0x0000_0000  head     private, this process only, read          struct dd_window_head
 *      0x0000_1000  control  shared memfd, sealed, read                struct dd_control, the directory
 *      0x0010_0000  linkage  shared memfd, sealed, read+execute        stubs that lead out of the image
 *      0x001c_0000  data     private, this process only, read+write    struct dd_linkage_data: where the stubs lead
 *      0x0020_0000  text     shared memfd, sealed, read+execute        entries, programs
 *      text + size  arena    shared memfd, read+write, never execute   maps, data of programs
 *
 * Every reference inside the text is relative, so the distances above are the same in all workers; the
 * base is not.  The reader lines, one memfd a process, are mapped elsewhere: they outlive generations.  So does the arena,
 * which is mapped in each window.
 *
 * Who may write what, and who must not trust it:
 *      head     written by the worker's own client library before the window becomes the current one
 *      control  written by the daemon alone; workers hold it sealed and read-only
 *      text     written by the daemon alone, through a mapping that is never executable; so is the linkage
 *      data     written by the worker's own client library; harms nobody else
 *      arena    written by programs in all workers, and by any worker as it likes: nobody decides anything by it
 *      lines    written by the worker; hostile input to the daemon, which checks all that it reads
 *
 * The layout is versioned as a whole: a daemon refuses a worker with another DD_LAYOUT_VERSION by name.
 */
#ifndef DISPATCHD_LAYOUT_H
#define DISPATCHD_LAYOUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define DD_STATIC_ASSERT(condition, text) static_assert(condition, text)
extern "C" {
#else
#define DD_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#define DD_LAYOUT_VERSION 5u

#define DD_WINDOW_HEAD 0x00000000u
#define DD_WINDOW_CONTROL 0x00001000u
#define DD_WINDOW_LINKAGE 0x00100000u
#define DD_WINDOW_DATA 0x001c0000u
#define DD_WINDOW_TEXT 0x00200000u

#define DD_CONTROL_DIRECTORY 0x00001000u        /* offset of the directory in the control memfd */
#define DD_CONTROL_SIZE 0x00021000u     /* bytes of the control memfd */
#define DD_LINKAGE_SIZE 0x00081000u     /* bytes of a linkage memfd */
#define DD_TEXT_SIZE_MAX 0x40000000u    /* bytes; with the arena far below the 2 GiB that a relative reference reaches */
#define DD_ARENA_SIZE 0x20000000u       /* bytes of the arena memfd; memory is taken as it is used */

#define DD_CACHE_LINE 64u

/*
 * First page of a window.  The client fills it before it makes the window current, and never changes it
 * afterwards, so that the one load of the window's base decides slot and epoch together.
 */
struct dd_window_head {
    uint64_t slot;          /* index into the entry pointers of each hook: 0 defaults, 1 or 2 a generation */
    uint64_t generation;    /* 0: no daemon yet */
    uint64_t size;          /* bytes of the whole reservation */
};

DD_STATIC_ASSERT(offsetof(struct dd_window_head, slot) == 0, "the guard loads it from the base");
DD_STATIC_ASSERT(sizeof(struct dd_window_head) == 24, "shared layout");

#define DD_WINDOW_SLOTS 3

/*
 * The control memfd.  `epoch`, the directory and its version alone change after start-up.
 *
 * epoch: generation << 32 | count.  Written by the daemon's grace periods only: released after the pokes
 * that it covers, so that a reader which sees the new epoch and serialises executes what was poked.
 *
 * directory_version: raised after entries of the directory were cleared, and before the bump of the epoch after whose
 * wait their indices are used again.  So a thread that sees a new epoch, and only then this, forgets in time what was
 * found.
 */
struct dd_control {
    uint64_t epoch;             /* a cache line of its own: every guard in every worker reads it */
    uint8_t epoch_padding[56];
    uint32_t magic;             /* DD_CONTROL_MAGIC; also shows a foreign byte order */
    uint32_t layout_version;    /* DD_LAYOUT_VERSION */
    uint64_t generation;        /* one more at each start of the daemon, never 0, below 2^31 */
    uint64_t text_size;         /* bytes */
    uint64_t directory_version;
    uint8_t padding[32];
};

#define DD_CONTROL_MAGIC 0x64647031u    /* "ddp1" */

DD_STATIC_ASSERT(offsetof(struct dd_control, epoch) == 0, "the guard loads it from base + DD_WINDOW_CONTROL");
DD_STATIC_ASSERT(offsetof(struct dd_control, magic) == DD_CACHE_LINE, "the epoch has its cache line alone");
DD_STATIC_ASSERT(offsetof(struct dd_control, generation) == 72, "shared layout");
DD_STATIC_ASSERT(sizeof(struct dd_control) == 2 * DD_CACHE_LINE, "shared layout");

/*
 * The linkage: how code of the image reaches what each worker has at an address of its own.  A hook's target that
 * is a native (a function of the worker's) has an index; so has a static call's own default, and a native that programs
 * call.  The image jumps to
 * the index's stub, which jumps to what the process has in `target`.  0 there: the stub asks the client library,
 * which looks the index up in the directory, in the control memfd, and finds the native of that digest or, where
 * this process has none, the default of the hook.  The daemon writes a directory entry before it pokes a slot to
 * code that uses it, and clears it when no code does any more: so a poke waits for no worker.  Stubs keep all registers
 * that carry arguments.
 *
 * There are two linkages of one layout: with indirect jumps, and with return thunks for processes that forbid these.
 */
#define DD_LINKAGE_MAX 8192u            /* indices */
#define DD_SERVICES 3                   /* functions without arguments: uint64_t monotonic clock (ns), uint64_t boot clock
                                           (ns), uint32_t number of the processor */

struct dd_directory_entry {
    uint64_t hook;              /* dd_digest() of its name and prototype; DD_DIRECTORY_HELPER: none, programs call it */
    uint64_t native;            /* prototype_native_digest() of it; 0: the hook's default */
};

/* No hook has it.  A process without the native answers -ENOSYS to the program. */
#define DD_DIRECTORY_HELPER 0

DD_STATIC_ASSERT(DD_CONTROL_DIRECTORY + DD_LINKAGE_MAX * sizeof(struct dd_directory_entry) == DD_CONTROL_SIZE,
                 "shared layout");

struct dd_linkage_data {
    uint64_t counters;          /* where a thread has its counters' address: bytes from its thread pointer */
    uint64_t resolve;           /* what a stub jumps to with index and word of a target that is 0; */
    uint64_t leave;             /* the same for a native that may block: leaves the guard first */
    uint64_t service[DD_SERVICES];      /* functions that programs' helpers call: see DD_SERVICES */
    uint64_t directory_version; /* that the targets below are of; for the worker alone */
    uint64_t padding;
    uint64_t target[DD_LINKAGE_MAX];
};

#define DD_LINKAGE_DATA_SIZE 0x00011000u        /* bytes: whole pages */

DD_STATIC_ASSERT(offsetof(struct dd_linkage_data, target) == DD_CACHE_LINE, "shared layout");
DD_STATIC_ASSERT(sizeof(struct dd_linkage_data) <= DD_LINKAGE_DATA_SIZE, "shared layout");
DD_STATIC_ASSERT(DD_WINDOW_CONTROL + DD_CONTROL_SIZE <= DD_WINDOW_LINKAGE &&
                 DD_WINDOW_LINKAGE + DD_LINKAGE_SIZE <= DD_WINDOW_DATA &&
                 DD_WINDOW_DATA + DD_LINKAGE_DATA_SIZE <= DD_WINDOW_TEXT, "the window's parts do not overlap");

/* FNV-1a, 64 bits, of a name and a prototype in canonical form (prototype.h), with a NUL between them; never 0.  It
 * finds, and protects nobody: the daemon has compared the words. */
static inline uint64_t dd_digest(const char *name, const char *prototype)
{
    uint64_t digest = UINT64_C(0xcbf29ce484222325);

    do
        digest = (digest ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    while (*name++);
    for (; *prototype; prototype++)
        digest = (digest ^ (uint8_t)*prototype) * UINT64_C(0x100000001b3);
    return digest ? digest : 1;
}

#define DD_EPOCH(generation, count) ((uint64_t)(generation) << 32 | (uint32_t)(count))
#define DD_EPOCH_GENERATION(epoch) ((epoch) >> 32)

/*
 * A reader line: one thread's guard.
 *
 * word:  0 outside a guard; inside, the epoch that this thread had seen when it entered.  Written by its
 *        thread only, with plain stores; read by the daemon after a membarrier in all workers.
 *        1 is "inside, no epoch seen yet" (a thread's first guard).
 * owner: robust process-shared mutex, locked by the thread for as long as it holds the line.  The kernel
 *        marks it when the thread exits, is killed or executes another program, so that a line with a dead
 *        owner is quiescent whatever its word says.  The daemon never locks it (its memory is hostile): it
 *        reads the futex word, which glibc keeps first: 0 free, FUTEX_OWNER_DIED set, or the holder's id.
 * last:  the last epoch after which the thread has serialised; DD_LINE_UNSEEN before the first,
 *        and in a line that its thread has left for one in a newer set of lines.  For the worker alone.
 * stack: low half of the stack pointer of the outermost explicit guard, 0 in others; finds one that was left by
 * longjmp.
 *
 * The thread's id, for display, is in the futex word of `owner`.
 */
struct dd_line {
    uint64_t word;
    uint64_t last;
    uint32_t stack;
    uint32_t leaked;            /* guards found abandoned by longjmp, for display */
    pthread_mutex_t owner;
};

#define DD_LINE_UNSEEN 1u       /* older than every epoch, and not 0 */

DD_STATIC_ASSERT(offsetof(struct dd_line, word) == 0, "shared layout");
DD_STATIC_ASSERT(offsetof(struct dd_line, owner) == 24, "shared layout");
DD_STATIC_ASSERT(sizeof(struct dd_line) == DD_CACHE_LINE, "one cache line a thread");

#define DD_LINES_MAGIC 0x64646c31u      /* "ddl1" */
#define DD_LINES_MAX 16383u             /* threads of one process */

/*
 * The lines memfd of a process: this head, then `DD_LINES_MAX` lines, then the counters of each line.  Its size is
 * constant and sealed; it is sparse, memory is taken as it is used. `used` is a high-water mark: lines at and above
 * it were never handed out.  It only grows; the daemon clamps it.
 */
struct dd_lines {
    uint32_t magic;             /* DD_LINES_MAGIC */
    uint32_t layout_version;
    uint32_t used;
    uint8_t padding[52];
    struct dd_line line[DD_LINES_MAX];
};

#define DD_LINES_SIZE sizeof(struct dd_lines)                           /* bytes that the daemon maps */

/*
 * The counters of a line: what code of the image counts on behalf of the line's thread.  Nobody else writes there,
 * so no cache line is shared.  They go on when another thread takes the line.  The daemon assigns the places
 * (jitcore/counters.h), and reads them as a file: a mapping of its own would take memory for what was never
 * written.
 */
#define DD_LINE_COUNTERS_SIZE 0x2800000u                                /* bytes a line */
#define DD_LINE_THREAD 4160u                                            /* offset in them of a struct dd_line_thread */
#define DD_LINE_COUNTERS(index) (DD_LINES_SIZE + (uint64_t)(index) * DD_LINE_COUNTERS_SIZE)    /* offset in the memfd */
#define DD_LINES_FILE_SIZE DD_LINE_COUNTERS(DD_LINES_MAX)               /* bytes of the memfd */

DD_STATIC_ASSERT(offsetof(struct dd_lines, line) == DD_CACHE_LINE, "shared layout");
DD_STATIC_ASSERT(DD_LINES_SIZE == 0x100000, "whole pages");
DD_STATIC_ASSERT(DD_LINES_FILE_SIZE == UINT64_C(0x9ffd900000), "shared layout");

/*
 * Among the counters: what the image's code needs to know of the line's thread, where it changes maps.  Written by the client
 * library when a thread takes the line; the rest is the image's own (jitcore/runtime/seat.h: struct thread).
 *
 * line: names the line among all that ever were on this host, so that what its thread left half done can be told from what
 * others do, also by a daemon that comes later.  0: no daemon can see the line.
 * taken: how many threads have taken the line; the code writes it beside what a thread begins, so that what the line's
 * former thread left half done is told from what its present one does, also while that one never leaves its guards.
 * 0: not told.
 */
struct dd_line_thread {
    uint64_t line;              /* DD_LINE_NAME() */
    uint32_t seat;
    uint32_t process, id;       /* of process and thread, as the worker's pid namespace has them */
    uint32_t padding;
    uint64_t image[2];
    uint64_t taken;
};

DD_STATIC_ASSERT(sizeof(struct dd_line_thread) == 48, "shared layout");

/* inode: of the lines' memfd, which is unique while the memfd is there. */
#define DD_LINE_NAME(inode, index) ((uint64_t)(inode) << 14 | (uint64_t)(index))
#define DD_LINE_NAME_INDEX(name) ((uint32_t)((name) & 0x3fff))

/* What a hook may do with one field of its context. */
enum dd_rights {
    DD_FIELD_READ = 1,          /* programs may read it */
    DD_FIELD_WRITE = 2,         /* programs may read and write it */
    DD_FIELD_DATA = 3,          /* pointer to the first byte of the packet */
    DD_FIELD_DATA_END = 4,      /* pointer behind its last byte */
};

#ifdef __cplusplus
}
#endif
#endif
