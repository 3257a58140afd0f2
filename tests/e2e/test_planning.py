# SPDX-License-Identifier: MIT
"""Plans: the shape follows the keys that come, calls are right meanwhile,
and nothing is left behind when nobody plans."""
import os
import random
import subprocess
import time

from harness import DISPATCHCTL, Daemon, verdict, wait_until
from tap import case, equal, run

FAST = ["--planning-interval", "5"]


def fill(daemon, keys, values=(1, 2, 3)):
    for v in values:
        daemon.load(f"p{v}", verdict(v))
    operations = [{"operation": "attach", "table": "on_test", "key": key, "program": f"p{values[i % len(values)]}"}
                  for i, key in enumerate(keys)]
    daemon.call("Apply", operations=operations)


def explain(daemon):
    return daemon.call("Explain", table="on_test")


def check_all(worker, keys, values=(1, 2, 3)):
    for i, key in enumerate(keys):
        equal(int(worker.do(f"call on_test {key}").split()[1]), values[i % len(values)], f"key {key}")
        if key + 1 not in keys:
            equal(int(worker.do(f"call on_test {key + 1}").split()[1]), 0, f"key {key + 1}")


@case
def the_hottest_key_is_found():
    keys = random.Random(3).sample(range(1 << 31), 64)
    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, keys)
        worker.do("allow 0 1 2 3")
        worker.do(f"key {keys[40]}")
        worker.do("loop 1")
        plan = wait_until(lambda: (p := explain(daemon))["sampled"] and p, "sampled")
        equal(plan["frequencies"][0]["keys"], str(keys[40]))
        assert plan["distinct"] < 1.5 and plan["misses"] == 0, plan
        assert plan["expected_ns"] > 0 and plan["measured_ns"] > 0, plan
        assert "tree" in {cost["shape"] for cost in plan["costs"]}, plan
        worker.do(f"key {keys[7]}")
        wait_until(lambda: explain(daemon)["frequencies"][0]["keys"] == str(keys[7]), "the mix has shifted")
        equal(worker.do("stop").split()[3], "0", "wrong verdicts")
        check_all(worker, keys)


@case
def a_plan_follows_the_mix():
    keys = random.Random(3).sample(range(1 << 31), 64)
    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, keys)
        worker.do("allow 1 2 3")
        for key in (keys[40], keys[7], keys[40]):
            worker.do(f"key {key}")
            worker.do("loop 1")
            wait_until(lambda: explain(daemon)["hot_keys"] == [key], "the plan is for the mix that comes")
            equal(worker.do("stop").split()[3], "0", "wrong verdicts")
        check_all(worker, keys)


@case
def the_cost_that_is_expected_is_that_of_the_plan_that_stands():
    keys = random.Random(3).sample(range(1 << 31), 64)
    with Daemon(arguments=["--planning-interval", "300"]) as daemon:        # long enough to see the plan's own sample
        worker = daemon.worker()
        fill(daemon, keys)
        worker.do("allow 1 2 3")
        worker.do(f"key {keys[40]}")
        worker.do("loop 1")
        plan = wait_until(lambda: (p := explain(daemon))["sampled"] and p, "sampled")
        worker.do("stop")
        equal(plan["hot_keys"], [keys[40]], "it has changed")
        equal(plan["expected_ns"], next(cost["expected_ns"] for cost in plan["costs"] if cost["shape"] == plan["shape"]))


@case
def misses_are_seen():
    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, [1, 2, 3, 4])
        worker.do("allow 0")
        worker.do("key 99")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["misses"] == 1, "only misses")
        worker.do("stop")


@case
def right_while_it_is_sampled_and_changed():
    """Loops in threads, edits of the table, and windows all the time: no verdict but those that the key may have."""
    keys = list(range(0, 3000, 3))
    with Daemon(arguments=["--planning-interval", "1"]) as daemon:
        workers = [daemon.worker() for _ in range(2)]
        fill(daemon, keys)
        for worker in workers:
            worker.do("allow 1")
            worker.do("key 0")
            worker.do("loop 2")
        added = [daemon.attach("on_test", 1 + 3 * i, "p2") for i in range(150)]
        for link in added:
            daemon.call("Detach", link=link)
        wait_until(lambda: explain(daemon)["sampled"], "sampled")
        for worker in workers:
            equal(worker.do("stop").split()[3], "0", "wrong verdicts")
        check_all(workers[0], keys[::50], [(1, 2, 3)[i % 3] for i in range(0, 1000, 50)])


