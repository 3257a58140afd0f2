# SPDX-License-Identifier: MIT
"""Maps as registered objects: loading creates and shares them, they outlive programs, daemons and workers that die."""
import base64
import errno
import os
import signal
import struct
import subprocess

from harness import CONTEXT, DISPATCHCTL, Daemon, compile_program, refused, wait_until
from tap import Skip, case, equal, run

DEFINITIONS = CONTEXT + """
#include <linux/bpf.h>
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 100);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} totals SEC(".maps");
"""

# Counts the calls for each method, in both maps.
COUNT = DEFINITIONS + """
SEC("table/test") __u32 count(struct test *t)
{
    __u32 key = t->method, zero = 0;
    __u64 one = 1, *value = bpf_map_lookup_elem(&counts, &key), *total = bpf_map_lookup_elem(&totals, &zero);

    if (total)
        __sync_fetch_and_add(total, 1);
    if (value)
        return __sync_fetch_and_add(value, 1) + 1;
    return bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST) ? 0 : 1;
}
"""


def called(worker, key=3, method=None):
    if method is not None:
        worker.do(f"method {method}")
    return int(worker.do(f"call on_test {key}").split()[1])


def value(daemon, name, key):
    element = daemon.call("LookupElement", map=name, key={"value": key})["element"]
    return element["value"]["value"]


def map_of(daemon, name):
    return next(m for m in daemon.call("ListMaps")["maps"] if m["name"] == name)


def counting(daemon, name="count", text=COUNT):
    daemon.load(name, compile_program(text, "count"))
    return daemon.attach("on_test", 3, name)


@case
def loading_creates_maps_that_workers_share():
    with Daemon() as daemon:
        first, second = daemon.worker(), daemon.worker()
        counting(daemon)
        equal([called(w) for w in (first, second, first)], [1, 2, 3], "verdicts")
        equal(value(daemon, "totals", 0), 3, "the array's value")
        equal([m["name"] for m in daemon.call("ListMaps")["maps"]], ["counts", "totals"])


@case
def programs_share_a_map_by_its_name():
    with Daemon() as daemon:
        worker = daemon.worker()
        counting(daemon)
        daemon.load("again", compile_program(COUNT, "count"))
        daemon.attach("on_test", 4, "again")
        equal([called(worker, 3), called(worker, 4), called(worker, 3)], [1, 2, 3], "verdicts")
        equal(map_of(daemon, "counts")["programs"], ["again", "count"])


@case
def a_map_of_another_definition_is_refused_and_nothing_is_left():
    with Daemon() as daemon:
        daemon.worker()
        counting(daemon)
        used = daemon.call("Info")["arena_bytes_used"]
        for old, new, word in (("max_entries, 100", "max_entries, 101", "max_entries is 100, and 101"),
                               ("_HASH);", "_LRU_HASH);", "kind is hash, and lru_hash"),
                               ("__type(value, __u64);\n} counts", "__type(value, __s64);\n} counts", "values are")):
            other = compile_program(COUNT.replace(old, new).replace("totals", "others"), "other")
            parameters = refused(lambda: daemon.load("other", other), "MapMismatch")
            equal(parameters["map"], "counts")
            assert word in parameters["difference"], parameters
        equal([m["name"] for m in daemon.call("ListMaps")["maps"]], ["counts", "totals"], "maps")
        equal(daemon.call("Info")["arena_bytes_used"], used, "bytes used in the arena")


def choosing(other):
    """The program, which takes the other map for method 7, by the same call."""
    lookup = "bpf_map_lookup_elem(%s, &key)"
    return COUNT.replace(lookup % "&counts", lookup % f"key == 7 ? (void *)&{other} : (void *)&counts")


