# SPDX-License-Identifier: MIT
"""doc/maps.md as a reader follows it: its program is loaded, and each command prints what the page says,
in the page's order."""
import os
import re
import shlex
import subprocess

from harness import DISPATCHCTL, Daemon, compile_program
from tap import SOURCE_DIR, case, equal, run

with open(os.path.join(SOURCE_DIR, "doc/maps.md")) as file:
    PAGE = file.read()

BLOCKS = ["".join(line[4:] or "\n" for line in match.group().splitlines(True)).strip("\n") + "\n"
          for match in re.finditer(r"(?:^ {4}.*\n|^\n)+", PAGE, re.MULTILINE) if match.group().strip()]


def for_the_test_worker(text):
    """Its table and its context are called otherwise; the members of the context are the same."""
    text = text.replace("on_request", "on_test").replace("table/request", "table/test")
    return text.replace("struct request", "struct test")


def steps():
    """("$", command, what it prints) and ("#", tenant, requests), in the order of the page."""
    found = []
    for line in "".join(block for block in BLOCKS if block[0] in "$#" and "SEC(" not in block).splitlines(True):
        request = re.fullmatch(r"# tenant (\d+) makes (\d+) requests\n", line)
        if request:
            found.append(("#", *request.groups()))
        elif line.startswith("$ "):
            found.append(["$", line[2:].rstrip("\n"), ""])
        else:
            found[-1][2] += line
    return found


def first_line(command):
    """Of a command that does not end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        return process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def comparable(text):
    """Without what depends on the layout, and on who runs this."""
    return re.sub(r"^(bytes|uid)( +)\d+$", r"\1\2N", text, flags=re.MULTILINE)


def printed(daemon, command, program):
    words = shlex.split(for_the_test_worker(command).replace("limit.bpf.o", program))
    words = DISPATCHCTL + ["--socket", daemon.control_path, *words[1:]]
    if command == "dispatchctl trace":
        return re.sub(r"^\d+ \d+", "4711 4711", first_line(words))
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout


@case
def the_page_is_true():
    programs = [block for block in BLOCKS if "SEC(" in block]
    equal(len(programs), 1, "programs")
    program = compile_program(for_the_test_worker(programs[0]), "maps-doc")
    with Daemon() as daemon:
        worker = daemon.worker()
        for kind, what, more in steps():
            if kind == "#":
                worker.do(f"method {what}")
                for _ in range(int(more)):
                    worker.do("call on_test 3")
            else:
                equal(comparable(printed(daemon, what, program)), comparable(for_the_test_worker(more)), what)


@case
def the_page_shows_every_verb_of_maps():
    verbs = set(re.findall(r"^  map (\w+)",
                           subprocess.run(DISPATCHCTL + ["--help"], capture_output=True, text=True).stdout, re.M))
    assert len(verbs) > 10, verbs
    equal(verbs - set(re.findall(r"dispatchctl map (\w+)", PAGE)), set(), "verbs that the page does not show")


@case
def links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert os.path.exists(os.path.join(SOURCE_DIR, "doc", target)), target


run()