@case
def a_thread_that_is_stopped_in_a_guard_does_not_stop_planning():
    keys = random.Random(3).sample(range(1 << 31), 64)
    with Daemon(arguments=["--planning-interval", "500"]) as daemon:        # so that the windows come while it is stopped
        held, worker = daemon.worker(), daemon.worker()
        fill(daemon, keys)
        wait_until(lambda: daemon.list("tables")[0]["settled"], "settled")
        worker.do("allow 0 1 2 3")
        worker.do(f"key {keys[40]}")
        worker.do("loop 1")
        held.do("hold")
        wait_until(lambda: explain(daemon)["sampled"], "sampled")
        held.do("release")
        worker.do("stop")


@case
def samplers_do_not_pile_up_while_a_thread_is_stopped():
    keys = random.Random(3).sample(range(1 << 31), 64)
    with Daemon(arguments=["--planning-interval", "1"]) as daemon:
        held, worker = daemon.worker(), daemon.worker()
        fill(daemon, keys)
        worker.do("allow 0 1 2 3")
        worker.do(f"key {keys[40]}")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["hot_keys"] == [keys[40]] and daemon.list("tables")[0]["settled"], "planned")
        held.do("hold")
        before = daemon.call("Info")["text_bytes_used"]
        time.sleep(2)
        more = daemon.call("Info")["text_bytes_used"] - before
        assert more <= 1024, f"{more} bytes"
        held.do("release")
        worker.do("stop")


@case
def a_link_that_comes_in_front_has_its_entry_s_frequency():
    keys = random.Random(3).sample(range(1 << 31), 64)

    def frequent():             # not how often: the last sample may still be under way
        return [row["keys"] for row in explain(daemon)["frequencies"]]

    with Daemon(arguments=["--planning-interval", "500"]) as daemon:      # long enough that the mix stays known
        worker = daemon.worker()
        fill(daemon, keys)
        worker.do("allow 1 2 3")
        worker.do(f"key {keys[40]}")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["hot_keys"] == [keys[40]], "planned")
        worker.do("stop")
        before = [str(keys[40])]
        equal(frequent(), before)
        daemon.attach("on_test", keys[40], "p1", priority=-1, proceed_on=[1])
        equal(frequent(), before, "a link came")
        old = [row["id"] for row in daemon.list("links") if row["first"] == keys[40]][-1]
        daemon.call("Detach", link=old, wait="quiescent")
        equal(frequent(), before, "and the other went")
        daemon.stop()
        daemon.start()
        equal(frequent(), before, "after a restart")


@case
def a_plan_survives_a_restart():
    keys = list(range(1000, 1200))
    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, keys)
        worker.do("allow 1 2 3")
        worker.do("key 1003")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["sampled"], "sampled")
        before = wait_until(lambda: explain(daemon)["shape"] != "tree" and explain(daemon), "planned")
        worker.do("stop")
        daemon.arguments = ["--planning-interval", "0"]
        daemon.restart()
        after = explain(daemon)
        equal((after["shape"], after["hot_keys"]), (before["shape"], before["hot_keys"]))
        equal(after["frequencies"][0]["keys"], "1003")
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        check_all(worker, keys)


@case
def a_sample_says_nothing_of_a_table_that_has_grown():
    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, [1, 2, 3])
        worker.do("allow 1 2 3")
        worker.do("key 1")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["sampled"], "sampled")
        worker.do("stop")
        equal(explain(daemon)["shape"], "tree")
        keys = range(100, 2100)
        daemon.call("Apply", operations=[{"operation": "attach", "table": "on_test", "key": key,
                                          "program": "p1"} for key in keys])
        assert explain(daemon)["shape"] != "tree", explain(daemon)
        equal([worker.do(f"call on_test {key}").split()[1] for key in (1, 100, 2099, 2100)], ["1", "1", "1", "0"])


@case
def without_indirect_branches_there_are_trees():
    keys = list(range(1000, 1200))
    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, keys)
        wait_until(lambda: explain(daemon)["shape"] != "tree", "planned")
        daemon.call("SetPolicy", table="on_test", policy="no_indirect")
        worker.do("allow 1 2 3")
        worker.do("key 1003")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["sampled"], "sampled")
        worker.do("stop")
        plan = explain(daemon)
        equal((plan["shape"], plan["policy"], [c["shape"] for c in plan["costs"]]), ("tree", "no_indirect", ["tree"]))
        check_all(worker, keys)


