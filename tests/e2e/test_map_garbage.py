# SPDX-License-Identifier: MIT
"""Any worker can write anything into the memory of maps.  Whatever is there, dispatchd answers:
each method, on each kind."""
import mmap
import os
import random
import threading

from harness import Daemon
from tap import case, run

SEED = int(os.environ.get("SEED", "1"))
ROUNDS = int(os.environ.get("COUNT", "25"))
HEAD = 0x85000                          # the seats, and behind them the trace ring and the maps
SPAN = 4 << 20

# Name, kind, entries, key, value; or of maps of maps, what they hold maps like.
MAPS = [
    ("array", "array", 100, "u32", "u64"), ("hash", "hash", 500, "u32", "u64"),
    ("lru", "lru_hash", 100, "u64", "char[12]"),
    ("percpu", "percpu_array", 10, "u32", "u64"), ("percpu-hash", "percpu_hash", 50, "u32", "u64"),
    ("queue", "queue", 20, None, "u32"), ("stack", "stack", 20, None, "u32"), ("ring", "ringbuf", 4096, None, None),
    ("trie", "lpm_trie", 100, "u8[8]", "u32"),
    ("maps", "array_of_maps", 10, "u32", None, "hash"), ("named-maps", "hash_of_maps", 10, "u32", None, "hash"),
]


class Garbage:
    """Writes as a hostile worker does, into the memory that all share."""

    def __init__(self, daemon):
        directory = f"/proc/{daemon.process.pid}/fd"
        arena = [f"{directory}/{name}" for name in os.listdir(directory)
                 if "arena" in os.readlink(f"{directory}/{name}") and "memfd:" in os.readlink(f"{directory}/{name}")]
        assert arena, "the daemon has no arena"
        with open(arena[0], "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), HEAD + SPAN)
        self.random = random.Random(SEED)

    def number(self):
        """What hurts: small, all ones, near powers of two, or anything."""
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.randrange(600)
        if kind == 1:
            return (1 << 64) - 1 - self.random.randrange(4)
        if kind == 2:
            return ((1 << self.random.randrange(64)) + self.random.randrange(3) - 1) % (1 << 64)
        return self.random.getrandbits(64)

    def write(self):
        """Some words in many places, or one whole stretch."""
        if self.random.randrange(4) == 0:
            at = self.random.randrange(HEAD + SPAN - 65536)
            self.memory[at:at + 65536] = self.random.randbytes(65536)
        for _ in range(5000):
            at = 8 * self.random.randrange((HEAD + (SPAN >> self.random.randrange(6))) // 8)
            self.memory[at:at + 8] = self.number().to_bytes(8, "little")


def calls(name, kind, key):
    """A call of each method, as (method, parameters)."""
    keyed = {"map": name}
    if kind == "lpm_trie":
        keyed["key_hex"] = (key % 33).to_bytes(4, "little").hex() + (key << 20).to_bytes(4, "big").hex()
    elif kind not in ("queue", "stack", "ringbuf"):
        keyed["key"] = {"value": key}
    value = {"value": {"lru_hash": "text", "array_of_maps": "hash", "hash_of_maps": "hash"}.get(kind, 7)}
    yield "LookupElement", keyed
    yield "UpdateElement", {**keyed, "value": value}
    yield "PushElement", {"map": name, "value": value}
    yield "PopElement", {"map": name}
    yield "ShowMap", {"map": name}
    yield "DeleteElement", keyed
    yield "IterateMap", {"map": name}
    yield "ReadRing", {"map": name}


def answered(connection, method, parameters):
    """Every call comes to its end: with an answer, or with an error that has a name."""
    connection.send({"method": "io.dispatchd.Control." + method, "parameters": parameters,
                     "more": method in ("IterateMap", "ReadRing")})
    n = 1
    while True:
        answer = connection.receive()
        assert answer is not None, f"no answer to {method} {parameters}"
        if not answer.get("continues"):
            return n
        n += 1
        assert n < 1000, f"{method} {parameters} does not end"


def create_all(daemon):
    for name, kind, entries, *types in MAPS:
        members = {member: type for member, type in zip(("key", "value", "inner"), types) if type}
        daemon.call("CreateMap", map=name, kind=kind, max_entries=entries, **members)


def call_all(connection, chooser):
    """Each method on each map, once."""
    for name, kind, entries, *_ in MAPS:
        for method, parameters in calls(name, kind, chooser.randrange(2 * entries)):
            answered(connection, method, parameters)


def remove_all(daemon):
    for name, *_ in reversed(MAPS):         # a map that is held by another goes after it
        daemon.call("RemoveMap", map=name)


@case
def every_method_answers_whatever_is_in_memory():
    with Daemon() as daemon:
        create_all(daemon)
        garbage = Garbage(daemon)
        connection = daemon.connect()
        for _ in range(ROUNDS):
            for name, kind, entries, *_ in MAPS:
                garbage.write()
                for method, parameters in calls(name, kind, garbage.random.randrange(2 * entries)):
                    answered(connection, method, parameters)
            if garbage.random.randrange(4) == 0:
                answered(connection, "ClearMap", {"map": garbage.random.choice(MAPS)[0]})
        remove_all(daemon)


@case
def every_method_answers_while_memory_changes():
    with Daemon() as daemon:
        create_all(daemon)
        garbage = Garbage(daemon)
        connection, chooser, done = daemon.connect(), random.Random(SEED), threading.Event()

        def write():
            while not done.is_set():
                garbage.write()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(ROUNDS):
                call_all(connection, chooser)
        finally:
            done.set()
            writer.join()
        remove_all(daemon)


@case
def a_map_that_is_made_in_that_memory_is_empty():
    with Daemon() as daemon:
        garbage = Garbage(daemon)
        garbage.memory[HEAD + 65536 + 4096:HEAD + SPAN] = b"\xa5" * (SPAN - 65536 - 4096)
        daemon.call("CreateMap", map="hash", kind="hash", max_entries=500, key="u32", value="u64")
        assert daemon.call("ShowMap", map="hash")["entries"] == 0
        daemon.call("UpdateElement", map="hash", key={"value": 1}, value={"value": 2})
        assert daemon.call("LookupElement", map="hash", key={"value": 1})["element"]["value"] == {"value": 2}


run()
