# SPDX-License-Identifier: MIT
"""README.md as a newcomer reads it: its two examples become a worker and a program, and every command that it shows is
run, here as it stands there or in a test that is named below.  A command that README does not show, or that no test
runs, is a failure."""
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from harness import Daemon, wait_until
from installation import installed
from server import Server
from tap import BUILD_DIR, SOURCE_DIR, case, equal, run

# Commands that need a container or a bare machine: the test that runs each, and the words by which it does.
ELSEWHERE = {
    "./quickstart": ("tests/system/test_quickstart.sh", "in_root ./quickstart"),
    "./check": ("tests/system/test_quickstart.sh", "in_root ./check"),
    "systemd-sysusers": ("tests/system/first_boot.py", 'must("systemd-sysusers")'),
    "systemd-tmpfiles --create": ("tests/system/first_boot.py", 'must("systemd-tmpfiles", "--create")'),
    "systemctl daemon-reload": ("tests/system/first_boot.py", 'must("systemctl", "daemon-reload")'),
    "systemctl start dispatchd": ("tests/system/first_boot.py", 'must("systemctl", "start", "dispatchd")'),
    "make install": ("tests/e2e/installation.py", 'make("install"'),
    "--prefix=/usr": ("tests/e2e/test_install.py", '"--prefix=/usr"'),
}
NO_COMMANDS = {"build/", "-g", "-I", "load", "const volatile", "DD_NO_INDIRECT"}    # other words set as code

ran = set()                             # what README shows and a case has run

# What stands for the worker's `...`: the head of a loop whose body is README's own call.  A route a line comes in; the
# verdict and the status of the request go out.
LOOP = r"""
    struct request request;
    uint32_t route, verdict;

    for (; request = (struct request){ .status = 200 }, scanf("%u", &route) == 1;
         printf("%u %u\n", verdict, request.status), fflush(stdout))
"""


# ---- what README shows ----

@functools.cache
def readme():
    with open(os.path.join(SOURCE_DIR, "README.md")) as file:
        return file.read()


@functools.cache
def blocks():
    """Indented blocks by kind: lists of texts."""
    found = {"worker": [], "call": [], "program": [], "drawing": [], "commands": []}
    for match in re.finditer(r"(?:^ {4}.*\n|^\n)+", readme(), re.MULTILINE):
        text = "".join(line[4:] or "\n" for line in match.group().splitlines(True)).strip("\n") + "\n"
        kind = ("call" if "DD_CALL(" in text else "worker" if "#include <dispatchd.h>" in text else
                "program" if "SEC(" in text else
                "drawing" if "+----" in text else "commands")
        if text.strip():
            found[kind].append(text)
    return found


@functools.cache
def commands():
    """Lines of the blocks of commands, without comments."""
    lines = [line for block in blocks()["commands"] for line in block.splitlines() if line]
    return [re.sub(r"\s+#\s.*", "", line) for line in lines]


@functools.cache
def words():
    """What README sets as code inside sentences."""
    return set(re.findall(r"`([^`]+)`", re.sub(r"^ {4}.*$", "", readme(), flags=re.MULTILINE)))


def shown(command):
    """The command, which README shows and the caller runs."""
    assert command in commands() or command in words(), f"README does not show `{command}`"
    ran.add(command)
    return command


def the(kind):
    equal(len(blocks()[kind]), 1, f"examples of a {kind}")
    return blocks()[kind][0]


# ---- a newcomer's shell ----

