/* SPDX-License-Identifier: MIT */
/*
 * A reader of bench/poke: a worker, reduced to its guard.  Lines, window and guard are the
 * library's own; what is left out is the conversation with a daemon, which bench/poke replaces.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "client/lines.h"
#include "client/serialise.h"
#include "client/window.h"
#include "dispatchd.h"
#include "poke.h"
#include "util.h"

#define SLOT 1
#define BATCH 1024              /* executions between two looks at `stop` */

static struct dd_table table = { .name = "poke", .default_verdict = DEFAULT_VERDICT };

static _Noreturn void fail(const char *what, int r)
{
    fprintf(stderr, "poke_reader: %s: %s\n", what, strerror(-r));
    exit(1);
}

/* The daemon knows the lines before this process can enter the window; it answers with one byte. */
static void announce_lines(void)
{
    struct lines *lines;
    char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
    struct iovec part = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int r = lines_new(&lines);

    if (r >= 0)
        r = lines_replace(lines);
    if (r < 0)
        fail("lines", r);
    header->cmsg_len = CMSG_LEN(sizeof(int));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(header), &lines->memfd.number, sizeof(int));
    if (sendmsg(READER_SOCKET, &message, 0) != 1 || read(READER_SOCKET, &byte, 1) != 1)
        fail("announcing the lines", -errno);
}

static struct window *enter_window(uint64_t generation, uint64_t text_size, uint64_t entry)
{
    const struct window_files files = { READER_CONTROL, READER_TEXT, READER_ARENA, READER_LINKAGE };
    const char *reason = "mapping";
    struct window *window;
    int r = window_map(&files, generation, text_size, SLOT, &table, &window, &reason);

    if (r < 0)
        fail(reason, r);
    table.entry[SLOT] = (dd_entry *)(uintptr_t)(window->base + DD_WINDOW_TEXT + entry);
    window_switch(window);
    return window;
}

/*
 * One call.  What was live before it is the oldest that it may see, what is newest after it the
 * newest.
 */
static bool call_is_right(const struct poke_shared *shared, uint32_t key_number)
{
    uint32_t oldest = __atomic_load_n(&shared->live, __ATOMIC_ACQUIRE);
    uint32_t verdict = dd_table_call_inline(&table, poke_keys[key_number], NULL);
    uint32_t newest = __atomic_load_n(&shared->newest, __ATOMIC_ACQUIRE), serial = verdict >> 4;

    if (verdict == DEFAULT_VERDICT)
        return key_number == KEYS || oldest == 0;
    return key_number != KEYS && verdict == verdict_of(serial, key_number) && serial >= oldest &&
           serial <= newest;
}

int main(int argc, char **argv)
{
    struct poke_shared *shared;
    struct poke_reader *counts;
    struct window *window;
    int r;

    if (argc != 5) {
        fprintf(stderr, "poke_reader: it is started by bench/poke\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);          /* a crash is counted and leaves no core */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, READER_SHARED, 0);
    if (shared == MAP_FAILED)
        fail("shared counts", -errno);
    counts = &shared->reader[atoi(argv[1])];
    r = barrier_register();
    if (r < 0)
        fail("membarrier", r);
    announce_lines();
    window = enter_window(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                          strtoull(argv[4], NULL, 10));
    while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
        uint64_t wrong = 0;

        for (uint32_t i = 0; i < BATCH; i++)
            wrong += !call_is_right(shared, i % (KEYS + 1));
        __atomic_store_n(&counts->wrong, counts->wrong + wrong, __ATOMIC_RELAXED);
        __atomic_store_n(&counts->executions, counts->executions + BATCH, __ATOMIC_RELAXED);
    }
    window_switch(NULL);
    window_unmap(window);
    return 0;
}
