# SPDX-License-Identifier: MIT
"""Statistics: what is counted is exactly what ran, in all workers; it survives what links survive."""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile

from fake_worker import LAYOUT_VERSION, TABLE, counters, lines
from harness import CONTEXT, DISPATCHCTL, Connection, Daemon, compile_program, refused, verdict, wait_until
from tap import BUILD_DIR, case, equal, run

# The verdict is the key's remainder by 10, so that links have several.
REMAINDER = CONTEXT + """
SEC("table/test") __u32 remainder_of(struct test *t) { return t->method % 10; }"""


def statistics(daemon, **scope):
    return daemon.gather("GetStatistics", **scope)


def counts(daemon, link):
    return statistics(daemon, link=link)["links"][0]["counts"]


def verdicts(counted):
    return {row["verdict"]: row["count"] for row in counted["verdicts"]}


def call(worker, key, times=1):
    for _ in range(times):
        worker.do(f"call on_test {key}")


def counted_worker(daemon):
    """A worker whose table's runs are counted, and the program "one"."""
    worker = daemon.worker()
    daemon.load("one", verdict(1))
    daemon.call("SetStatistics", table="on_test", counting="runs")
    return worker


@case
def runs_verdicts_and_misses_are_exact():
    with Daemon() as daemon:
        workers = [daemon.worker() for _ in range(3)]
        daemon.load("one", verdict(1))
        daemon.load("two", verdict(2))
        first, second = daemon.attach("on_test", 3, "one"), daemon.attach("on_test", 4, "two")
        call(workers[0], 3)
        equal(statistics(daemon)["links"], [], "before it is switched on")
        daemon.call("SetStatistics", table="on_test", counting="runs")
        for worker in workers:
            call(worker, 3, 5)
            call(worker, 4, 2)
            call(worker, 99, 7)
        equal([counts(daemon, link)["runs"] for link in (first, second)], [15, 6])
        equal([verdicts(counts(daemon, link)) for link in (first, second)], [{1: 15}, {2: 6}])
        equal(statistics(daemon)["tables"], [dict(table="on_test", counting="runs", runs=21, misses=21)])
        equal([(row["program"], row["counts"]["runs"]) for row in statistics(daemon)["programs"]],
              [("one", 15), ("two", 6)])
        daemon.call("SetStatistics", table="on_test", counting="off")
        call(workers[0], 3, 5)
        equal(counts(daemon, first)["runs"], 15, "after it is switched off")
        daemon.call("SetStatistics", counting="runs")
        call(workers[0], 3, 5)
        equal(counts(daemon, first)["runs"], 20, "and on again")


@case
def of_one_link_and_of_chains():
    """A chain's first link proceeds on some verdicts; the entry's verdicts are those that callers saw."""
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("remainder", compile_program(REMAINDER, "remainder"))
        daemon.load("seven", verdict(7))
        first = daemon.attach("on_test", 3, "remainder", proceed_on=[1, 2])
        second = daemon.attach("on_test", 3, "seven")
        daemon.call("SetStatistics", link=first, counting="runs")
        seen = {}
        for method in [1, 2, 3, 4, 4, 13, 22]:
            worker.do(f"method {method}")
            result = int(worker.do("call on_test 3").split()[1])
            seen[result] = seen.get(result, 0) + 1
        equal(verdicts(counts(daemon, first)), {1: 1, 2: 2, 3: 2, 4: 2})
        equal([row["link"] for row in statistics(daemon)["links"]], [first], "links that are counted")
        daemon.call("SetStatistics", table="on_test", counting="runs")
        before = counts(daemon, first)["runs"]
        for method in [1, 2, 3]:
            worker.do(f"method {method}")
            call(worker, 3)
        equal(counts(daemon, first)["runs"], before + 3)
        equal(verdicts(counts(daemon, second)), {7: 2})
        entry = statistics(daemon)["entries"][0]
        equal((entry["keys"], entry["links"], entry["runs"]), ("3", [first, second], before + 3))
        equal(verdicts(entry), {3: 3, 4: 2, 7: 2})


@case
def many_verdicts_of_many_threads():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("method", compile_program(CONTEXT + """
            SEC("table/test") __u32 method(struct test *t) { return t->method; }""", "method"))
        link = daemon.attach("on_test", 3, "method")
        daemon.call("SetStatistics", counting="runs")
        for method in range(20):
            worker.do(f"method {method}")
            call(worker, 3, 2)
        counted = counts(daemon, link)
        equal((counted["runs"], verdicts(counted), counted["other_verdicts"]), (40, {v: 2 for v in range(7)}, 26))


