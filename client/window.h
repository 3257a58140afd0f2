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

/* What a daemon sends: memfds.  Borrowed. */
struct window_files {
    int control, text, arena, linkage;
};

/*
 * Map a window from what a daemon sent, which is checked: memfds with their seals and sizes, a control page that agrees
 * with the numbers.  slot: 1 or 2.  callers: an address in the module that calls the
 * hooks, or NULL: the window lies within 2 GiB of it where there is room.
 * -EBADMSG: it does not fit, and *reterr_reason says what; else of mmap(2).
 */
int window_map(const struct window_files *files, uint64_t generation, uint64_t text_size, unsigned slot,
               const void *callers, struct window **ret, const char **reterr_reason);

/* Where its stubs lead: this process fills it. */
struct dd_linkage_data *window_linkage(const struct window *window);

/* NULL is fine; returns NULL.  Nobody may be inside: mover.h. */
struct window *window_unmap(struct window *window);

/* Make it the current one; NULL: the default window.  Its entry pointers are written before. */
void window_switch(const struct window *window);

#endif
