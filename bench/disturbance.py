# SPDX-License-Identifier: MIT
"""What an attach costs while something happens to one of four workers: medians of one run, as ratios.

    BUILD_DIR=build python3 bench/disturbance.py [--json]

Conditions, interleaved round by round: nothing; one worker stopped (SIGSTOP) inside a guard; one worker killed; one
worker executing another program.  The last two happen at the beginning of every group of attaches, in the course of
the first.
The goal is a ratio of at most 1.2 to "nothing".
"""
import json
import os
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../tests/e2e"))
from harness import Daemon, verdict  # noqa: E402

ROUNDS, GROUPS, GROUP = 9, 4, 5


def attach(daemon):
    start = time.perf_counter()
    link = daemon.attach("on_test", 3, "seven")
    taken = time.perf_counter() - start
    daemon.call("Detach", link=link)
    return taken


def holding_worker(daemon):
    worker = daemon.worker()
    worker.do("hold")
    return worker


def nothing(worker):
    pass


def stopped(worker):
    os.kill(worker.pid, signal.SIGSTOP)


def killed(worker):
    os.kill(worker.pid, signal.SIGKILL)


def executing(worker):
    worker.process.stdin.write("exec\n")
    worker.process.stdin.flush()


def round_of(daemon, disturb):
    times = []
    for _ in range(GROUPS):
        worker = holding_worker(daemon)
        disturb(worker)
        times += [attach(daemon) for _ in range(GROUP)]
        worker.kill()
        daemon.workers.remove(worker)
    return times


def main():
    conditions = [nothing, stopped, killed, executing]
    times = {condition: [] for condition in conditions}
    with Daemon() as daemon:
        for _ in range(3):
            daemon.worker()
        daemon.load("seven", verdict(7))
        for _ in range(ROUNDS):
            for condition in conditions:
                times[condition] += round_of(daemon, condition)
    base = statistics.median(times[nothing])
    rows = [{"condition": c.__name__, "attach_us": round(statistics.median(times[c]) * 1e6, 1),
             "ratio": round(statistics.median(times[c]) / base, 2)} for c in conditions]
    if "--json" in sys.argv[1:]:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['condition']:12} {row['attach_us']:10.1f} us  {row['ratio']:.2f}")


main()
