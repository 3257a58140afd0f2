#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hooks without indirect branches: they do what others do, and no path from the call to the program has one."""
import os
import re
import subprocess

from fake_worker import LAYOUT_VERSION, TABLE as FAKE_TABLE, lines
from harness import Connection, Daemon, Refused, compile_program, verdict, wait_until
from tap import BUILD_DIR, case, equal, run

CALLER = os.path.join(BUILD_DIR, "tests/e2e/caller")
DIRECT = CALLER + "_direct"
LIBRARY = os.path.realpath(os.path.join(BUILD_DIR, "client/.libs/libdispatchd.so"))
SANITIZERS = os.environ.get("SANITIZERS") == "yes"      # they call reports through the linker's table
SUM = 21
FIRST_ENTRY = 48        # offset in struct dd_table of the entry pointer for a process's first window
TABLE = ('#include <linux/types.h>\n#include <bpf/bpf_helpers.h>\nstruct event {{ __u32 number; }};\n'
         'SEC("table/event") __u32 pass(struct event *event, __u32 key) {{ return {}; }}\n')
CALL = ('#include <linux/types.h>\n#include <bpf/bpf_helpers.h>\n'
        'SEC("call/sum") __u64 first(__u64 a) {{ return {}; }}\n')
CALLS = """
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
struct event { __u32 number; };
extern __u32 bytes_sum(const void *data, __u32 size) __ksym;
static long step(__u32 index, __u64 *sum) { *sum += bpf_ktime_get_ns() + 0x2345678; return 0; }
SEC("table/event") __u32 calls(struct event *event)
{
    __u64 sum = bpf_get_smp_processor_id();
    bpf_loop(3, step, &sum, 0);
    sum += bytes_sum(&sum, sizeof(sum));
    return sum ? 0x3456789 : 0;
}
"""


def sums(worker):
    return int(worker.do("sum 1 2 3 4 5 6"))


def current(daemon):
    wait_until(lambda: all(row["state"] == "current" for row in daemon.list("workers")), "they move")


# ---- reading a worker's code ---------------------------------------------------------------------------------------

class Code:
    """The executable memory of a process, disassembled where control goes."""

    def __init__(self, pid):
        self.pid = pid
        self.mappings = []
        with open(f"/proc/{pid}/maps") as maps:
            for line in maps:
                words = line.split(None, 5)
                begin, end = (int(word, 16) for word in words[0].split("-"))
                if "x" in words[1]:
                    self.mappings.append((begin, end, words[5].strip() if len(words) > 5 else ""))

    def mapping(self, address):
        for begin, end, name in self.mappings:
            if begin <= address < end:
                return begin, end, name
        raise AssertionError(f"{address:#x} is not executable")

    def block(self, address):
        """Instructions from an address to the first that control does not pass: (address, mnemonic, operands) each."""
        _, end, _ = self.mapping(address)
        size = min(4096, end - address)
        with open(f"/proc/{self.pid}/mem", "rb") as memory:
            memory.seek(address)
            code = memory.read(size)
        path = os.path.join(BUILD_DIR, f"tests/e2e/block-{os.getpid()}")
        with open(path, "wb") as file:
            file.write(code)
        done = subprocess.run(["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", "-w",
                               f"--adjust-vma={address:#x}", path], capture_output=True, text=True, check=True)
        os.unlink(path)
        found = []
        for line in done.stdout.splitlines():
            match = re.match(r"\s*([0-9a-f]+):\s+((?:(?:notrack|bnd|rep|repz|lock|cs|ds) )*)(\S+)\s*(.*)$", line)
            if not match:
                continue
            found.append((int(match[1], 16), match[3], match[4].split("#")[0].strip()))
            if match[3].startswith(("jmp", "ret", "int3", "hlt")):
                return found
        raise AssertionError(f"no end of the code at {address:#x}")

    def walk(self, start, within=lambda name: True, without=()):
        """All that direct branches lead to from an address, in mappings that `within` admits: instructions.  Calls of the
        functions `without` are not followed."""
        todo, seen = [start], {}
        while todo:
            address = todo.pop()
            if address in seen or address in without or not within(self.mapping(address)[2]):
                continue
            for at, mnemonic, operands in self.block(address):
                if at in seen:
                    break
                seen[at] = (mnemonic, operands)
                target = re.match(r"0x([0-9a-f]+)$", operands)
                far = re.match(r"\$0x([0-9a-f]+),%r11$", operands)      # a slot's, for its thunk
                if target and mnemonic.startswith(("j", "call", "loop")):
                    todo.append(int(target[1], 16))
                elif far and mnemonic == "movabs":
                    todo.append(int(far[1], 16))
        return seen


