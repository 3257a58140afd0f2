# SPDX-License-Identifier: MIT
"""What is in maps, through the API and dispatchctl:
elements by their types, streams, and everything that is refused by name."""
import json
import os
import signal
import subprocess
import threading

from harness import CONTEXT, DISPATCHCTL, Daemon, Refused, compile_program, wait_until
from tap import case, equal, run

PROGRAM = compile_program("#include <linux/bpf.h>\n" + CONTEXT + """
#define MAP(name, kind, entries, key_type, value_type)  \\
    struct {                                            \\
        __uint(type, BPF_MAP_TYPE_##kind);              \\
        __uint(max_entries, entries);                   \\
        __type(key, key_type);                          \\
        __type(value, value_type);                      \\
    } name SEC(".maps")

enum colour { RED, GREEN = 7 };
struct place { short x, y; };
struct key { __u32 tenant; };
struct everything {
    signed char tiny;
    _Bool flag;
    enum colour colour;
    unsigned long long large;
    long long negative;
    char name[8];
    __u16 ports[3];
    struct place at;
    unsigned low : 4, high : 12;
    void *pointer;
};
struct usage { __u64 calls; __s32 balance; char note[4]; };

MAP(everything, HASH, 10, struct key, struct everything);
MAP(hits, ARRAY, 4, __u32, __u64);
MAP(usage, PERCPU_ARRAY, 2, __u32, struct usage);
MAP(per_method, PERCPU_HASH, 100, __u32, __u64);
MAP(recent, LRU_HASH, 64, __u32, __u32);
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} events SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} reports SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
    __type(value, struct place);
} visits SEC(".maps");
struct prefix { __u32 length; __u8 address[4]; };
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 8);
    __type(key, struct prefix);
    __type(value, __u32);
} networks SEC(".maps");
struct report { __u8 bytes[1016]; };
MAP(report, ARRAY, 1, __u32, struct report);
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 4);
    __type(value, struct place);
} places SEC(".maps");

SEC("table/test") __u32 count(struct test *t)
{
    __u32 zero = 0, method = t->method;
    __u64 one = 1, *n;
    struct usage *usage;
    struct report *report;
    struct everything *everything;
    struct key key = { method };

    bpf_map_update_elem(&recent, &method, &zero, BPF_ANY);
    bpf_map_pop_elem(&places, &(struct place){});
    n = bpf_map_lookup_elem(&hits, &zero);
    if (n)
        __sync_fetch_and_add(n, 1);
    usage = bpf_map_lookup_elem(&usage_map, &zero);
    if (usage) {
        usage->calls++;
        usage->balance--;
    }
    n = bpf_map_lookup_elem(&per_method, &method);
    if (n)
        (*n)++;
    else
        bpf_map_update_elem(&per_method, &method, &one, BPF_ANY);
    bpf_ringbuf_output(&events, &method, sizeof(method), 0);
    if (method == 4242) {
        bpf_ringbuf_output(&visits, &(struct place){ -7, 8 }, sizeof(struct place), 0);
        bpf_ringbuf_output(&visits, &method, 1, 0);
    }
    bpf_printk("method %d of %x", method, 255);
    bpf_map_lookup_elem(&networks, &(struct prefix){ 32, { 10, 1, 2, 3 } });
    report = bpf_map_lookup_elem(&report_map, &zero);
    if (report)
        bpf_ringbuf_output(&reports, report, sizeof(*report), 0);
    everything = bpf_map_lookup_elem(&everything_map, &key);
    return everything ? everything->large : 0;
}
""".replace("MAP(everything,", "MAP(everything_map,").replace("MAP(usage,", "MAP(usage_map,")
    .replace("MAP(report,", "MAP(report_map,"), "map-api")

daemon = Daemon()
worker = daemon.worker()
daemon.load("count", PROGRAM)
daemon.call("Attach", table="on_test", default=True, program="count")

EVERYTHING = {"tiny": -3, "flag": True, "colour": "GREEN", "large": 2**64 - 1, "negative": -2**63,
              "name": "a\\x01\\\\é",
              "ports": [1, 2, 65535], "at": {"x": -1, "y": 5}, "low": 15, "high": 4095, "pointer": "0102030405060708"}


def called(method, times=1, by=None):
    by = by or worker
    by.do(f"method {method}")
    for _ in range(times):
        answer = by.do("call on_test 3")
    return int(answer.split()[1])


def refused(error, method, **parameters):
    """The data of the error."""
    try:
        daemon.call(method, **parameters)
    except Refused as refusal:
        equal(refusal.error, error, f"error of {method} ({refusal.parameters})")
        return refusal.parameters
    raise AssertionError(f"{method} {parameters} was not refused")


