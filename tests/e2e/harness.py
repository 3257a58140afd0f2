# SPDX-License-Identifier: MIT
"""Real daemons, real workers and a plain Varlink client for the end-to-end tests.

    with Daemon() as daemon:
        worker = daemon.worker()            # tests/e2e/worker, driven by lines
        daemon.load("seven", verdict(7))
        link = daemon.call("Attach", table="on_test", key=3, program="seven")["link"]

Everything lives in one temporary directory a daemon; leaving the `with` block ends all processes.
"""
import array
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from tap import BUILD_DIR, equal

DISPATCHD = os.path.join(BUILD_DIR, "daemon/dispatchd")
DISPATCHCTL = os.environ.get("CTL_WRAPPER", "").split() + [os.path.join(BUILD_DIR, "ctl/dispatchctl")]
WORKER = os.path.join(BUILD_DIR, "tests/e2e/worker")


CONTEXT = """
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
struct test { const void *data, *data_end; __u32 method; __u32 status; };
"""


# Makes of a database what version 4 of it was.
TO_VERSION_4 = """
    DROP INDEX tables_context;
    DROP INDEX programs_context;
    ALTER TABLE tables DROP COLUMN uid;
    ALTER TABLE tables DROP COLUMN totals;
    ALTER TABLE programs DROP COLUMN totals;
    PRAGMA user_version = 4;
"""


def compile_program(text, name="program"):
    """Compile C to a BPF object; the same text is compiled once.  Returns the object's path."""
    directory = os.path.join(BUILD_DIR, "tests/e2e/objects")
    path = os.path.join(directory, f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.bpf.o")
    if not os.path.exists(path):
        os.makedirs(directory, exist_ok=True)
        flags = os.environ.get("BPF_CFLAGS", "-target bpf -O2 -g -I/usr/include/x86_64-linux-gnu").split()
        command = [os.environ.get("CLANG", "clang"), *flags, "-x", "c", "-c", "-o", f"{path}.{os.getpid()}", "-"]
        subprocess.run(command, input=text.encode(), check=True)
        os.rename(f"{path}.{os.getpid()}", path)
    return path


def verdict(value):
    """A program for table on_test of tests/e2e/worker that returns a constant."""
    text = CONTEXT + f'SEC("table/test") __u32 verdict_{value}(struct test *t) {{ return {value}; }}\n'
    return compile_program(text, f"verdict-{value}")


class Refused(Exception):
    """A named error of the API, with its parameters."""

    def __init__(self, error, parameters):
        super().__init__(f"{error} {parameters}")
        self.error = error.rsplit(".", 1)[1]
        self.parameters = parameters


def refused(function, error, **expected):
    """The parameters with which a call is refused by this error.  Of those expected each is a value, or a function that is
    true of it."""
    try:
        function()
    except Refused as refusal:
        equal(refusal.error, error, f"error ({refusal.parameters})")
        for name, value in expected.items():
            got = refusal.parameters.get(name)
            assert value(got) if callable(value) else got == value, f"{name} {got!r}"
        return refusal.parameters
    raise AssertionError(f"not refused with {error}")


class Connection:
    """One Varlink conversation over a Unix socket."""

    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, message, descriptors=()):
        data = json.dumps(message).encode() + b"\0"
        self.send_bytes(data, descriptors)

    def send_bytes(self, data, descriptors=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sent = self.socket.sendmsg([data], control)
        self.socket.sendall(data[sent:])

    def receive(self):
        """The next message; None at end of file."""
        while b"\0" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, descriptors=(), **parameters):
        self.send({"method": method, "parameters": parameters}, descriptors)
        reply = self.receive()
        if reply is None:
            raise ConnectionError("the daemon closed the connection")
        if "error" in reply:
            raise Refused(reply["error"], reply.get("parameters", {}))
        return reply.get("parameters", {})


    def call_more(self, method, **parameters):
        """The answers of a call with `more`, as they come."""
        self.send({"method": method, "parameters": parameters, "more": True})
        continues = True
        while continues:
            reply = self.receive()
            if reply is None:
                raise ConnectionError("the daemon closed the connection")
            if "error" in reply:
                raise Refused(reply["error"], reply.get("parameters", {}))
            continues = reply.get("continues", False)
            yield reply.get("parameters", {})


