/* SPDX-License-Identifier: MIT */
/*
 * A thread's side of the guard, out of line: taking a reader line, going over to a newer one.  Giving it back needs
 * nothing: the kernel marks the line's owner dead when the thread ends, however it ends, and the next thread takes it.
 * The functions that the inline guard calls are in dispatchd.h.
 */
#ifndef DISPATCHD_THREAD_H
#define DISPATCHD_THREAD_H

struct dd_line;

/* The line in which the calling thread's next guard begins; NULL before its first. */
struct dd_line *thread_line(void);

/* In a child that was not prepared: the calling thread has no line. */
void thread_forget_line(void);

#endif
