# SPDX-License-Identifier: MIT
"""Totals of programs, entries and tables: what was counted stays theirs, whatever becomes of the links."""
import contextlib
import json
import os
import random
import sqlite3

from harness import CONTEXT, TO_VERSION_4, Daemon, compile_program, verdict, wait_until
from tap import case, equal, run


def verdicts(counted):
    return {row["verdict"]: row["count"] for row in counted["verdicts"]}


def totals(daemon):
    """Runs and verdicts of each program and entry; runs and misses of the table."""
    said = daemon.gather("GetStatistics")
    table = [(row["runs"], row["misses"]) for row in said["tables"] if row["table"] == "on_test"]
    return {"programs": {row["program"]: (row["counts"]["runs"], verdicts(row["counts"])) for row in said["programs"]},
            "entries": {row["keys"]: (row["runs"], verdicts(row)) for row in said["entries"]},
            "table": table[0] if table else None}


def call(worker, key, times=1):
    for _ in range(times):
        worker.do(f"call on_test {key}")


def loaded(daemon):
    """A worker, and programs that return 1, 2 and 3 and are called so; all is counted."""
    worker = daemon.worker()
    for value in (1, 2, 3):
        daemon.load(f"p{value}", verdict(value))
    daemon.call("SetStatistics", counting="runs")
    return worker


def restarted(daemon, worker):
    daemon.stop()
    daemon.start()
    wait_until(lambda: {row["state"] for row in daemon.list("workers")} == {"current"}, "moved")


@case
def a_program_keeps_what_it_ran_when_another_replaces_it():
    with Daemon() as daemon:
        worker = loaded(daemon)
        link = daemon.attach("on_test", 3, "p1")
        call(worker, 3, 50)
        daemon.call("Replace", link=link, program="p2")
        wanted = {"p1": (50, {1: 50}), "p2": (0, {})}
        equal(totals(daemon)["programs"], wanted, "after the exchange")
        call(worker, 3, 7)
        wanted["p2"] = (7, {2: 7})
        equal(totals(daemon)["programs"], wanted, "and later")
        equal(totals(daemon)["entries"], {"3": (57, {1: 50, 2: 7})})
        daemon.call("Detach", link=link, wait="quiescent")
        equal(totals(daemon), {"programs": wanted, "entries": {}, "table": (57, 0)}, "after its link went")
        daemon.call("Unload", program="p1")
        daemon.load("p1", verdict(1))
        restarted(daemon, worker)
        equal(totals(daemon), {"programs": {"p2": wanted["p2"]}, "entries": {}, "table": (57, 0)}, "p1 is another program")


@case
def links_that_come_and_go_in_a_chain():
    """The entry's runs are those of the link that is first at the time, its verdicts those that callers saw."""
    with Daemon() as daemon:
        worker = loaded(daemon)
        old = daemon.attach("on_test", 3, "p1", priority=10)
        call(worker, 3, 50)
        front = daemon.attach("on_test", 3, "p3", priority=0, proceed_on=[3])
        equal(totals(daemon)["entries"], {"3": (50, {1: 50})}, "a link was attached in front")
        call(worker, 3, 5)
        equal(totals(daemon)["entries"], {"3": (55, {1: 55})})
        restarted(daemon, worker)
        equal(totals(daemon)["entries"], {"3": (55, {1: 55})}, "after a restart")
        daemon.call("Detach", link=old, wait="quiescent")
        call(worker, 3, 4)
        wanted = {"programs": {"p1": (55, {1: 55}), "p3": (9, {3: 9})}, "entries": {"3": (59, {1: 55, 3: 4})},
                  "table": (59, 0)}
        equal(totals(daemon), wanted, "the front link is alone")
        daemon.call("SetStatistics", counting="off")
        daemon.attach("on_test", 3, "p2", priority=-1, proceed_on=[2])
        daemon.call("Detach", link=front, wait="quiescent")
        restarted(daemon, worker)
        equal(totals(daemon), wanted, "the link that is left was never counted")


@case
def an_entry_whose_counted_link_goes_keeps_what_it_ran():
    with Daemon() as daemon:
        worker = loaded(daemon)
        daemon.call("SetStatistics", counting="off")
        daemon.attach("on_test", 3, "p1", priority=10)
        front = daemon.attach("on_test", 3, "p3", priority=0, proceed_on=[3])
        daemon.call("SetStatistics", link=front, counting="runs")
        call(worker, 3, 4)
        equal(totals(daemon)["entries"], {"3": (4, {})})
        daemon.call("Detach", link=front, wait="quiescent")
        equal(totals(daemon)["entries"], {"3": (4, {})}, "the counted link went")
        restarted(daemon, worker)
        equal(totals(daemon)["entries"], {"3": (4, {})}, "after a restart")


