# SPDX-License-Identifier: MIT
"""Pokes between processes, a small run of bench/poke: with waits nothing goes wrong, without them something does."""
import json
import os
import subprocess

import tap

POKE = os.path.join(tap.BUILD_DIR, "bench/poke")


def poke(*options):
    """Run it; its exit status, its one object, and what it said besides."""
    done = subprocess.run([POKE, "--json", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)
    return done.returncode, json.loads(done.stdout)[0] if done.stdout else None, done.stderr


@tap.case
def readers_see_only_the_versions_that_they_may_see():
    status, counts, said = poke("--readers", "2", "--pokes", "20000", "--settles", "2000", "--executions", "2000000")
    tap.equal(status, 0, f"exit status ({said} {counts})")
    tap.equal(sorted(counts), sorted(["pokes", "settles", "executions", "wrong", "crashes", "pokes_per_s"]), "members")
    tap.equal((counts["wrong"], counts["crashes"]), (0, 0), "wrong and crashes")
    assert counts["pokes"] >= 20000 and counts["settles"] >= 2000 and counts["executions"] >= 2000000, counts


@tap.case
def without_waits_readers_run_freed_code():
    for _ in range(10):
        status, counts, said = poke("--negative-control", "--readers", "1")
        tap.equal(status, 0, f"exit status ({said} {counts})")
        assert counts["wrong"] + counts["crashes"] > 0, counts


@tap.case
def bad_options_are_named():
    for options, wanted in ((["--pokes", "x"], "--pokes"), (["--readers", "0"], "--readers"), (["more"], '"more"')):
        status, counts, said = poke(*options)
        tap.equal((status, counts), (2, None), f"exit status and output of {options}")
        assert wanted in said, said


tap.run()
