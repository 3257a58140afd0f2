/* SPDX-License-Identifier: MIT */
/* What programs print: lines of text, into a ring buffer of the host's that the daemon streams. */
#ifndef JITCORE_RUNTIME_TRACE_H
#define JITCORE_RUNTIME_TRACE_H

#include "map.h"
#include "seat.h"

#define TRACE_RING_SIZE 65536   /* bytes: max_entries of the trace ring */
#define TRACE_FORMAT_MAX 128    /* bytes of a format, with its NUL */
#define TRACE_TEXT_MAX 256      /* bytes of a line; what is longer is cut */

/* A record of the trace ring.  As true as the worker that wrote it. */
struct trace_record {
    uint32_t process, thread;   /* as the kernel numbers them, in the worker's view */
    char text[TRACE_TEXT_MAX];  /* as many as the record has bytes; no NUL */
};

/*
 * The descriptor of the trace ring.  In the image it lies in the runtime's own sealed bytes, where the daemon fills it
 * when it places them (runtime.S); in a process that links this code it is a variable.  Zeroed: there is none.
 */
extern struct map trace_map __attribute__((visibility("hidden")));

/* In a format with a NUL at its end: the first character, or % of a conversion, that trace_print refuses; NULL: none. */
const char *trace_find_refused(const char *format);

/*
 * bpf_trace_printk: format is size bytes with a NUL at the end; %d %i %u %x %X %p %c with l and ll, a width, flags 0
 * and -, and %%; at most three arguments.  Returns the number of bytes of the line; -EINVAL: the format has something
 * else (also %s: what it would print was never verified); -ENODEV: no ring; -EAGAIN, -EBUSY, -ENOSPC as ring_output.
 */
long trace_print(const char *format, uint64_t size, uint64_t first, uint64_t second, uint64_t third,
                 struct thread *thread);

#endif
