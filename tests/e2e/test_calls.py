#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Static calls and natives: what a call runs is set from outside, and each worker runs what it has."""
import contextlib
import os
import shlex
import signal
import sqlite3
import subprocess
import tempfile

from fake_worker import LAYOUT_VERSION, lines
from harness import DISPATCHCTL, Connection, Daemon, Refused, compile_program, wait_until
from installation import variables
from tap import BUILD_DIR, SOURCE_DIR, case, equal, run

CALLER = os.path.join(BUILD_DIR, "tests/e2e/caller")
LACKING = CALLER + "_lacking"
SUM = 21                                # of 1 to 6
SUM_PROTOTYPE = "u64(u64,u32,s64,const void*,u8,s32)"

PROGRAM = """
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
SEC("call/sum") __u64 weigh(__u64 a, __u32 b, long c, void *d, __u8 e) {{ return {}; }}
"""

WIDE_PROGRAM = """
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
SEC("call/wide") __u64 second(__u64 a, const void *b) { return (__u64)b; }
"""


def program(text, section="call/sum"):
    return compile_program(PROGRAM.format(text).replace("call/sum", section), "weigh")


def set_call(daemon, call, **target):
    return daemon.call("SetCall", call=call, **target)


def calls(daemon):
    return {row["name"]: row for row in daemon.list("calls")}


def refused(error, function, *arguments, **parameters):
    try:
        function(*arguments, **parameters)
    except Refused as refusal:
        equal(refusal.error, error, str(refusal.parameters))
        return refusal.parameters
    raise AssertionError(f"not refused, {error} was expected")


def sums(worker):
    return int(worker.do("sum 1 2 3 4 5 6"))


@case
def defaults_run_without_a_daemon_and_with_one():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER, open_now=False)
        equal(sums(worker), SUM)
        equal(worker.do("touch"), "1")
        worker.do("open")
        equal(sums(worker), SUM)
        equal(worker.do("sum 0xffffffffffffffff 1 -5 0 255 -7"), str((2 ** 64 - 1 + 1 - 5 + 255 - 7) % 2 ** 64))
        equal((worker.do("text word"), worker.do("check 3"), worker.do("check -3"), worker.do("touch")),
              ("word", "1", "0", "2"))
        row = calls(daemon)["sum"]
        equal((row["prototype"], row["target"], row["workers"], row["lacking"]), (SUM_PROTOTYPE, "default", 1, []))
        equal(calls(daemon)["touch"]["prototype"], "void()")


@case
def arguments_of_programs_have_64_bits():
    """The second one is where a table's key is, which has 32."""
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        daemon.load("second", compile_program(WIDE_PROGRAM, "second"))
        set_call(daemon, "wide", program="second")
        equal(worker.do("wide 1 0x1122334455667788"), "0x1122334455667788")
        daemon.load("pointer", program("(__u64)d", "call/sum"))
        set_call(daemon, "sum", program="pointer")
        equal(worker.do("sum 1 2 3 0x1122334455667788 5 6"), str(0x1122334455667788))


@case
def natives_programs_values_and_defaults_follow_one_another():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        daemon.load("weigh", program("a * 1000 + b * 100 + c * 10 + (__u64)d + e"))
        ids = []
        for target, result in [({"native": "sum_times"}, 100 * SUM), ({"program": "weigh"}, 1239), ({"value": 77}, 77),
                               ({"value": 0}, 0), ({"native": "sum_times"}, 100 * SUM), ({}, SUM),
                               ({"program": "weigh"}, 1239)]:
            ids.append(set_call(daemon, "sum", **target).get("link"))
            equal(sums(worker), result, str(target))
        equal((ids[0], ids[2], ids[3], ids[5]), (ids[1], None, None, None), "the link is kept from native to program")
        wait_until(lambda: calls(daemon)["sum"]["settled"], "the call settles")
        equal(sums(worker), 1239)
        daemon.call("Detach", link=ids[-1])
        equal((sums(worker), calls(daemon)["sum"]["target"]), (SUM, "default"))
        equal(set_call(daemon, "text", native="text_upper")["unmoved"], [])
        equal(worker.do("text word"), "WORD")
        set_call(daemon, "text", value=0)
        equal(worker.do("text word"), "NULL")
        set_call(daemon, "check", value=1)
        equal(worker.do("check -3"), "1")
        touched = worker.do("touch")
        set_call(daemon, "touch", value=0)
        equal(worker.do("touch"), touched, "a call that does nothing")


