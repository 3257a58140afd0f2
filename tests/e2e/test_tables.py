# SPDX-License-Identifier: MIT
"""Entries of tables: ranges, the default, chains, replacement in place, policies; against a model, under calls that go
on meanwhile, across restarts, and where a step of a change fails."""
import contextlib
import os
import random
import resource
import sqlite3
import subprocess
import threading

from harness import CONTEXT, DISPATCHCTL, Daemon, Refused, compile_program, refused, verdict, wait_until
from tap import case, equal, run

LAST_KEY = (1 << 32) - 1
VERDICTS = range(1, 9)
# Each program leaves its mark in the status that the caller sees, so that a chain shows which ones ran, and in which
# order.
MARKS = CONTEXT + """
const volatile __u32 mark = 0;
SEC("table/test") __u32 leave(struct test *t) { t->status = t->status * 10 + mark; return mark; }
"""


def called(worker, key=3, table="on_test"):
    return int(worker.do(f"call {table} {key}").split()[1])


def ran(worker, key=3):
    """(verdict, the marks of the programs that ran)"""
    words = worker.do(f"call on_test {key}").split()
    return int(words[1]), words[3]


def load_programs(daemon):
    """p1 to p8, whose numbers are their verdicts and marks."""
    path = compile_program(MARKS, "mark")
    for number in VERDICTS:
        daemon.load(f"p{number}", path, settings={"mark": str(number)})


def attach(daemon, keys, program, **more):
    """`keys` is a key, a pair, or None: all other keys."""
    if keys is None:
        more["default"] = True
    elif isinstance(keys, tuple):
        more["first"], more["last"] = keys
    else:
        more["key"] = keys
    return daemon.call("Attach", table="on_test", program=program, **more)["link"]


def ctl(daemon, *arguments):
    return subprocess.run([*DISPATCHCTL, "--socket", daemon.control_path, *arguments], capture_output=True, text=True)


def moved(worker, generation):
    wait_until(lambda: worker.do("status").startswith(f"joined generation {generation}"), "moved")


# ---- what an entry is


@case
def ranges_and_the_default():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        links = [attach(daemon, 5, "p1"), attach(daemon, (1024, 65535), "p2"), attach(daemon, (7, 7), "p3"),
                 attach(daemon, (1 << 31, LAST_KEY), "p4")]
        edges = [0, 4, 5, 6, 7, 8, 1023, 1024, 40000, 65535, 65536, (1 << 31) - 1, 1 << 31, LAST_KEY]
        wanted = [0, 0, 1, 0, 3, 0, 0, 2, 2, 2, 0, 0, 4, 4]
        equal([called(worker, key) for key in edges], wanted, "without a default")
        default = attach(daemon, None, "p8")
        wanted = [value or 8 for value in wanted]
        equal([called(worker, key) for key in edges], wanted, "with a default")
        shown = [(link["id"], link["keys"], link.get("first"), link.get("last")) for link in daemon.list("links")]
        equal(shown, [(links[0], "5", 5, 5), (links[1], "1024-65535", 1024, 65535), (links[2], "7", 7, 7),
                      (links[3], "2147483648-4294967295", 1 << 31, LAST_KEY), (default, "default", None, None)],
                      "links")
        equal(daemon.list("tables")[0]["links"], [links[0], links[2], links[1], links[3], default],
              "in the table's order")
        before = daemon.list("links")
        daemon.restart()
        equal(daemon.list("links"), before, "links after a restart")
        moved(worker, 2)
        equal([called(worker, key) for key in edges], wanted, "after a restart")
        daemon.call("Detach", link=links[1])
        equal(called(worker, 1024), 8, "where the range was")
        daemon.call("Detach", link=default)
        equal([called(worker, key) for key in (0, 5, 1024, LAST_KEY)], [0, 1, 0, 4], "without the default again")


@case
def the_whole_range_of_keys_is_one_entry():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        attach(daemon, (0, LAST_KEY), "p1")
        attach(daemon, None, "p2")
        equal([called(worker, key) for key in (0, 1, 1 << 31, LAST_KEY)], [1] * 4)
        refused(lambda: attach(daemon, LAST_KEY, "p3"), "KeyTaken", keys=str(LAST_KEY), link_keys=f"0-{LAST_KEY}")


@case
def an_overlap_names_both():
    with Daemon() as daemon:
        daemon.worker()
        load_programs(daemon)
        link = attach(daemon, (10, 20), "p1")
        for keys in (10, 15, 20, (5, 10), (20, 30), (5, 30), (10, 19), (11, 20), (12, 13)):
            text = str(keys) if isinstance(keys, int) else f"{keys[0]}-{keys[1]}"
            refused(lambda: attach(daemon, keys, "p2"), "KeyTaken", table="on_test", keys=text, link=link,
                    link_keys="10-20", program="p1")
            refused(lambda: attach(daemon, keys, "p2", priority=-1, proceed_on=[1]), "KeyTaken", keys=text)
        attach(daemon, 9, "p2")
        attach(daemon, (21, 22), "p3")
        equal(len(daemon.list("links")), 3)


