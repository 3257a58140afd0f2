# SPDX-License-Identifier: MIT
"""The example server and its three programs: real requests, in every one of its processes."""
import http.client
import os
import signal

from harness import Daemon, descendants, wait_until
from server import PROCESSES, Server, example
from tap import case, equal, run


class Attached:
    """A program at a key, until the block ends."""

    def __init__(self, daemon, key, name):
        self.daemon = daemon
        daemon.load(name, example(name))
        self.name, self.link = name, daemon.attach("on_request", key, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.daemon.call("Detach", link=self.link)
        self.daemon.call("Unload", program=self.name)


@case
def serves_without_a_daemon():
    with Server("/nonexistent/worker") as server:
        equal([server.status(path) for path in ("/", "/api", "/api/x", "/static/a", "/admin?x", "/administrator",
                                                "/x")],
              [200, 200, 200, 200, 200, 404, 404])
        equal(server.ask("/", "HEAD"), (200, "0"))


@case
def refuses_heads_that_are_too_long():
    """A program that looks at the whole head cannot be evaded by length."""
    with Server("/nonexistent/worker") as server:
        for length in range(3800, 4300, 7):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("GET", "/", headers={"X": "a" * length})
            status = connection.getresponse().status
            connection.close()
            assert status == 200 and length < 4096 or status in (400, 431), f"{length}: {status}"


@case
def replaces_a_dead_worker_and_ends_with_all_of_them():
    with Server("/nonexistent/worker") as server:
        victim = descendants(server.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in descendants(server.process.pid), "the dead worker is reaped")
        wait_until(lambda: len(descendants(server.process.pid)) == PROCESSES, "a new worker is there")
        workers = descendants(server.process.pid)
        server.process.terminate()
        equal(server.process.wait(60), 0, "exit status")
        for worker in workers:
            assert not os.path.exists(f"/proc/{worker}"), f"worker {worker} is left"


@case
def workers_end_with_a_killed_parent():
    with Server("/nonexistent/worker") as server:
        workers = descendants(server.process.pid)
        equal(len(workers), PROCESSES)
        server.process.kill()
        wait_until(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers), "all workers have ended")


@case
def block_bots_blocks_bots():
    def statuses(server):
        return (server.status("/static/a", User_Agent="GoodBot/2.1"), server.status("/static/a", User_Agent="Firefox"),
                server.status("/static/a", User_Agent="x" * 3000 + "rOBOTs"),
                server.status("/static/bot", Referer="bot"),
                server.status("/static/a", **{"uSER-aGENT": "bot"}), server.status("/static/a", X_User_Agent="bot"),
                server.status("/", User_Agent="bot"))

    with Daemon() as daemon, Server(daemon.worker_path) as server:
        before = statuses(server)
        equal(before, (200,) * 7)
        with Attached(daemon, 3, "block_bots"):
            equal(statuses(server), (403, 200, 403, 200, 403, 200, 200))
        equal(statuses(server), before)


@case
def block_bots_blocks_a_path_prefix():
    def statuses(server):
        return tuple(server.status(path, method) for path, method in
                     (("/wp-login.php", "GET"), ("/wp-", "DELETE"), ("/wp", "GET"), ("/x/wp-", "GET"),
                      ("/x?/wp-", "GET")))

    with Daemon() as daemon, Server(daemon.worker_path) as server:
        equal(statuses(server), (404,) * 5)
        with Attached(daemon, 0, "block_bots"):
            equal(statuses(server), (403, 403, 404, 404, 404))
        equal(statuses(server), (404,) * 5)


@case
def choose_variant_reads_the_cookie():
    def variants(server):
        return "".join(server.ask("/", **headers)[1] for headers in
                       ({}, {"Cookie": "variant=1"}, {"Cookie": "a=b; variant=7; c=d"}, {"Cookie": "covariant=3"},
                        {"Cookie": "variant=x"}, {"X_Cookie": "variant=3"}))

    with Daemon() as daemon, Server(daemon.worker_path) as server:
        equal(variants(server), "000000")
        with Attached(daemon, 1, "choose_variant"):
            equal(variants(server), "017000")
        equal(variants(server), "000000")


@case
def set_status_retires_an_interface():
    def statuses(server):
        return tuple(server.status(path, method) for path, method in
                     (("/api/v1", "GET"), ("/api/v1/x", "DELETE"), ("/api/v1?x", "GET"), ("/api/v10", "GET"),
                      ("/api/v2", "GET"), ("/api", "GET")))

    with Daemon() as daemon, Server(daemon.worker_path) as server:
        equal(statuses(server), (200,) * 6)
        with Attached(daemon, 2, "set_status"):
            equal(statuses(server), (410, 410, 410, 200, 200, 200))
        equal(statuses(server), (200,) * 6)


@case
def rate_limit_limits_each_client():
    """All processes count in one map; another client has an account of its own."""
    def statuses(server, client, count):
        found = []
        for _ in range(count):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(client, 0))
            connection.request("GET", "/api/items")
            found.append(connection.getresponse().status)
            connection.close()
        return found

    with Daemon() as daemon, Server(daemon.worker_path) as server:
        daemon.load("rate_limit", example("rate_limit"), settings={"burst": "5", "interval_ms": "3600000"})
        link = daemon.attach("on_request", 2, "rate_limit")
        equal(statuses(server, "127.0.0.1", 20), [200] * 5 + [429] * 15)
        equal(statuses(server, "127.0.0.2", 6), [200] * 5 + [429])
        equal(statuses(server, "127.0.0.1", 1), [429])
        for last, refused in (1, 16), (2, 1):
            account = daemon.call("LookupElement", map="clients",
                                  key={"address": [127, 0, 0, last]})["element"]["value"]
            equal((account["passed"], account["refused"]), (5, refused), f"account of 127.0.0.{last}")
        daemon.call("Detach", link=link)
        equal(statuses(server, "127.0.0.1", 20), [200] * 20)


@case
def joins_a_daemon_that_comes_later():
    with Daemon(start=False) as daemon, Server(daemon.worker_path) as server:
        equal(server.status("/api/v1"), 200)
        daemon.start()
        wait_until(lambda: len(daemon.list("workers")) == PROCESSES + 1, "all processes have joined")
        with Attached(daemon, 2, "set_status"):
            wait_until(lambda: not [worker for worker in daemon.list("workers") if worker["state"] != "current"],
                       "all processes run this generation")
            equal(server.status("/api/v1"), 410)
        equal(server.status("/api/v1"), 200)


run()