@case
def who_lacks_a_native_runs_its_default_and_is_listed():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        lacking = daemon.worker(executable=LACKING)
        set_call(daemon, "sum", native="sum_times")
        for key in (3, 1000, 1001):
            daemon.call("Attach", table="on_event", key=key, native="event_native")
        equal((sums(worker), sums(lacking)), (100 * SUM, SUM))
        equal((worker.do("verdict 3"), lacking.do("verdict 3"), lacking.do("verdict 4")), ("1006", "5", "5"))
        equal([row["pid"] for row in calls(daemon)["sum"]["lacking"]], [lacking.pid])
        lists = {row["pid"]: sorted(row["lacking"]) for row in daemon.list("workers")}
        equal(lists, {worker.pid: [], lacking.pid: ["on_event native:event_native", "sum native:sum_times"]})


@case
def a_stopped_worker_is_named_and_runs_the_native_when_it_goes_on():
    with Daemon() as daemon:
        stopped, running = daemon.worker(executable=CALLER), daemon.worker(executable=CALLER)
        os.kill(stopped.pid, signal.SIGSTOP)
        equal(set_call(daemon, "sum", native="sum_times")["unmoved"], [], "it is in the window that changes")
        set_call(daemon, "sum")
        daemon.restart()
        wait_until(lambda: {row["pid"]: row["state"] for row in daemon.list("workers")}[running.pid] == "current",
                   "the running worker has moved")
        reply = set_call(daemon, "sum", native="sum_times")
        equal([row["pid"] for row in reply["unmoved"]], [stopped.pid], "unmoved")
        equal(sums(running), 100 * SUM)
        os.kill(stopped.pid, signal.SIGCONT)
        wait_until(lambda: {row["state"] for row in daemon.list("workers")} == {"current"}, "it catches up")
        equal(sums(stopped), 100 * SUM)


@case
def a_native_that_comes_later_is_reached_at_once():
    with Daemon() as daemon:
        worker = daemon.worker(executable=LACKING)
        other = daemon.worker(executable=CALLER)
        refused("UnknownNative", set_call, daemon, "sum", native="sum_late")
        other.do("late")
        wait_until(lambda: any("sum_late" in row["natives"] for row in daemon.list("workers")), "it is offered")
        set_call(daemon, "sum", native="sum_late")
        equal((sums(worker), sums(other)), (SUM, 1))
        worker.do("late")
        equal(sums(worker), 1)
        worker.do("forget")
        equal(sums(worker), SUM)


# Long enough that a thread which calls it without a pause is in it, hardly ever between two calls.
MODULE = """
#include <dispatchd.h>
uint64_t sum_module(uint64_t a, uint32_t b, long c, const void *d, uint8_t e, int f);
DD_NATIVE(sum_module, uint64_t(uint64_t, uint32_t, long, const void *, uint8_t, int))
uint64_t sum_module(uint64_t a, uint32_t b, long c, const void *d, uint8_t e, int f)
{
    for (volatile int i = 0; i < 100000; i++)
        ;
    return 5;
}
"""


def compile_module(directory):
    made, path = variables(), os.path.join(directory, "module.so")
    include = [f"-I{os.path.join(SOURCE_DIR, part)}" for part in ("client", "proto")]
    compiler = shlex.split(made["CC"] + " " + made["SANITIZER_FLAGS"])
    command = [*compiler, "-shared", "-fPIC", *include, "-x", "c", "-", "-o", path]
    subprocess.run(command, input=MODULE, text=True, check=True)
    return path


@case
def a_module_is_unloaded_while_its_native_is_called():
    """Nobody is in it any more when its memory goes: a thread that was would crash."""
    with Daemon() as daemon, tempfile.TemporaryDirectory() as directory:
        path = compile_module(directory)
        worker = daemon.worker(executable=LACKING)
        equal(worker.do(f"plug {path}"), "ok")
        wait_until(lambda: any("sum_module" in row["natives"] for row in daemon.list("workers")), "it is offered")
        set_call(daemon, "sum", native="sum_module")
        worker.do(f"allow 5 {SUM}")
        worker.do("loop")
        for _ in range(20):
            equal(sums(worker), 5)
            equal(worker.do("unplug"), "0")
            equal(sums(worker), SUM)
            equal(worker.do(f"plug {path}"), "ok")
        calls_made, wrong = worker.do("stop").split()[1::2]
        assert int(calls_made) > 0
        equal(wrong, "0")


