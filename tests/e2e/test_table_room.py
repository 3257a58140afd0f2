# SPDX-License-Identifier: MIT
"""How many tables there may be, and who has them: nobody keeps others from declaring theirs."""
import contextlib
import os
import sqlite3

from fake_worker import LAYOUT_VERSION, TABLE, lines
from harness import Connection, Daemon, refused, verdict, wait_until
from tap import Skip, case, equal, run

WORKER = "io.dispatchd.Worker."
PER_WORKER, PER_USER, ALL = 256, 1024, 4096
OTHER, ANOTHER = 65533, 65532


def tables(prefix, count, **more):
    return [dict(TABLE, name=f"{prefix}{i}", **more) for i in range(count)]


def connect(daemon, uid=None):
    """As this user, as the kernel says of who connects."""
    if uid is None:
        return Connection(daemon.worker_path)
    os.chmod(daemon.directory, 0o755)
    os.seteuid(uid)
    try:
        return Connection(daemon.worker_path)
    finally:
        os.seteuid(0)


def join(daemon, declared, uid=None, descriptors=None):
    connection = connect(daemon, uid)
    connection.call(WORKER + "Join", [lines()] if descriptors is None else descriptors, layout_version=LAYOUT_VERSION,
                    name="fake", tables=declared)
    return connection


def declare_and_leave(daemon, declared, uid=None):
    join(daemon, declared, uid).call(WORKER + "Leave")


def names(daemon):
    return [table["name"] for table in daemon.list("tables")]


def stored(daemon, text):
    with contextlib.closing(sqlite3.connect(f"{daemon.directory}/state/dispatchd.db")) as database:
        return [row[0] for row in database.execute(text)]


def need_root():
    if os.getuid() != 0:
        raise Skip("only root can connect as several users")


@case
def a_refused_join_leaves_nothing():
    with Daemon() as daemon:
        before = daemon.call("Info")
        refused(lambda: join(daemon, tables("t", PER_WORKER), descriptors=[]), "UnknownProcess")
        with open("/dev/null", "rb") as file:
            refused(lambda: join(daemon, tables("t", 3), descriptors=[file.fileno()]), "DescriptorRefused")
        connection = connect(daemon)
        for wrong, error in ((tables("t", 2) + tables("no name ", 1), "InvalidParameter"),
                             (tables("t", 2) + tables("t", 1, default_verdict=1), "ContextMismatch"),
                             (tables("t", PER_WORKER + 1), "LimitExceeded")):
            refused(lambda: connection.call(WORKER + "Join", [lines()], layout_version=LAYOUT_VERSION, name="fake",
                                            tables=wrong), error)
            equal((len(names(daemon)), len(daemon.list("workers"))), (0, 0), "tables and workers")
        equal(daemon.call("Info"), before, "what is used")
        connection.call(WORKER + "Join", [lines()], layout_version=LAYOUT_VERSION, name="fake", tables=tables("t", 1))
        equal([worker["tables"] for worker in daemon.list("workers")], [["t0"]], "the refused one may try again")
        connection.call(WORKER + "Leave")
        daemon.stop()
        equal(stored(daemon, "SELECT name FROM tables UNION SELECT pid FROM workers"), ["t0"], "rows")
        daemon.start()


@case
def a_refused_join_is_no_end_of_what_was_known():
    """A process that lost its socket stays known, with its tables, whatever it is refused later."""
    with Daemon() as daemon:
        join(daemon, tables("t", 1)).close()
        wait_until(lambda: daemon.list("workers")[0]["state"] == "disconnected", "disconnected")
        before = daemon.list("workers")
        refused(lambda: join(daemon, tables("no name ", 1), descriptors=[]), "InvalidParameter")
        equal(daemon.list("workers"), before, "workers")
        join(daemon, tables("u", 1), descriptors=[])
        equal([worker["tables"] for worker in daemon.list("workers")], [["t0", "u0"]], "it joined again")


@case
def what_is_too_much_for_a_worker_is_not_declared():
    with Daemon() as daemon:
        connection = join(daemon, tables("t", PER_WORKER))
        for again in range(2):
            parameters = refused(lambda: connection.call(WORKER + "Declare", tables=tables("u", 1)), "LimitExceeded")
            equal(parameters, {"limit": "tables of a worker", "maximum": PER_WORKER}, f"refusal {again}")
        connection.call(WORKER + "Declare", tables=tables("t", PER_WORKER))
        equal((len(names(daemon)), "u0" in names(daemon)), (PER_WORKER, False), "tables")