@case
def one_call_serves_maps_of_one_kind_only():
    definition = DEFINITIONS[DEFINITIONS.index("struct {"):DEFINITIONS.index("counts SEC")] + 'second SEC(".maps");\n'
    same = choosing("second").replace('SEC("table', definition + 'SEC("table')
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("count", compile_program(same, "same-kind"))
        daemon.attach("on_test", 3, "count")
        daemon.call("UpdateElement", map="second", key={"value": 7}, value={"value": 40})
        equal([called(worker, method=method) for method in (3, 7, 3, 7)], [1, 41, 2, 42], "verdicts")
        mixed = compile_program(choosing("totals"), "mixed-kinds")
        parameters = refused(lambda: daemon.load("mixed", mixed), "ProgramRejected")
        assert "of the same kind on all paths" in parameters["reason"], parameters


@case
def a_map_is_removed_when_nothing_uses_it():
    with Daemon() as daemon:
        worker = daemon.worker()
        used = daemon.call("Info")["arena_bytes_used"]
        link = counting(daemon)
        equal(called(worker), 1)
        parameters = refused(lambda: daemon.call("RemoveMap", map="counts"), "MapInUse")
        equal(parameters, {"map": "counts", "programs": ["count"], "maps": []})
        daemon.call("Detach", link=link)
        daemon.call("Unload", program="count", wait="quiescent")
        equal(value(daemon, "totals", 0), 1, "a map outlives its programs")
        for name in ("counts", "totals"):
            daemon.call("RemoveMap", map=name, wait="quiescent")
        refused(lambda: daemon.call("RemoveMap", map="counts"), "UnknownMap")
        equal(daemon.call("Info")["arena_bytes_used"], used, "bytes used in the arena")
        counting(daemon)
        equal(called(worker), 1, "a new map is empty")


@case
def a_change_that_fails_leaves_no_map():
    with Daemon() as daemon:
        worker = daemon.worker()
        with open(compile_program(COUNT, "count"), "rb") as file:
            load = {"operation": "load", "program": "count", "object": base64.b64encode(file.read()).decode()}
        attach = {"operation": "attach", "table": "nowhere", "key": 3, "program": "count"}
        used = daemon.call("Info")
        refused(lambda: daemon.call("Apply", operations=[load, attach]), "UnknownTable")
        equal(daemon.call("ListMaps")["maps"], [])
        equal(daemon.call("Info")["arena_bytes_used"], used["arena_bytes_used"], "bytes used in the arena")
        attach["table"] = "on_test"
        daemon.call("Apply", operations=[load, attach, dict(load, program="twice")])
        equal([called(worker) for _ in range(2)], [1, 2], "verdicts")
        equal(map_of(daemon, "counts")["programs"], ["count", "twice"])


@case
def maps_and_their_contents_outlive_the_daemon_while_a_worker_has_them():
    with Daemon() as daemon:
        worker = daemon.worker()
        counting(daemon)
        equal([called(worker) for _ in range(3)], [1, 2, 3], "verdicts")
        daemon.kill()
        equal(called(worker), 4, "without a daemon")
        daemon.start()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal(called(worker), 5, "in the next generation")
        equal(value(daemon, "totals", 0), 5, "the array's value")
        equal(map_of(daemon, "counts")["programs"], ["count"])
        daemon.call("CreateMap", map="new", kind="array", key="u32", value="u64", max_entries=1)


# ---- maps of maps ----

POLICY = CONTEXT + """
#include <linux/bpf.h>
struct policy {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8);
    __type(key, __u32);
    __type(value, __u32);
};
struct {
    __uint(type, BPF_MAP_TYPE_KIND_OF_MAPS);
    __uint(max_entries, 2);
    __type(key, __u32);
    __array(values, struct policy);
} policies SEC(".maps");
SEC("table/test") __u32 look(struct test *t)
{
    __u32 zero = 0, *verdict;
    void *policy = bpf_map_lookup_elem(&policies, &zero);

    if (!policy)
        return 100;
    verdict = bpf_map_lookup_elem(policy, &zero);
    return verdict ? *verdict : 200;
}
"""