@case
def a_bare_name_is_the_program_or_native_that_has_it():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        set_call(daemon, "sum", target="sum_times")
        equal((sums(worker), calls(daemon)["sum"]["target"]), (100 * SUM, "native:sum_times"))
        daemon.load("weigh", program("a"))
        set_call(daemon, "sum", target="weigh")
        equal(sums(worker), 1)
        daemon.load("text_upper", program("7"))         # a native too, but of another prototype
        set_call(daemon, "sum", target="text_upper")
        equal(sums(worker), 7)
        daemon.load("sum_times", program("a + 1"))
        found = refused("TargetAmbiguous", set_call, daemon, "sum", target="sum_times")
        equal(found, {"target": "sum_times", "prototype": SUM_PROTOTYPE})
        equal(refused("UnknownProgram", set_call, daemon, "sum", target="nothing"), {"program": "nothing"})
        refused("PrototypeMismatch", set_call, daemon, "check", target="event_native")
        refused("InvalidParameter", set_call, daemon, "sum", target="weigh", value=1)
        equal(sums(worker), 7, "what is refused changes nothing")
        set_call(daemon, "sum", program="sum_times")
        equal(sums(worker), 2)
        set_call(daemon, "sum", native="sum_times")
        equal(sums(worker), 100 * SUM)
        link = daemon.call("Attach", table="on_event", key=3, target="event_native")["link"]
        equal(worker.do("verdict 3"), "1006")
        daemon.call("Replace", link=link, target="event_native")
        equal(worker.do("verdict 3"), "1006")


@case
def dispatchctl_takes_bare_names():
    def ctl(*arguments):
        return subprocess.run([*DISPATCHCTL, "--socket", daemon.control_path, "set-call", "sum", *arguments], text=True,
                              capture_output=True, timeout=60)

    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        equal((ctl("sum_times").returncode, sums(worker)), (0, 100 * SUM))
        daemon.load("sum_times", program("a + 1"))
        refusal = ctl("sum_times").stderr
        assert "program:sum_times" in refusal and "native:sum_times" in refusal, refusal
        equal((ctl("program:sum_times").returncode, sums(worker)), (0, 2))
        equal((ctl("native:sum_times").returncode, sums(worker)), (0, 100 * SUM))
        assert "list workers --json" in ctl("nothing").stderr


@case
def what_does_not_fit_is_refused_and_changes_nothing():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        daemon.load("weigh", program("a"))
        daemon.load("touch", program("0", "call/touch"))
        set_call(daemon, "sum", value=8)
        found = refused("PrototypeMismatch", set_call, daemon, "sum", native="text_upper")
        equal((found["table_prototype"], found["target_prototype"]), (SUM_PROTOTYPE, "const s8*(const s8*)"))
        refused("ContextMismatch", set_call, daemon, "sum", program="touch")
        refused("ContextMismatch", set_call, daemon, "text", program="weigh")
        refused("UnknownProgram", set_call, daemon, "sum", program="nothing")
        refused("UnknownNative", set_call, daemon, "sum", native="nothing")
        refused("UnknownCall", set_call, daemon, "nothing", value=1)
        refused("UnknownCall", set_call, daemon, "on_event", value=1)
        refused("InvalidParameter", set_call, daemon, "sum", value=1, native="sum_times")
        refused("InvalidParameter", set_call, daemon, "sum", value=-1)
        refused("InvalidParameter", set_call, daemon, "sum", value=1, value_text="1")
        refused("InvalidParameter", set_call, daemon, "sum", value_text="18446744073709551616")
        refused("InvalidParameter", set_call, daemon, "sum", value_text="word")
        refused("InvalidParameter", set_call, daemon, "touch", value=1)
        refused("InvalidParameter", set_call, daemon, "text", value=1)
        refused("InvalidParameter", set_call, daemon, "check", value=2)
        refused("InvalidParameter", daemon.call, "Attach", table="sum", default=True, program="weigh")
        refused("PrototypeMismatch", daemon.call, "Attach", table="on_event", key=1, native="sum_times")
        refused("InvalidParameter", daemon.call, "Attach", table="on_event", key=1, native="event_blocking",
                proceed_on=[0])
        equal((sums(worker), worker.do("text word"), worker.do("check 3"), worker.do("verdict 1")),
              (8, "word", "1", "5"))
        equal(daemon.list("links"), [])