@case
def tables_that_hold_nothing_make_room():
    need_root()
    with Daemon() as daemon:
        keeper = join(daemon, tables("kept", 4))
        alive = join(daemon, tables("alive", 1))
        daemon.load("seven", verdict(7))
        daemon.attach("kept0", 3, "seven")
        daemon.call("SetPolicy", table="kept1", policy="no_indirect")
        daemon.call("SetStatistics", table="kept2", counting="runs")
        daemon.call("SetStatistics", table="kept3", misses=True, counting="runs")
        calls = [{"name": "call", "context": "", "context_size": 0, "default_verdict": 0, "fields": [],
                  "prototype": "u32()"}]
        keeper.call(WORKER + "Declare", tables=calls)
        daemon.call("SetCall", call="call", value=5)
        keeper.call(WORKER + "Leave")
        for i in range(ALL // PER_WORKER):
            count = PER_WORKER if i else PER_WORKER - 6
            declare_and_leave(daemon, tables(f"unused{i}_", count, context=f"context{i}"))
        equal(len(names(daemon)) + len(daemon.list("calls")), ALL, "tables before")
        bytes_used = daemon.call("Info")["text_bytes_used"]
        daemon.worker()
        for i in range(2 * ALL // PER_WORKER):
            declare_and_leave(daemon, tables(f"more{i}_", PER_WORKER, context=f"more{i}"))
        found = names(daemon)
        equal(len(found) + len(daemon.list("calls")), ALL, "tables after")
        for name in ("kept0", "kept1", "kept2", "kept3", "alive0", "on_test"):
            assert name in found, name
        equal(daemon.list("calls")[0]["target"], "value:5", "the call")
        wait_until(lambda: daemon.call("Info")["text_bytes_used"] <= bytes_used + (1 << 16), "the image is used again")
        daemon.stop()
        equal(sorted(stored(daemon, "SELECT name FROM tables")), sorted(found + ["call"]), "rows")
        equal(stored(daemon, "SELECT name FROM contexts WHERE name NOT IN (SELECT context FROM tables)"), [],
              "contexts that nothing has")
        daemon.disconnect()
        daemon.start()
        equal(names(daemon), found, "tables after a restart")
        alive.close()


@case
def tables_of_living_workers_are_kept():
    need_root()
    with Daemon() as daemon:
        alive = [join(daemon, tables(f"t{i}_", PER_WORKER)) for i in range(ALL // PER_WORKER)]
        parameters = refused(lambda: join(daemon, tables("more", 1)), "LimitExceeded")
        equal(parameters, {"limit": "tables", "maximum": ALL})
        alive[3].call(WORKER + "Leave")
        join(daemon, tables("more", 1))
        equal(len(names(daemon)), ALL, "tables")
        equal([name for name in names(daemon) if name.startswith("t3_")] ==
              sorted(f"t3_{i}" for i in range(PER_WORKER))[1:], True, "as many as were needed")


@case
def a_user_cannot_have_all():
    need_root()
    with Daemon() as daemon:
        alive = [join(daemon, tables(f"t{i}_", PER_WORKER), OTHER) for i in range(PER_USER // PER_WORKER)]
        for _ in range(2):
            parameters = refused(lambda: join(daemon, tables("more", 1), OTHER), "LimitExceeded")
            equal(parameters, {"limit": "tables of a user", "maximum": PER_USER})
            daemon.restart()
            alive = [join(daemon, tables(f"t{i}_", PER_WORKER), OTHER) for i in range(PER_USER // PER_WORKER)]
        join(daemon, tables("t0_", 3), OTHER)           # those that are there
        join(daemon, tables("another", 1), ANOTHER)
        daemon.worker()
        equal(len(names(daemon)), PER_USER + 2, "tables")
        alive[0].call(WORKER + "Leave")
        join(daemon, tables("more", 100), OTHER)
        equal(len(names(daemon)), PER_USER + 2, "tables")


@case
def who_needs_room_loses_its_own_tables_first():
    need_root()
    with Daemon() as daemon:
        declare_and_leave(daemon, tables("a", 2), ANOTHER)      # by name, these come first
        for i in range((ALL - PER_WORKER) // PER_WORKER):
            declare_and_leave(daemon, tables(f"b{i}_", PER_WORKER))
        declare_and_leave(daemon, tables("c", PER_WORKER - 2), OTHER)
        declare_and_leave(daemon, tables("d", 10), OTHER)
        equal(len(names(daemon)), ALL, "tables")
        found = [name for name in names(daemon) if not name.startswith("b")]
        equal(len([name for name in found if name.startswith("c")]), PER_WORKER - 12, "its own that are left")
        equal([name for name in found if name.startswith("a")], ["a0", "a1"], "those of another")


run()
