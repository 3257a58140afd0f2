# SPDX-License-Identifier: MIT
"""dispatchctl and sockets behind which there is no working daemon: each failure names socket, reason and next step."""
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time

from tap import BUILD_DIR, SOURCE_DIR, case, equal, run

CTL = os.path.join(BUILD_DIR, "ctl/dispatchctl")
directory = tempfile.TemporaryDirectory(prefix="dispatchctl-")


def path_of(name):
    return os.path.join(directory.name, name)


def ctl(path, *arguments, prefix=(), environment=None):
    """Run dispatchctl; returns its result and the seconds that it took."""
    started = time.monotonic()
    option = ["--socket", path] if path else []
    result = subprocess.run([*prefix, CTL, *option, *arguments], capture_output=True, text=True, timeout=30,
                            env=environment)
    return result, time.monotonic() - started


def fails(status, path, *words, **options):
    """`info` ends with this exit code soon, and its one complaint names the socket and has these words."""
    result, seconds = ctl(path, "info", **options)
    equal(result.returncode, status, f"exit code ({result.stderr})")
    equal(result.stdout, "")
    equal(result.stderr.count("\n"), 1, "lines of complaint")
    assert seconds < 5, f"{seconds} s"      # the promise is one second; a slow machine gets more
    for word in (path, *words):
        assert word in result.stderr, result.stderr


def listen(name, backlog=8, mode=0o777):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path_of(name))
    os.chmod(path_of(name), mode)
    listener.listen(backlog)
    return listener


def answering(name, *answers):
    """A peer that sends these bytes to each caller, then closes; an answer of None keeps silent."""
    listener = listen(name)
    requests = []

    def serve():
        for answer in answers:
            connection, _ = listener.accept()
            received = b""
            while b"\0" not in received:
                received += connection.recv(65536)
            requests.append(json.loads(received.rstrip(b"\0")))
            if answer is None:
                connection.recv(1)          # until the caller gives up
            else:
                connection.sendall(answer)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return requests


def reply(**members):
    return json.dumps(members).encode() + b"\0"


@case
def missing_socket():
    fails(2, path_of("missing"), "no such socket", "systemctl start dispatchd")


@case
def nobody_listens():
    listen("dead").close()
    fails(2, path_of("dead"), "nobody listens", "systemctl start dispatchd")


@case
def not_a_socket():
    open(path_of("file"), "w").close()
    fails(2, path_of("file"), "not a socket")


@case
def datagram_socket():
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(path_of("datagram"))
    fails(2, path_of("datagram"), "another protocol")


@case
def permission_denied():
    listen("closed", mode=0)
    # Root keeps its files, but not the right to pass over their modes.
    prefix = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    fails(2, path_of("closed"), "permission denied", "group dispatchd", prefix=prefix)


@case
def path_too_long():
    fails(2, path_of("x" * 110), "107 bytes")


@case
def full_queue():
    listener = listen("full", backlog=0)
    waiting = []
    for _ in range(8):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(path_of("full"))
        except BlockingIOError:
            break
        waiting.append(client)
    fails(2, path_of("full"), "does not accept")
    listener.close()


@case
def accepts_and_never_answers():
    listener = listen("silent")
    result, seconds = ctl(path_of("silent"), "--timeout", "1", "info")
    equal(result.returncode, 4)
    assert path_of("silent") in result.stderr and "within 1 s" in result.stderr, result.stderr
    assert 0.9 < seconds < 6, f"{seconds} s"
    listener.close()


@case
def closes_without_an_answer():
    answering("closes", b"")
    fails(2, path_of("closes"), "closed the connection")


@case
def answers_with_rubbish():
    answering("rubbish", b"hello\0", b"[]\0", b"{}\0", reply(parameters={}), reply(parameters={"product": 5}),
              b"\xff\0", reply(parameters=[]), b"x" * (8 << 20))
    for _ in range(8):
        fails(2, path_of("rubbish"))


@case
def environment_names_the_socket():
    environment = dict(os.environ, DISPATCHD_CONTROL_SOCKET=path_of("from-environment"))
    result, _ = ctl(None, "info", environment=environment)
    assert path_of("from-environment") in result.stderr, result.stderr


@case
def socket_of_the_user_is_taken_where_it_exists():
    environment = dict(os.environ, XDG_RUNTIME_DIR=directory.name)
    environment.pop("DISPATCHD_CONTROL_SOCKET", None)
    result, _ = ctl(None, "info", environment=environment)
    assert "/run/dispatchd/control" in result.stderr or result.returncode == 0, result.stderr
    os.mkdir(path_of("dispatchd"))
    listen("dispatchd/control").close()
    result, _ = ctl(None, "info", environment=environment)
    assert path_of("dispatchd/control") in result.stderr, result.stderr


@case
def every_error_of_the_interface_has_a_sentence():
    """The sentence shows each parameter's value, and not the bare name of the error."""
    with open(os.path.join(SOURCE_DIR, "proto/io.dispatchd.Control.varlink")) as file:
        errors = re.findall(r"^error (\w+) \((.*)\)$", file.read(), re.M)
    assert len(errors) >= 10, errors
    replies, values = [], []
    for error, fields in errors:
        parameters = {}
        for number, (name, kind) in enumerate(re.findall(r"(\w+): (\[?\]?\w+)", fields)):
            parameters[name] = {"string": f"text{number}", "int": 7000 + number, "[]int": [7000 + number, 8000],
                                "[]string": [f"one{number}", f"two{number}"]}[kind]
        replies.append(reply(error=f"io.dispatchd.Control.{error}", parameters=parameters))
        values.append([str(one) for v in parameters.values() for one in (v if isinstance(v, list) else [v])])
    answering("errors", *replies)
    for (error, _), shown in zip(errors, values):
        result, _ = ctl(path_of("errors"), "unload", "p")
        equal(result.returncode, 3)
        assert "io.dispatchd" not in result.stderr and "{" not in result.stderr, result.stderr
        for value in shown:
            assert value in result.stderr, f"{error}: no {value} in {result.stderr}"