def policy(daemon, name, verdict, **changes):
    daemon.call("CreateMap", **({"map": name, "kind": "hash", "key": "u32", "value": "u32",
                                 "max_entries": 8} | changes))
    daemon.call("UpdateElement", map=name, key={"value": 0}, value={"value": verdict})


def set_inner(daemon, key, inner):
    if inner:
        daemon.call("UpdateElement", map="policies", key={"value": key}, value={"value": inner})
    else:
        daemon.call("DeleteElement", map="policies", key={"value": key})


def a_policy_is_switched(kind):
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("look", compile_program(POLICY.replace("KIND", kind), "look"))
        daemon.attach("on_test", 3, "look")
        equal(called(worker), 100, "no policy")
        policy(daemon, "first", 1)
        policy(daemon, "second", 2, max_entries=16)     # how many it holds is its own matter
        policy(daemon, "other", 3, value="u64")
        for name, wanted in (("first", 1), ("second", 2), ("first", 1), (None, 100), ("second", 2)):
            set_inner(daemon, 0, name)
            equal(called(worker), wanted, f"the verdict with {name}")
        parameters = refused(lambda: set_inner(daemon, 0, "other"), "MapMismatch")
        assert "value_size is 8, and 4" in parameters["difference"], parameters
        equal(refused(lambda: daemon.call("RemoveMap", map="second"), "MapInUse")["maps"], ["policies"])
        daemon.call("RemoveMap", map="first", wait="quiescent")
        daemon.call("RemoveMap", map="other")
        daemon.kill()
        equal(called(worker), 2, "without a daemon")
        daemon.start()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal(called(worker), 2, "in the next generation")
        equal(map_of(daemon, "second")["outer"], ["policies"])


@case
def an_array_of_maps_switches_a_policy():
    a_policy_is_switched("ARRAY")


@case
def a_hash_of_maps_switches_a_policy():
    a_policy_is_switched("HASH")


@case
def a_hash_of_maps_is_full_when_its_definition_says_so():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("look", compile_program(POLICY.replace("KIND", "HASH"), "look"))
        daemon.attach("on_test", 3, "look")
        policy(daemon, "first", 1)
        set_inner(daemon, 7, "first")
        for round in range(3):
            set_inner(daemon, 0, "first")
            equal(refused(lambda: set_inner(daemon, 1, "first"), "MapFull")["max_entries"], 2)
            equal(called(worker), 1, "the verdict")
            set_inner(daemon, 0, None)
            refused(lambda: set_inner(daemon, 0, None), "UnknownElement")
            equal(called(worker), 100, "the verdict without")


# Three rules of one policy, as one number of three digits.
WHOLE = POLICY.replace("KIND", "ARRAY").split('SEC("table/test")')[0] + """
SEC("table/test") __u32 whole(struct test *t)
{
    __u32 zero = 0, verdict = 0, *rule;
    void *policy = bpf_map_lookup_elem(&policies, &zero);

    if (!policy)
        return 1000;
    for (__u32 key = 0; key < 3; key++) {
        rule = bpf_map_lookup_elem(policy, &key);
        verdict = verdict * 10 + (rule ? *rule : 0);
    }
    return verdict;
}
"""


@case
def one_map_set_switches_a_policy_as_a_whole_under_calls():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("whole", compile_program(WHOLE, "whole"))
        daemon.attach("on_test", 3, "whole")
        for name, rule in (("first", 1), ("second", 2)):
            policy(daemon, name, rule)
            for key in (1, 2):
                daemon.call("UpdateElement", map=name, key={"value": key}, value={"value": rule})
        set_inner(daemon, 0, "first")
        worker.do("key 3")
        worker.do("allow 111 222")
        worker.do("loop 2")
        for name, wanted in 25 * [("second", 222), ("first", 111)]:
            command = [*DISPATCHCTL, "--socket", daemon.control_path, "map", "set", "policies", "0", name]
            equal(subprocess.run(command, capture_output=True, text=True, timeout=60).stderr, "", "dispatchctl says")
            equal(called(worker), wanted, f"the verdict with {name}")
        stats = worker.do("stop")
        assert " wrong 0 " in stats and not stats.startswith("calls 0 "), stats


