#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Functions of the workers' that programs call: each worker runs its own, and who has none answers -ENOSYS."""
import errno
import os

from harness import Daemon, Refused, compile_program
from tap import BUILD_DIR, case, equal, run

CALLER = os.path.join(BUILD_DIR, "tests/e2e/caller")
LACKING = CALLER + "_lacking"

DECLARATIONS = """
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct event { __u32 number; };
extern __u32 bytes_sum(const void *data, __u32 size) __ksym;
extern void bytes_fill(void *data, unsigned long size, __u8 with) __ksym;
extern __s16 event_times(const struct event *event, __s16 factor) __ksym;
extern bool stack_aligned(void) __ksym;
extern __u32 program_blocking(__u32 number) __ksym;
extern __u32 not_for_programs(__u32 number) __ksym;
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} words SEC(".maps");
"""

# Memory of the stack, of a map, constants; three results.
ALL = DECLARATIONS + """
SEC("table/event") __u32 all(struct event *event, __u32 key)
{
    static const char text[4] = { 1, 2, 3, 4 };
    __u32 zero = 0;
    __u64 bytes = 0, *word = bpf_map_lookup_elem(&words, &zero);

    if (!word)
        return 1;
    bytes_fill(&bytes, sizeof(bytes), 5);
    bytes_fill(word, 2, 7);
    return bytes_sum(&bytes, sizeof(bytes)) * 10000 + bytes_sum(word, sizeof(*word)) * 100 +
           bytes_sum(text, sizeof(text));
}
"""

CONTEXT = DECLARATIONS + """
SEC("table/event") __u32 times(struct event *event, __u32 key) { return (__u32)(event_times(event, -3) + 100); }
"""

ALIGNED = DECLARATIONS + """
static __attribute__((noinline)) __u32 inner(__u32 key) { return stack_aligned() ? key : 77; }
SEC("table/event") __u32 aligned(struct event *event, __u32 key) { return stack_aligned() ? inner(key) : 78; }
"""

BLOCKING = DECLARATIONS + """
SEC("table/event") __u32 blocks(struct event *event, __u32 key) { return program_blocking(key); }
"""

UNASKED = DECLARATIONS + """
SEC("table/event") __u32 unasked(struct event *event, __u32 key) { return not_for_programs(key); }
"""

MISSING = 2 ** 32 - errno.ENOSYS


def attach(daemon, name, text):
    daemon.load(name, compile_program(text, name))
    daemon.attach("on_event", 3, name)


def verdict(worker):
    return int(worker.do("verdict 3"))


@case
def arguments_reach_the_function_and_results_come_back():
    for arguments in ((), ("--policy", "no-indirect")):
        with Daemon(arguments=arguments) as daemon:
            worker = daemon.worker(executable=CALLER)
            for name, text, result in (("all", ALL, 401410), ("times", CONTEXT, 91), ("aligned", ALIGNED, 3)):
                attach(daemon, name, text)
                equal(verdict(worker), result, name)
                daemon.call("Detach", link=daemon.list("links")[0]["id"])


@case
def who_lacks_it_answers_enosys():
    with Daemon() as daemon:
        worker, lacking = daemon.worker(executable=CALLER), daemon.worker(executable=LACKING)
        attach(daemon, "times", CONTEXT)
        equal((verdict(worker), verdict(lacking)), (91, 100 - errno.ENOSYS))


@case
def one_that_may_block_is_not_called():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        attach(daemon, "blocks", BLOCKING)
        equal(verdict(worker), MISSING)


@case
def one_that_is_offered_to_hooks_alone_is_not_called():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        attach(daemon, "unasked", UNASKED)
        equal(verdict(worker), MISSING)


@case
def they_work_behind_a_restart():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        attach(daemon, "times", CONTEXT)
        equal(verdict(worker), 91)
        daemon.restart()
        equal(verdict(worker), 91, "in the old generation or the new one")
        equal(verdict(daemon.worker(executable=CALLER)), 91, "of one that came later")


@case
def what_cannot_be_proven_is_refused():
    with Daemon() as daemon:
        daemon.worker(executable=CALLER)
        text = DECLARATIONS + """
        SEC("table/event") __u32 far(struct event *event, __u32 key)
        {
            __u64 bytes = 0;

            return bytes_sum(&bytes, key);
        }
        """
        try:
            daemon.load("far", compile_program(text, "far"))
        except Refused as refusal:
            equal((refusal.error, refusal.parameters["rule"]), ("ProgramRejected", "argument"))
            return
        raise AssertionError("a size that is not bounded is accepted")


run()
