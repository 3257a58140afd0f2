# SPDX-License-Identifier: MIT
"""The bench programs run, and say in JSON what they promise: members and cases, not figures (bench/poke: test_poke.py)."""
import itertools
import json
import os
import subprocess

from harness import DISPATCHD
from tap import BUILD_DIR, Skip, case, equal, run, skip_all

if os.environ.get("SANITIZERS") == "yes":
    skip_all("nobody measures what is built with sanitizers, and it takes minutes")

KERNELS = 27                            # files of bench/kernels
PLANS = ["tree", *(shape + hot for shape in ("hash", "dense") for hot in ("", "+1", "+2", "+3", "+4")), "fnptr"]


def bench(name, *options):
    """What bench/NAME prints with --json, after as little work as it can do."""
    program = os.path.join(BUILD_DIR, "bench", name)
    if not os.path.exists(program):
        raise Skip(f"bench/{name} is not built: it needs liburcu")
    done = subprocess.run([program, "--quick", "--json", *options], capture_output=True, text=True, timeout=300)
    equal(done.returncode, 0, f"exit status ({done.stderr})")
    return done.stdout


def with_daemon(name):
    return bench(name, "--daemon", DISPATCHD)


def members(rows, wanted, what):
    """All rows have these members, each a text, or a number that is not negative."""
    for row in rows:
        equal(sorted(row), sorted(wanted.split()), f"members of {what}")
        for member, value in row.items():
            assert isinstance(value, (str, dict)) or value >= 0, f"{what}: {member} is {value}"


def cases(rows, *names):
    """What tells rows apart; no two have the same."""
    found = [tuple(row[name] for name in names) for row in rows]
    equal(len(found), len(set(found)), f"different cases of {names}")
    return set(found)


@case
def attach():
    rows = [json.loads(with_daemon("attach"))]
    members(rows, "rounds attach_us detach_us fdatasync_us limit_us", "attach")


@case
def edits():
    rows = [json.loads(line) for line in with_daemon("edits").splitlines()]
    columns = "attach_all_ms detach_all_ms attach_us detach_us replace_us".split()
    members(rows, " ".join(["keys", "entries", *columns, *("daemon_" + column for column in columns)]), "edits")
    equal(cases(rows, "keys", "entries"), set(itertools.product(("dense", "sparse", "counted", "chain"), (10, 100))))


@case
def dispatch():
    rows = json.loads(with_daemon("dispatch"))
    members(rows, "n keys case ns", "dispatch")
    forms = {row["case"] for row in rows}
    equal(forms, {"direct", "fnptr", "rcu_fnptr", "retpoline", "tree", "dispatchd", "dispatchd_direct", "static_call"})
    sizes = {row["n"] for row in rows}
    equal(cases(rows, "keys", "n", "case"), set(itertools.product(("hot", "zipf", "uniform", "shift"), sizes, forms)))


@case
def shapes():
    rows = json.loads(bench("shapes"))
    members(rows, "n keys ns chosen expected", "shapes")
    for row in rows:
        equal(list(row["ns"]), PLANS, "plans")
        assert row["chosen"] in PLANS and set(row["expected"]) <= {"tree", "hash", "dense"}, row
    equal(cases(rows, "n", "keys"), set(itertools.product({row["n"] for row in rows}, ("hot", "zipf", "uniform"))))


@case
def programs():
    rows = json.loads(bench("programs"))
    members(rows, "kernel native_ns jit_ns", "programs")
    equal(len(cases(rows, "kernel")), KERNELS, "kernels")


@case
def maps():
    rows = json.loads(bench("maps", "--keys", "64"))
    members(rows, "op impl procs ns refused", "maps")
    ways = {(row["op"], row["impl"]) for row in rows}
    equal(cases(rows, "op", "impl", "procs"), {(*way, procs) for way in ways for procs in (1, 2, 4, 8)})
    assert {("hash_lookup", "dispatchd"), ("hash_lookup", "rculfhash"), ("array_lookup", "dispatchd")} <= ways, ways


run()