@case
def which_keys_must_be_said_once():
    with Daemon() as daemon:
        daemon.worker()
        load_programs(daemon)
        for wrong in ({}, {"key": 1, "default": True}, {"key": 1, "first": 1, "last": 2}, {"first": 1}, {"last": 1},
                      {"default": False}, {"first": 2, "last": 1}, {"key": -1}, {"first": 0, "last": LAST_KEY + 1},
                      {"key": 1, "priority": 1 << 31}, {"key": 1, "proceed_on": [-1]}, {"key": 1, "proceed_on": [1, 1]},
                      {"key": 1, "proceed_on": [LAST_KEY + 1]}, {"key": 1, "proceed_on": list(range(9))}):
            refused(lambda: daemon.call("Attach", table="on_test", program="p1", **wrong), "InvalidParameter")
        equal(daemon.list("links"), [])


# ---- chains


@case
def a_chain_runs_by_priority_and_then_by_link():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        on = {"proceed_on": list(VERDICTS)}
        links = {number: attach(daemon, 3, f"p{number}", priority=priority, **on)
                 for number, priority in ((1, 5), (2, -7), (3, 5), (4, 0), (5, -(1 << 31)), (6, (1 << 31) - 1))}
        equal(ran(worker), (6, "524136"), "all of them")
        equal(daemon.list("tables")[0]["links"], [links[number] for number in (5, 2, 4, 1, 3, 6)])
        for gone, wanted in ((4, "52136"), (5, "2136"), (6, "213"), (1, "23")):
            daemon.call("Detach", link=links.pop(gone))
            equal(ran(worker), (int(wanted[-1]), wanted), f"without {gone}")
            daemon.restart()
            equal(ran(worker), (int(wanted[-1]), wanted), f"without {gone}, after a restart")
            wait_until(lambda: {w["state"] for w in daemon.list("workers")} == {"current"}, "moved")
            equal(ran(worker), (int(wanted[-1]), wanted), f"without {gone}, in the next generation")


@case
def a_verdict_decides_whether_the_chain_goes_on():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        attach(daemon, 3, "p1", proceed_on=[2, 1])
        stopping = attach(daemon, 3, "p2", priority=1, proceed_on=[1, 3, 4, 5, 6, 7, 8, 0])
        attach(daemon, 3, "p3", priority=2)
        equal(ran(worker), (2, "12"), "the second one stops it")
        daemon.call("Replace", link=stopping, program="p4")
        equal(ran(worker), (3, "143"), "another program in its place goes on")
        attach(daemon, (100, 200), "p5", proceed_on=[5])
        attach(daemon, (100, 200), "p6")
        attach(daemon, None, "p7", proceed_on=[7])
        attach(daemon, None, "p8")
        equal([ran(worker, key) for key in (99, 100, 200, 201)], [(8, "78"), (6, "56"), (6, "56"), (8, "78")])


@case
def a_chain_may_be_long():
    text = CONTEXT + """SEC("table/test") __u32 count(struct test *t) { t->status = t->status + 1; return 7; }"""
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("count", compile_program(text, "status"))
        links = [outcome["link"] for outcome in daemon.call("Apply", operations=[
            {"operation": "attach", "table": "on_test", "key": 3, "program": "count",
             "proceed_on": [7]}] * 5000)["outcomes"]]
        equal(ran(worker), (7, "5000"))
        daemon.call("Apply", operations=[{"operation": "detach", "link": link} for link in links[1::2]])
        equal(ran(worker), (7, "2500"))
        daemon.restart()
        moved(worker, 2)
        equal(ran(worker), (7, "2500"))


@case
def a_link_that_would_never_run_is_refused():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        for keys in (3, (10, 20), None):
            text = {3: "3", None: "default"}.get(keys, "10-20")
            final = attach(daemon, keys, "p1")
            refused(lambda: attach(daemon, keys, "p2"), "KeyTaken", keys=text, link=final, link_keys=text, program="p1")
            refused(lambda: attach(daemon, keys, "p2", proceed_on=[2]), "KeyTaken", link=final)
            refused(lambda: attach(daemon, keys, "p2", priority=-1), "KeyTaken", link=final)
            attach(daemon, keys, "p2", priority=-1, proceed_on=[2])
            equal(ran(worker, keys if isinstance(keys, int) else 11 if keys else 5), (1, "21"))


