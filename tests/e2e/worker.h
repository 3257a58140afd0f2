/* SPDX-License-Identifier: MIT */
/* What the parts of the worker for tests share: worker.c says what it is. */
#ifndef TESTS_WORKER_H
#define TESTS_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#define LINE_BYTES 1024
#define EXECUTED "WORKER_EXECUTED"      /* in the environment of what `exec` runs */

struct command {
    const char *name;                   /* NULL: the end of a table */
    void (*run)(const char *argument);
};

extern const struct command opening_commands[], calling_commands[], forking_commands[], life_commands[];

/* ---- worker.c ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) void answer(const char *format, ...);
void answer_result(int r);

/* socket: "" for the library's own choice. */
int open_with(const char *socket, uint64_t flags);

/* ---- worker_calls.c ------------------------------------------------------------------------------------ */

#define VERDICTS_MAX 16

/* What loops share with the commands, across forks. */
extern struct shared {
    _Atomic uint64_t calls, wrong;
    _Atomic uint32_t last_wrong;
    _Atomic int busy, stop;
    _Atomic uint32_t key;
    _Atomic uint32_t serial;                    /* odd while `allow` writes */
    _Atomic uint32_t allowed, verdict[VERDICTS_MAX];
} *shared;

/* The verdict of on_test, with the key that is set.  Async-signal-safe; so are these. */
uint32_t call_once(void);
void call_checked(void);
void run_loop(void);

/* A thread, or a child, that `stop` waits for.  Negative errno. */
int loop_start(void *(*run)(void *), void *argument);
int child_started(pid_t child);         /* child: as fork() returned it */
void loops_forget(void);                /* they are the parent's */
void children_reap(void);               /* however they end */

/* ---- worker_forks.c ------------------------------------------------------------------------------------ */

/* 0 in the child, which ends with its parent. */
pid_t fork_child(void);

/* Wait for it, and answer how it ended. */
void answer_exit(pid_t child);

#endif