# ---- workers that die ----

# An update of a megabyte, so that a worker that loops is nearly always in the middle of one.
COPY = CONTEXT + """
#include <linux/bpf.h>
struct large { __u8 byte[1 << 20]; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct large);
} source SEC(".maps"), target SEC(".maps");
SEC("table/test") __u32 copy(struct test *t)
{
    __u32 zero = 0;
    struct large *value = bpf_map_lookup_elem(&source, &zero);

    return value ? -bpf_map_update_elem(&target, &zero, value, BPF_ANY) : 1000;
}
"""
SEATS_AT, SEAT_SIZE, SEATS, DAEMON = 64, 4224, 128, 1           # DAEMON: the owner's name of its own seat
DAEMON_LINE = 1


class Seats:
    """What the seats in the arena hold, by way of a worker's descriptor."""

    def __init__(self, worker):
        directory = f"/proc/{worker.pid}/fd"
        arena = next(n for n in os.listdir(directory) if "dispatchd-arena" in os.readlink(f"{directory}/{n}"))
        self.file = open(f"{directory}/{arena}", "r+b", buffering=0)

    def owners(self):
        """Index of each seat that a worker has taken, and the number of the map that its journal names."""
        words = [os.pread(self.file.fileno(), 24, SEATS_AT + i * SEAT_SIZE) for i in range(SEATS)]
        seats = [struct.unpack("=QQI", (w + bytes(24))[:20]) for w in words]
        return {i: number for i, (owner, _, number) in enumerate(seats) if owner not in (0, DAEMON_LINE)}

    def write_journal(self, index, number):
        os.pwrite(self.file.fileno(), struct.pack("=I", number), SEATS_AT + index * SEAT_SIZE + 16)