# ---- replacement


@case
def replace_keeps_link_and_place():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        links = [attach(daemon, 3, f"p{number}", proceed_on=list(VERDICTS)) for number in (1, 2, 3)]
        before = daemon.list("links")
        daemon.call("Replace", link=links[1], program="p8", wait="quiescent")
        equal(ran(worker), (3, "183"))
        before[1]["program"] = "p8"
        equal(daemon.list("links"), before, "all but the program")
        equal({p["name"]: (p["links"], p["references"]) for p in daemon.list("programs") if p["name"] in ("p2", "p8")},
              {"p2": ([], 1), "p8": ([links[1]], 2)}, "references")
        daemon.call("Unload", program="p2")
        daemon.restart()
        equal(daemon.list("links"), before, "after a restart")
        moved(worker, 2)
        equal(ran(worker), (3, "183"))
        daemon.call("Replace", link=links[1], program="p8", wait="quiescent")
        equal(ran(worker), (3, "183"), "with the same program")
        refused(lambda: daemon.call("Replace", link=99, program="p1"), "UnknownLink", link=99)
        refused(lambda: daemon.call("Replace", link=links[0], program="p2"), "UnknownProgram", program="p2")
        refused(lambda: daemon.call("Replace", link=links[0]), "InvalidParameter", parameter="program")


@case
def load_replace_and_unload_in_one_change():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        link = attach(daemon, 3, "p1")
        with open(verdict(77), "rb") as file:
            daemon.call("Apply", [file.fileno()], operations=[
                {"operation": "load", "program": "next", "descriptor": 0},
                {"operation": "replace", "link": link, "program": "next"},
                {"operation": "unload", "program": "p1"}])
        equal(called(worker), 77)
        with open(verdict(78), "rb") as file:
            daemon.call("Apply", [file.fileno()], operations=[
                {"operation": "replace", "link": link, "program": "p4"},
                {"operation": "load", "program": "later", "descriptor": 0},
                {"operation": "replace", "link": link, "program": "later"},
                {"operation": "unload", "program": "p4"}])
        equal(called(worker), 78, "the same link twice")
        daemon.call("Replace", link=link, program="next", wait="quiescent")
        # The last operation fails: the first two are undone.
        refused(lambda: daemon.call("Apply", operations=[
            {"operation": "replace", "link": link, "program": "p2"},
            {"operation": "replace", "link": link, "program": "p3"},
            {"operation": "set_policy", "table": "on_test", "policy": "no_indirect"},
            {"operation": "unload", "program": "p3"}]), "ProgramInUse", program="p3", links=[link])
        equal(called(worker), 77, "after the refusal")
        equal({p["name"]: p["references"] for p in daemon.list("programs") if p["name"] in ("p2", "p3", "next")},
              {"p2": 1, "p3": 1, "next": 2}, "references")
        equal(daemon.list("tables")[0]["policy"], "any")


@case
def policies_are_kept():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        attach(daemon, 3, "p1")
        daemon.call("SetPolicy", table="on_test", policy="no_indirect")
        equal(called(worker), 1)
        daemon.restart()
        [table] = daemon.list("tables")
        equal((table["policy"], table["shape"]), ("no_indirect", "tree"))
        daemon.call("SetPolicy", table="on_test", policy="any")
        daemon.restart()
        equal(daemon.list("tables")[0]["policy"], "any")
        refused(lambda: daemon.call("SetPolicy", table="nowhere", policy="any"), "UnknownTable", table="nowhere")


# ---- dispatchctl


@case
def as_operators_say_it():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        for arguments, wanted in (
                (("attach", "on_test", "0x400-65535", "p1"), "link 1\n"),
                (("attach", "on_test", "default", "p2"), "link 2\n"),
                (("attach", "on_test", "3", "p3", "--proceed-on", "3,4294967295", "--priority=-5"), "link 3\n"),
                (("attach", "on_test", "3", "p4"), "link 4\n"), (("replace", "4", "p5"), ""),
                (("set-policy", "on_test", "no-indirect"), ""), (("set-policy", "on_test", "any"), "")):
            result = ctl(daemon, *arguments)
            equal((result.returncode, result.stdout, result.stderr), (0, wanted, ""), " ".join(arguments))
        equal([ran(worker, key) for key in (1024, 65536, 3)], [(1, "1"), (2, "2"), (5, "35")])
        rows = [line.split() for line in ctl(daemon, "list", "links").stdout.splitlines()]
        equal(rows, [["LINK", "TABLE", "KEYS", "PRIORITY", "PROCEED-ON", "PROGRAM"],
                     ["1", "on_test", "1024-65535", "0", "-", "p1"], ["2", "on_test", "default", "0", "-", "p2"],
                     ["3", "on_test", "3", "-5", "3,4294967295", "p3"], ["4", "on_test", "3", "0", "-", "p5"]])
        complaint = ctl(daemon, "attach", "on_test", "2000-3000", "p1").stderr
        assert "2000-3000" in complaint and "1024-65535" in complaint and "link 1" in complaint, complaint
        for arguments in (("attach", "on_test", "5-", "p1"), ("attach", "on_test", "-5", "p1"),
                          ("attach", "on_test", "1-2-3", "p1"), ("attach", "on_test", "9", "p1", "--priority", "x"),
                          ("attach", "on_test", "9", "p1", "--proceed-on", "1,"), ("set-policy", "on_test", "tree"),
                          ("detach", "1", "--priority", "1"), ("replace", "4", "p1", "--proceed-on", "1")):
            result = ctl(daemon, *arguments)
            equal((result.returncode, result.stdout), (1, ""), f"{arguments} {result.stderr}")
        equal(len(daemon.list("links")), 4)