def more(method, **parameters):
    """A conversation with a method that answers many times."""
    connection = daemon.connect()
    connection.send({"method": "io.dispatchd.Control." + method, "parameters": parameters, "more": True})
    return connection


def answers(connection):
    while True:
        answer = connection.receive()
        if "error" in answer:
            raise Refused(answer["error"], answer["parameters"])
        yield answer["parameters"]
        if not answer.get("continues"):
            return


def dump(name, **parameters):
    return [element for answer in answers(more("IterateMap", map=name, **parameters)) for element in answer["elements"]]


def ctl(*arguments, status=0, error=None):
    """What dispatchctl prints; its complaint if it is to fail."""
    done = subprocess.run(DISPATCHCTL + ["--socket", daemon.control_path, *arguments], capture_output=True, text=True,
                          timeout=60)
    equal(done.returncode, status, f"status of {arguments}: {done.stderr}")
    if error is not None:
        assert error in done.stderr, f"{arguments}: {done.stderr}"
    return done.stdout


# ---- elements by their types ----

@case
def a_value_of_every_type_is_read_and_shown_as_it_was_given():
    daemon.call("UpdateElement", map="everything_map", key={"tenant": 7}, value=EVERYTHING)
    element = daemon.call("LookupElement", map="everything_map", key={"tenant": 7})["element"]
    equal(element, {"value": EVERYTHING})
    equal(called(7), 2**32 - 1, "the program reads it")
    text = {name: str(value) for name, value in EVERYTHING.items() if isinstance(value, int) and name != "flag"}
    daemon.call("UpdateElement", map="everything_map", key={"tenant": "0x7"},
                value={**EVERYTHING, **text, "ports": "1,2,0xffff"})
    equal(daemon.call("LookupElement", map="everything_map", key={"tenant": 7})["element"], element, "numbers as text")


@case
def bytes_are_shown_and_read_in_hexadecimal():
    daemon.call("UpdateElement", map="hits", key_hex="01000000", value_hex="0102030405060708")
    equal(daemon.call("LookupElement", map="hits", key={"value": 1})["element"],
          {"value": {"value": 0x0807060504030201}})
    equal(daemon.call("LookupElement", map="hits", key={"value": 1}, hex=True)["element"],
          {"value_hex": "0102030405060708"})
    for text in ("0", "xx000000", "0100000000", ""):
        equal(refused("InvalidParameter", "LookupElement", map="hits", key_hex=text)["parameter"], "key_hex")


@case
def members_that_are_not_given_are_0_in_values_and_missed_in_keys():
    daemon.call("UpdateElement", map="everything_map", key={"tenant": 8}, value={"large": 3, "ports": [9]})
    value = daemon.call("LookupElement", map="everything_map", key={"tenant": 8})["element"]["value"]
    equal((value["large"], value["ports"], value["name"], value["at"]), (3, [9, 0, 0], "", {"x": 0, "y": 0}))
    assert "'tenant'" in refused("InvalidParameter", "LookupElement", map="everything_map", key={})["reason"]


@case
def what_does_not_fit_its_type_is_refused_by_its_path():
    for value, path, reason in (
            ({"tiny": 128}, "value.tiny", "-128 to 127"), ({"tiny": "-129"}, "value.tiny", "-128"),
            ({"large": -1}, "value.large", "18446744073709551615"), ({"large": 1.5}, "value.large", "whole number"),
            ({"large": "18446744073709551616"}, "value.large", "whole number"),
            ({"large": None}, "value.large", "null"),
            ({"negative": 2**63}, "value.negative", "outside"), ({"flag": "perhaps"}, "value.flag", "true"),
            ({"colour": "BLUE"}, "value.colour", "RED, GREEN"), ({"name": "123456789"}, "value.name", "8 bytes"),
            ({"name": "\\q"}, "value.name", "backslash"), ({"name": 5}, "value.name", "text"),
            ({"ports": [1, 2, 3, 4]}, "value.ports", "list of 3"), ({"ports": [1, 65536]}, "value.ports[1]", "65535"),
            ({"at": 5}, "value.at", "x, y"), ({"at": {"z": 5}}, "value.at", "'z'"),
            ({"low": 16}, "value.low", "0 to 15"),
            ({"pointer": "01"}, "value.pointer", "16"), ({"nothing": 1}, "value", "has: tiny, flag"),
            ({"value": 1}, "value", "'value'")):
        parameters = refused("InvalidParameter", "UpdateElement", map="everything_map", key={"tenant": 9}, value=value)
        equal(parameters["parameter"], path, f"{value}: {parameters}")
        assert reason in parameters["reason"], f"{value}: {parameters}"
    refused("UnknownElement", "LookupElement", map="everything_map", key={"tenant": 9})
    for key in ({}, {"tenant": 1}, {"value": 1, "tenant": 1}):
        assert "u32" in refused("InvalidParameter", "LookupElement", map="hits", key=key)["reason"]


