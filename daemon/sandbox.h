/* SPDX-License-Identifier: MIT */
/* The sandbox of a process that works on hostile bytes: it can compute, and talk on descriptor 0, and nothing else. */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

/* Memory that it may have, bytes of address space. */
#define SANDBOX_MEMORY_MAX (1ul << 30)

/*
 * Enter it, for good: no descriptor but 0; no capabilities and no new privileges; limits on memory and processor time
 * (`seconds`); the end of the parent ends us; nobody may look into us; and a filter that ends us at any system call but
 * read and write of descriptor 0, memory, and exit.  Negative errno, and *reterr_what names what the host refuses.
 */
int sandbox_enter(unsigned seconds, const char **reterr_what);

#endif
