/* SPDX-License-Identifier: MIT */
/*
 * The slots of hooks that are called without indirect branches (dispatchd/direct.h): their pages are replaced, at
 * the same addresses, by sealed copies that jump to a window.  A page is replaced as a whole by the kernel: a
 * thread executes the one or the other.  No mapping here is ever writable.
 *
 * All functions are called with the library's lock.
 */
#ifndef DISPATCHD_DIRECT_LIBRARY_H
#define DISPATCHD_DIRECT_LIBRARY_H

#include "window.h"

/* Point the slots of all tables to their entries of this index: 0, or the window's; and those of slow paths to the
 * library.  Negative errno of
 * memfd_create(2) and mmap(2): some of them are as they were. */
int direct_point(unsigned slot);

#endif
