/* SPDX-License-Identifier: MIT */
/* How far a long run is. */

#include "progress.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#define PROGRAMS_A_LINE 10000
#define KEPT_BYTES (256 << 20)

struct progress {
    const char *failures;
    atomic_ulong done, failed;
};

struct progress *progress_new(const char *failures)
{
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (progress == MAP_FAILED)
        return NULL;
    progress->failures = failures;
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    return progress;
}

void progress_done(struct progress *progress)
{
    unsigned long done = atomic_fetch_add(&progress->done, 1) + 1;

    if (done % PROGRAMS_A_LINE == 0)
        fprintf(stderr, "%lu programs, %lu %s\n", done, atomic_load(&progress->failed), progress->failures);
}

void progress_failed(struct progress *progress)
{
    atomic_fetch_add(&progress->failed, 1);
}

unsigned long progress_failures(const struct progress *progress)
{
    return atomic_load(&progress->failed);
}