@case
def nothing_is_sampled_when_it_is_off():
    with Daemon(arguments=["--planning-interval", "0"]) as daemon:
        worker = daemon.worker()
        fill(daemon, [1, 2, 3])
        wait_until(lambda: daemon.list("tables")[0]["settled"], "settled")
        before = daemon.call("Info")["grace_periods"]
        worker.do("allow 1")
        worker.do("key 1")
        worker.do("loop 1")
        time.sleep(0.3)
        worker.do("stop")
        equal(daemon.call("Info")["grace_periods"], before, "grace periods")
        equal((explain(daemon)["shape"], explain(daemon)["sampled"]), ("tree", 0))


def ring_positions(worker):
    """How many keys each of the worker's first threads has written to its ring: layout.h, counters.h."""
    directory = f"/proc/{worker.pid}/fd"
    path = next(f"{directory}/{fd}" for fd in os.listdir(directory)
                if "dispatchd-lines" in os.readlink(f"{directory}/{fd}"))
    with open(path, "rb") as file:
        return [int.from_bytes(os.pread(file.fileno(), 8, (1 + line) << 20), "little") for line in range(8)]


def finish_call(worker):
    """Until the call has ended that the worker's loop is in."""
    def calls():
        return int(worker.do("stats").split()[1])

    before = calls()
    wait_until(lambda: calls() > before + 1, "the loop goes on")


@case
def the_sampler_is_gone_when_the_daemon_stops():
    """Workers go on in the code that the daemon leaves behind:
    it is that without the sampler, whenever the daemon stops."""
    with Daemon(arguments=["--planning-interval", "1"]) as daemon:
        worker = daemon.worker()
        fill(daemon, [1, 2, 3])
        worker.do("allow 1")
        worker.do("key 1")
        for _ in range(5):
            before = ring_positions(worker)
            worker.do("loop 1")
            wait_until(lambda: ring_positions(worker) != before, "sampled")
            daemon.stop()
            finish_call(worker)         # it may be in the sampler
            rings = ring_positions(worker)
            time.sleep(0.02)
            equal(ring_positions(worker), rings, "positions of sample rings while no daemon is there")
            worker.do("stop")
            daemon.start()
            wait_until(lambda: worker.do("status").startswith("joined"), "moved")


@case
def all_shapes_are_measured():
    """Also where the daemon stops meanwhile; a table of many entries is measured as it is."""
    shapes = set()
    for keys in (list(range(4)), list(range(2000)), random.Random(5).sample(range(1 << 32), 3000)):
        with Daemon(arguments=FAST) as daemon:
            worker = daemon.worker()
            fill(daemon, keys)
            worker.do("allow 1 2 3")
            worker.do(f"key {keys[1]}")
            worker.do("loop 1")
            plan = wait_until(lambda: (p := explain(daemon))["sampled"] and p, "sampled")
            worker.do("stop")
            assert plan["measured_ns"] > 0, plan
            shapes.add(plan["shape"])
            connection = daemon.connect()
            connection.send({"method": "io.dispatchd.Control.Explain", "parameters": {"table": "on_test"}})
            equal(daemon.stop(), 0, "status of a daemon that stops in a measurement")
            connection.close()
    assert len(shapes) > 1, shapes


@case
def dispatchctl_explains():
    def ctl(*arguments):
        return subprocess.run([*DISPATCHCTL, "--socket", daemon.control_path, *arguments], capture_output=True,
                              text=True, timeout=60, check=True).stdout

    with Daemon(arguments=FAST) as daemon:
        worker = daemon.worker()
        fill(daemon, [5, 6, 7])
        assert "none yet" in ctl("explain", "on_test")
        worker.do("allow 1")
        worker.do("key 5")
        worker.do("loop 1")
        wait_until(lambda: explain(daemon)["sampled"], "sampled")
        worker.do("stop")
        shown = ctl("explain", "on_test")
        for text in ("shape", "because", "EXPECTED-NS", "SHARE", "100.0 %"):
            assert text in shown, shown
        equal(ctl("--quiet", "explain", "on_test"), "tree\n")


if __name__ == "__main__":
    run()