# The least and the greatest value of each type of results.
RESULTS = {"s8": (-2 ** 7, 2 ** 7 - 1), "s16": (-2 ** 15, 2 ** 15 - 1), "s32": (-2 ** 31, 2 ** 31 - 1),
           "s64": (-2 ** 63, 2 ** 63 - 1), "u8": (0, 2 ** 8 - 1), "u16": (0, 2 ** 16 - 1), "u32": (0, 2 ** 32 - 1),
           "u64": (0, 2 ** 64 - 1), "bool": (0, 1)}


def register(worker, kind):
    """What the call left in the result's register: 64 bits."""
    return int(worker.do(f"result {kind}")) % 2 ** 64


@case
def values_are_those_of_the_type_of_the_result():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        for kind, (least, most) in RESULTS.items():
            call = f"result_{kind}"
            for value in (least, most, least // 3, most // 3):
                set_call(daemon, call, value_text=str(value))
                equal((register(worker, kind), calls(daemon)[call]["target"]), (value % 2 ** 64, f"value:{value}"))
                if -2 ** 63 < value < 2 ** 63:
                    set_call(daemon, call, value=0)
                    set_call(daemon, call, value=value)
                    equal(register(worker, kind), value % 2 ** 64)
            for value in (least - 1, most + 1):
                reason = refused("InvalidParameter", set_call, daemon, call, value_text=str(value))["reason"]
                if -2 ** 63 <= value < 2 ** 64:
                    equal(reason, f"{value} is no value of {kind}: those are {least} to {most}")
            set_call(daemon, call, value_text=str(most if least == 0 else least))
        daemon.restart()
        wait_until(lambda: {row["state"] for row in daemon.list("workers")} == {"current"}, "the worker has moved")
        for kind, (least, most) in RESULTS.items():
            value = most if least == 0 else least
            equal((register(worker, kind), calls(daemon)[f"result_{kind}"]["target"]),
                  (value % 2 ** 64, f"value:{value}"), "after a restart")


@case
def values_of_a_database_from_when_all_had_32_bits_are_converted():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        for kind in ("s8", "s32", "bool"):
            set_call(daemon, f"result_{kind}", value=1)
        daemon.stop()
        with contextlib.closing(sqlite3.connect(f"{daemon.directory}/state/dispatchd.db")) as stored:
            stored.execute("UPDATE tables SET value = 4294967295 WHERE value = 1")
            stored.commit()
        daemon.start()
        wait_until(lambda: {row["state"] for row in daemon.list("workers")} == {"current"}, "the worker has moved")
        equal([calls(daemon)[f"result_{kind}"]["target"] for kind in ("s8", "s32", "bool")],
              ["value:-1", "value:-1", "value:1"])
        equal([register(worker, kind) for kind in ("s8", "s32", "bool")], [2 ** 64 - 1, 2 ** 64 - 1, 1])


@case
def a_call_without_a_function_does_nothing_until_it_is_set():
    with Daemon() as daemon:
        for executable in (CALLER, LACKING, CALLER + "_direct"):
            worker = daemon.worker(executable=executable, open_now=False)
            equal(worker.do("silent"), "0 NULL", "without a daemon")
            worker.do("open")
            equal(worker.do("silent"), "0 NULL")
            set_call(daemon, "silent", native="silent_noise")
            equal(worker.do("silent"), "0 NULL" if executable == LACKING else "3 NULL")
            set_call(daemon, "silent", value=0)
            equal(worker.do("silent"), "0 NULL" if executable == LACKING else "3 NULL")
            set_call(daemon, "silent")
            equal(worker.do("silent"), "0 NULL" if executable == LACKING else "3 NULL")
            equal(refused("InvalidParameter", set_call, daemon, "silent", value=1)["reason"],
                  "1 is no value of void: only 0 is")


MANY = 987654319                        # of -1 and 2 to 9


@case
def arguments_on_the_stack_arrive():
    with Daemon() as daemon:
        for executable in (CALLER, CALLER + "_direct"):
            worker = daemon.worker(executable=executable)
            equal(calls(daemon)["many"]["prototype"], "s64(s8,s32,s32,s32,s32,s32,s16,s64,const s32*)")
            equal(worker.do("many"), str(MANY))
            for counting in ("off", "runs", "time", "histogram"):
                daemon.call("SetStatistics", counting=counting, table="many")
                for target, result in [({"native": "many_less"}, -MANY), ({"native": "many_blocking"}, -2 * MANY),
                                       ({"value": -5}, -5), ({}, MANY)]:
                    set_call(daemon, "many", **target)
                    equal(worker.do("many"), str(result), f"{target}, {counting}")
        set_call(daemon, "many", native="many_less")
        lacking = daemon.worker(executable=LACKING)
        equal(lacking.do("many"), str(MANY), "the default stands for the native")
        daemon.load("five", program("b * 1000 + c * 100 + (__u64)d * 10 + e", "call/many"))
        set_call(daemon, "many", program="five")
        equal(worker.do("many"), "2345")


@case
def a_prototype_that_the_library_does_not_take_is_told():
    """Its function runs all the same."""
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER, open_now=False)
        expected = ('8 call "unknown": its prototype has a type that is neither an integer nor a pointer, or a typedef '
                    'that is to be spelled out')
        equal(worker.do("unknown"), expected)
        worker.do("open")
        equal(worker.do("unknown"), expected)
        assert "unknown" not in calls(daemon)


