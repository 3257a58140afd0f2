# SPDX-License-Identifier: MIT
"""What objects hold besides code: data that all workers share, constants, settings, several programs, a licence."""
import contextlib
import os
import sqlite3

from harness import CONTEXT, TO_VERSION_4, Daemon, Refused, compile_program, verdict, wait_until
from tap import case, equal, run

COUNTER = CONTEXT + """
static __u32 counted;                   /* .bss */
static __u32 begun = 100;               /* .data */
SEC("table/test") __u32 count(struct test *t) { begun += 1; return begun + 1000 * counted++; }
"""
SEVERAL = CONTEXT + """
const volatile __u32 base = 5;
const volatile __u8 flags[4] = { 1, 2, 3, 4 };
const volatile char word[8] = "abc";
static __u32 calls;
SEC("table/test") __u32 add(struct test *t) { return base + 1; }
SEC("table/test") __u32 multiply(struct test *t) { return base * 2; }
SEC("table/test") __u32 look(struct test *t) { return word[0] + flags[2] + 1000 * ++calls; }
char LICENSE[] SEC("license") = "Dual MIT/GPL";
"""


def called(worker, key=3):
    return int(worker.do(f"call on_test {key}").split()[1])


@case
def data_is_shared_by_workers_and_begins_as_the_object_says():
    with Daemon() as daemon:
        first, second = daemon.worker(), daemon.worker()
        daemon.load("counter", compile_program(COUNTER, "counter"))
        daemon.attach("on_test", 3, "counter")
        equal([called(w) for w in (first, second, first, second)], [101, 1102, 2103, 3104], "verdicts")
        used = daemon.call("Info")["arena_bytes_used"]
        assert used > 0 and used % 64 == 0, used


@case
def each_loaded_program_has_its_own():
    with Daemon() as daemon:
        worker = daemon.worker()
        for name in ("one", "two"):
            daemon.load(name, compile_program(COUNTER, "counter"))
        daemon.attach("on_test", 1, "one")
        daemon.attach("on_test", 2, "two")
        equal([called(worker, key) for key in (1, 1, 2, 1, 2)], [101, 1102, 101, 2103, 1102], "verdicts")


@case
def it_is_freed_with_the_program_and_begins_anew():
    with Daemon() as daemon:
        worker = daemon.worker()
        used = daemon.call("Info")["arena_bytes_used"]
        for _ in range(3):
            daemon.load("counter", compile_program(COUNTER, "counter"))
            link = daemon.attach("on_test", 3, "counter")
            equal([called(worker) for _ in range(3)], [101, 1102, 2103], "verdicts")
            daemon.call("Detach", link=link)
            daemon.call("Unload", program="counter", wait="quiescent")
            equal(daemon.call("Info")["arena_bytes_used"], used, "bytes used in the arena")


@case
def a_new_generation_begins_with_the_initial_contents():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("counter", compile_program(COUNTER, "counter"))
        daemon.attach("on_test", 3, "counter")
        equal([called(worker) for _ in range(2)], [101, 1102], "verdicts")
        daemon.kill()
        equal(called(worker), 2103, "without a daemon")
        daemon.start()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal([called(worker) for _ in range(2)], [101, 1102], "verdicts in the next generation")


@case
def a_forked_worker_shares_it():
    with Daemon() as daemon:
        worker, other = daemon.worker(), daemon.worker()
        daemon.load("counter", compile_program(COUNTER, "counter"))
        daemon.attach("on_test", 3, "counter")
        equal(called(worker), 101)
        worker.do("fork 1")
        equal([called(other), called(worker)], [1102, 2103], "verdicts")


@case
def the_arena_is_writable_and_never_executable():
    with Daemon() as daemon:
        worker = daemon.worker()
        for pid in (worker.pid, daemon.process.pid):
            with open(f"/proc/{pid}/maps") as file:
                arena = [line.split(None, 5)[1] for line in file if "dispatchd-arena" in line]
            equal(arena, ["rw-s"], f"mappings of the arena in {pid}")


@case
def settings_and_which_program():
    with Daemon() as daemon:
        worker = daemon.worker()
        several = compile_program(SEVERAL, "several")
        try:
            daemon.load("p", several)
        except Refused as refusal:
            equal(refusal.error, "ObjectInvalid")
            for name in ("add", "multiply", "look"):
                assert name in refusal.parameters["reason"], refusal
        else:
            raise AssertionError("loaded one of three")
        look = {"flags[2]": "9", "word": "z"}
        daemon.load("plain", several, function="add")
        daemon.load("set", several, function="multiply", settings={"base": "0x10"})
        daemon.load("look", several, function="look", settings=look)
        for key, name in enumerate(("plain", "set", "look")):
            daemon.attach("on_test", key, name)
        wanted = [6, 32, ord("z") + 9 + 1000]
        equal([called(worker, key) for key in range(3)], wanted, "verdicts")
        shown = {p["name"]: (p["function"], p["settings"], p["licence"]) for p in daemon.list("programs")}
        licence = "Dual MIT/GPL"
        equal(shown, {"plain": ("add", {}, licence), "set": ("multiply", {"base": "0x10"}, licence),
                      "look": ("look", look, licence)})
        before = daemon.list("programs")
        daemon.restart()
        equal(daemon.list("programs"), before, "programs after a restart")
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal([called(worker, key) for key in range(3)], wanted, "verdicts after a restart")