@case
def exact_under_load_while_others_are_switched():
    """Loops in threads and in forked children;
    another link's counting, and this link's time, are switched all the time."""
    with Daemon() as daemon:
        workers = [daemon.worker() for _ in range(2)]
        daemon.load("one", verdict(1))
        daemon.load("two", verdict(2))
        link, other = daemon.attach("on_test", 3, "one"), daemon.attach("on_test", 4, "two")
        daemon.call("SetStatistics", link=link, counting="runs")
        for worker in workers:
            worker.do("allow 1")
            worker.do("key 3")
            worker.do("loop 2")
        workers[0].do("fork 2")
        last = 0
        for i in range(60):
            daemon.call("SetStatistics", link=other, counting=["runs", "off", "histogram"][i % 3])
            daemon.call("SetStatistics", link=link, counting=["time", "runs", "histogram"][i % 3])
            runs = counts(daemon, link)["runs"]
            assert runs >= last, f"runs fell from {last} to {runs}"
            last = runs
        daemon.call("Replace", link=link, program="two")
        daemon.call("Replace", link=link, program="one")
        answers = [worker.do("stop").split() for worker in workers]
        counted = counts(daemon, link)
        equal(counted["runs"], sum(int(answer[1]) for answer in answers), "runs and calls")
        equal(sum(verdicts(counted).values()), counted["runs"], "verdicts and runs")
        equal(counts(daemon, other)["runs"], 0)


@case
def a_place_that_was_used_counts_from_nothing():
    """What ran since the last look at a link that is detached is nobody's:
    not that of the next link at its place either."""
    with Daemon() as daemon:
        worker = counted_worker(daemon)
        worker.do("allow 0 1")
        worker.do("key 3")
        worker.do("loop 1")
        for _ in range(20):
            daemon.call("Detach", link=daemon.attach("on_test", 3, "one"), wait="quiescent")
            idle = daemon.attach("on_test", 4, "one")
            equal(counts(daemon, idle)["runs"], 0, "runs of a link that was never called")
            daemon.call("Detach", link=idle, wait="quiescent")
        worker.do("stop")


@case
def a_place_that_was_used_before_a_restart_counts_from_nothing():
    with Daemon() as daemon:
        worker = counted_worker(daemon)
        link = daemon.attach("on_test", 3, "one")
        call(worker, 3, 5)
        daemon.call("Detach", link=link, wait="quiescent")
        daemon.stop()
        daemon.start()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal(counts(daemon, daemon.attach("on_test", 4, "one"))["runs"], 0, "runs of a link that was never called")


@case
def time_and_histogram():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("one", verdict(1))
        link = daemon.attach("on_test", 3, "one")
        daemon.call("SetStatistics", link=link, counting="runs")
        call(worker, 3, 10)
        counted = counts(daemon, link)
        equal((counted["timed_runs"], counted["cycles"], counted["histogram"]), (0, 0, []))
        daemon.call("SetStatistics", link=link, counting="time")
        call(worker, 3, 20)
        counted = counts(daemon, link)
        equal((counted["runs"], counted["timed_runs"], counted["histogram"]), (30, 20, []))
        assert counted["cycles"] > 0, counted
        daemon.call("SetStatistics", link=link, counting="histogram")
        call(worker, 3, 40)
        counted = counts(daemon, link)
        equal((counted["runs"], counted["timed_runs"], sum(counted["histogram"])), (70, 60, 40))
        assert statistics(daemon)["cycles_per_second"] > 1e6


@case
def what_is_off_costs_nothing():
    """The code is as large as before, and settled.  (A tree, which is made anew by each change.)"""
    def code():
        wait_until(lambda: daemon.list("tables")[0]["settled"], "settled")
        return daemon.list("tables")[0]["image_bytes"]

    with Daemon(arguments=["--planning-interval", "0"]) as daemon:
        daemon.worker()
        daemon.load("one", verdict(1))
        daemon.call("SetPolicy", table="on_test", policy="no_indirect")
        for key in range(10):
            daemon.attach("on_test", key, "one")
        before = code()
        for counting in ("runs", "time", "histogram"):
            daemon.call("SetStatistics", counting=counting)
            assert code() > before, f"{counting}: counting code takes no room?"
            daemon.call("SetStatistics", counting="off")
            equal(code(), before, f"code bytes after {counting}")


def survivor(daemon):
    worker = daemon.worker()
    daemon.load("one", verdict(1))
    daemon.load("two", verdict(2))
    link = daemon.attach("on_test", 3, "one")
    daemon.call("SetStatistics", counting="histogram")
    return worker, link