@case
def a_refused_transaction_sets_nothing():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        daemon.load("weigh", program("a"))
        for before in ({}, {"value": 9}, {"native": "sum_times"}, {"program": "weigh"}):
            set_call(daemon, "sum", **before)
            state = calls(daemon)["sum"]["target"], sums(worker), daemon.list("links"), daemon.list("programs")
            for target in ({}, {"value": 3}, {"native": "sum_times"}, {"program": "weigh"}):
                operations = [dict(target, operation="set_call", call="sum"),
                              {"operation": "set_call", "call": "nothing"}]
                refused("UnknownCall", daemon.call, "Apply", operations=operations)
                equal((calls(daemon)["sum"]["target"], sums(worker), daemon.list("links"), daemon.list("programs")),
                      state)
        operations = [{"operation": "set_call", "call": "sum", "value": 3},
                      {"operation": "set_call", "call": "check", "value": 1}]
        daemon.call("Apply", operations=operations)
        equal((sums(worker), worker.do("check -1")), (3, "1"))


@case
def one_that_may_block_is_not_one_that_may_not():
    """While hooks lead to a native it is as it was offered then: who has it otherwise runs its default."""
    with Daemon() as daemon:
        connection = Connection(daemon.worker_path)
        connection.call("io.dispatchd.Worker.Join", [lines()], layout_version=LAYOUT_VERSION, name="first",
                        natives=[{"name": "sum_blocking", "prototype": SUM_PROTOTYPE, "may_block": False}],
                        tables=[{"name": "sum", "context": "", "context_size": 0, "default_verdict": 0, "fields": [],
                                 "prototype": SUM_PROTOTYPE}])
        set_call(daemon, "sum", native="sum_blocking")
        worker = daemon.worker(executable=CALLER)
        equal(sums(worker), SUM)
        lists = {row["pid"]: row["lacking"] for row in daemon.list("workers")}
        equal(lists[worker.pid], ["sum native:sum_blocking"])
        set_call(daemon, "sum")
        later = daemon.worker(executable=CALLER)        # nothing leads to it: now it is one that may block
        set_call(daemon, "sum", native="sum_blocking")
        equal(later.do("block"), "outside")
        equal(later.do("release"), str(7 * SUM))
        connection.close()


@case
def a_program_may_not_stand_for_a_pointer_or_a_bool():
    with Daemon() as daemon:
        daemon.worker(executable=CALLER)
        for call in ("text", "check"):
            daemon.load(call, program("a", f"call/{call}"))
            refused("PrototypeMismatch", set_call, daemon, call, program=call)