def stop_inside_a_change(worker, seats):
    """Stop a worker that loops, at a moment at which its journal is not empty."""
    while True:
        os.kill(worker.pid, signal.SIGSTOP)
        wait_until(lambda: open(f"/proc/{worker.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T", "stopped")
        inside = [i for i, number in seats.owners().items() if number]
        if inside:
            return inside[0]
        os.kill(worker.pid, signal.SIGCONT)


def one_of_two_stops_inside_a_change(daemon):
    """Two workers that have changed a map, of which one loops until it is stopped; all seats, and the stopped one's."""
    looping, other = daemon.worker(), daemon.worker()
    daemon.load("copy", compile_program(COPY, "copy"))
    daemon.attach("on_test", 0, "copy")
    seats = Seats(other)
    equal(called(other, 0), 0, "an update")
    looping.do("key 0")
    looping.do("allow 0")
    looping.do("loop 1")
    wait_until(lambda: len(seats.owners()) == 2, "two seats are taken")
    equal(daemon.call("Info")["seats_used"], 3, "seats that are taken, with dispatchd's own")
    return looping, other, seats, stop_inside_a_change(looping, seats)


@case
def a_worker_that_dies_in_a_change_holds_nobody_up():
    with Daemon() as daemon:
        looping, other, seats, seat = one_of_two_stops_inside_a_change(daemon)
        [own] = set(seats.owners()) - {seat}
        for _ in range(3):                      # the daemon looks at all seats, and leaves that one alone
            seats.write_journal(own, 77)
            wait_until(lambda: seats.owners()[own] == 0, "the journal is empty")
        equal(called(other, 0), errno.EBUSY, "an update beside a stopped one")
        os.kill(looping.pid, signal.SIGKILL)
        wait_until(lambda: seat not in seats.owners(), "its seat is free")
        equal(called(other, 0), 0, "an update after its end")


@case
def a_change_that_a_living_thread_has_left_is_settled():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("copy", compile_program(COPY, "copy"))
        daemon.attach("on_test", 0, "copy")
        seats = Seats(worker)
        equal(called(worker, 0), 0, "an update")
        (seat,) = seats.owners()
        for number in (2, 3, 77):               # the two maps, and one that never was
            seats.write_journal(seat, number)
            wait_until(lambda: seats.owners() == {seat: 0}, "the journal is empty")
            equal(called(worker, 0), 0, "an update")


REPORT = "#include <linux/bpf.h>\n" + CONTEXT + """
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} reports SEC(".maps");
SEC("table/test") __u32 report(struct test *t)
{
    __u64 record = 0x5eed5eed5eed5eed;

    return bpf_ringbuf_output(&reports, &record, sizeof(record), 0);
}
"""
RECORD, RING_BUSY = bytes.fromhex("ed5e" * 4), 0x80000000


def find_in_arena(file, wanted):
    """Where these bytes are first; what was never written to is passed over."""
    at = 0
    while True:
        at = os.lseek(file.fileno(), at, os.SEEK_DATA)
        end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
        found = os.pread(file.fileno(), end - at, at).find(wanted)
        if found >= 0:
            return at + found
        at = end


@case
def a_ring_is_cleared_of_what_a_living_thread_will_never_submit():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("report", compile_program(REPORT, "report"))
        daemon.attach("on_test", 0, "report")
        for _ in range(3):
            equal(called(worker, 0), 0, "a record")
        seats = Seats(worker)
        first = find_in_arena(seats.file, RECORD)
        os.pwrite(seats.file.fileno(), struct.pack("=I", RING_BUSY | len(RECORD)), first - 8)
        equal(daemon.call("ClearMap", map="reports"), {"removed": 3})
        equal(daemon.call("ShowMap", map="reports")["entries"], 0, "bytes")
        equal(called(worker, 0), 0, "a record behind them")
        equal(daemon.call("ClearMap", map="reports"), {"removed": 1})


@case
def a_change_that_a_thread_died_in_is_settled_though_the_next_one_of_its_line_is_busy():
    if os.environ.get("SANITIZERS") == "yes":
        raise Skip("sanitizers do not bear a thread that ends by the system call alone")
    with Daemon() as daemon:
        worker, other = daemon.worker(), daemon.worker()
        daemon.load("copy", compile_program(COPY, "copy"))
        daemon.attach("on_test", 0, "copy")
        seats = Seats(worker)
        equal(called(worker, 0), 0, "an update")
        (own,) = seats.owners()
        worker.do("key 0")
        worker.do(f"allow 0 {errno.EBUSY}")
        os.kill(daemon.process.pid, signal.SIGSTOP)     # else it may see the line between the two threads
        left = []
        while not left:
            worker.do("loop 1")
            wait_until(lambda: len(seats.owners()) == 2, "two seats are taken")
            worker.do("kill-loop")
            left = [i for i, number in seats.owners().items() if number]
        (seat,) = set(seats.owners()) - {own}
        equal(left, [seat], "the seats with a journal")
        worker.do("hold")                               # takes the line, calls, and stays in its guard
        equal(seats.owners()[seat] != 0, True, "the journal is as it was left")
        os.kill(daemon.process.pid, signal.SIGCONT)
        wait_until(lambda: seats.owners()[seat] == 0, "the journal is empty")
        equal(called(other, 0), 0, "an update of another process")
        worker.do("release")
        assert " wrong 0 " in worker.do("stop")


@case
def the_next_daemon_settles_what_died_without_one():
    with Daemon() as daemon:
        looping, other, seats, seat = one_of_two_stops_inside_a_change(daemon)
        daemon.kill()
        os.kill(looping.pid, signal.SIGKILL)
        equal(called(other, 0), errno.EBUSY, "an update without a daemon")
        daemon.start()
        wait_until(lambda: other.do("status").startswith("joined generation 2"), "moved")
        wait_until(lambda: seat not in seats.owners(), "its seat is free")
        equal(called(other, 0), 0, "an update")


run()