VERSION_1 = """
CREATE TABLE generation (number INTEGER NOT NULL) STRICT; INSERT INTO generation VALUES (41);
CREATE TABLE contexts (name TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE fields (context TEXT NOT NULL REFERENCES contexts (name) ON DELETE CASCADE, name TEXT NOT NULL,
  byte_offset INTEGER NOT NULL, size INTEGER NOT NULL, rights INTEGER NOT NULL,
  PRIMARY KEY (context, byte_offset)) STRICT, WITHOUT ROWID;
CREATE TABLE programs (name TEXT PRIMARY KEY, context TEXT NOT NULL REFERENCES contexts (name), digest BLOB NOT NULL,
  object BLOB NOT NULL) STRICT;
CREATE TABLE tables (name TEXT PRIMARY KEY, context TEXT NOT NULL REFERENCES contexts (name),
  default_verdict INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE links (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL REFERENCES tables (name),
  table_key INTEGER NOT NULL, program TEXT NOT NULL REFERENCES programs (name), UNIQUE (table_name, table_key)) STRICT;
CREATE INDEX links_program ON links (program);
CREATE TABLE workers (pid INTEGER PRIMARY KEY, start_time INTEGER NOT NULL, uid INTEGER NOT NULL,
  name TEXT NOT NULL) STRICT;
CREATE TABLE audit (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, uid INTEGER NOT NULL, pid INTEGER NOT NULL,
  operation TEXT NOT NULL, object TEXT NOT NULL) STRICT;
PRAGMA application_id = 0x64697370; PRAGMA user_version = 1;
INSERT INTO contexts VALUES ('test', 24);
INSERT INTO fields VALUES ('test', 'data', 0, 8, 3), ('test', 'data_end', 8, 8, 4), ('test', 'method', 16, 4, 1),
  ('test', 'status', 20, 4, 2);
INSERT INTO tables VALUES ('on_test', 'test', 0);
"""


@case
def a_database_of_version_1_is_brought_forward():
    with Daemon(start=False) as daemon:
        os.makedirs(f"{daemon.directory}/state")
        path = f"{daemon.directory}/state/dispatchd.db"
        with contextlib.closing(sqlite3.connect(path)) as old, open(verdict(7), "rb") as file:
            old.executescript(VERSION_1)
            old.execute("INSERT INTO programs VALUES ('seven', 'test', ?, ?)", (b"\0" * 32, file.read()))
            old.execute("INSERT INTO links VALUES (5, 'on_test', 3, 'seven'), (9, 'on_test', 4, 'seven')")
            old.execute("DELETE FROM links WHERE id = 9")
            old.commit()
        daemon.start()
        worker = daemon.worker()
        equal(called(worker), 7)
        [program] = daemon.list("programs")
        equal((program["function"], program["settings"]), ("verdict_7", {}))
        equal(daemon.call("Info")["generation"], 42)
        equal(daemon.list("links"), [{"id": 5, "table": "on_test", "keys": "3", "first": 3, "last": 3, "priority": 0,
                                      "proceed_on": [], "program": "seven"}])
        equal(daemon.list("tables")[0]["policy"], "any")
        equal(daemon.attach("on_test", 4, "seven"), 10, "the next link: ids stay used")
        daemon.load("set", compile_program(SEVERAL, "several"), function="multiply", settings={"base": "7"})
        daemon.restart()
        equal({p["name"]: p["settings"] for p in daemon.list("programs")}, {"seven": {}, "set": {"base": "7"}})
        daemon.stop()
        with contextlib.closing(sqlite3.connect(path)) as new:
            equal(new.execute("PRAGMA user_version").fetchone(), (5,))
        daemon.start()


@case
def a_database_of_version_4_is_brought_forward():
    """Whose its tables are nobody knows: they are root's, and stay."""
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        daemon.attach("on_test", 3, "seven")
        daemon.stop()
        path = f"{daemon.directory}/state/dispatchd.db"
        with contextlib.closing(sqlite3.connect(path)) as old:
            old.executescript(TO_VERSION_4)
        daemon.start()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal(called(worker), 7)
        daemon.stop()
        with contextlib.closing(sqlite3.connect(path)) as new:
            equal(new.execute("PRAGMA user_version").fetchone(), (5,))
            equal(new.execute("SELECT DISTINCT uid FROM tables").fetchall(), [(0,)], "whose")
        daemon.start()


run()