@case
def exactly_one_form_of_key_and_value_is_given():
    both = {"key": {"value": 1}, "key_hex": "01000000"}
    equal(refused("InvalidParameter", "LookupElement", map="hits")["parameter"], "key")
    equal(refused("InvalidParameter", "LookupElement", map="hits", **both)["parameter"], "key")
    equal(refused("InvalidParameter", "UpdateElement", map="hits", key={"value": 1})["parameter"], "value")
    equal(refused("InvalidParameter", "DeleteElement", map="places", key={"value": 1})["parameter"], "key")


@case
def elements_are_made_and_replaced_only_as_asked():
    call = {"map": "recent", "key": {"value": 4000}, "value": {"value": 1}}
    equal(refused("UnknownElement", "UpdateElement", **call, only="existing"), {"map": "recent"})
    daemon.call("UpdateElement", **call, only="new")
    equal(refused("ElementExists", "UpdateElement", **call, only="new"), {"map": "recent"})
    daemon.call("UpdateElement", **call, only="existing")
    daemon.call("DeleteElement", map="recent", key={"value": 4000})
    equal(refused("UnknownElement", "DeleteElement", map="recent", key={"value": 4000}), {"map": "recent"})


@case
def a_full_map_and_an_index_outside_an_array_are_refused_by_name():
    daemon.call("CreateMap", map="small", kind="hash", max_entries=2, key="u32", value="u32")
    for key in (1, 2):
        daemon.call("UpdateElement", map="small", key={"value": key}, value={"value": 0})
    equal(refused("MapFull", "UpdateElement", map="small", key={"value": 3}, value={"value": 0}),
          {"map": "small", "max_entries": 2})
    daemon.call("UpdateElement", map="small", key={"value": 2}, value={"value": 5})
    assert "0 to 3" in refused("InvalidParameter", "UpdateElement", map="hits", key={"value": 4},
                               value={"value": 0})["reason"]
    refused("UnknownElement", "LookupElement", map="hits", key={"value": 4})
    equal(refused("MapUnsuited", "DeleteElement", map="hits", key={"value": 1}),
          {"map": "hits", "kind": "array", "operation": "delete"})
    daemon.call("RemoveMap", map="small")


@case
def each_threads_copy_and_their_sum_are_shown():
    other = daemon.worker()
    called(1, 3)
    called(1, 2, other)
    element = daemon.call("LookupElement", map="usage_map", key={"value": 0})["element"]
    equal(element["value"]["calls"], sum(copy["value"]["calls"] for copy in element["copies"]), "sum")
    equal(element["value"]["balance"], -element["value"]["calls"], "a sum of negative numbers")
    assert "note" not in element["value"] and "note" in element["copies"][0]["value"], element
    equal(len(element["copies"]), 2, "copies that are not zero")
    daemon.call("UpdateElement", map="usage_map", key={"value": 0}, value={"calls": 100})
    called(1)
    element = daemon.call("LookupElement", map="usage_map", key={"value": 0})["element"]
    equal(element["value"], {"calls": 101, "balance": -1}, "after an update from outside")
    equal([e["value"]["value"] for e in dump("per_method") if e["key"]["value"] == 1], [6], "in a dump")
    daemon.call("UpdateElement", map="per_method", key={"value": 1}, value={"value": 100})
    element = daemon.call("LookupElement", map="per_method", key={"value": 1})["element"]
    equal((element["value"], len(element["copies"])), ({"value": 100}, 1), "after an update of a percpu_hash from outside")
    daemon.call("DeleteElement", map="per_method", key={"value": 1})
    called(1)
    called(1, 2, other)
    equal(daemon.call("LookupElement", map="per_method", key={"value": 1})["element"]["value"], {"value": 3},
          "after a deletion")
    other.end()