@case
def arguments_are_numbers_to_a_program():
    with Daemon() as daemon:
        daemon.worker(executable=CALLER)
        found = refused("ProgramRejected", daemon.load, "reads", program("*(__u64 *)d"))
        assert "R4" in found["registers"] or "r4" in found["registers"].lower(), found
        sixth = PROGRAM.format("0").replace("call/sum", "call/check").replace("return 0", "return e")
        refused("ProgramRejected", daemon.load, "fifth", compile_program(sixth, "weigh"))


@case
def restarts_keep_what_was_set():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        lacking = daemon.worker(executable=LACKING)
        set_call(daemon, "sum", native="sum_times")
        set_call(daemon, "check", value=1)
        daemon.call("Attach", table="on_event", key=3, native="event_blocking")
        before = daemon.list("links")
        daemon.restart()
        equal(daemon.list("links"), before)
        wait_until(lambda: all(row["state"] == "current" for row in daemon.list("workers")), "they move")
        equal((sums(worker), sums(lacking), worker.do("check -1"), worker.do("verdict 3")),
              (100 * SUM, SUM, "1", "2003"))
        set_call(daemon, "sum")
        daemon.restart()
        wait_until(lambda: all(row["state"] == "current" for row in daemon.list("workers")), "they move")
        equal((sums(worker), calls(daemon)["sum"]["target"]), (SUM, "default"))


@case
def a_native_that_blocks_leaves_the_guard_but_not_one_around_it():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        set_call(daemon, "sum", native="sum_blocking")
        equal(worker.do("block"), "outside")
        equal(set_call(daemon, "sum", value=3, wait="quiescent")["unmoved"], [], "nobody waits for it")
        daemon.restart()                # its window goes meanwhile
        wait_until(lambda: daemon.list("workers")[0]["state"] == "current", "the worker moves")
        equal(worker.do("release"), str(7 * SUM))
        equal(sums(worker), 3)
        set_call(daemon, "sum", native="sum_blocking")
        equal(worker.do("nested"), "inside")
        equal(worker.do("release"), str(7 * SUM))


@case
def calls_under_concurrent_changes_have_one_of_the_results():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        lacking = daemon.worker(executable=LACKING)
        daemon.load("weigh", program("a * 1000 + b * 100 + c * 10 + (__u64)d + e"))
        worker.do(f"allow {SUM} {100 * SUM} 1239 77")
        lacking.do(f"allow {SUM} 1239 77")
        for process in (worker, lacking):
            equal(process.do("loop"), "0")
        for number in range(200):
            set_call(daemon, "sum", **[{"native": "sum_times"}, {"program": "weigh"}, {"value": 77}, {}][number % 4])
            if number == 100:
                daemon.restart()
        for process in (worker, lacking):
            words = process.do("stop").split()
            assert int(words[1]) > 0, words
            equal(words[3], "0", "results that were never set")


@case
def children_of_forks_call_as_their_parents_do():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        set_call(daemon, "sum", native="sum_times")
        equal(worker.do("fork"), str(100 * SUM))


class Offering:
    """A process that offers natives for on_event while the block lasts."""

    def __init__(self, daemon, names):
        self.daemon = daemon
        self.natives = [{"name": name, "prototype": "u32(event*,u32)", "may_block": False} for name in names]

    def __enter__(self):
        joined, tell = os.pipe()
        end, self.end = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(self.end)
            try:
                connection = Connection(self.daemon.worker_path)
                connection.call("io.dispatchd.Worker.Join", [lines()], layout_version=LAYOUT_VERSION, name="offering",
                                tables=[], natives=self.natives)
                os.write(tell, b"joined")
                os.read(end, 1)
            finally:
                os._exit(0)
        os.close(tell)
        os.close(end)
        equal(os.read(joined, 6), b"joined")
        os.close(joined)
        return self

    def __exit__(self, *unused):
        os.close(self.end)
        os.waitpid(self.child, 0)


@case
def natives_come_and_go_without_end():
    """More pairs of hook and native than there are indices; a worker keeps nothing of those that had them before."""
    rounds, each = 12, 1000
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        set_call(daemon, "sum", native="sum_times")
        link = daemon.call("Attach", table="on_event", key=0, native="event_native")["link"]
        equal(worker.do("verdict 0"), "1003")
        daemon.call("Detach", link=link)
        for number in range(rounds):
            names = [f"native_{number}_{key}" for key in range(each)]
            with Offering(daemon, names):
                attach = [{"operation": "attach", "table": "on_event", "key": key, "native": name}
                          for key, name in enumerate(names)]
                links = [outcome["link"] for outcome in daemon.call("Apply", operations=attach)["outcomes"]]
                equal({worker.do(f"verdict {key}") for key in range(each)}, {"5"}, "the worker has none of them")
                equal(sums(worker), 100 * SUM)
                detach = [{"operation": "detach", "link": link} for link in links]
                daemon.call("Apply", operations=detach, wait="quiescent")
        daemon.call("Attach", table="on_event", key=0, native="event_native")
        equal(worker.do("verdict 0"), "1003")