# ---- against a model


class Model:
    """What a table should do, plainly: a list of links."""

    def __init__(self, default=0):
        self.links = []                 # dictionaries: id, keys (pair or None), priority, proceed_on, program
        self.default = default

    def chain(self, key):
        found = [link for link in self.links if link["keys"] and link["keys"][0] <= key <= link["keys"][1]]
        return sorted(found or [link for link in self.links if not link["keys"]],
                      key=lambda link: (link["priority"], link["id"]))

    def call(self, key):
        """(verdict, marks)"""
        value, marks = self.default, ""
        for link in self.chain(key):
            value, marks = link["program"], marks + str(link["program"])
            if value not in link["proceed_on"]:
                break
        return value, marks or "0"

    def probes(self):
        edges = [edge + d for link in self.links if link["keys"] for edge in link["keys"] for d in (-1, 0, 1)]
        return sorted({key for key in edges + [0, LAST_KEY] if 0 <= key <= LAST_KEY})


class Operator:
    """Changes a table at random, by requests and in the model."""

    def __init__(self, daemon, seed, keys=40):
        self.daemon, self.chance, self.keys = daemon, random.Random(seed), keys
        self.model = Model()
        self.highest, self.chains = 1 << 32, 0.4        # where new links are

    def new_link(self):
        chance = self.chance
        kept = [link["keys"] for link in self.model.links]
        if kept and chance.random() < self.chains:
            keys = chance.choice(kept)
        elif chance.random() < 0.1:
            keys = None
        else:
            first = chance.choice([chance.randrange(self.keys), chance.randrange(self.highest)])
            keys = (first, min(first + chance.choice([0, 0, 0, 1, 5, 1000]), LAST_KEY))
        return {"keys": keys, "priority": chance.randrange(-2, 3), "program": chance.choice(VERDICTS),
                "proceed_on": chance.sample(VERDICTS, chance.choice([0, 4, 7]))}

    def operation(self):
        """One more change of the model, and the request for it; the model says whether it will be refused."""
        links, chance = self.model.links, self.chance
        kind = chance.choice(["attach", "attach", "detach", "replace"]) if links else "attach"
        if kind == "attach":
            link = self.new_link()
            keys = {"default": True} if link["keys"] is None else dict(zip(("first", "last"), link["keys"]))
            return link, {"operation": "attach", "table": "on_test", "program": f"p{link['program']}", **keys,
                          "priority": link["priority"], "proceed_on": link["proceed_on"]}
        link = chance.choice(links)
        if kind == "detach":
            return link, {"operation": "detach", "link": link["id"]}
        return link, {"operation": "replace", "link": link["id"], "program": f"p{chance.choice(VERDICTS)}"}

    def allowed(self, link):
        """May this link be attached?"""
        for other in self.model.links:
            if link["keys"] == other["keys"]:
                first = other if other["priority"] <= link["priority"] else link
                if not first["proceed_on"]:
                    return False
            elif link["keys"] and other["keys"] and link["keys"][0] <= other["keys"][1] \
                    and other["keys"][0] <= link["keys"][1]:
                return False
        return True

    def took_effect(self, link, request, identifier):
        if request["operation"] == "attach":
            self.model.links.append(dict(link, id=identifier))
        elif request["operation"] == "detach":
            self.model.links.remove(link)
        else:
            link["program"] = int(request["program"][1:])

    def step(self):
        link, request = self.operation()
        possible = request["operation"] != "attach" or self.allowed(link)
        try:
            outcome = self.daemon.call("Apply", operations=[request])["outcomes"][0]
        except Refused as refusal:
            assert not possible and refusal.error == "KeyTaken", f"{refusal}: {request}"
            return
        assert possible, f"was not refused: {request}"
        self.took_effect(link, request, outcome.get("link"))

    def check(self, worker, what):
        for key in self.model.probes():
            equal(ran(worker, key), self.model.call(key), f"key {key} {what}")