@case
def the_longest_prefix_is_found():
    for length, address, value in ((0, [0] * 4, 1), (8, [10, 0, 0, 0], 2), (24, [10, 1, 2, 0], 3)):
        daemon.call("UpdateElement", map="networks", key={"length": length, "address": address}, value={"value": value})
    for address, value in (([10, 1, 2, 3], 3), ([10, 1, 3, 3], 2), ([11, 1, 2, 3], 1)):
        element = daemon.call("LookupElement", map="networks", key={"length": 32, "address": address})["element"]
        equal(element["value"]["value"], value, f"{address}")
    equal(sorted(e["key"]["length"] for e in dump("networks")), [0, 8, 24])
    equal(refused("InvalidParameter", "UpdateElement", map="networks", key={"length": 33, "address": [0] * 4},
                  value={"value": 1})["parameter"], "key")
    daemon.call("DeleteElement", map="networks", key={"length": 8, "address": "10,0,0,0"})
    equal(ctl("map", "get", "networks", "length=32", "address=10,9,9,9"), "1\n")
    equal(daemon.call("ClearMap", map="networks"), {"removed": 2})


# An update of a megabyte: a worker that loops is nearly always in the middle of one.
COPY = compile_program("#include <linux/bpf.h>\n" + CONTEXT + """
struct large { __u8 byte[1 << 20]; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct large);
} from SEC(".maps"), to SEC(".maps");
SEC("table/test") __u32 copy(struct test *t)
{
    __u32 zero = 0;
    struct large *value = bpf_map_lookup_elem(&from, &zero);

    return value ? bpf_map_update_elem(&to, &zero, value, BPF_ANY) : 0;
}
""", "map-api-copy")


