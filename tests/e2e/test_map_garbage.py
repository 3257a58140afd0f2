# SPDX-License-Identifier: MIT
"""Any worker can write anything into the memory of maps.  Whatever is there, dispatchd answers:
each method, on each kind."""
import mmap
import os
import random

from harness import Daemon
from tap import case, run

SEED = int(os.environ.get("SEED", "1"))
ROUNDS = int(os.environ.get("COUNT", "25"))
HEAD = 0x85000                          # the seats, and behind them the trace ring and the maps
SPAN = 4 << 20

# Name, kind, entries, key, value.
MAPS = [
    ("array", "array", 100, "u32", "u64"), ("hash", "hash", 500, "u32", "u64"),
    ("lru", "lru_hash", 100, "u64", "char[12]"),
    ("percpu", "percpu_array", 10, "u32", "u64"), ("percpu-hash", "percpu_hash", 50, "u32", "u64"),
    ("queue", "queue", 20, None, "u32"), ("stack", "stack", 20, None, "u32"), ("ring", "ringbuf", 4096, None, None),
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
    keyed = {"map": name, "key": {"value": key}} if kind not in ("queue", "stack", "ringbuf") else {"map": name}
    value = {"value": "text"} if kind == "lru_hash" else {"value": 7}
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


@case
def every_method_answers_whatever_is_in_memory():
    with Daemon() as daemon:
        for name, kind, entries, key, value in MAPS:
            types = {name: kind for name, kind in (("key", key), ("value", value)) if kind}
            daemon.call("CreateMap", map=name, kind=kind, max_entries=entries, **types)
        garbage = Garbage(daemon)
        connection = daemon.connect()
        for _ in range(ROUNDS):
            for name, kind, entries, _, _ in MAPS:
                garbage.write()
                for method, parameters in calls(name, kind, garbage.random.randrange(2 * entries)):
                    answered(connection, method, parameters)
            if garbage.random.randrange(4) == 0:
                answered(connection, "ClearMap", {"map": garbage.random.choice(MAPS)[0]})
        for name, *_ in MAPS:
            daemon.call("RemoveMap", map=name)


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