@case
def what_a_link_among_many_ran_is_read_when_it_goes():
    """Nobody has asked for it, and counters are read in pieces."""
    with Daemon() as daemon:
        worker = loaded(daemon)
        outcomes = daemon.call("Apply", operations=[
            {"operation": "attach", "table": "on_test", "key": key, "program": "p1"} for key in range(200)])["outcomes"]
        call(worker, 199, 5)
        daemon.call("Detach", link=outcomes[199]["link"], wait="quiescent")
        equal(totals(daemon)["programs"]["p1"], (5, {1: 5}))


class Model:
    """What is to be counted: links of some keys, in order."""
    KEYS = (3, 4, 5)

    def __init__(self, daemon, worker):
        self.daemon, self.worker = daemon, worker
        self.chains = {key: [] for key in self.KEYS}    # (priority, id, value, proceeds)
        self.entries = {}
        self.programs = {value: 0 for value in (1, 2, 3)}
        self.runs = self.misses = 0

    def call(self, key):
        call(self.worker, key)
        if not self.chains[key]:
            self.misses += 1
            return
        self.runs += 1
        seen = self.entries[key]
        seen["runs"] += 1
        for _, _, value, proceeds in self.chains[key]:
            self.programs[value] += 1
            if not proceeds:
                break
        seen[value] = seen.get(value, 0) + 1

    def change(self, kind, key):
        chain, value = self.chains[key], random.randint(1, 3)
        if kind == "attach":
            priority = random.randint(-5, 5)
            proceeds = not chain or priority >= chain[-1][0] and chain[-1][3] and random.random() < 0.5 or \
                priority < chain[-1][0]
            if chain and not chain[-1][3] and priority >= chain[-1][0]:
                return
            link = self.daemon.attach("on_test", key, f"p{value}", priority=priority,
                                      proceed_on=[1, 2, 3] if proceeds else [])
            self.entries.setdefault(key, {"runs": 0})
            chain.append((priority, link, value, proceeds))
            chain.sort()
        elif chain:
            old = random.choice(chain)
            if kind == "detach":
                self.daemon.call("Detach", link=old[1])
                chain.remove(old)
                if not chain:
                    del self.entries[key]
            else:
                self.daemon.call("Replace", link=old[1], program=f"p{value}")
                chain[chain.index(old)] = (*old[:2], value, old[3])

    def check(self, when):
        said = totals(self.daemon)
        equal({name: runs for name, (runs, _) in said["programs"].items()},
              {f"p{value}": runs for value, runs in self.programs.items()}, f"programs {when}")
        equal(said["entries"], {str(key): (seen["runs"], {value: seen[value] for value in seen if value != "runs"})
                                for key, seen in self.entries.items()}, f"entries {when}")
        equal(said["table"], (self.runs, self.misses), f"table {when}")


@case
def random_changes_against_a_model():
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"# SEED={seed}")
    random.seed(seed)
    with Daemon() as daemon:
        worker = loaded(daemon)
        model = Model(daemon, worker)
        for value, key in zip((1, 2, 3), Model.KEYS):       # so that all programs are counted
            model.chains[key] = [(0, daemon.attach("on_test", key, f"p{value}", proceed_on=[1, 2, 3]), value, True)]
            model.entries[key] = {"runs": 0}
        for i in range(150):
            model.change(random.choice(["attach", "attach", "detach", "replace", "replace"]), random.choice(Model.KEYS))
            for _ in range(random.randint(0, 4)):
                model.call(random.choice(Model.KEYS))
            if i % 10 == 9:
                model.check(f"after {i} changes")
            if i % 50 == 29:
                restarted(daemon, worker)
                model.check(f"after {i} changes and a restart")


@case
def nothing_is_lost_or_counted_twice_under_load():
    """Threads call all the time while their link's program is exchanged, and links in front of it come and go."""
    with Daemon() as daemon:
        worker = loaded(daemon)
        link = daemon.attach("on_test", 3, "p1", priority=10)
        worker.do("allow 1 2")
        worker.do("key 3")
        worker.do("loop 2")
        last = totals(daemon)
        for i in range(60):
            daemon.call("Replace", link=link, program=["p2", "p1"][i % 2])
            front = daemon.attach("on_test", 3, "p3", priority=0, proceed_on=[3])
            now = totals(daemon)
            assert now["table"][0] >= last["table"][0] and now["entries"]["3"][0] >= last["entries"]["3"][0], (last, now)
            assert all(now["programs"][name][0] >= runs for name, (runs, _) in last["programs"].items()), (last, now)
            daemon.call("Detach", link=front, wait="quiescent")
            last = now
        calls = int(worker.do("stop").split()[1])
        said = totals(daemon)
        equal(said["programs"]["p1"][0] + said["programs"]["p2"][0], calls, "runs of both programs")
        equal(said["table"][0], said["entries"]["3"][0], "runs of the table and of its entry")