@case
def totals_survive_workers_replacement_and_an_orderly_restart():
    with Daemon() as daemon:
        worker, link = survivor(daemon)
        call(worker, 3, 5)
        call(worker, 9, 3)
        worker.kill()
        wait_until(lambda: not daemon.list("workers"), "the worker is forgotten")
        equal(counts(daemon, link)["runs"], 5, "after its worker's end")
        daemon.call("Replace", link=link, program="two")
        worker = daemon.worker()
        call(worker, 3, 4)
        before = counts(daemon, link)
        equal((before["runs"], verdicts(before)), (9, {1: 5, 2: 4}))
        daemon.stop()
        daemon.start()
        equal(counts(daemon, link), before, "after a restart")
        equal(statistics(daemon)["tables"], [dict(table="on_test", counting="histogram", runs=9, misses=3)])
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        call(worker, 3, 2)
        call(worker, 9)
        equal(verdicts(counts(daemon, link)), {1: 5, 2: 6}, "and it goes on")
        equal(statistics(daemon)["tables"], [dict(table="on_test", counting="histogram", runs=11, misses=4)])


@case
def what_runs_without_a_daemon_is_counted_by_the_next():
    with Daemon() as daemon:
        worker, link = survivor(daemon)
        worker.do("allow 1")
        worker.do("key 3")
        worker.do("loop 2")
        for generation in (2, 3):
            wait_until(lambda: counts(daemon, link)["runs"], "counted")
            daemon.stop()
            calls = worker.do("stats")
            wait_until(lambda: worker.do("stats") != calls, "the worker goes on")
            daemon.start()
            wait_until(lambda: worker.do("status").startswith(f"joined generation {generation}"), "moved")
        answer = worker.do("stop").split()
        counted = counts(daemon, link)
        equal((counted["runs"], verdicts(counted)), (int(answer[1]), {1: int(answer[1])}))
        equal(sum(counted["histogram"]), counted["runs"])


@case
def a_killed_daemon_loses_at_most_what_it_had_not_stored():
    with Daemon() as daemon:
        worker, link = survivor(daemon)
        call(worker, 3, 5)
        wait_until(lambda: stored_runs(daemon, link) == 5, "stored")
        call(worker, 3, 4)                  # these may be lost, or not
        daemon.restart()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        after = counts(daemon, link)["runs"]
        assert 5 <= after <= 9, f"{after} runs"
        call(worker, 3, 2)
        equal(counts(daemon, link)["runs"], after + 2)