def indirect(instructions):
    """Branches that go through a register or memory.  (A return is none.)"""
    return [f"{at:#x} {mnemonic} {operands}" for at, (mnemonic, operands) in sorted(instructions.items())
            if mnemonic.startswith(("jmp", "call", "ljmp", "lcall")) and "*" in operands]


def symbol(pid, executable, name):
    """Where a symbol of a position-independent executable is in the process."""
    listed = subprocess.run(["nm", executable], capture_output=True, text=True, check=True).stdout
    offset = int(re.search(rf"^([0-9a-f]+) \S {name}$", listed, re.M)[1], 16)
    with open(f"/proc/{pid}/maps") as maps:
        base = min(int(line.split("-")[0], 16) for line in maps if executable in line)
    return base + offset


def is_shared(name):
    """What a hook's call leads through: the worker's slots and the daemon's memory."""
    return "dispatchd-" in name


def is_library(name):
    return "libdispatchd" in name or is_shared(name)


STILL = ["--planning-interval", "0"]    # a walk takes seconds, in which a sampler would come and go


def slot_paths(worker, hook):
    return Code(worker.pid).walk(symbol(worker.pid, DIRECT, hook + "_direct_"), is_shared)


# ---- cases
# -------------------------------------------------------------------------------------------------------------

@case
def they_do_what_others_do():
    with Daemon() as daemon:
        worker = daemon.worker(executable=DIRECT, open_now=False)
        equal((sums(worker), worker.do("verdict 3")), (SUM, "5"), "without a daemon")
        worker.do("open")
        equal((sums(worker), worker.do("verdict 3"), worker.do("touch"), worker.do("text word")),
              (SUM, "5", "1", "word"))
        daemon.load("pass", compile_program(TABLE.format("key + 10"), "pass"))
        daemon.load("first", compile_program(CALL.format("a + 50"), "first"))
        daemon.call("Attach", table="on_event", key=3, program="pass")
        daemon.call("Attach", table="on_event", first=10, last=20, native="event_native")
        equal([worker.do(f"verdict {key}") for key in (3, 4, 15)], ["13", "5", "1018"])
        for target, result in [({"native": "sum_times"}, 100 * SUM), ({"program": "first"}, 51), ({"value": 9}, 9),
                               ({}, SUM)]:
            daemon.call("SetCall", call="sum", **target)
            equal(sums(worker), result, str(target))
        daemon.call("SetCall", call="sum", program="first")
        daemon.restart()
        current(daemon)
        equal((sums(worker), worker.do("verdict 3"), worker.do("fork")), (51, "13", "51"))
        daemon.call("SetCall", call="sum", native="sum_blocking")
        equal((worker.do("block"), worker.do("release")), ("outside", str(7 * SUM)))
        worker.do("close")
        equal((sums(worker), worker.do("verdict 3")), (SUM, "5"), "after it was closed")
        worker.do("open")
        equal(worker.do("verdict 3"), "13")


@case
def changes_and_moves_under_load():
    with Daemon() as daemon:
        worker = daemon.worker(executable=DIRECT)
        daemon.load("first", compile_program(CALL.format("a + 50"), "first"))
        worker.do(f"allow {SUM} {100 * SUM} 51 9")
        worker.do("loop")
        for number in range(120):
            daemon.call("SetCall", call="sum",
                        **[{"native": "sum_times"}, {"program": "first"}, {"value": 9}, {}][number % 4])
            if number % 40 == 20:
                daemon.restart()
        words = worker.do("stop").split()
        assert int(words[1]) > 0, words
        equal(words[3], "0", "results that were never set")


