# SPDX-License-Identifier: MIT
"""dispatchctl with a running daemon: every verb, and what it says when the daemon refuses."""
import json
import os
import re
import subprocess

from harness import CONTEXT, DISPATCHCTL, Daemon, compile_program, wait_until
from tap import BUILD_DIR, case, equal, run

PROGRAMS = os.path.join(BUILD_DIR, "examples/programs")
HTTPD = os.path.join(BUILD_DIR, "examples/httpd/httpd")


def object_of(name):
    return os.path.join(PROGRAMS, name + ".bpf.o")


def ctl(daemon, *arguments):
    return subprocess.run([*DISPATCHCTL, "--socket", daemon.control_path, *arguments], capture_output=True, text=True,
                          timeout=60)


def output(daemon, *arguments):
    """Standard output of a command that succeeds without a word on standard error."""
    result = ctl(daemon, *arguments)
    equal((result.returncode, result.stderr), (0, ""), f"{arguments}")
    return result.stdout


def refused(daemon, *arguments):
    """The sentence with which the daemon's refusal is shown."""
    result = ctl(daemon, *arguments)
    equal((result.returncode, result.stdout), (3, ""), f"{arguments}")
    equal(result.stderr.count("\n"), 1, "lines of complaint")
    return result.stderr


class Server:
    """The example server; its table on_request is what the tests attach to."""

    def __init__(self, daemon):
        self.process = subprocess.Popen([HTTPD, "--port", "0", "--processes", "2", "--socket", daemon.worker_path],
                                        stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        wait_until(lambda: output(daemon, "-q", "list", "tables"), "the server has joined")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()


@case
def a_fresh_daemon_has_nothing():
    with Daemon() as daemon:
        for what in ("programs", "tables", "links", "workers"):
            equal(output(daemon, "list", what).count("\n"), 1, f"lines of list {what}")
            equal(output(daemon, "-q", "list", what), "")
            equal(json.loads(output(daemon, "--json", "list", what)), {what: []})
        information = output(daemon, "info")
        assert re.search(r"^product +dispatchd$", information, re.M), information
        assert re.search(r"^generation +1$", information, re.M), information


@case
def the_two_commands_and_back():
    with Daemon() as daemon, Server(daemon):
        loaded = output(daemon, "load", "block_bots", object_of("block_bots"))
        assert re.search(r"^block_bots +request +block_bots +\d+ ", loaded, re.M), loaded
        equal(output(daemon, "attach", "on_request", "3", "block_bots"), "link 1\n")
        equal(output(daemon, "-q", "attach", "on_request", "0xffffffff", "block_bots"), "2\n")
        links = output(daemon, "list", "links")
        assert re.search(r"^ +1  on_request +3 +0  - +block_bots$", links, re.M), links
        assert re.search(r"^ +2  on_request +4294967295 +0  - +block_bots$", links, re.M), links
        programs = output(daemon, "list", "programs")
        assert re.search(r" 1,2 ", programs), programs
        tables = output(daemon, "list", "tables")
        assert re.search(r"^on_request +request +0 ", tables, re.M), tables
        workers = output(daemon, "list", "workers")
        equal(len(re.findall(r"^ *\d+  httpd .* current .* on_request  -$", workers, re.M)), 3, f"workers in {workers}")
        equal(output(daemon, "detach", "1"), "")
        equal(output(daemon, "detach", "2", "--wait", "quiescent"), "")
        equal(output(daemon, "-q", "list", "links"), "")
        equal(output(daemon, "unload", "block_bots", "--wait", "committed"), "")
        equal(output(daemon, "-q", "list", "programs"), "")


@case
def load_says_why_not():
    with Daemon() as daemon, Server(daemon):
        equal(output(daemon, "-q", "load", "p", object_of("set_status")), "p\n")
        assert "'p' is loaded already" in refused(daemon, "load", "p", object_of("block_bots"))
        text = os.path.join(daemon.directory, "text")
        with open(text, "w") as file:
            file.write("no object\n")
        assert "'q'" in refused(daemon, "load", "q", text)
        fifo = os.path.join(daemon.directory, "fifo")
        os.mkfifo(fifo)
        for odd in (fifo, "/dev/zero", daemon.directory):
            refused(daemon, "load", "q", odd)
        equal(output(daemon, "-q", "list", "programs"), "p\n")


SEVERAL = CONTEXT + """
const volatile __u32 limit = 5;
SEC("table/test") __u32 good(struct test *t) { return limit + t->method; }
SEC("table/test") __u32 bad(struct test *t) {
    const __u8 *data = t->data;
    return data[limit];
}
char LICENSE[] SEC("license") = "MIT";
"""


@case
def load_takes_one_program_and_settings():
    with Daemon() as daemon:
        worker, several = daemon.worker(), compile_program(SEVERAL, "good-and-bad")
        sentence = refused(daemon, "load", "p", several)
        assert "good" in sentence and "bad" in sentence, sentence
        output(daemon, "load", "p", several, "--program", "good", "--set", "limit=7")
        output(daemon, "attach", "on_test", "3", "p")
        equal(worker.do("call on_test 3").split()[1], "7")
        [program] = json.loads(output(daemon, "--json", "list", "programs"))["programs"]
        equal((program["function"], program["settings"], program["licence"]), ("good", {"limit": "7"}, "MIT"))
        for setting, words in (("limit=x", ("limit", "x")), ("limits=1", ("limits", "limit")),
                               ("limit=4294967296", ("limit",))):
            sentence = refused(daemon, "load", "q", several, "--program", "good", "--set", setting)
            for word in words:
                assert word in sentence, sentence


@case
def verify_loads_nothing():
    with Daemon() as daemon:
        several = compile_program(SEVERAL, "good-and-bad")
        assert "'test'" in refused(daemon, "verify", several, "--program", "good")         # no worker has declared it
        daemon.worker()
        text = output(daemon, "verify", several, "--program", "good")
        assert text.startswith("accepted\n"), text
        for pattern in (r"^function +good$", r"^context +test$", r"^licence +MIT$", r"^processed +\d+$"):
            assert re.search(pattern, text, re.M), text
        verbose = output(daemon, "verify", several, "--program", "good", "-v")
        assert len(verbose.splitlines()) > len(text.splitlines()) and verbose.endswith(text), verbose
        for pattern in (r"^; @ .*:\d+$", r"^good\+\d: r\d = \*\(u32 \*\)\(r1 \+ 16\); before: .*R1 = context", r"^good\+\d+: exit; "):
            assert re.search(pattern, verbose, re.M), (pattern, verbose)
        equal(output(daemon, "-q", "verify", several, "--program", "good"), "")
        result = ctl(daemon, "verify", several, "--program", "bad")
        equal((result.returncode, result.stdout), (3, ""))
        lines = result.stderr.splitlines()
        assert "'bad' is rejected" in lines[0] and "packet" in lines[0], lines
        for word in ("source: ", "registers: ", "hint: "):
            assert any(line.startswith("  " + word) for line in lines[1:]), lines
        assert re.search(r"source: .*, line \d+$", result.stderr, re.M), lines
        result = ctl(daemon, "verify", several, "--program", "bad", "--verbose")
        assert result.stdout and result.stderr.splitlines() == lines, result
        rejected = json.loads(ctl(daemon, "--json", "verify", several, "--program", "bad").stdout)
        equal((rejected["error"].split(".")[-1], rejected["parameters"]["function"]), ("ProgramRejected", "bad"))
        assert rejected["parameters"]["line"] > 0 and rejected["parameters"]["hint"], rejected
        equal(output(daemon, "-q", "list", "programs"), "")


@case
def attach_and_detach_say_why_not():
    with Daemon() as daemon, Server(daemon):
        output(daemon, "load", "p", object_of("set_status"))
        assert "'nowhere'" in refused(daemon, "attach", "nowhere", "1", "p")
        assert "'nobody'" in refused(daemon, "attach", "on_request", "1", "nobody")
        output(daemon, "attach", "on_request", "1", "p")
        sentence = refused(daemon, "attach", "on_request", "1", "p")
        assert "'on_request'" in sentence and "detach link 1" in sentence, sentence
        assert "link 1" in refused(daemon, "unload", "p")
        assert "no link 99" in refused(daemon, "detach", "99")
        assert "'nobody'" in refused(daemon, "unload", "nobody")
        equal(output(daemon, "-q", "list", "links"), "1\n")


@case
def json_is_the_reply():
    with Daemon() as daemon, Server(daemon):
        loaded = json.loads(output(daemon, "--json", "load", "p", object_of("set_status")))
        equal((loaded["program"]["name"], loaded["program"]["settings"]), ("p", {}))
        equal(json.loads(output(daemon, "--json", "attach", "on_request", "2", "p")), {"link": 1, "unmoved": []})
        links = json.loads(output(daemon, "--json", "list", "links"))
        equal(links, {"links": [{"id": 1, "table": "on_request", "keys": "2", "first": 2, "last": 2,
                                  "priority": 0, "proceed_on": [], "program": "p"}]})
        equal(json.loads(output(daemon, "--json", "detach", "1")), {"unmoved": []})


@case
def links_survive_the_daemon_and_unmoved_workers_are_named():
    """A stopped worker cannot move to the next daemon, so a change does not reach it yet."""
    with Daemon() as daemon, Server(daemon) as server:
        output(daemon, "load", "p", object_of("set_status"))
        output(daemon, "attach", "on_request", "2", "p")
        before = output(daemon, "list", "links")
        server.process.send_signal(19)      # SIGSTOP: the parent, which is a worker too
        daemon.restart()
        equal(output(daemon, "list", "links"), before)
        result = ctl(daemon, "attach", "on_request", "3", "p")
        server.process.send_signal(18)      # SIGCONT
        equal(result.returncode, 0)
        equal(result.stdout, "link 2\n")
        assert f"worker {server.process.pid} (httpd)" in result.stderr, result.stderr


run()
