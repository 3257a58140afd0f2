# SPDX-License-Identifier: MIT
"""The public vectors of the instruction set (../shared/conformance), compiled and interpreted."""
import json
import os
import struct
import subprocess

from tap import BUILD_DIR, SOURCE_DIR, case, equal, run, skip_all

BPFRUN = os.path.join(BUILD_DIR, "jitcore/bpfrun")
DIRECTORY = os.path.join(SOURCE_DIR, "../shared/conformance")
SHIFTS = (0x6, 0x7, 0xc)


def rows(name):
    with open(os.path.join(DIRECTORY, name)) as file:
        return [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]


def bpfrun(requests):
    """The answers to many requests, by id."""
    text = "".join(json.dumps(request) + "\n" for request in requests)
    result = subprocess.run([BPFRUN], input=text, capture_output=True, text=True, timeout=300, check=True)
    equal(result.stderr, "", "complaints")
    return {answer["id"]: answer for answer in map(json.loads, result.stdout.splitlines())}


def check_vectors(who):
    vectors = rows("isa.tsv")
    answers = bpfrun({"id": row[0], "mem": row[3], "insns": row[4], "raw": True} for row in vectors)
    wrong = [row[0] for row in vectors if answers[row[0]].get(who, {}).get("r0") != hex(int(row[5], 16))]
    equal(wrong, [], f"{who}: wrong")
    equal(len(vectors), 225, "vectors")


@case
def all_225_vectors_pass_compiled():
    check_vectors("jit")


@case
def all_225_vectors_pass_interpreted():
    check_vectors("interpret")


@case
def all_45_programs_with_a_field_that_must_be_zero_are_refused():
    vectors = rows("must_reject.tsv")
    for raw in (True, False):
        answers = bpfrun({"id": row[0], "insns": row[2], "raw": raw} for row in vectors)
        accepted = [row[0] for row in vectors if answers[row[0]]["verdict"] != "reject"]
        equal(accepted, [], "accepted")
        rules = {answers[row[0]]["error"]["rule"] for row in vectors}
        equal(rules, {"instruction"}, "rules")
    equal(len(vectors), 45, "programs")


def shifts_too_far(instructions):
    """Is there a shift by an immediate outside the width?  RFC 9669 section 4.1: it is masked."""
    for opcode, _, _, immediate in struct.iter_unpack("<BBhi", bytes.fromhex(instructions)):
        if opcode >> 4 in SHIFTS and opcode & 0xf in (4, 7) and not 0 <= immediate < (64 if opcode & 3 == 3 else 32):
            return True
    return False


@case
def the_12_shifts_outside_the_width_are_masked_and_not_refused():
    vectors = [row for row in rows("isa.tsv") if shifts_too_far(row[4])]
    equal(len(vectors), 12, "such vectors")
    answers = bpfrun({"id": row[0], "mem": row[3], "insns": row[4], "raw": True} for row in vectors)
    equal({answers[row[0]]["verdict"] for row in vectors}, {"accept"}, "verdicts")


@case
def vectors_pass_through_the_plugin_convention():
    for row in rows("isa.tsv")[::9]:
        for arguments in (["--plugin"], ["--plugin", "--interpret"]):
            command = [BPFRUN, *arguments] + ([row[3]] if row[3] else [])
            result = subprocess.run(command, input=row[4], capture_output=True, text=True, timeout=60)
            equal((result.returncode, result.stderr), (0, ""), row[0])
            equal(int(result.stdout, 16), int(row[5], 16), row[0])


if not os.path.isdir(DIRECTORY):
    skip_all("../shared/conformance is not there")
run()