@case
def no_path_to_a_program_or_native_has_an_indirect_branch():
    with Daemon(arguments=STILL) as daemon:
        worker = daemon.worker(executable=DIRECT)
        daemon.load("pass", compile_program(TABLE.format("key + 10"), "pass"))
        daemon.load("first", compile_program(CALL.format("a + 50"), "first"))
        for key in range(40):
            daemon.call("Attach", table="on_event", key=1000 * key,
                        **({"native": "event_native"} if key % 2 else {"program": "pass"}))
        daemon.call("SetStatistics", counting="runs")
        equal((worker.do("verdict 1000"), worker.do("verdict 2000")), ("2003", "2010"))
        for target in ({"native": "sum_times"}, {"native": "sum_blocking"}, {"program": "first"}, {"value": 9}, {}):
            daemon.call("SetCall", call="sum", **target)
            for hook in ("sum", "on_event", "text"):
                path = slot_paths(worker, hook)
                assert len(path) > 1, path
                equal(indirect(path), [], f"{hook} with {target}")
        wait_until(lambda: daemon.list("tables")[0]["settled"], "the table settles")
        path = slot_paths(worker, "on_event")
        equal(indirect(path), [])
        assert len(path) > 100, "all of the table was looked at"


@case
def nor_have_programs_with_all_that_they_may_call():
    """Chains, counted with histograms; helpers, loops and functions of the worker.  Numbers say that the walk was there."""
    with Daemon(arguments=STILL) as daemon:
        worker = daemon.worker(executable=DIRECT)
        daemon.load("calls", compile_program(CALLS, "calls"))
        daemon.load("last", compile_program(TABLE.format("key + 0x1234567"), "last"))
        for program, more in (("calls", {"priority": 0, "proceed_on": [0x3456789]}), ("last", {"priority": 1})):
            daemon.call("Attach", table="on_event", key=3, program=program, **more)
        daemon.call("SetStatistics", counting="histogram")
        equal(worker.do("verdict 3"), str(3 + 0x1234567))
        wait_until(lambda: daemon.list("tables")[0]["settled"], "the table settles")
        path = slot_paths(worker, "on_event")
        equal(indirect(path), [])
        for number in (0x1234567, 0x2345678, 0x3456789):
            assert any(f"0x{number:x}" in operands for _, operands in path.values()), f"{number:#x} was not reached"


@case
def slow_paths_have_none_either():
    """A new epoch and nested calls.  Left out: what calls the C library, and is rare."""
    with Daemon() as daemon:
        worker = daemon.worker(executable=DIRECT, open_now=False)
        place = lambda name: symbol(worker.pid, LIBRARY, name)
        rare = [place(name) for name in ("dd_thread_join", "dd_thread_leaked", "take_newer_line", "leave_former_line",
                                      "forget_all")]
        for state in ("before it joined", "after it joined"):
            code = Code(worker.pid)
            for slot, function in (("enter", "dd_thread_renew"), ("leave", "dd_hook_leave_slowly")):
                path = code.walk(symbol(worker.pid, DIRECT, f"dd_direct_{slot}_"), is_library, rare)
                equal(indirect(path) if not SANITIZERS else [], [], f"{slot} {state}")
                assert place(function) in path, f"{function} is behind the slot, {state}"
            worker.do("open")
        path = code.walk(symbol(worker.pid, DIRECT, "dd_direct_enter_"), is_library)
        assert indirect(path), "those of rare paths would be seen"


def policy(daemon, table):
    """The one in force, and whose it is."""
    row = next(row for row in daemon.list("tables") if row["name"] == table)
    equal(daemon.call("Explain", table=table)["policy"], row["policy"], "as Explain says it")
    return row["policy"], row.get("policy_of")


