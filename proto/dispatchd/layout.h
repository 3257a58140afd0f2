/* SPDX-License-Identifier: MIT */
/*
 * The memory that dispatchd and its workers share: one place for every size, offset and rule.
 *
 * The window, one reservation in the address space of a worker for each generation (offsets in bytes):
 *
 *      0x0000_0000  head     private, this process only, read          struct dd_window_head
 *      0x0000_1000  control  shared memfd, sealed, read                struct dd_control
 *      0x0010_0000  code     private, this process only, read+execute  (reserved: procedure linkage)
 *      0x0020_0000  text     shared memfd, sealed, read+execute        entries, programs
 *      text + size  arena    shared memfd, read+write, never execute   data of programs
 *
 * Every reference inside the text is relative, so the distances above are the same in all workers; the
 * base is not.  The reader lines, one memfd a process, are mapped elsewhere: they outlive generations.
 *
 * Who may write what, and who must not trust it:
 *      head     written by the worker's own client library before the window becomes the current one
 *      control  written by the daemon alone; workers hold it sealed and read-only
 *      text     written by the daemon alone, through a mapping that is never executable
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

#define DD_LAYOUT_VERSION 2u

#define DD_WINDOW_HEAD 0x00000000u
#define DD_WINDOW_CONTROL 0x00001000u
#define DD_WINDOW_CODE 0x00100000u
#define DD_WINDOW_TEXT 0x00200000u

#define DD_CONTROL_SIZE 0x00001000u     /* bytes of the control memfd */
#define DD_TEXT_SIZE_MAX 0x40000000u    /* bytes; with the arena far below the 2 GiB that a relative reference reaches */
#define DD_ARENA_SIZE 0x04000000u       /* bytes of the arena memfd; memory is taken as it is used */

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
 * The control memfd.  `epoch` alone changes after start-up.
 *
 * epoch: generation << 32 | count.  Written by the daemon's grace periods only: released after the pokes
 * that it covers, so that a reader which sees the new epoch and serialises executes what was poked.
 */
struct dd_control {
    uint64_t epoch;             /* a cache line of its own: every guard in every worker reads it */
    uint8_t epoch_padding[56];
    uint32_t magic;             /* DD_CONTROL_MAGIC; also shows a foreign byte order */
    uint32_t layout_version;    /* DD_LAYOUT_VERSION */
    uint64_t generation;        /* one more at each start of the daemon, never 0, below 2^31 */
    uint64_t text_size;         /* bytes */
    uint8_t padding[40];
};

#define DD_CONTROL_MAGIC 0x64647031u    /* "ddp1" */

DD_STATIC_ASSERT(offsetof(struct dd_control, epoch) == 0, "the guard loads it from base + DD_WINDOW_CONTROL");
DD_STATIC_ASSERT(offsetof(struct dd_control, magic) == DD_CACHE_LINE, "the epoch has its cache line alone");
DD_STATIC_ASSERT(offsetof(struct dd_control, generation) == 72, "shared layout");
DD_STATIC_ASSERT(sizeof(struct dd_control) == 2 * DD_CACHE_LINE, "shared layout");

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
 * stack: low half of the stack pointer of the outermost explicit guard, 0 in others; finds one that was left by longjmp.
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
 * The lines memfd of a process: this head, then `DD_LINES_MAX` lines.  Its size is constant and sealed.
 * `used` is a high-water mark: lines at and above it were never handed out.  It only grows; the daemon clamps it.
 */
struct dd_lines {
    uint32_t magic;             /* DD_LINES_MAGIC */
    uint32_t layout_version;
    uint32_t used;
    uint8_t padding[52];
    struct dd_line line[DD_LINES_MAX];
};

#define DD_LINES_SIZE sizeof(struct dd_lines)

DD_STATIC_ASSERT(offsetof(struct dd_lines, line) == DD_CACHE_LINE, "shared layout");
DD_STATIC_ASSERT(DD_LINES_SIZE == 0x100000, "whole pages");

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