@case
def unknown_error_is_shown_whole():
    answering("unknown-error", reply(error="io.dispatchd.Control.BrandNew", parameters={"table": "t", "key": 3}))
    result, _ = ctl(path_of("unknown-error"), "detach", "7")
    equal(result.returncode, 3)
    for word in ("io.dispatchd.Control.BrandNew", "table=t", "key=3"):
        assert word in result.stderr, result.stderr


@case
def error_is_json_for_programs():
    answering("error", reply(error="io.dispatchd.Control.UnknownLink", parameters={"link": 7}))
    result, _ = ctl(path_of("error"), "--json", "detach", "7")
    equal(result.returncode, 3)
    equal(json.loads(result.stdout), {"error": "io.dispatchd.Control.UnknownLink", "parameters": {"link": 7}})
    assert "no link 7" in result.stderr, result.stderr


@case
def rejection_shows_only_what_is_there():
    rejection = {"program": "p", "function": "main", "instruction": 4, "file": "", "line": -1, "source": "", "rule": "stack-bounds",
                 "reason": "outside the stack", "registers": "", "hint": ""}
    answering("rejected", reply(error="io.dispatchd.Control.ProgramRejected", parameters=rejection),
              reply(error="io.dispatchd.Control.ProgramRejected",
                    parameters=dict(rejection, file="p.c", line=12, source="return *p;", registers="R1=context", hint="stay inside")))
    said = "dispatchctl: program 'p' is rejected: outside the stack (rule stack-bounds)\n"
    result, _ = ctl(path_of("rejected"), "load", "p", os.path.realpath(__file__))
    equal(result.stderr, said)
    result, _ = ctl(path_of("rejected"), "load", "p", os.path.realpath(__file__))
    equal(result.stderr, said + "  source: p.c, line 12: return *p;\n  registers: R1=context\n  hint: stay inside\n")


@case
def unmoved_workers_are_named():
    answering("unmoved", reply(parameters={"link": 7, "unmoved": [{"pid": 42, "name": "httpd"}]}))
    result, _ = ctl(path_of("unmoved"), "attach", "on_request", "0x10", "p", "--wait", "committed")
    equal((result.returncode, result.stdout), (0, "link 7\n"))
    assert "worker 42 (httpd)" in result.stderr, result.stderr


@case
def request_is_what_was_asked_for():
    attached, unmoved = reply(parameters={"link": 7, "unmoved": []}), reply(parameters={"unmoved": []})
    requests = answering("request", attached, unmoved, attached, attached, unmoved, unmoved)
    ctl(path_of("request"), "attach", "on_request", "0x10", "p", "--wait", "committed")
    ctl(path_of("request"), "detach", "010")
    ctl(path_of("request"), "attach", "t", "0x10-20", "native:fast", "--priority", "-3", "--proceed-on", "2,4294967295")
    ctl(path_of("request"), "attach", "t", "default", "p")
    ctl(path_of("request"), "replace", "7", "q")
    ctl(path_of("request"), "set-policy", "t", "no-indirect")
    interface = "io.dispatchd.Control."
    equal(requests, [
        {"method": interface + "Attach",
         "parameters": {"table": "on_request", "key": 16, "target": "p", "wait": "committed"}},
        {"method": interface + "Detach", "parameters": {"link": 10}},
        {"method": interface + "Attach", "parameters": {"priority": -3, "proceed_on": [2, 4294967295], "table": "t",
                                                        "first": 16, "last": 20, "native": "fast"}},
        {"method": interface + "Attach", "parameters": {"table": "t", "default": True, "target": "p"}},
        {"method": interface + "Replace", "parameters": {"link": 7, "target": "q"}},
        {"method": interface + "SetPolicy", "parameters": {"table": "t", "policy": "no_indirect"}}])


@case
def names_cannot_write_to_the_terminal():
    worker = {"pid": 1, "uid": 0, "name": "\x1b[31m\u009bred\n", "generation": 1, "state": "current", "holding": False,
              "threads": 1, "leaked_guards": 0, "tables": [], "natives": [], "lacking": []}
    answering("hostile", reply(parameters={"workers": [worker]}))
    result, _ = ctl(path_of("hostile"), "list", "workers")
    equal(result.returncode, 0)
    equal(result.stdout.count("\n"), 2, "lines")
    assert "?[31m??red?" in result.stdout and "\x1b" not in result.stdout, repr(result.stdout)


@case
def tables_are_aligned():
    links = [{"id": 7, "table": "t", "keys": "1024-4294967295", "first": 1024, "last": 4294967295, "priority": -5,
              "proceed_on": [0, 2], "program": "p"},
             {"id": 12, "table": "on_request", "keys": "3", "first": 3, "last": 3, "priority": 0, "proceed_on": [],
              "program": "block_bots"}]
    answering("table", *[reply(parameters={"links": links})] * 3)
    result, _ = ctl(path_of("table"), "list", "links")
    equal(result.stdout.splitlines(), ["LINK  TABLE       KEYS             PRIORITY  PROCEED-ON  PROGRAM",
                                       "   7  t           1024-4294967295        -5  0,2         p",
                                       "  12  on_request  3                       0  -           block_bots"])
    result, _ = ctl(path_of("table"), "-q", "list", "links")
    equal(result.stdout, "7\n12\n")
    result, _ = ctl(path_of("table"), "--json", "list", "links")
    equal(json.loads(result.stdout), {"links": links})


run()
