# SPDX-License-Identifier: MIT
"""Children that are forked while the daemon is killed and comes back run its programs in every call,
never the default."""
import threading

from harness import Daemon, verdict, wait_until
from tap import case, run


def check_stopped(worker):
    answer = worker.do("stop")
    assert " wrong 0 " in answer, answer


@case
def children_of_a_dying_daemon():
    """Many at once, so that some are between the two messages that announce a child when the daemon dies."""
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        daemon.attach("on_test", 1, "seven")
        worker.do("allow 7")
        for generation in range(2, 8):
            killer = threading.Timer(0.02 * generation, daemon.kill)
            killer.start()
            for _ in range(40):
                worker.do("fork 1")
            killer.join()
            check_stopped(worker)
            daemon.start()
            wait_until(lambda: worker.do("status").startswith(f"joined generation {generation}"), "the worker joins")


@case
def children_while_a_daemon_comes():
    """One after the other, each calling until the next one comes."""
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        daemon.attach("on_test", 1, "seven")
        worker.do("allow 7")
        for generation in range(2, 8):
            daemon.kill()
            starter = threading.Thread(target=daemon.start)
            starter.start()
            while starter.is_alive():
                worker.do("fork 1")
                check_stopped(worker)
            wait_until(lambda: worker.do("status").startswith(f"joined generation {generation}"), "the worker joins")
        worker.do("fork 3")
        wait_until(lambda: [w["state"] for w in daemon.list("workers")] == 4 * ["current"], "all have moved")


run()