@case
def what_is_under_way_when_a_link_is_detached_is_counted():
    slow = compile_program(CONTEXT + """
        SEC("table/test") __u32 slow(struct test *t)
        {
            __u32 sum = 0;

        #pragma clang loop unroll(disable)
            for (__u32 i = 0; i < 60000; i++)
                asm volatile("%0 += %1" : "+r"(sum) : "r"(i));
            return sum ? 1 : 2;
        }""", "slow")
    with Daemon() as daemon:
        worker = loaded(daemon)
        daemon.load("slow", slow)
        worker.do("allow 0 1")
        worker.do("key 3")
        worker.do("loop 2")
        for _ in range(20):
            link = daemon.attach("on_test", 3, "slow")
            wait_until(lambda: daemon.call("GetStatistics", link=link)["links"][0]["counts"]["runs"] > 5, "it runs")
            daemon.call("Detach", link=link, wait="quiescent")
        calls = int(worker.do("stop").split()[1])
        said = totals(daemon)
        equal(said["programs"]["slow"][0] + said["table"][1], calls, "runs and misses")
        equal(sum(said["programs"]["slow"][1].values()) + said["table"][1], calls, "verdicts and misses")
        equal(sum(said["table"]), calls, "those of the table")


@case
def a_killed_daemon_s_successor_goes_on_with_what_was_stored():
    with Daemon() as daemon:
        worker = loaded(daemon)
        link = daemon.attach("on_test", 3, "p1")
        call(worker, 3, 50)
        daemon.call("Replace", link=link, program="p2", wait="quiescent")
        call(worker, 3, 5)
        wait_until(lambda: stored(daemon, "programs", "p2") == 5, "stored")
        daemon.restart()
        equal(totals(daemon), {"programs": {"p1": (50, {1: 50}), "p2": (5, {2: 5})},
                               "entries": {"3": (55, {1: 50, 2: 5})}, "table": (55, 0)})


def stored(daemon, table, name):
    """Runs as the database has them: of a copy, as the daemon holds its lock."""
    source = os.path.join(daemon.directory, "state/dispatchd.db")
    copy = os.path.join(daemon.directory, "copy.db")
    for suffix in ("", "-wal"):
        with open(source + suffix, "rb") as file, open(copy + suffix, "wb") as into:
            into.write(file.read())
    with contextlib.closing(sqlite3.connect(copy)) as database:
        row = database.execute(f"SELECT totals FROM {table} WHERE name = ?", (name,)).fetchone()
    return json.loads(row[0]).get("runs", 0)


@case
def a_database_of_version_4_says_what_links_have():
    with Daemon() as daemon:
        worker = loaded(daemon)
        daemon.attach("on_test", 3, "p3", proceed_on=[3])
        daemon.attach("on_test", 3, "p1")
        call(worker, 3, 6)
        call(worker, 9, 2)
        wanted = totals(daemon)
        equal(wanted["table"], (6, 2))
        daemon.stop()
        with contextlib.closing(sqlite3.connect(f"{daemon.directory}/state/dispatchd.db")) as database:
            for row, text in database.execute("SELECT id, counters FROM links").fetchall():
                counters = json.loads(text)
                del counters["entry"]
                database.execute("UPDATE links SET counters = ? WHERE id = ?", (json.dumps(counters), row))
            database.executescript(TO_VERSION_4)
        daemon.start()
        equal(totals(daemon), wanted, "brought forward")
        daemon.restart()
        equal(totals(daemon)["table"], (6, 2), "once")


@case
def a_table_that_is_declared_anew_keeps_what_was_counted():
    def worker_with(default):
        worker = daemon.worker(open_now=False)
        worker.do(f"register other {default}")      # before it joins: a table that is late counts once it is joined
        worker.do("open")
        equal([row["default_verdict"] for row in daemon.list("tables") if row["name"] == "other"], [default])
        return worker

    def ended(worker):
        worker.kill()
        wait_until(lambda: not daemon.list("workers"), "no worker has it")

    def counted():
        row = daemon.call("GetStatistics", table="other")["tables"][0]
        return row["counting"], row["runs"], row["misses"]

    with Daemon() as daemon:
        worker = worker_with(5)
        daemon.load("p1", verdict(1))
        link = daemon.attach("other", 3, "p1")
        daemon.call("SetStatistics", counting="runs")
        for key in (3, 3, 9):
            worker.do(f"call other {key}")
        daemon.call("Detach", link=link, wait="quiescent")
        ended(worker)
        worker = worker_with(6)
        equal(counted(), ("runs", 2, 1), "declared with another default")
        worker.do("call other 9")
        equal(counted(), ("runs", 2, 2), "it counts misses as before")
        daemon.attach("other", 3, "p1")
        worker.do("call other 3")
        equal(counted(), ("runs", 3, 2), "and new links")
        restarted(daemon, worker)
        equal(counted(), ("runs", 3, 2), "after a restart")


@case
def misses_of_a_table_without_links_are_counted_by_the_next_daemon():
    with Daemon() as daemon:
        worker = loaded(daemon)
        call(worker, 9, 2)
        restarted(daemon, worker)
        call(worker, 9, 3)
        equal(totals(daemon)["table"], (0, 5))


if __name__ == "__main__":
    run()