def stored_runs(daemon, link):
    """What the database holds, as its next reader would see it: the daemon has it locked, so of a copy."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(os.path.join(daemon.directory, "state"), copy, dirs_exist_ok=True)
        database = sqlite3.connect(os.path.join(copy, "dispatchd.db"))
        row = database.execute("SELECT counters FROM links WHERE id = ?", (link,)).fetchone()
        database.close()
    return json.loads(row[0]).get("runs", 0) if row else 0


@case
def new_links_are_counted_as_their_table():
    with Daemon() as daemon:
        worker = counted_worker(daemon)
        link = daemon.attach("on_test", 3, "one")
        call(worker, 3, 5)
        equal(counts(daemon, link)["runs"], 5)
        daemon.call("Detach", link=link)
        again = daemon.attach("on_test", 3, "one")
        equal(counts(daemon, again)["runs"], 0, "a link of its own")
        call(worker, 3)
        equal(counts(daemon, again)["runs"], 1)


@case
def static_calls_and_natives():
    with Daemon() as daemon:
        worker = daemon.worker(executable=os.path.join(BUILD_DIR, "tests/e2e/caller"))

        def called(times):
            for _ in range(times):
                worker.do("sum 1 2 3 4 5 6")
            row = statistics(daemon, table="sum")["tables"][0]
            return row["runs"], row["misses"]

        daemon.call("SetStatistics", counting="histogram")
        equal(called(3), (0, 3), "of the default")
        daemon.call("SetCall", call="sum", native="sum_times")
        equal(called(4), (4, 3), "of the native")
        link = statistics(daemon, table="sum")["links"][0]
        equal((link["program"], link["counts"]["runs"], sum(link["counts"]["histogram"])), ("native:sum_times", 4, 4))
        daemon.call("SetCall", call="sum", value=8)
        equal(called(5), (4, 8), "of a value")


def attach_many(daemon, keys):
    """Links of these keys, in requests of 8,000; their ids."""
    links = []
    for first in range(0, len(keys), 8000):
        operations = [{"operation": "attach", "table": "on_test", "key": key, "program": "one"}
                      for key in keys[first:first + 8000]]
        links += [outcome["link"] for outcome in daemon.call("Apply", operations=operations)["outcomes"]]
    return links


@case
def a_default_that_stands_for_a_native_is_counted_as_the_native():
    caller = os.path.join(BUILD_DIR, "tests/e2e/caller")
    with Daemon() as daemon:
        worker, lacking = daemon.worker(executable=caller), daemon.worker(executable=caller + "_lacking")
        daemon.call("SetStatistics", counting="histogram")
        daemon.call("SetCall", call="sum", native="sum_times")
        link = daemon.call("Attach", table="on_event", key=3, native="event_native")["link"]
        for process, times in ((worker, 2), (lacking, 3)):
            for _ in range(times):
                process.do("sum 1 2 3 4 5 6")
                process.do("verdict 3")
        for table in ("sum", "on_event"):
            row = statistics(daemon, table=table)["tables"][0]
            equal((row["runs"], row["misses"]), (5, 0), table)
        equal(verdicts(counts(daemon, link)), {1006: 2, 5: 3}, "verdicts of the native, and of the default")


@case
def as_many_links_as_there_may_be():
    """All of the largest table are counted, each by itself, also beside what is detached and attached again."""
    entries = 100000
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("one", verdict(1))
        links = attach_many(daemon, [3 * key for key in range(entries)])
        daemon.call("SetStatistics", table="on_test", counting="runs")
        chosen = [0, entries - 1] + random.sample(range(1, entries - 1), 200)
        for times, entry in enumerate(chosen, 1):
            call(worker, 3 * entry, times % 7 + 1)
        call(worker, 1, 5)
        for times, entry in enumerate(chosen, 1):
            counted = counts(daemon, links[entry])
            equal((counted["runs"], verdicts(counted)), (times % 7 + 1, {1: times % 7 + 1}), f"entry {entry}")
            for neighbour in (entry - 1, entry + 1):
                if 0 <= neighbour < entries and neighbour not in chosen:
                    equal(counts(daemon, links[neighbour])["runs"], 0, f"entry {neighbour}, which was not called")
        for entry in chosen[:3]:
            daemon.call("Detach", link=links[entry], wait="quiescent")
            again = daemon.attach("on_test", 3 * entry, "one")
            equal(counts(daemon, again)["runs"], 0, "a link of its own")
            call(worker, 3 * entry)
            equal(counts(daemon, again)["runs"], 1)


@case
def misses_alone():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("one", verdict(1))
        attach_many(daemon, range(3000))
        daemon.call("SetStatistics", table="on_test", misses=True, counting="runs")
        daemon.attach("on_test", 5000, "one")
        for key in (1, 2999, 3000, 4000, 5000):
            call(worker, key)
        equal(statistics(daemon)["tables"], [dict(table="on_test", counting="runs", runs=0, misses=2)])
        equal(statistics(daemon)["links"], [])


@case
def what_does_not_exist():
    with Daemon() as daemon:
        for scope in (dict(table="none"), dict(link=99)):
            for method, parameters in (("SetStatistics", dict(counting="runs")), ("GetStatistics", {})):
                refused(lambda: daemon.call(method, **scope, **parameters),
                        "UnknownTable" if "table" in scope else "UnknownLink")


@case
def a_worker_that_lies():
    """Any words in its counters: numbers are wrong, nothing else."""
    with Daemon() as daemon:
        worker, link = survivor(daemon)
        descriptor = lines()
        connection = Connection(daemon.worker_path)
        connection.call("io.dispatchd.Worker.Join", [descriptor], layout_version=LAYOUT_VERSION, name="liar",
                        tables=[TABLE])
        call(worker, 3, 5)
        os.pwrite(descriptor, (0xffffffff).to_bytes(4, "little"), 8)            # lines in use
        for word in (b"\xff" * 8, b"\x01" + bytes(7), os.urandom(8)):
            os.pwrite(descriptor, word * 4096, counters(0))
            os.pwrite(descriptor, word * 4096, counters(776) + 8192)
            counts(daemon, link)
        connection.close()
        daemon.call("SetStatistics", counting="off")
        call(worker, 3)
        equal(worker.do("call on_test 3").split()[1], "1")


@case
def dispatchctl_shows_it():
    def ctl(*arguments):
        return subprocess.run([*DISPATCHCTL, "--socket", daemon.control_path, *arguments], capture_output=True,
                              text=True, timeout=60, check=True).stdout

    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("one", verdict(1))
        link = daemon.attach("on_test", 3, "one")
        equal(ctl("stats", "show"), "", "nothing is counted")
        equal(ctl("stats", "on", "--table", "on_test", "--histogram"), "")
        call(worker, 3, 3)
        call(worker, 4, 2)
        shown = ctl("stats", "show")
        assert "1:3" in shown and "one" in shown and f"link {link}, runs by time" in shown, shown
        equal([line.split() for line in shown.splitlines() if line.startswith("on_test")],
              [["on_test", "histogram", "3", "2"]])
        equal(ctl("--quiet", "stats", "show", "--link", str(link)), f"{link} 3\n")
        equal(ctl("stats", "off"), "")
        equal(daemon.call("GetStatistics", link=link)["links"][0]["counting"], "off")


if __name__ == "__main__":
    run()
