# SPDX-License-Identifier: MIT
"""What each rule of the x86-64 back end is worth: the kernels of bench/programs without it, and with all of them.

    python3 bench/rules.py [--cpu v1|v2|v3] [--rounds N]

The program is built once for each row of the table in jitcore/x86_64/rules.c, without that row, in a copy of the source.
The builds run in turns; a kernel's time is taken beside the native one of the same run, and of the rounds the median.
Printed: by how many percent the kernels are slower without the rule (geometric mean), and the two that lose most.
"""
import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../tests/mutations"))
from tree import Tree  # noqa: E402

RULES = "jitcore/x86_64/rules.c"
ROW = re.compile(r'^    \{ "([a-z-]+)", .*\n', re.MULTILINE)
WHOLE = ""


def rows(tree):
    """Name and line of each rule; not the sweeps, which only clear up behind them."""
    with open(os.path.join(tree.source, RULES)) as file:
        return {row[1]: row[0] for row in ROW.finditer(file.read()) if row[1] != "sweep"}


def build(tree, name, target):
    error = tree.make([target])
    if error:
        sys.exit(f"{name or 'bench/programs'}: {error}")
    program = os.path.join(tree.build, "bench", f"programs-without-{name}")
    shutil.copy(os.path.join(tree.build, "bench/programs"), program)
    return program


def build_all(tree):
    programs = {WHOLE: build(tree, WHOLE, "all")}        # with the kernels
    for name, line in rows(tree).items():
        with tree.mutation(RULES, line, "") as wrong:
            if wrong:
                sys.exit(wrong)
            programs[name] = build(tree, name, "bench/programs")
    return programs


def measure(program, processor):
    """By kernel: its time, in times of the native one."""
    output = subprocess.run([program, "--cpu", processor, "--json"], stdout=subprocess.PIPE, check=True).stdout
    return {row["kernel"]: row["jit_ns"] / row["native_ns"] for row in json.loads(output)}


def medians(rounds):
    return {kernel: statistics.median(one[kernel] for one in rounds) for kernel in rounds[0]}


def percent(ratio):
    return (ratio - 1) * 100


def print_table(times):
    whole = medians(times.pop(WHOLE))
    print(f"{'rule':20} {'percent':>8}  most")
    for name, rounds in times.items():
        loss = {kernel: time / whole[kernel] for kernel, time in medians(rounds).items()}
        mean = math.exp(statistics.mean(math.log(ratio) for ratio in loss.values()))
        most = sorted(loss, key=loss.get, reverse=True)[:2]
        print(f"{name:20} {percent(mean):8.1f}  " + ", ".join(f"{kernel} {percent(loss[kernel]):.0f}" for kernel in most))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu", default="v3", choices=["v1", "v2", "v3"])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    tree = Tree()
    try:
        programs = build_all(tree)
        times = {name: [] for name in programs}
        for _ in range(arguments.rounds):
            for name, program in programs.items():
                times[name].append(measure(program, arguments.cpu))
    finally:
        tree.remove()
    print_table(times)


main()
