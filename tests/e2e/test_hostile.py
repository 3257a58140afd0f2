# SPDX-License-Identifier: MIT
"""What a hostile worker may try: it harms itself, and neither the daemon nor anybody else."""
import os
import socket
import threading

from fake_worker import FIELDS, LAYOUT_VERSION, TABLE, lines
from harness import Connection, Daemon, refused, verdict
from tap import case, equal, run

WORKER = "io.dispatchd.Worker."

# What is free counts as free also under the address sanitizer, which keeps it for a while.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"


def join(daemon, tables=None):
    connection = Connection(daemon.worker_path)
    connection.call(WORKER + "Join", [lines()], layout_version=LAYOUT_VERSION, name="hostile", tables=tables or [TABLE])
    return connection


def memory(daemon):
    """Resident bytes of the daemon's own memory."""
    with open(f"/proc/{daemon.process.pid}/status") as file:
        return [int(line.split()[1]) for line in file if line.startswith("RssAnon")][0] * 1024


@case
def a_table_declared_twice():
    with Daemon() as daemon:
        for other in (dict(TABLE, default_verdict=1), dict(TABLE, fields=FIELDS[:3]), dict(TABLE, context="other")):
            refused(lambda: join(daemon, [TABLE, other]), "ContextMismatch")
        equal(daemon.list("tables"), [])
        join(daemon, [TABLE, TABLE])
        equal(daemon.list("workers")[0]["tables"], ["on_test"])


@case
def a_child_whose_socket_is_the_daemons_own():
    with Daemon() as daemon:
        parent, victim = join(daemon), join(daemon)
        parent.send({"method": WORKER + "Fork", "parameters": {}}, [lines(), victim.socket.fileno()])
        reply = parent.receive()
        assert "DescriptorRefused" in reply["error"], reply
        equal(len(daemon.list("workers")), 2)


@case
def a_flood_of_children():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        parent = join(daemon)
        stop = threading.Event()

        def flood():
            mine = lines()
            for _ in range(3000):
                if stop.is_set():
                    return
                ours, theirs = socket.socketpair()
                try:
                    parent.send({"method": WORKER + "Fork", "parameters": {}, "oneway": True}, [mine, theirs.fileno()])
                except OSError:
                    return
                finally:
                    ours.close()
                    theirs.close()
        thread = threading.Thread(target=flood)
        thread.start()
        for _ in range(20):
            link = daemon.attach("on_test", 3, "seven")
            equal(worker.do("call on_test 3").split()[1], "7")
            daemon.call("Detach", link=link)
        stop.set()
        thread.join()


@case
def declarations_without_end():
    """Of what is known already, while a guard is held: nothing waits for it, so nothing is kept."""
    with Daemon() as daemon:
        worker = daemon.worker()
        worker.do("hold")
        hostile = join(daemon)
        tables = [dict(TABLE, name=f"t{i}") for i in range(100)]
        hostile.call(WORKER + "Declare", tables=tables)
        before = memory(daemon)
        for _ in range(300):
            hostile.call(WORKER + "Declare", tables=tables)
        assert memory(daemon) - before < 8 << 20, f"grew by {memory(daemon) - before} bytes"


@case
def messages_without_a_method():
    with Daemon() as daemon:
        for path in (daemon.worker_path, daemon.control_path):
            connection = Connection(path)
            connection.send_bytes(b'{"x":1}\0' * 10)
            connection.receive()
            connection.close()
        daemon.call("Info")


@case
def names_cut_inside_a_character():
    with Daemon() as daemon:
        parameters = refused(lambda: daemon.call("Attach", table="a" + "é" * 100, key=1, program="x"),
                             "InvalidParameter")
        assert "over 63 bytes" in parameters["reason"], parameters


@case
def refused_changes_do_not_use_up_the_image():
    with Daemon(arguments=["--text-size", "1"]) as daemon:
        daemon.worker()
        with open(verdict(7), "rb") as file:
            for _ in range(300):
                operations = [{"operation": "load", "program": f"p{i}", "descriptor": 0}
                              if i == 0 else {"operation": "detach", "link": 99} for i in range(2)]
                refused(lambda: daemon.call("Apply", [file.fileno()], operations=operations), "UnknownLink")
        daemon.load("seven", verdict(7))


@case
def a_worker_that_lost_its_socket_before_it_moved_is_named():
    with Daemon() as daemon:
        daemon.worker()
        daemon.load("seven", verdict(7))
        join(daemon).close()
        reply = daemon.call("Attach", table="on_test", key=3, program="seven")
        equal([w["pid"] for w in reply["unmoved"]], [os.getpid()])


run()