class Daemon:
    """A dispatchd of its own, with its sockets and database in a temporary directory."""

    def __init__(self, directory=None, arguments=(), wrapper=(), start=True):
        self.directory = directory or tempfile.mkdtemp(prefix="dispatchd-test-")
        self.arguments = list(arguments)
        self.wrapper = list(wrapper) or os.environ.get("DAEMON_WRAPPER", "").split()
        if not wrapper and self.wrapper:        # it is an emulator
            self.arguments.append("--no-host-check")
        self.process = None
        self.connection = None
        self.workers = []
        self.log_path = os.path.join(self.directory, "log")
        self.control_path = os.path.join(self.directory, "run/control")
        self.worker_path = os.path.join(self.directory, "run/worker")
        os.makedirs(os.path.join(self.directory, "run"), exist_ok=True)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close(exception[0] is not None)

    def command(self):
        return self.wrapper + [DISPATCHD, "--runtime-dir", os.path.join(self.directory, "run"),
                               "--state-dir", os.path.join(self.directory, "state")] + self.arguments

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or self.answers(), "the daemon answers", 180)
        if self.process.poll() is not None:
            raise RuntimeError(f"dispatchd ended with {self.process.returncode}:\n{self.log()}")
        return self

    def answers(self):
        try:
            connection = Connection(self.control_path)
            connection.call("org.varlink.service.GetInfo")
            connection.close()
            return True
        except OSError:
            return False

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def connect(self):
        return Connection(self.control_path)

    def call(self, method, descriptors=(), **parameters):
        """A call of io.dispatchd.Control on a connection that stays open."""
        if self.connection is None:
            self.connection = self.connect()
        return self.connection.call("io.dispatchd.Control." + method, descriptors, **parameters)

    def load(self, name, path, **parameters):
        with open(path, "rb") as file:
            return self.call("Load", [file.fileno()], program=name, **parameters)

    def attach(self, table, key, program_name, **parameters):
        return self.call("Attach", table=table, key=key, program=program_name, **parameters)["link"]

    def gather(self, method, **parameters):
        """A call with `more`, whose answers' lists are put together."""
        if self.connection is None:
            self.connection = self.connect()
        first, *others = self.connection.call_more("io.dispatchd.Control." + method, **parameters)
        for answer in others:
            for name, value in answer.items():
                if isinstance(value, list):
                    first[name] += value
        return first

    def list(self, what):
        return self.gather("List" + what.capitalize())[what]

    def disconnect(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def kill(self, number=signal.SIGKILL):
        self.disconnect()
        self.process.send_signal(number)
        return self.process.wait(60)

    def stop(self):
        return self.kill(signal.SIGTERM)

    def restart(self):
        self.kill()
        return self.start()

    def worker(self, *arguments, **options):
        worker = Worker(self.worker_path, *arguments, **options)
        self.workers.append(worker)
        return worker

    def close(self, failed=False):
        for worker in self.workers:
            worker.end()
        if self.process and self.process.poll() is None:
            status = self.stop()
            assert failed or status == 0, f"dispatchd ended with {status}:\n{self.log()}"
        if failed:
            print("# log of the daemon:")
            for line in self.log().splitlines()[-40:]:
                print("#   " + line)
        shutil.rmtree(self.directory, ignore_errors=True)


class Worker:
    """tests/e2e/worker: one command a line, one answer a line."""

    def __init__(self, socket_path, executable=WORKER, wrapper=(), preexec=None, open_now=True):
        environment = dict(os.environ, DISPATCHD_WORKER_SOCKET=socket_path)
        wrapper = list(wrapper) or os.environ.get("WORKER_WRAPPER", "").split()
        self.process = subprocess.Popen(wrapper + [executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=environment, text=True, bufsize=1, preexec_fn=preexec)
        self.pid = self.process.pid
        self.wrapped = bool(wrapper)
        if open_now:
            self.do("open")

    def do(self, command):
        """Send a command; its answer.  An answer that begins with `error` is raised."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended with {self.process.wait(10)} at `{command}`")
        answer = answer.rstrip("\n")
        if answer.startswith("error"):
            raise RuntimeError(f"`{command}`: {answer}")
        return answer

    def alive(self):
        return self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
        self.process.wait(60)
        self.process.stdin.close()
        self.process.stdout.close()


    def end(self):
        """Under a checker the worker must come to its own end, to be told what was found."""
        if self.wrapped and self.alive():
            self.process.send_signal(signal.SIGCONT)
            self.do("exit")
            status = self.process.wait(60)
            assert status == 0, f"the worker ended with {status}"
        self.kill()


def wait_until(condition, what, seconds=60):
    """Poll a condition; the limit is for what never happens, not a measure of speed."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def descendants(pid):
    """All processes below pid."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
            except OSError:
                pass
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found
