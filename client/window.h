/* SPDX-License-Identifier: MIT */
/*
 * A window: the image of one generation in this process's address space (layout.h draws it).
 *
 * `dd_window_base` names the current one.  There is always one: without a daemon it is the default window, a constant
 * of this library with slot 0 and an epoch of its own, and no text.
 */
#ifndef DISPATCHD_WINDOW_H
#define DISPATCHD_WINDOW_H

#include <dispatchd/layout.h>
#include <stdint.h>

struct window {
    char *base;
    size_t size;                /* bytes reserved */
    uint64_t generation;
    uint64_t text_size;         /* bytes */
    unsigned slot;              /* index into the entry pointers of tables: 1 or 2 */
};

/*
 * Map a window from what a daemon sent, which is checked: memfds with their seals and sizes, a control page that agrees
 * with the numbers.  The descriptors stay the caller's.  slot: 1 or 2.
 * -EBADMSG: it does not fit, and *reterr_reason says what; else of mmap(2).
 */
int window_map(int control, int text, int arena, uint64_t generation, uint64_t text_size, unsigned slot,
               struct window **ret, const char **reterr_reason);

/* NULL is fine; returns NULL.  Nobody may be inside: mover.h. */
struct window *window_unmap(struct window *window);

/* Make it the current one; NULL: the default window.  Its entry pointers are written before. */
void window_switch(const struct window *window);

#endif