@case
def random_tables_against_a_model():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        operator = Operator(daemon, int(os.environ.get("SEED", "1")))
        for generation in range(1, 5):
            for number in range(60):
                operator.step()
                if number % 6 == 0:
                    operator.check(worker, f"after {number} changes of generation {generation}")
            daemon.restart()
            shown = {link["id"]: link["program"] for link in daemon.list("links")}
            equal(shown, {link["id"]: f"p{link['program']}" for link in operator.model.links}, "links")
            operator.check(worker, "in the old generation")
            moved(worker, generation + 1)
            operator.check(worker, "in the new generation")


@case
def what_was_acknowledged_survives_kill_9_at_any_point():
    with Daemon() as daemon:
        daemon.worker()
        load_programs(daemon)
        operator = Operator(daemon, int(os.environ.get("SEED", "1")), keys=400)
        for generation in range(2, 12):
            timer = threading.Timer(operator.chance.uniform(0, 0.1), daemon.process.kill)
            timer.start()
            with contextlib.suppress(OSError):
                while True:
                    operator.step()
            timer.join()
            daemon.disconnect()
            daemon.process.wait()
            daemon.start()
            worker = daemon.worker()
            found = {link["id"]: int(link["program"][1:]) for link in daemon.list("links")}
            wanted = {link["id"]: link["program"] for link in operator.model.links}
            # The one change that was not answered may be there or not.
            assert len(set(found.items()) ^ set(wanted.items())) <= 2, f"{found} instead of {wanted}"
            operator.model.links = [from_view(link) for link in daemon.list("links")]
            operator.check(worker, f"in generation {generation}")
            worker.kill()