class Shell:
    """A bash in a directory, with the installed programs and two compilers in its path: cc is the one that configure
    found, and strict, as is clang."""

    def __init__(self, directory, **environment):
        self.home = tempfile.mkdtemp(prefix="dispatchd-readme-")
        variable = installed().variable
        self.compiler("cc", f"{variable['CC']} {variable['SANITIZER_FLAGS']} -Wall -Wextra -Werror -pedantic")
        self.compiler("clang", os.environ.get("CLANG", "clang") + " -Wall -Wextra -Werror")
        self.environment = installed().environment(HOME=self.home, MANPATH=installed().path("mandir"), **environment)
        self.environment["PATH"] = self.home + "/bin:" + self.environment["PATH"]
        self.directory = directory or self.home
        self.background = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.background:
            process.kill()
            process.communicate()
        shutil.rmtree(self.home)

    def compiler(self, name, command):
        """A command for another one, which may have the same name further on in the path."""
        path, (program, _, options) = os.path.join(self.home, "bin", name), command.partition(" ")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(f'#!/bin/sh\nexec {shutil.which(program)} {options} "$@"\n')
        os.chmod(path, 0o755)

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(text)

    def run(self, command):
        """What the command printed; it has to succeed."""
        done = subprocess.run(["bash", "-c", command], cwd=self.directory, env=self.environment, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"`{command}`: status {done.returncode}: {done.stdout}"
        return done.stdout

    def start(self, command):
        """A process that runs until the shell ends, with pipes."""
        process = subprocess.Popen(["bash", "-c", "exec " + command], cwd=self.directory, env=self.environment,
                                   text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        self.background.append(process)
        return process

    def list(self, what):
        return json.loads(self.run("dispatchctl --json list " + what))[what]

    def build_examples(self):
        """README's worker and program, with the commands that it gives for them."""
        worker, gaps = re.subn(r"^ *\.\.\.$", lambda _: LOOP, the("worker"), flags=re.MULTILINE)
        equal(gaps, 1, "lines `...` of the worker")
        self.write("worker.c", "#include <stdio.h>\n" + worker)
        self.write("teapot.bpf.c", the("program"))
        self.run(shown("cc worker.c -o worker $(pkg-config --cflags --libs dispatchd)"))
        shown("clang -target bpf")      # in a heading
        self.run(shown("clang -target bpf -O2 -g -I/usr/include/x86_64-linux-gnu -c teapot.bpf.c"))

    def wait_for_worker(self, processes=1):
        wait_until(lambda: [worker["state"] for worker in self.list("workers")] == ["current"] * processes and
                   self.list("tables"), "workers have joined")


def ask(worker, route):
    """Verdict and status that README's worker has for a request at a route."""
    worker.stdin.write(f"{route}\n")
    worker.stdin.flush()
    verdict, status = worker.stdout.readline().split()
    return int(verdict), int(status)


# ---- the cases ----

@case
def the_examples_work_together():
    """The worker starts before the daemon, and joins when it comes."""
    with Daemon(start=False) as daemon, Shell(None, DISPATCHD_CONTROL_SOCKET=daemon.control_path,
                                              DISPATCHD_WORKER_SOCKET=daemon.worker_path) as shell:
        shell.build_examples()
        worker = shell.start("./worker")
        equal(ask(worker, 7), (0, 200), "without a daemon")
        daemon.start()
        shell.wait_for_worker()
        equal(ask(worker, 7), (0, 200), "before")
        shell.run("dispatchctl load teapot teapot.bpf.o")
        equal(ask(worker, 7), (0, 200), "loaded")
        equal(shell.run("dispatchctl attach on_request 7 teapot"), "link 1\n")
        equal(ask(worker, 7), (1, 418), "attached")
        equal(ask(worker, 8), (0, 200), "at another key")
        shell.run("dispatchctl detach 1")
        equal(ask(worker, 7), (0, 200), "detached")


@case
def a_program_is_verified_and_configured():
    with Daemon() as daemon, Shell(None, DISPATCHD_CONTROL_SOCKET=daemon.control_path,
                                   DISPATCHD_WORKER_SOCKET=daemon.worker_path) as shell:
        shell.build_examples()
        worker, verify = shell.start("./worker"), shown("dispatchctl verify teapot.bpf.o")
        shell.wait_for_worker()
        accepted = shell.run(verify)
        assert accepted.startswith("accepted\n"), accepted
        assert len(shell.run(f"{verify} {shown('-v')}")) > len(accepted)
        for name, limit in (("limited", "limit"), ("unsafe", "*(__u32 *)request->data")):
            shell.write(name + ".bpf.c",
                        "const volatile unsigned limit = 418;\n" + the("program").replace("418", limit))
            shell.run(f"clang -target bpf -O2 -g -I/usr/include/x86_64-linux-gnu -c {name}.bpf.c")
        load = shown("dispatchctl load NAME FILE --set limit=100").replace("NAME FILE", "limited limited.bpf.o")
        shell.run(load + " && dispatchctl attach on_request 7 limited")
        equal(ask(worker, 7), (1, 100), "configured")
        refused = shell.run("! dispatchctl load unsafe unsafe.bpf.o")
        assert re.search(r"source: .*unsafe.bpf.c, line \d+: request->status", refused) and "hint: " in refused, refused


@case
def for_one_user_the_daemon_needs_no_root_and_is_found():
    """The user's daemon, dispatchctl and the worker meet without a word about where."""
    with Shell(None) as shell:
        runtime = os.path.join(shell.home, "runtime")
        os.mkdir(runtime, 0o700)
        shell.environment["XDG_RUNTIME_DIR"] = runtime
        for name in ("DISPATCHD_CONTROL_SOCKET", "DISPATCHD_WORKER_SOCKET", "XDG_STATE_HOME"):
            shell.environment.pop(name, None)
        shell.build_examples()
        daemon = shell.start(shown("dispatchd --user"))
        wait_until(lambda: os.path.exists(runtime + "/dispatchd/control"), "the control socket is there")
        worker = shell.start("./worker")
        shell.wait_for_worker()
        shell.run("dispatchctl load teapot teapot.bpf.o && dispatchctl attach on_request 7 teapot")
        equal(ask(worker, 7), (1, 418), "attached")
        assert os.path.exists(shell.home + "/.local/state/dispatchd/dispatchd.db"), "no database in ~/.local/state"
        daemon.terminate()
        equal(daemon.wait(60), 0, "exit status")
        equal(ask(worker, 7), (1, 418), "without the daemon")


# What a robot gets at /static (key 3), at / and at /api/v1 (keys 1 and 2) after the session's commands,
# one after another.
SESSION = [
    ("load", (200, 200, 200)), ("attach", (403, 200, 200)), ("list", (403, 200, 200)), ("detach", (200, 200, 200)),
    ("load", (200, 200, 200)), ("attach", (200, 200, 410)), ("attach", (200, 403, 403)), ("replace", (200, 200, 410)),
    ("stats", (200, 200, 410)), ("stats", (200, 200, 410)), ("explain", (200, 200, 410)),
    ("load", (200, 200, 410)), ("attach", (200, 200, 410)), ("map", (200, 200, 410)),
]


@case
def the_session_goes_as_shown():
    """All of it but what systemd does, in order, in the build directory: with these keys and link numbers."""
    with Daemon() as daemon, Shell(BUILD_DIR, DISPATCHD_CONTROL_SOCKET=daemon.control_path,
                                   DISPATCHD_WORKER_SOCKET=daemon.worker_path) as shell:
        server, verbs, printed = None, [], {}
        for command in (command for command in commands() if command not in ELSEWHERE):
            if command == "examples/httpd/httpd --port 0 &":
                server = Server(daemon.worker_path, shell.start(shown(command).rstrip("& ")))
                shell.wait_for_worker(processes=5)
                equal(server.status("/static/logo.png", User_Agent="robot"), 200, "before")
                continue
            assert command.startswith("dispatchctl "), f"README shows `{command}`, which no test runs"
            printed[command] = shell.run(shown(command))
            verbs.append(shlex.split(command)[1])
            if verbs[-1] == "attach":
                equal(printed[command], f"link {verbs.count('attach')}\n")
            if verbs[-1] == "list":
                assert re.search(r"^ *1 +on_request +3 .*block_bots$", printed[command], re.MULTILINE), printed[command]
            answers = tuple(server.status(path, User_Agent="robot") for path in ("/static/logo.png", "/", "/api/v1/x"))
            equal((verbs[-1], answers), SESSION[len(verbs) - 1], command)
            equal(server.status("/static/logo.png", User_Agent="Firefox"), 200, command)
        equal(len(verbs), len(SESSION))
        shown_counts = printed["dispatchctl stats show --table on_request"]
        assert re.search(r"\bretire\b.*\b[1-9]", shown_counts), shown_counts
        assert "tree" in printed["dispatchctl explain on_request"], printed["dispatchctl explain on_request"]
        policy = shown("dispatchctl set-policy on_request no-indirect")
        shell.run(policy)
        equal([table["policy"] for table in shell.list("tables")], ["no_indirect"], policy)


@case
def a_static_call_is_set():
    """README's call, in a worker that prints what it returns for each line."""
    body = "(const void *data, size_t size) { return data ? size * %d : 0; }"
    main = r"""
int main(void)
{
    char line[100];

    for (dd_open(NULL); fgets(line, sizeof(line), stdin); fflush(stdout))
        printf("%u\n", (unsigned)DD_INVOKE(hash, line, strlen(line)));
    return 0;
}
"""
    with Daemon() as daemon, Shell(None, DISPATCHD_CONTROL_SOCKET=daemon.control_path,
                                   DISPATCHD_WORKER_SOCKET=daemon.worker_path) as shell:
        shell.write("call.c", "\n".join(["#include <stdio.h>", "#include <string.h>", the("call"),
                                         "static uint64_t hash_plain" + body % 1, "uint64_t hash_fast" + body % 2,
                                         main]))
        shell.run("cc call.c -o call $(pkg-config --cflags --libs dispatchd)")
        worker = shell.start("./call")
        wait_until(lambda: shell.list("calls"), "the worker has joined")
        for target, expected in (("default", 4), ("native:hash_fast", 8), ("value:7", 7), ("default", 4)):
            shell.run(f"dispatchctl set-call hash {target}")
            worker.stdin.write("abc\n")
            worker.stdin.flush()
            equal(int(worker.stdout.readline()), expected, target)


@case
def the_manual_pages_say_what_each_command_and_exit_code_means():
    """What --help names, the page explains."""
    pages = {       # where, and the words of --help: options, exit codes, verbs
        "dispatchctl": ("man1dir", r"(--[a-z-]+)|^  (\d)  |^  ([a-z]+(?: [a-z]+)?)\b.*\n {8}"),
        "dispatchd": ("man8dir", r"(--[a-z-]+)|\b(\d) [a-z]"),
    }
    with Shell(None) as shell:
        for name, (directory, named) in pages.items():
            command = shown("man " + name)
            if shutil.which("man"):
                assert re.match(name.upper() + r"\(\d\)", shell.run(command).lstrip()), f"{command} shows another page"
            with open(installed().path(directory, f"{name}.{directory[3]}")) as file:
                page = file.read().replace("\\-", "-")
            terms = set(filter(None, sum(re.findall(named, shell.run(name + " --help"), re.MULTILINE), ())))
            assert {"0", "5"} < terms and len(terms) > 10, terms
            equal({term for term in terms if not re.search(rf"^\.B.*(?<![-\w]){term}\b", page, re.MULTILINE)}, set(),
                  f"not in man {name}")


@case
def links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", readme())
    assert targets
    equal([target for target in targets if not os.path.exists(os.path.join(SOURCE_DIR, target))], [], "dead links")


@case
def every_command_is_run_by_a_test():
    """The last case: it knows what the others ran."""
    equal((set(commands()) | words()) - NO_COMMANDS - set(ELSEWHERE) - ran, set(), "commands that no test runs")
    equal(set(ELSEWHERE) - set(commands()) - words(), set(), "commands that README no longer shows")
    for path, text in ELSEWHERE.values():
        with open(os.path.join(SOURCE_DIR, path)) as file:
            assert text in file.read(), f"{path} does not contain {text!r}"


run()
