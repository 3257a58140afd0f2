# SPDX-License-Identifier: MIT
"""Change and death under load: wrk asks all workers all the time, and none of its requests may fail."""
import re
import shutil
import signal
import subprocess

from harness import Daemon, wait_until
from server import PROCESSES, Server, example
from tap import case, equal, run, skip_all

CYCLES = 1000


class Load:
    """wrk, until the block ends; then every one of its requests must have been answered with 200."""

    def __init__(self, server):
        self.process = subprocess.Popen(["wrk", "-t1", "-c16", "-d3600", "-H", "Cookie: variant=5",
                                         f"http://127.0.0.1:{server.port}/"], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.send_signal(signal.SIGINT)
        report = self.process.communicate(timeout=60)[0]
        if exception[0] is None:
            print("# " + " ".join(re.search(r"\d+ requests in .*", report).group().split()))
            assert int(re.search(r"(\d+) requests", report).group(1)) > 1000, report
            assert "Socket errors" not in report and "Non-2xx" not in report, report


def variant(server):
    return server.ask("/", Cookie="variant=1")


@case
def every_request_sees_the_change_that_was_answered():
    """After the reply to attach no worker answers as before, after the reply to detach none as attached."""
    with Daemon() as daemon, Server(daemon.worker_path) as server, Load(server):
        daemon.load("choose_variant", example("choose_variant"))
        for cycle in range(CYCLES):
            link = daemon.attach("on_request", 1, "choose_variant")
            equal(variant(server), (200, "1"), f"answer after attach {cycle}")
            daemon.call("Detach", link=link)
            equal(variant(server), (200, "0"), f"answer after detach {cycle}")


@case
def a_killed_daemon_is_not_noticed_by_clients():
    """Its programs run on; the next daemon has the same links, all workers move to it, and it can change them."""
    with Daemon() as daemon, Server(daemon.worker_path) as server, Load(server):
        daemon.load("choose_variant", example("choose_variant"))
        daemon.load("set_status", example("set_status"))
        daemon.attach("on_request", 2, "set_status")
        daemon.call("Detach", link=daemon.attach("on_request", 3, "set_status"))    # a hole in the ids
        link = daemon.attach("on_request", 1, "choose_variant")
        for generation in (2, 3, 4):
            links = daemon.list("links")
            equal(sorted((one["id"], one["first"]) for one in links), [(1, 2), (link, 1)], "links")
            daemon.kill()
            equal(variant(server), (200, "1"), "answer without a daemon")
            daemon.start()
            equal(daemon.list("links"), links, "links after the restart")
            equal(daemon.call("Info")["generation"], generation, "generation")
            equal(variant(server), (200, "1"), "answer with the next daemon")
            wait_until(lambda: [worker["state"] for worker in daemon.list("workers")] == ["current"] * (PROCESSES + 1),
                       "all workers have moved")
            equal(daemon.call("Detach", link=link)["unmoved"], [], "unmoved workers")
            equal(variant(server), (200, "0"), "answer after detach")
            previous, link = link, daemon.attach("on_request", 1, "choose_variant")
            assert link > previous, "an id was given out again"
            equal(variant(server), (200, "1"), "answer after attach")


if not shutil.which("wrk"):
    skip_all("wrk is not installed")
run()