class LargeTable:
    """Single keys only, one program each; single changes of it are made in place."""

    def __init__(self, daemon, keys, seed):
        self.daemon, self.chance = daemon, random.Random(seed)
        self.unused = list(keys)
        self.links, self.programs = {}, {}      # by key
        self.chance.shuffle(self.unused)
        keys = [self.unused.pop() for _ in range(len(self.unused) * 3 // 4)]
        for part in (keys[at:at + 5000] for at in range(0, len(keys), 5000)):
            self.apply([self.attach(key) for key in part])

    def attach(self, key):
        self.programs[key] = self.chance.choice(VERDICTS)
        return key, {"operation": "attach", "table": "on_test", "key": key, "program": f"p{self.programs[key]}"}

    def detach(self, key):
        del self.programs[key]
        return None, {"operation": "detach", "link": self.links.pop(key)}

    def replace(self, key):
        self.programs[key] = self.chance.choice(VERDICTS)
        return None, {"operation": "replace", "link": self.links[key], "program": f"p{self.programs[key]}"}

    def apply(self, operations):
        outcomes = self.daemon.call("Apply", operations=[request for _, request in operations])["outcomes"]
        self.links.update((key, outcome["link"]) for (key, _), outcome in zip(operations, outcomes) if key is not None)

    def change(self):
        """One change of a few keys; returns them."""
        key = self.chance.choice(list(self.links))
        kind = self.chance.randrange(4)
        if kind == 0:
            self.apply([self.replace(key)])
        elif kind == 1:                         # never the default in between
            self.apply([self.detach(key), self.attach(key)])
        elif kind == 2 and self.unused:
            new = self.unused.pop()
            self.apply([self.attach(new), self.replace(key)])
            return [key, new]
        else:
            self.apply([self.detach(key)])
            self.unused.append(key)
        return [key]

    def check(self, worker, keys, what):
        equal({key: called(worker, key) for key in keys}, {key: self.programs.get(key, 0) for key in keys}, what)


@case
def large_tables_of_each_shape():
    with Daemon(arguments=("--planning-interval", "0")) as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        chance = random.Random(7)
        for generation, (shape, keys) in enumerate((("dense", range(5000, 9000)),
                                                    ("hash", chance.sample(range(1 << 32), 4000))), 1):
            table = LargeTable(daemon, keys, generation)
            equal(daemon.list("tables")[0]["shape"], shape)
            for _ in range(300):
                changed = table.change()
                table.check(worker, changed + chance.sample(keys, 3), "after a change")
            table.check(worker, keys, "after all changes")
            policy = {"operation": "set_policy", "table": "on_test", "policy": "no_indirect"}
            table.apply([table.replace(next(iter(table.links))), (None, policy)])
            equal(daemon.list("tables")[0]["shape"], "tree")
            table.check(worker, keys, "without indirect branches")
            for _ in range(20):
                table.check(worker, table.change(), "after a change without indirect branches")
            daemon.call("SetPolicy", table="on_test", policy="any")
            before = daemon.list("links")
            daemon.restart()
            equal(daemon.list("links"), before, "links after a restart")
            moved(worker, generation + 1)
            table.check(worker, keys, "after a restart")
            table.apply([table.detach(key) for key in list(table.links)])
            table.check(worker, keys, "without links")


def from_view(link):
    keys = (link["first"], link["last"]) if "first" in link else None
    return {"id": link["id"], "keys": keys, "priority": link["priority"], "proceed_on": link["proceed_on"],
            "program": int(link["program"][1:])}


# ---- while calls go on


@case
def each_result_was_valid_between_call_and_return():
    """Threads and a forked child call one key all the time.  While a change is under way, the result before it and the
    one behind it are valid; as soon as it is answered, only the latter.  First in a small table, then among many keys,
    where the planner samples meanwhile."""
    for others in (0, 2000):
        call_while_changing(others)


def call_while_changing(others):
    with Daemon(arguments=("--planning-interval", "5")) as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        daemon.call("Apply", operations=[{"operation": "attach", "table": "on_test", "key": (1 << 31) + 7 * n,
                                          "program": "p1"}
                                         for n in range(others)])
        operator = Operator(daemon, int(os.environ.get("SEED", "1")), keys=6)
        operator.highest = (1 << 31) - 2000
        key = 3
        worker.do(f"key {key}")
        worker.do("allow 0")
        worker.do("loop 3")
        worker.do("fork 1")
        for number in range(400):
            before = operator.model.call(key)[0]
            link, request = operator.operation()
            if request["operation"] == "attach" and not operator.allowed(link):
                continue
            # The model first, with an id beyond all others: it says what comes.
            operator.took_effect(link, request, 1 << 40)
            after = operator.model.call(key)[0]
            worker.do(f"allow {before} {after}")
            outcome = daemon.call("Apply", operations=[request])["outcomes"][0]
            if request["operation"] == "attach":
                operator.model.links[-1]["id"] = outcome["link"]
            worker.do(f"allow {after}")
            words = worker.do("stats").split()
            equal(words[3], "0", f"wrong results after change {number}: {request}, last {words[-1]}")
        operator.check(worker, "at the end")
        words = worker.do("stop").split()
        assert int(words[1]) > 400 and words[3] == "0", words


@case
def the_default_never_shows_between_detach_and_attach_of_one_change():
    with Daemon() as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        link = attach(daemon, 3, "p1")
        worker.do("key 3")
        worker.do("allow 1 2")
        worker.do("loop 2")
        for number in range(200):
            outcomes = daemon.call("Apply", operations=[
                {"operation": "detach", "link": link},
                {"operation": "attach", "table": "on_test", "key": 3, "program": f"p{1 + number % 2}"}])["outcomes"]
            link = outcomes[1]["link"]
        words = worker.do("stop").split()
        assert int(words[1]) > 200 and words[3] == "0", words


# ---- where a step fails


def unchanged(daemon, worker, operator, what):
    """Answer, database and image agree: nothing happened.  The database is asked by the next daemon."""
    equal({link["id"] for link in daemon.list("links")}, {link["id"] for link in operator.model.links}, what)
    operator.check(worker, what)
    before = daemon.list("links")
    daemon.restart()
    equal(daemon.list("links"), before, f"{what}, after a restart")
    wait_until(lambda: {w["state"] for w in daemon.list("workers")} == {"current"}, "moved")
    operator.check(worker, f"{what}, after a restart")


def prepared_operator(daemon):
    load_programs(daemon)
    operator = Operator(daemon, 5)
    for _ in range(30):
        operator.step()
    return operator


@case
def a_full_image():
    with Daemon(arguments=("--text-size", "1")) as daemon:
        holder, worker = daemon.worker(), daemon.worker()
        operator = prepared_operator(daemon)
        holder.do("hold")
        filling = []
        with contextlib.suppress(Refused):
            while True:
                operations = [{"operation": "attach", "table": "on_test", "first": 10**9 + 10 * n,
                               "last": 10**9 + 10 * n + 1,
                               "program": "p1"} for n in range(len(filling), len(filling) + 64)]
                outcomes = daemon.call("Apply", operations=operations)["outcomes"]
                filling += [outcome["link"] for outcome in outcomes]
        for n, link in enumerate(filling):
            operator.model.links.append({"id": link, "keys": (10**9 + 10 * n, 10**9 + 10 * n + 1), "priority": 0,
                                         "proceed_on": [], "program": 1})
        with open(verdict(99), "rb") as file:
            refused(lambda: daemon.call("Apply", [file.fileno()], operations=[
                {"operation": "load", "program": "big", "descriptor": 0},
                {"operation": "replace", "link": filling[0], "program": "big"},
                *({"operation": "attach", "table": "on_test", "key": 2 * 10**9 + n, "program": "big"} for n in range(8000))]),
                "ImageFull")
        operator.check(worker, "in a full image")
        # Taking links away never fails: whole entries, parts of ranges' neighbours, members of chains.
        for link in [link for link in operator.model.links if link["id"] not in filling]:
            daemon.call("Detach", link=link["id"])
            operator.model.links.remove(link)
            for key in [0, LAST_KEY] + ([link["keys"][0], link["keys"][1]] if link["keys"] else [5]):
                equal(ran(worker, key), operator.model.call(key), f"key {key} without {link}")
        for link in filling[::7]:
            daemon.call("Detach", link=link)
        operator.model.links = [link for link in operator.model.links if link["id"] not in filling[::7]]
        holder.do("release")
        unchanged(daemon, worker, operator, "what is left")


@case
def a_database_that_cannot_be_written():
    with Daemon(wrapper=("env", "--ignore-signal=XFSZ")) as daemon:
        worker = daemon.worker()
        operator = prepared_operator(daemon)
        size = os.path.getsize(f"{daemon.directory}/state/dispatchd.db-wal")
        unlimited = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        failures = 0
        for _ in range(40):
            link, request = operator.operation()
            if request["operation"] == "attach" and not operator.allowed(link):
                continue
            refused(lambda: daemon.call("Apply", operations=[request]), "DatabaseFailed")
            failures += 1
            operator.check(worker, f"after {request}")
        assert failures > 10, failures
        refused(lambda: daemon.call("SetPolicy", table="on_test", policy="no_indirect"), "DatabaseFailed")
        equal(daemon.list("tables")[0]["policy"], "any")
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, unlimited)
        operator.step()
        unchanged(daemon, worker, operator, "the failed changes have left nothing")


STORE_FAILURES = """
CREATE TRIGGER no_row BEFORE INSERT ON links WHEN NEW.first_key = 1000666 BEGIN SELECT RAISE(ABORT, 'no row'); END;
CREATE TRIGGER no_audit BEFORE INSERT ON audit WHEN NEW.object LIKE '% 1000667 %' BEGIN SELECT RAISE(ABORT, 'no audit'); END;
"""


@case
def a_database_that_fails_in_the_middle_of_a_change():
    """At each operation of a change, in its row or in that of the audit log."""
    with Daemon() as daemon:
        worker = daemon.worker()
        worker.do("register on_other")
        operator = prepared_operator(daemon)
        kept, gone = [attach(daemon, key, "p1") for key in (10**6, 10**6 + 1)]
        for link, key in ((kept, 10**6), (gone, 10**6 + 1)):
            operator.model.links.append({"id": link, "keys": (key, key), "priority": 0, "proceed_on": [], "program": 1})
        daemon.stop()
        with contextlib.closing(sqlite3.connect(f"{daemon.directory}/state/dispatchd.db")) as database:
            database.executescript(STORE_FAILURES)
        daemon.start()
        moved(worker, 2)
        good = [{"operation": "attach", "table": "on_test", "key": 10**6 + 2, "program": "p2"},
                {"operation": "replace", "link": kept, "program": "p3"}, {"operation": "detach", "link": gone},
                {"operation": "attach", "table": "on_other", "key": 3, "program": "p4"}]
        for key in (1000666, 1000667):
            for at in range(len(good) + 1):
                failing = {"operation": "attach", "table": "on_test", "key": key, "program": "p5"}
                answer = refused(lambda: daemon.call("Apply", operations=good[:at] + [failing] + good[at:]), "DatabaseFailed")
                assert {1000666: "no row", 1000667: "no audit"}[key] in answer["reason"], answer
                equal(({link["id"] for link in daemon.list("links")}, called(worker, table="on_other")),
                      ({link["id"] for link in operator.model.links}, 0), f"{key} at {at}")
                operator.check(worker, f"{key} at {at}")
        unchanged(daemon, worker, operator, "the failed changes have left nothing")
        daemon.call("Apply", operations=good)
        equal([called(worker, key) for key in (10**6, 10**6 + 2)] + [called(worker, table="on_other")], [3, 2, 4])


def overwrite_slot(daemon):
    """Write another instruction of the same effect (a jump to where the nop leads) into the slot of on_test,
    as an error of ours might."""
    pad_and_nop = bytes.fromhex("f30f1efa0f1f4000" "0f1f840000000000")
    with open(f"/proc/{daemon.process.pid}/maps") as file:
        [begin] = [int(line.split("-")[0], 16) for line in file if "dispatchd-text" in line]
    with open(f"/proc/{daemon.process.pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        at = memory.read(1 << 20).index(pad_and_nop)
        memory.seek(begin + at + 8)
        memory.write(bytes.fromhex("e903000000cccccc"))


@case
def a_slot_that_is_not_as_it_was_left():
    """A change that would poke it is refused as a whole, also where other tables' slots come first; a new daemon makes it good."""
    with Daemon() as daemon:
        worker = daemon.worker()
        worker.do("register on_other")
        wait_until(lambda: len(daemon.list("tables")) == 2, "declared")
        load_programs(daemon)
        link = attach(daemon, 3, "p1", proceed_on=[1])
        wait_until(lambda: all(table["settled"] for table in daemon.list("tables")), "settled")
        overwrite_slot(daemon)
        equal(ran(worker), (1, "1"), "the image works")
        operations = [{"operation": "attach", "table": table, "key": 3, "program": "p2"} for table in ("on_other", "on_test")]
        for attempt in (lambda: attach(daemon, 3, "p2"), lambda: daemon.call("Apply", operations=operations)):
            refused(attempt, "ImageOverwritten", table="on_test")
            equal((ran(worker), called(worker, table="on_other")), ((1, "1"), 0), "what runs")
            equal([one["program"] for one in daemon.list("links")], ["p1"], "links")
        daemon.restart()
        moved(worker, 2)
        equal([one["program"] for one in daemon.list("links")], ["p1"], "the database has nothing of it")
        equal((ran(worker), called(worker, table="on_other")), ((1, "1"), 0), "what the database says")
        daemon.call("Apply", operations=operations)
        equal((ran(worker), called(worker, table="on_other")), ((2, "12"), 2))
        daemon.call("Detach", link=link)


def overwrite_jump(daemon):
    """Likewise, where the slot jumps: only what is behind the jump, which nobody executes."""
    with open(f"/proc/{daemon.process.pid}/maps") as file:
        [begin] = [int(line.split("-")[0], 16) for line in file if "dispatchd-text" in line]
    with open(f"/proc/{daemon.process.pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        at = memory.read(1 << 20).index(bytes.fromhex("f30f1efa0f1f4000" "e9"))
        memory.seek(begin + at + 13)
        memory.write(bytes.fromhex("909090"))


def overwritten(daemon):
    return [table["overwritten"] for table in daemon.list("tables")]


def left_alone(daemon, worker):
    """It runs what it ran, all is said once, the daemon goes on; the next one makes it good."""
    wait_until(lambda: overwritten(daemon) == [True], "it is seen")
    equal(ran(worker), (1, "1"), "what runs")
    assert "something else" in daemon.call("Explain", table="on_test")["reason"]
    for _ in range(3):
        refused(lambda: attach(daemon, 5, "p2"), "ImageOverwritten", table="on_test")
    worker.do("register on_other")
    wait_until(lambda: [t["settled"] for t in daemon.list("tables") if t["name"] == "on_other"] == [True], "declared")
    daemon.call("Attach", table="on_other", key=3, program="p2")
    equal(called(worker, table="on_other"), 2, "another table")
    equal(daemon.log().count("slot was overwritten"), 1, "log lines")
    daemon.restart()
    moved(worker, 2)
    attach(daemon, 5, "p2")
    equal((overwritten(daemon), ran(worker)), ([False, False], (1, "1")), "after a restart")


def try_to_overwrite(daemon):
    """False: it is being sampled, so the slot jumps."""
    with contextlib.suppress(ValueError):
        overwrite_slot(daemon)
        return True
    return False


@case
def a_slot_that_the_planner_finds_overwritten():
    with Daemon(arguments=["--planning-interval", "200"]) as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        for key in 3, 4:
            attach(daemon, key, "p1")
        wait_until(lambda: try_to_overwrite(daemon), "settled, and not sampled")
        left_alone(daemon, worker)


@case
def a_slot_that_settling_finds_overwritten():
    with Daemon(arguments=["--planning-interval", "0"]) as daemon:
        worker, holding = daemon.worker(), daemon.worker()
        load_programs(daemon)
        wait_until(lambda: daemon.list("tables")[0]["settled"], "settled")
        holding.do("hold")
        attach(daemon, 3, "p1")
        overwrite_jump(daemon)
        equal((ran(worker), overwritten(daemon)), ((1, "1"), [False]), "nobody has looked")
        holding.do("release")
        left_alone(daemon, worker)


run()
