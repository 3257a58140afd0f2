# SPDX-License-Identifier: MIT
"""The life contract: whatever a worker does to itself, under continuous change, it never runs freed code.

A thread of this test replaces the program at on_test's key 1 all the time by a new one, and unloads the one before,
whose code is poisoned as soon as it is freed: a worker that the daemon does not wait for crashes.  They return 7 and 8
in turn; those that return 8 take about a millisecond, so that every change away from one finds threads in it.
"""
import os
import signal
import threading

from harness import CONTEXT, WORKER, Daemon, Worker, compile_program, descendants, wait_until
from tap import case, equal, run


SLOW = os.environ.get("SANITIZERS") == "yes"


def slow_verdict(value, length):
    """
    A program that takes its time, so that a change finds threads in it: returns `value`.  With bpf_loop,
    which takes long to run and not to prove.
    """
    step = "static long step(__u64 i, void *data) { __u64 *x = data; *x = *x * 3 + i; return 0; }"
    body = f"__u64 x = t->method; bpf_loop({length}, step, &x, 0); return x == 1 ? 99 : {value};"
    return compile_program(CONTEXT + step + f'SEC("table/test") __u32 f(struct test *t) {{ {body} }}', f"slow-{value}")


class Change:
    """Replaces the program at key 1 until told to stop, each time by a newly loaded one; counts how often."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.changes = 0
        self.error = None
        self.objects = [open(slow_verdict(7, 20), "rb"), open(slow_verdict(8, 300000), "rb")]
        self.link = None
        self.change(daemon.connect())

    def change(self, connection):
        """One transaction: load the next program, attach it in place of the one before, unload that one."""
        new, old = f"p{self.changes}", f"p{self.changes - 1}"
        operations = [{"operation": "load", "program": new, "descriptor": 0}]
        if self.link is not None:
            operations.append({"operation": "detach", "link": self.link})
        operations.append({"operation": "attach", "table": "on_test", "key": 1, "program": new})
        if self.link is not None:
            operations.append({"operation": "unload", "program": old})
        reply = connection.call("io.dispatchd.Control.Apply", [self.objects[self.changes % 2].fileno()],
                                operations=operations)
        [self.link] = [outcome["link"] for outcome in reply["outcomes"] if "link" in outcome]
        self.changes += 1

    def __enter__(self):
        """Again, after it was left: it goes on, with the daemon that there is then."""
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        self.thread.join()
        if self.error and exception[0] is None:
            raise self.error

    def run(self):
        try:
            connection = self.daemon.connect()
            while not self.stopping.is_set():
                self.change(connection)
        except Exception as error:
            self.error = error

    def some(self, number=20):
        """Wait until so many more changes are done; fewer where sanitizers make each of them slow."""
        goal = self.changes + (number + 3) // 4 if SLOW else self.changes + number
        wait_until(lambda: self.changes >= goal or self.error, f"{number} changes", 120)
        assert self.error is None, self.error


def stats(answer):
    words = answer.split()
    return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}


def under_change(function):
    """Run a case with a daemon, a worker whose thread loops, and continuous change; then look whether all is well."""
    def test():
        with Daemon() as daemon:
            worker = daemon.worker()
            with Change(daemon) as change:
                worker.do("allow 7 8")
                worker.do("loop 1")
                change.some(10)
                function(daemon, worker, change)
                change.some()
                before = stats(worker.do("stats"))
                change.some()
                wait_until(lambda: stats(worker.do("stats"))["calls"] > before["calls"], "the loops go on")
                after = stats(worker.do("stats"))
                equal(after["wrong"], 0, f"wrong verdicts ({after})")
                worker.do("stop")
    test.__name__ = function.__name__
    return case(test)


@under_change
def many_threads(daemon, worker, change):
    worker.do("loop 7")
    change.some(40)
    [view] = daemon.list("workers")
    assert view["threads"] >= 8, view


@under_change
def threads_that_come_and_go(daemon, worker, change):
    for _ in range(10):
        worker.do("thread-churn 100")
    wait_until(lambda: daemon.list("workers")[0]["threads"] <= 2, "lines are given back")


@under_change
def signal_handlers_that_call(daemon, worker, change):
    worker.do("signal-loop")
    change.some(40)


@under_change
def signal_handlers_on_their_own_stack(daemon, worker, change):
    worker.do("signal-loop alternate")
    change.some(40)
    equal(daemon.list("workers")[0]["leaked_guards"], 0, "guards taken for leaked")


@under_change
def nested_guards_and_a_held_one(daemon, worker, change):
    worker.do("hold")
    change.some(20)
    wait_until(lambda: daemon.list("workers")[0]["holding"], "the worker is named as holding old code")
    for _ in range(10):
        change.some(1)
        assert daemon.list("workers")[0]["holding"], "it holds no more, before it has left its guard"
    worker.do("release")
    wait_until(lambda: not daemon.list("workers")[0]["holding"], "it holds no more")


@under_change
def thread_that_exits_inside_a_guard(daemon, worker, change):
    for _ in range(10):
        worker.do("pthread-exit-in-guard")
    # Its line is free again: it holds nothing up.
    daemon.call("Apply", operations=[], wait="quiescent")


@under_change
def longjmp_out_of_a_guard_is_noticed(daemon, worker, change):
    equal(worker.do("longjmp-leak"), "leaked 1")


@under_change
def forked_children(daemon, worker, change):
    worker.do("fork 4")
    wait_until(lambda: len([w for w in daemon.list("workers") if w["pid"]]) == 5, "children are known by their pids")
    equal({w["state"] for w in daemon.list("workers")}, {"current"})
    change.some(40)


@under_change
def children_of_a_process_with_threads(daemon, worker, change):
    worker.do("loop 3")
    for _ in range(10):
        worker.do("fork 1")
    change.some(40)
    equal(len(descendants(worker.pid)), 10, "living children")


@under_change
def prefork_trees_three_deep(daemon, worker, change):
    for _ in range(5):
        worker.do("fork-tree 3")
    wait_until(lambda: len(descendants(worker.pid)) == 15, "15 processes")
    wait_until(lambda: len(daemon.list("workers")) == 16, "all are workers")
    change.some(40)


@under_change
def fork_inside_a_guard(daemon, worker, change):
    for _ in range(10):
        worker.do("fork-in-guard")
        change.some(5)


@under_change
def children_that_are_killed(daemon, worker, change):
    worker.do("fork 6")
    for child in descendants(worker.pid):
        os.kill(child, signal.SIGKILL)
        change.some(10)
    wait_until(lambda: len(daemon.list("workers")) == 1, "the dead are forgotten")
    worker.do("forget-children")


@under_change
def raw_clone(daemon, worker, change):
    worker.do("allow 0 7 8")            # the child runs defaults until it has joined
    code = int(worker.do("after-clone").split()[1])
    assert code in (7, 8), f"verdict {code}"


@under_change
def vfork_and_exec(daemon, worker, change):
    for _ in range(20):
        equal(worker.do("vfork-exec"), "exit 0")


@under_change
def posix_spawn(daemon, worker, change):
    for _ in range(20):
        equal(worker.do("spawn"), "exit 0")


@under_change
def all_descriptors_closed(daemon, worker, change):
    worker.do("close-all")
    change.some(40)
    before = stats(worker.do("stats"))["calls"]
    change.some()
    wait_until(lambda: stats(worker.do("stats"))["calls"] > before, "the loop goes on")
    equal(len([w for w in daemon.list("workers") if w["pid"] == worker.pid]), 1, "records of the worker")


@under_change
def descriptors_closed_and_their_numbers_taken(daemon, worker, change):
    worker.do("close-all reuse")
    change.some(40)
    worker.do("stats")


@case
def descriptors_of_others_are_left_alone():
    with Daemon() as daemon:
        worker = daemon.worker()
        worker.do("close-all reuse")
        daemon.restart()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "the worker joins the next daemon")
        equal(worker.do("count-reused"), "reused 64")


@case
def closed_descriptors_and_a_new_daemon():
    """Its lines are lost with their descriptor:
    it joins the next daemon with new ones, and its threads move to them."""
    with Daemon() as daemon:
        worker = daemon.worker()
        with Change(daemon) as change:
            worker.do("allow 7 8")
            worker.do("loop 3")
            change.some(10)
            worker.do("close-all")
            change.some(10)
        daemon.restart()
        with change:
            wait_until(lambda: worker.do("status").startswith("joined generation 2"), "the worker joins the next daemon")
            wait_until(lambda: [w["state"] for w in daemon.list("workers")] == ["current"], "it has moved")
            change.some(200)
        equal(stats(worker.do("stop"))["wrong"], 0, "wrong verdicts")


@case
def exec_of_another_program():
    """The kernel marks the lines of what was executed over, so nothing waits for them."""
    with Daemon() as daemon:
        worker = daemon.worker()
        with Change(daemon) as change:
            worker.do("allow 7 8")
            worker.do("loop 4")
            change.some(10)
            equal(worker.do("exec"), "executed")
            change.some(20)
            daemon.call("Apply", operations=[], wait="quiescent")
            worker.do("open")
            worker.do("allow 7 8")
            worker.do("loop 1")
            change.some(20)
            equal([w["state"] for w in daemon.list("workers")], ["current"], "the process's records")
            equal(stats(worker.do("stop"))["wrong"], 0, "wrong verdicts")


@case
def kill_of_a_worker_in_a_guard():
    with Daemon() as daemon:
        worker, other = daemon.worker(), daemon.worker()
        with Change(daemon) as change:
            for w in (worker, other):
                w.do("allow 7 8")
            worker.do("hold")
            other.do("loop 1")
            change.some(10)
            worker.kill()
            wait_until(lambda: len(daemon.list("workers")) == 1, "the dead worker is forgotten")
            daemon.call("Apply", operations=[], wait="quiescent")
            equal(stats(other.do("stop"))["wrong"], 0, "wrong verdicts")


@case
def an_event_loop_instead_of_a_thread():
    with Daemon() as daemon:
        worker = daemon.worker(open_now=False)
        worker.do("open-no-thread")
        wait_until(lambda: worker.do("status").startswith("joined"), "joined")
        equal(len(os.listdir(f"/proc/{worker.pid}/task")), 1, "threads of the process")
        daemon.load("seven", slow_verdict(7, 20))
        link = daemon.attach("on_test", 1, "seven")
        equal(worker.do("call on_test 1").split()[1], "7")
        worker.do("allow 7")
        worker.do("fork 2")
        daemon.restart()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        daemon.call("Detach", link=link)
        equal(worker.do("call on_test 1").split()[1], "0")
        with Change(daemon) as change:
            worker.do("allow 7 8")
            worker.do("loop 3")
            change.some()
        daemon.restart()
        with change:
            wait_until(lambda: worker.do("status").startswith("joined generation 3"), "moved under load")
            change.some()
        equal(stats(worker.do("stop"))["wrong"], 0, "wrong verdicts")


@case
def exceptions_out_of_guards():
    with Daemon() as daemon:
        worker = Worker(daemon.worker_path, executable=WORKER + "_cxx")
        daemon.workers.append(worker)
        with Change(daemon) as change:
            for _ in range(5):
                equal(worker.do("throw 1000"), "caught 1000 word 0")
                change.some(5)
            daemon.call("Apply", operations=[], wait="quiescent")


@case
def tables_that_come_and_go():
    with Daemon() as daemon:
        worker = daemon.worker()
        worker.do("register late 5")
        wait_until(lambda: "late" in [t["name"] for t in daemon.list("tables")], "the late table is declared")
        equal(worker.do("call late 1").split()[1], "5")
        daemon.load("seven", slow_verdict(7, 20))
        daemon.attach("late", 1, "seven")
        wait_until(lambda: worker.do("call late 1").split()[1] == "7", "the late table's program runs")
        worker.do("unregister late")


@case
def fork_while_another_thread_closes():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", slow_verdict(7, 20))
        daemon.attach("on_test", 1, "seven")
        equal(worker.do("fork-in-close"), "ok")         # of its `hold`
        equal(worker.process.stdout.readline(), "exit 7\n")


@case
def closing_and_opening_again():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", slow_verdict(7, 20))
        daemon.attach("on_test", 1, "seven")
        for _ in range(20):
            equal(worker.do("call on_test 1").split()[1], "7")
            worker.do("close")
            equal(worker.do("call on_test 1").split()[1], "0")
            worker.do("open")
        equal([w["state"] for w in daemon.list("workers")], ["current"], "its records")
        worker.do("close")
        wait_until(lambda: not daemon.list("workers"), "it is forgotten")


run()
