/* SPDX-License-Identifier: MIT */
/*
 * The other side of the client's protocol: a peer on a real socket, which sends real memfds with real code, and says
 * what each test wants said.  The library runs in the same process, as in any worker.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>

#include "dispatchd.h"
#include "envelope.h"
#include "image.h"
#include "stream.h"

#define INTERFACE "io.dispatchd.Worker."
#define LONG_MS 20000           /* for what never comes */
#define ON_TEST_AT_64 "[{\"table\":\"on_test\",\"offset\":64}]"

/* The context of table on_test, whose default verdict is 5. */
struct test {
    const void *data, *data_end;
    uint32_t method, status;
};

struct peer {
    char path[64];
    int listener;
    struct stream *stream;
    struct message message;     /* the last one received */
    struct envelope_call call;  /* that message */
};

extern uint64_t generation;     /* grows from test to test, as a daemon's does */

/* Set-up and tear-down of a program's tests: the directory of the sockets. */
int make_directory(void **state);
int remove_directory(void **state);

/* ---- what the daemon does ------------------------------------------------------------------------------ */

struct peer peer_listen(const char *name);
struct peer peer_listen_as(const char *name, uid_t user);   /* needs root's rights */
void peer_accept(struct peer *peer);            /* hangs up first */
void peer_hang_up(struct peer *peer);
void peer_die(struct peer *peer);

/* The next message calls this method: peer->call. */
void expect(struct peer *peer, const char *method);

/* Nothing is asked for a while: as good as never, where a client that would ask does so at once. */
void expect_silence(struct peer *peer);

/* Answers; parameters are JSON. */
void reply(struct peer *peer, const char *parameters);
void reply_error(struct peer *peer, const char *error, const char *parameters);
void reply_join(struct peer *peer, const struct image *image, const char *entries);

/* The generation that a Moved tells. */
uint64_t moved_generation(const struct peer *peer);

/* Join and Moved, all well. */
void let_join(struct peer *peer, const struct image *image);

/* ---- what the worker does ------------------------------------------------------------------------------ */

void open_at(const struct peer *peer, uint64_t flags);
uint32_t call_hook(void);                       /* the verdict of on_test for key 1 */
struct dd_status status(void);
void wait_for_state(enum dd_state state);
bool is_mapped(const char *address);

/* Until it is readable; else the test fails with this complaint. */
void wait_readable(int descriptor, const char *complaint);

#endif