def declare_call(daemon, prototype):
    """A process declares the call `changing`, and ends; what it was told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        call = {"name": "changing", "context": "", "context_size": 0, "default_verdict": 0, "fields": [],
                "prototype": prototype}
        try:
            Connection(daemon.worker_path).call("io.dispatchd.Worker.Join", [lines()], layout_version=LAYOUT_VERSION,
                                                name="child", tables=[call])
            os.write(writing, b"declared")
        except Refused as refusal:
            os.write(writing, str(refusal).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        told = answer.read().decode()
    os.waitpid(child, 0)
    wait_until(lambda: not daemon.list("workers"), "it is gone")
    return told


@case
def a_call_that_returns_a_value_is_not_declared_anew():
    """The value was checked against the prototype that the call had."""
    with Daemon() as daemon:
        equal(declare_call(daemon, "u32()"), "declared")
        set_call(daemon, "changing", value=5)
        told = declare_call(daemon, "void*()")
        assert "ContextMismatch" in told and "value" in told, told
        daemon.restart()
        equal(calls(daemon)["changing"]["target"], "value:5")
        set_call(daemon, "changing")
        equal(declare_call(daemon, "void*()"), "declared")
        equal((calls(daemon)["changing"]["prototype"], calls(daemon)["changing"]["target"]), ("void*()", "default"))


@case
def natives_in_chains_and_behind_programs():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        text = ('#include <linux/types.h>\n#include <bpf/bpf_helpers.h>\nstruct event { __u32 number; };\n'
                'SEC("table/event") __u32 pass(struct event *event, __u32 key) { return key; }\n')
        daemon.load("pass", compile_program(text, "pass"))
        daemon.call("Attach", table="on_event", first=0, last=9, native="event_native", priority=1, proceed_on=[1007])
        daemon.call("Attach", table="on_event", first=0, last=9, program="pass", priority=2, proceed_on=[4])
        daemon.call("Attach", table="on_event", first=0, last=9, native="event_blocking", priority=3)
        equal([worker.do(f"verdict {key}") for key in (3, 4, 5, 10)], ["1006", "2004", "1008", "5"])
        equal([link["program"] for link in daemon.list("links")],
              ["native:event_native", "pass", "native:event_blocking"])


@case
def dispatchctl_sets_and_lists():
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)

        def ctl(*words):
            command = [*DISPATCHCTL, "--socket", daemon.control_path, *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout + done.stderr

        equal(ctl("set-call", "sum", "native:sum_times")[0], 0)
        equal(sums(worker), 100 * SUM)
        equal(ctl("set-call", "sum", "value:0x10")[0], 0)
        equal(sums(worker), 16)
        equal(ctl("set-call", "result_s8", "value:-1")[0], 0)
        equal((register(worker, "s8"), "value:-1" in ctl("list", "calls")[1]), (2 ** 64 - 1, True))
        equal(ctl("set-call", "result_u64", "value:0xffffffffffffffff")[0], 0)
        equal(register(worker, "u64"), 2 ** 64 - 1)
        status, text = ctl("set-call", "result_s8", "value:200")
        assert status != 0 and "200 is no value of s8: those are -128 to 127" in text, text
        status, text = ctl("set-call", "result_s8", "value:word")
        assert status != 0 and "'word' is no number" in text, text
        equal(register(worker, "s8"), 2 ** 64 - 1)
        equal(ctl("set-call", "sum", "default")[0], 0)
        equal(sums(worker), SUM)
        status, text = ctl("list", "calls")
        assert status == 0 and SUM_PROTOTYPE in text, text
        status, text = ctl("set-call", "sum", "native:text_upper")
        assert status != 0 and SUM_PROTOTYPE in text and "const s8*(const s8*)" in text, text


run()