@case
def tables_are_trees_while_such_a_worker_is_there():
    with Daemon() as daemon:
        other = daemon.worker(executable=CALLER)
        daemon.load("pass", compile_program(TABLE.format("key + 10"), "pass"))

        def attach(key):
            daemon.call("Attach", table="on_event", key=key, program="pass")

        for number in range(40):
            attach(1000 * number)
        shape = lambda: daemon.list("tables")[0]["shape"]
        assert shape() != "tree", shape()
        worker = daemon.worker(executable=DIRECT)
        equal(policy(daemon, "on_event"), ("no_indirect", "workers"))
        equal(shape(), "tree")
        daemon.call("SetPolicy", table="on_event", policy="no_indirect")
        equal(policy(daemon, "on_event"), ("no_indirect", "table"))
        daemon.call("SetPolicy", table="on_event", policy="any")
        equal((worker.do("verdict 2000"), other.do("verdict 2000")), ("2010", "2010"))
        equal(indirect(slot_paths(worker, "on_event")), [])
        worker.kill()
        wait_until(lambda: len(daemon.list("workers")) == 1, "it is gone")
        equal(policy(daemon, "on_event"), ("any", None))
        attach(77)
        assert shape() != "tree", shape()


def refused_as_full(action):
    try:
        action()
    except Refused as refusal:
        equal(refusal.error, "ImageFull")
    else:
        raise AssertionError("there was room")


def fill_image(daemon, table):
    """Keys far apart, then as many ranges as find room while a reader keeps all that was replaced; the last link."""
    operations = [{"operation": "attach", "table": table, "key": 1000 * number, "program": "pass"}
                  for number in range(1000)]
    link = daemon.call("Apply", operations=operations)["outcomes"][0]["link"]
    daemon.worker().do("hold")
    for number in range(10000):
        try:
            daemon.call("Attach", table=table, first=(3 << 30) + 10 * number, last=(3 << 30) + 10 * number + 1,
                        program="pass")
        except Refused as refusal:
            equal(refusal.error, "ImageFull")
            return link
    raise AssertionError("the image is never full")


@case
def a_full_image_refuses_such_a_worker():
    """It runs its defaults, never an indirect branch, and joins when there is room for a tree."""
    with Daemon(arguments=["--text-size", "1"]) as daemon:
        other = daemon.worker(executable=CALLER)
        daemon.load("pass", compile_program(TABLE.format("key + 10"), "pass"))
        fill_image(daemon, "on_event")
        holder = daemon.workers[-1]
        row = lambda: next(row for row in daemon.list("tables") if row["name"] == "on_event")
        equal((row()["shape"], row()["workers"]), ("hash", 1))
        worker = daemon.worker(executable=DIRECT)
        status = worker.do("status")
        assert status.startswith("refused ") and "ImageFull" in status, status
        equal((worker.do("verdict 2000"), other.do("verdict 2000")), ("5", "2010"), "its default, and the program")
        equal((row()["shape"], row()["workers"]), ("hash", 1))
        holder.do("release")
        wait_until(lambda: worker.do("status").startswith("joined"), "it joins")
        equal((row()["shape"], worker.do("verdict 2000"), other.do("verdict 2000")), ("tree", "2010", "2010"))
        equal(indirect(slot_paths(worker, "on_event")), [])


@case
def a_full_image_refuses_the_policy():
    """Also with a removal beside it, which alone would find its way."""
    with Daemon(arguments=["--text-size", "1"]) as daemon:
        daemon.worker(executable=CALLER)
        daemon.load("pass", compile_program(TABLE.format("key + 10"), "pass"))
        link = fill_image(daemon, "on_event")
        policy = {"operation": "set_policy", "table": "on_event", "policy": "no_indirect"}
        detach = {"operation": "detach", "link": link}
        refused_as_full(lambda: daemon.call("Apply", operations=[policy]))
        refused_as_full(lambda: daemon.call("Apply", operations=[policy, detach]))
        row = next(row for row in daemon.list("tables") if row["name"] == "on_event")
        equal((row["shape"], row["policy"]), ("hash", "any"))
        daemon.call("Apply", operations=[detach])