def busy_when_stopped(daemon, looping):
    """Stop it until that is in the middle of an update, as the daemon's own update shows."""
    while True:
        os.kill(looping.pid, signal.SIGSTOP)
        wait_until(lambda: open(f"/proc/{looping.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T", "stopped")
        try:
            daemon.call("UpdateElement", map="to", key={"value": 0}, value_hex="00" * (1 << 20))
        except Refused as refusal:
            return refusal
        os.kill(looping.pid, signal.SIGCONT)


@case
def a_map_that_a_stopped_thread_changes_is_busy_until_it_goes_on():
    with Daemon() as other:
        looping = other.worker()
        other.load("copy", COPY)
        other.call("Attach", table="on_test", default=True, program="copy")
        looping.do("allow 0")
        looping.do("loop 1")
        refusal = busy_when_stopped(other, looping)
        equal((refusal.error, refusal.parameters), ("MapBusy", {"map": "to"}))
        other.call("LookupElement", map="to", key={"value": 0}, hex=True)
        os.kill(looping.pid, signal.SIGCONT)
        looping.do("stop")
        other.call("UpdateElement", map="to", key={"value": 0}, value_hex="01" * (1 << 20))


# ---- whole maps ----

@case
def a_map_is_listed_and_shown_with_its_types_and_users():
    shown = daemon.call("ShowMap", map="everything_map")
    equal(shown["map"]["key"], {"text": "struct { u32 tenant; }", "size": 4, "members": ["tenant"]})
    equal(shown["map"]["value"]["members"], list(EVERYTHING))
    equal((shown["map"]["kind"], shown["map"]["programs"], shown["map"]["access"]), ("hash", ["count"], "any"))
    equal(shown["entries"], len(dump("everything_map")))
    assert shown["map"] in daemon.list("maps")
    equal(refused("UnknownMap", "ShowMap", map="nothing"), {"map": "nothing"})


def fill(name, entries):
    """One connection, all calls sent before the first answer is read."""
    connection = daemon.connect()
    for key in range(entries):
        connection.send({"method": "io.dispatchd.Control.UpdateElement", "parameters":
                         {"map": name, "key": {"value": key}, "value": {"value": key * key}}})
        if key % 100 == 99:
            for _ in range(100):
                assert "error" not in connection.receive()
    for _ in range(entries % 100):
        assert "error" not in connection.receive()
    connection.close()


@case
def a_dump_comes_in_pieces_and_has_every_element_once():
    daemon.call("CreateMap", map="large", kind="hash", max_entries=5000, key="u32", value="u64")
    fill("large", 5000)
    pieces = [len(answer["elements"]) for answer in answers(more("IterateMap", map="large"))]
    assert len(pieces) > 10 and max(pieces) < 1000, pieces
    equal(sorted((e["key"]["value"], e["value"]["value"]) for e in dump("large")), [(i, i * i) for i in range(5000)])
    equal(daemon.call("ShowMap", map="large")["entries"], 5000)
    try:
        daemon.call("IterateMap", map="large")
    except Refused as refusal:
        equal(refusal.error, "ExpectedMore")


@case
def a_dump_that_nobody_reads_delays_nobody():
    lazy = [more("IterateMap", map="large") for _ in range(3)]
    gone = more("IterateMap", map="large")
    gone.close()
    daemon.call("LookupElement", map="large", key={"value": 1})
    for connection in lazy:
        equal(sum(len(answer["elements"]) for answer in answers(connection)), 5000, "read late")


@case
def a_dump_waits_for_who_reads_it():
    """What is not sent yet is not copied yet either: it has the values of later."""
    daemon.call("CreateMap", map="wide", kind="hash", max_entries=1000, key="u32", value="u8[4096]")
    values = ["00" * 4096, "11" * 4096]
    for value in values:
        for key in range(1000):
            daemon.call("UpdateElement", map="wide", key={"value": key}, value_hex=value)
        if value == values[0]:
            connection = more("IterateMap", map="wide", hex=True)
    seen = [element["value_hex"] for answer in answers(connection) for element in answer["elements"]]
    equal(len(seen), 1000)
    assert seen.count(values[1]) > 500, seen.count(values[1])
    daemon.call("RemoveMap", map="wide")


@case
def elements_that_stay_are_in_a_dump_whatever_comes_and_goes_meanwhile():
    stop, failures = threading.Event(), []

    def churn():
        connection = daemon.connect()
        key = 0
        while not stop.is_set():
            for method, value in (("DeleteElement", {}), ("UpdateElement", {"value": {"value": 1}})):
                connection.send({"method": "io.dispatchd.Control." + method,
                                 "parameters": {"map": "large", "key": {"value": 4000 + key}, **value}})
                if "error" in connection.receive():
                    failures.append((method, key))
            key = (key + 1) % 1000
        connection.close()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            keys = {element["key"]["value"] for element in dump("large")}
            equal(set(range(4000)) - keys, set(), "missing")
    finally:
        stop.set()
        thread.join()
    equal(failures, [])


@case
def a_map_is_cleared():
    equal(daemon.call("ClearMap", map="large"), {"removed": 5000})
    equal(dump("large"), [])
    daemon.call("RemoveMap", map="large")
    daemon.call("UpdateElement", map="hits", key={"value": 3}, value={"value": 9})
    equal(daemon.call("ClearMap", map="hits"), {"removed": 4})
    equal([e["value"]["value"] for e in dump("hits")], [0, 0, 0, 0], "an array keeps its elements")
    called(1)
    assert daemon.call("ClearMap", map="events")["removed"] > 0
    equal(daemon.call("ShowMap", map="events")["entries"], 0)


@case
def a_map_that_is_removed_while_it_is_dumped_is_dumped():
    daemon.call("CreateMap", map="leaving", kind="hash", max_entries=1000, key="u32", value="u64")
    fill("leaving", 1000)
    connection = more("IterateMap", map="leaving")
    pieces = answers(connection)
    first = len(next(pieces)["elements"])
    daemon.call("RemoveMap", map="leaving", wait="quiescent")
    assert first + sum(len(answer["elements"]) for answer in pieces) == 1000
    refused("UnknownMap", "ShowMap", map="leaving")


# ---- queues, maps of maps ----

@case
def values_are_pushed_and_popped_in_order():
    for x in range(4):
        daemon.call("PushElement", map="places", value={"x": x})
    equal(refused("MapFull", "PushElement", map="places", value={"x": 4}), {"map": "places", "max_entries": 4})
    daemon.call("PushElement", map="places", value={"x": 4}, drop_oldest=True)
    equal(daemon.call("LookupElement", map="places")["element"], {"value": {"x": 1, "y": 0}})
    equal(daemon.call("PopElement", map="places", hex=True)["element"], {"value_hex": "01000000"})
    called(1)
    equal(daemon.call("PopElement", map="places")["element"], {"value": {"x": 3, "y": 0}}, "after the program's pop")
    equal(daemon.call("ClearMap", map="places"), {"removed": 1})
    equal(refused("MapEmpty", "PopElement", map="places"), {"map": "places"})
    equal(refused("MapUnsuited", "PushElement", map="hits", value={"value": 1})["operation"], "push")
    equal(refused("MapUnsuited", "PopElement", map="hits")["operation"], "pop")


@case
def maps_of_maps_hold_maps_by_name():
    daemon.call("CreateMap", map="policy_a", kind="hash", max_entries=8, key="u32", value="u32")
    daemon.call("CreateMap", map="policies", kind="hash_of_maps", max_entries=4, key="u32", inner="policy_a")
    daemon.call("UpdateElement", map="policies", key={"value": 1}, value={"value": "policy_a"}, only="new")
    equal(daemon.call("LookupElement", map="policies", key={"value": 1})["element"], {"value": {"value": "policy_a"}})
    equal(dump("policies"), [{"key": {"value": 1}, "value": {"value": "policy_a"}}])
    call = {"map": "policies", "key": {"value": 1}}
    refused("ElementExists", "UpdateElement", **call, value={"value": "policy_a"}, only="new")
    refused("UnknownElement", "UpdateElement", map="policies", key={"value": 2}, value={"value": "policy_a"},
            only="existing")
    refused("MapMismatch", "UpdateElement", **call, value={"value": "hits"})
    equal(refused("UnknownMap", "UpdateElement", **call, value={"value": "nothing"}), {"map": "nothing"})
    equal(refused("InvalidParameter", "UpdateElement", **call, value_hex="00")["parameter"], "value")
    equal(refused("MapInUse", "RemoveMap", map="policy_a"), {"map": "policy_a", "programs": [], "maps": ["policies"]})
    refused("MapUnsuited", "ClearMap", map="policies")
    daemon.call("DeleteElement", **call)
    refused("UnknownElement", "DeleteElement", **call)
    daemon.call("RemoveMap", map="policies", wait="quiescent")
    daemon.call("RemoveMap", map="policy_a")


@case
def an_entry_that_threads_may_still_use_is_not_shown():
    daemon.call("CreateMap", map="held_policy", kind="array", max_entries=1, key="u32", value="u32")
    daemon.call("CreateMap", map="held", kind="hash_of_maps", max_entries=4, key="u32", inner="held_policy")
    for key in (1, 2):
        daemon.call("UpdateElement", map="held", key={"value": key}, value={"value": "held_policy"})
    holder = daemon.worker()
    holder.do("hold")
    daemon.call("DeleteElement", map="held", key={"value": 2})
    equal(dump("held"), [{"key": {"value": 1}, "value": {"value": "held_policy"}}])
    holder.do("release")


@case
def a_map_that_cannot_be_is_refused_with_the_reason():
    good = {"map": "made", "kind": "hash", "max_entries": 1, "key": "u32", "value": "u32"}
    assert "lru_hash" in refused("InvalidParameter", "CreateMap", **{**good, "kind": "tree"})["reason"]
    for kind in ("u7", "u8[0]", "char[", "char[-1]", "u8[9999999]", ""):
        equal(refused("InvalidParameter", "CreateMap", **{**good, "key": kind})["parameter"], "key")
    for entries in (0, -1, 2**32):
        equal(refused("InvalidParameter", "CreateMap", **{**good, "max_entries": entries})["parameter"], "max_entries")
    equal(refused("InvalidParameter", "CreateMap", **{**good, "map": "a b"})["parameter"], "map")
    equal(refused("MapExists", "CreateMap", **{**good, "map": "hits"}), {"map": "hits"})
    refused("MapInvalid", "CreateMap", map="made", kind="hash", max_entries=1, key="u32")
    refused("UnknownMap", "CreateMap", map="made", kind="hash_of_maps", max_entries=1, key="u32", inner="nothing")
    refused("UnknownMap", "ShowMap", map="made")


# ---- streams ----

def records(connection):
    return [record for answer in answers(connection) for record in answer["records"]]


def bytes_of(*records):
    return [{"value_hex": record} for record in records]


@case
def records_are_taken_out_once_in_order():
    records(more("ReadRing", map="events"))
    for method in (1, 2, 258):
        called(method)
    equal(records(more("ReadRing", map="events")), bytes_of("01000000", "02000000", "02010000"))
    equal(records(more("ReadRing", map="events")), [])
    try:
        records(more("ReadRing", map="hits"))
        raise AssertionError("an array was read as a ring")
    except Refused as refusal:
        equal((refusal.error, refusal.parameters["operation"]), ("MapUnsuited", "read"))


def follow(name, **parameters):
    """Whoever has an empty answer follows the ring from then on."""
    connection = more("ReadRing", map=name, follow=True, **parameters)
    equal(connection.receive()["parameters"]["records"], [])
    return connection


@case
def all_who_follow_a_ring_get_every_record():
    readers = [follow("events") for _ in range(3)]
    for method in range(5):
        called(method)
    wanted = bytes_of(*(f"{method:02x}000000" for method in range(5)))
    for reader in readers:
        got = []
        while len(got) < 5:
            got += reader.receive()["parameters"]["records"]
        equal(got, wanted)
        reader.close()


@case
def records_are_shown_by_their_type_if_they_are_of_its_size():
    called(4242)
    equal(ctl("map", "read", "visits"), "x=-7 y=8\n92\n")
    called(4242)
    equal(ctl("map", "read", "visits", "--hex"), "f9ff0800\n92\n")
    readers = [follow("visits"), follow("visits", hex=True)]
    called(4242)
    typed = [{"value": {"x": -7, "y": 8}}, {"value_hex": "92"}]
    for reader, wanted in zip(readers, (typed, bytes_of("f9ff0800", "92"))):
        got = []
        while len(got) < 2:
            got += reader.receive()["parameters"]["records"]
        equal(got, wanted)
        reader.close()
    equal(daemon.call("ShowMap", map="visits")["map"]["value"]["size"], 4)


@case
def what_finds_a_full_ring_is_counted():
    before = next(answers(more("ReadRing", map="events")))["lost"]
    called(5, 300)              # 4096 bytes are 256 records of 16 bytes
    got = list(answers(more("ReadRing", map="events")))
    kept = sum(len(answer["records"]) for answer in got)
    assert 250 <= kept < 300, kept
    equal(kept + got[-1]["lost"] - before, 300, "kept and lost")
    equal(got[-1]["skipped"], 0)


def received(reader, wanted):
    """The last answer, when so many records have come or were passed over."""
    records, answer = 0, {"skipped": 0}
    while records + answer["skipped"] < wanted:
        answer = reader.receive()["parameters"]
        records += len(answer["records"])
    equal(records + answer["skipped"], wanted, "received and skipped")
    return answer


@case
def a_reader_that_does_not_read_delays_no_other():
    records(more("ReadRing", map="reports"))
    lazy, eager = (follow("reports") for _ in range(2))
    for _ in range(20):
        called(6, 100)
        equal(received(eager, 100)["skipped"], 0)
    eager.close()
    called(6)
    skipped = received(lazy, 2001)["skipped"]
    assert 500 < skipped < 1900, skipped
    lazy.close()


@case
def what_nobody_takes_stays_in_the_ring():
    lazy = follow("reports")
    called(6, 900)              # as many as the ring holds, and more than a MiB of answers
    for _ in range(200):        # the daemon has looked at the ring many times
        assert daemon.call("ShowMap", map="reports")["entries"] > 0
    equal(received(lazy, 900)["skipped"], 0)
    lazy.close()


@case
def a_stream_ends_when_its_ring_is_removed():
    daemon.call("CreateMap", map="short", kind="ringbuf", max_entries=4096)
    reader = follow("short")
    daemon.call("RemoveMap", map="short")
    equal(records(reader), [])
    reader.close()


@case
def a_client_that_leaves_its_stream_is_forgotten():
    descriptors = f"/proc/{daemon.process.pid}/fd"
    before = len(os.listdir(descriptors))
    records(more("ReadRing", map="events"))
    for connection in [follow("events") for _ in range(5)] + [more("Trace")]:
        connection.close()
    wait_until(lambda: len(os.listdir(descriptors)) <= before, "their connections are closed")
    assert "without an answer" not in daemon.log()


@case
def what_programs_print_is_streamed_with_their_pid():
    reader = more("Trace")
    lines = []
    while not any(line["text"] == "method 41 of ff" for line in lines):
        called(41)                      # it finds the ring full as long as lines of before are in it
        lines += reader.receive()["parameters"]["lines"]
    line = next(line for line in lines if line["text"] == "method 41 of ff")
    equal((line["pid"], line["thread"]), (worker.pid, worker.pid))
    reader.close()


# ---- dispatchctl ----

@case
def dispatchctl_reads_and_writes_elements_by_their_members():
    ctl("map", "set", "everything_map", "tenant=3", "tiny=1", "at.x=5", "at.y=-6", "ports=1,2,3", "colour=GREEN",
        "name=a=b")
    lines = ctl("map", "get", "everything_map", "tenant=3").splitlines()
    shown = dict(line.split(None, 1) for line in lines if " " in line.strip())
    equal((shown["tiny"], shown["colour"], shown["ports"], shown["name"]), ("1", "GREEN", "1,2,3", "a=b"))
    equal(json.loads(shown["at"]), {"x": 5, "y": -6})
    ctl("map", "set", "hits", "2", "0x10")
    equal(ctl("map", "get", "hits", "2"), "16\n")
    equal(ctl("map", "get", "--hex", "hits", "02000000"), "1000000000000000\n")
    ctl("map", "set", "--hex", "hits", "02000000", "1100000000000000")
    equal(ctl("map", "get", "hits", "2", "--json"), '{"element":{"value":{"value":17}}}\n')
    ctl("map", "set", "everything_map", "--existing", "tenant=4", "tiny=1", status=3, error="no element")
    ctl("map", "set", "everything_map", "--new", "tenant=3", "tiny=1", status=3, error="already")
    ctl("map", "delete", "everything_map", "tenant=3")
    ctl("map", "get", "everything_map", "tenant=3", status=3, error="map dump everything_map")


@case
def dispatchctl_says_what_is_wrong_with_words():
    for words, error in ((["get", "everything_map", "7"], "MEMBER=VALUE, not '7'; its members are: tenant"),
                         (["get", "everything_map", "tennant=7"], "its members are: tenant"),
                         (["get", "everything_map"], "its members are: tenant"),
                         (["get", "hits"], "the key is one word"),
                         (["get", "hits", "1", "2"], "the key is one word"),
                         (["set", "hits", "1"], "the value is one word"),
                         (["set", "everything_map", "tenant=1"], "its members are: tiny"),
                         (["set", "everything_map", "tenant=1", "at.x=1", "at=2"], "'at' is given twice"),
                         (["push", "hits", "1", "2"], "the value is one word"), (["get", "places", "1"], "have no key"),
                         (["get", "hits", "--hex", "1", "2"], "8 hexadecimal digits")):
        ctl("map", *words, status=1, error=error)
    ctl("map", "set", "everything_map", "tenant=1", "tiny=300", status=3,
        error="'value.tiny' is not accepted: 300 is outside")


@case
def dispatchctl_dumps_a_table():
    ctl("map", "clear", "recent")
    for key in ("1", "20"):
        ctl("map", "set", "recent", key, "5")
    lines = ctl("map", "dump", "recent").splitlines()
    equal(lines[0].split(), ["KEY", "VALUE"])
    equal(sorted(tuple(line.split()) for line in lines[1:]), [("1", "5"), ("20", "5")])
    equal(sorted(ctl("map", "dump", "recent", "-q").split()), ["1", "20"])
    answer = json.loads(ctl("map", "dump", "recent", "--json"))
    equal(len(answer["elements"]), 2)
    equal(ctl("map", "clear", "recent"), "2 removed\n")
    equal(ctl("map", "dump", "recent"), "")


@case
def dispatchctl_makes_lists_and_removes_maps():
    ctl("map", "create", "made", "queue", "3", "--value", "u16")
    assert "queue" in ctl("map", "list") and "made" in ctl("map", "list", "-q").split()
    assert "u16" in ctl("map", "show", "made")
    for value in ("1", "2"):
        ctl("map", "push", "made", value)
    equal((ctl("map", "get", "made"), ctl("map", "pop", "made"), ctl("map", "pop", "made")), ("1\n", "1\n", "2\n"))
    ctl("map", "pop", "made", status=3, error="is empty")
    ctl("map", "create", "made", "queue", "3", "--value", "u16", status=3, error="there already")
    ctl("map", "remove", "made")
    ctl("map", "remove", "made", status=3, error="map list")
    ctl("map", "remove", "hits", status=3, error="in use by programs: count; unload them first")
    ctl("map", "create", "sealed", "array", "1", "--key", "u32", "--value", "u32", "--read-only")
    equal(json.loads(ctl("map", "show", "sealed", "--json"))["map"]["access"], "read_only")
    ctl("map", "remove", "sealed")


@case
def dispatchctl_prints_streams_line_by_line():
    called(77)
    equal(ctl("map", "read", "events").splitlines()[-1], "4d000000")
    process = subprocess.Popen(DISPATCHCTL + ["--socket", daemon.control_path, "trace"], stdout=subprocess.PIPE,
                               text=True)
    called(78)
    for line in process.stdout:
        if "method 78" in line:
            equal(line, f"{worker.pid} {worker.pid}  method 78 of ff\n")
            break
    process.kill()
    process.communicate()


@case
def streams_end_with_the_daemon_and_contents_stay():
    daemon.call("UpdateElement", map="hits", key={"value": 1}, value={"value": 12345})
    reader = more("ReadRing", map="events", follow=True)
    daemon.restart()
    try:
        while reader.receive() is not None:
            pass
    except ConnectionResetError:        # there was more to be said
        pass
    wait_until(lambda: daemon.list("workers"), "the worker is back")
    equal(daemon.call("LookupElement", map="hits", key={"value": 1})["element"], {"value": {"value": 12345}})


try:
    run()
finally:
    daemon.close()