@case
def other_tables_of_such_a_worker_keep_their_shape():
    with Daemon() as daemon:
        connection = Connection(daemon.worker_path)
        tables = [{**FAKE_TABLE, "name": "plain"}, {**FAKE_TABLE, "name": "direct", "no_indirect": True}]
        connection.call("io.dispatchd.Worker.Join", [lines()], layout_version=LAYOUT_VERSION, name="mixed",
                        tables=tables)
        daemon.load("seven", verdict(7))
        for table in ("plain", "direct"):
            daemon.call("Apply", operations=[{"operation": "attach", "table": table, "key": 1000 * number,
                                              "program": "seven"}
                                             for number in range(40)])
        shapes = {row["name"]: row["shape"] for row in daemon.list("tables")}
        assert shapes["plain"] != "tree", shapes
        equal(shapes["direct"], "tree")


@case
def the_host_may_forbid_them():
    """Then workers that are built with indirect calls reach programs and natives without any behind the call."""
    with Daemon(arguments=["--policy", "no-indirect"]) as daemon:
        worker = daemon.worker(executable=CALLER)
        equal(policy(daemon, "on_event"), ("no_indirect", "host"))
        daemon.call("SetCall", call="sum", native="sum_times")
        equal(sums(worker), 100 * SUM)
        code = Code(worker.pid)
        linkage = next(begin for begin, _, name in code.mappings if "dispatchd-linkage" in name)
        equal(indirect(code.walk(linkage + 128, is_shared)), [])
        daemon.load("pass", compile_program(TABLE.format("key + 0x1234567"), "pass"))
        for key in range(40):
            daemon.call("Attach", table="on_event", key=1000 * key, program="pass")
        wait_until(lambda: all(row["settled"] for row in daemon.list("tables")), "the table settles")
        with open(f"/proc/{worker.pid}/mem", "rb") as memory:
            memory.seek(symbol(worker.pid, CALLER, "on_event_table") + FIRST_ENTRY)
            entry = int.from_bytes(memory.read(8), "little")
        path = code.walk(entry, is_shared)
        equal(indirect(path), [])
        assert any("0x1234567" in operands for _, operands in path.values()), "the program was not reached"


@case
def nor_has_the_call_itself():
    """In the object, from the call's beginning.  Only explicit guards call the library by its name."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-w", DIRECT], capture_output=True, text=True,
                          check=True).stdout
    for function in ("one_to_six", "do_sum", "do_verdict", "do_touch"):
        match = re.search(rf"<{function}(?:\.\S+)?>:\n(.*?)\n\n", text, re.S)
        if not match:                   # inlined into its callers
            continue
        branches = re.findall(r"\s((?:call|jmp)\S*)\s+(\S.*)$", match[1], re.M)
        equal([branch for branch in branches if "*" in branch[1]], [], function)
    assert re.search(r"call\s+\S+ <sum_direct_>", text), "it is called by its slot"
    assert re.search(r"call\s+\S+ <dd_direct_enter_>", text), "so are slow paths"
    equal(re.findall(r"call\s+\S+ <(dd_hook_\w+_slowly)@plt>", text), [])


@case
def an_indirect_branch_would_be_seen():
    """The same walk finds those of a worker that was built without the rule."""
    with Daemon() as daemon:
        worker = daemon.worker(executable=CALLER)
        daemon.call("SetCall", call="sum", native="sum_times")
        equal(sums(worker), 100 * SUM)
        code = Code(worker.pid)
        linkage = next(begin for begin, _, name in code.mappings if "dispatchd-linkage" in name)
        found = indirect(code.walk(linkage + 128, is_shared))
        assert found and "*%r11" in found[0], found
        direct = daemon.worker(executable=DIRECT)
        code = Code(direct.pid)
        linkage = next(begin for begin, _, name in code.mappings if "dispatchd-linkage" in name)
        equal(indirect(code.walk(linkage + 128, is_shared)), [])


@case
def nothing_of_it_is_writable_and_executable():
    with Daemon() as daemon:
        worker = daemon.worker(executable=DIRECT)
        daemon.restart()
        current(daemon)
        with open(f"/proc/{worker.pid}/maps") as maps:
            lines = maps.read().splitlines()
        equal([line for line in lines if "w" in line.split()[1] and "x" in line.split()[1]], [])
        slots = [line for line in lines if "dispatchd-direct" in line]
        equal(len(slots), 1, "\n".join(slots))


run()
