# SPDX-License-Identifier: MIT
"""The processes that read and compile objects: what they may do, and that nothing they do harms the daemon."""
import contextlib
import os
import signal
import sqlite3
import threading
import time

from harness import CONTEXT, Daemon, Refused, compile_program, refused, verdict, wait_until
from tap import case, equal, run

RUNNING_MAX = 4         # daemon/translation.h
PATIENT = ["--translation-time", "3600"]        # where processes are stopped, or the host may be slow


def children(daemon):
    """The daemon's translators: stage by pid."""
    with open(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children") as file:
        pids = [int(pid) for pid in file.read().split()]
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline") as file:
                words = file.read().split("\0")
            if words[1:2] == ["--translator"]:
                found[pid] = words[2]
    return found


def status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def in_sandbox(state):
    """Has it a filter of system calls of its own?  In a container all have the container's."""
    return int(state["Seccomp_filters"]) > int(status(os.getpid())["Seccomp_filters"])


def stop_in_sandbox(pid):
    """Stop the process; whether it was inside its sandbox then, and had not ended."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        state = wait_until(lambda: status(pid)["State"][0] in "TZX" and status(pid), "it stops", 10)
        if state["State"][0] == "T" and in_sandbox(state):
            return True
        os.kill(pid, signal.SIGCONT)
    return False


class Load(threading.Thread):
    """Loads in the background, on a connection of its own; `outcome`: "loaded", or the refusal."""

    def __init__(self, daemon, name):
        super().__init__(daemon=True)
        self.connection, self.name_, self.outcome = daemon.connect(), name, None
        self.start()

    def run(self):
        try:
            with open(verdict(7), "rb") as file:
                self.connection.call("io.dispatchd.Control.Load", [file.fileno()], program=self.name_)
            self.outcome = "loaded"
        except Refused as refusal:
            self.outcome = refusal
        except ConnectionError:
            self.outcome = "closed"
        self.connection.close()

    def wait(self):
        self.join(60)
        return self.outcome


def load_and_stop(daemon, stage, name="held"):
    """A load whose translator of this stage is stopped inside its sandbox: (load, pid)."""
    others = children(daemon)
    for _ in range(1000):
        load = Load(daemon, name)
        while load.is_alive():
            for pid, found in children(daemon).items():
                if found == stage and pid not in others and stop_in_sandbox(pid):
                    return load, pid
        if load.wait() == "loaded":             # else it took too long, where there is not enough time
            daemon.call("Unload", program=name)
        else:
            equal(load.outcome.error, "TranslationFailed")
    raise AssertionError(f"no process of stage {stage} was caught at work")


def database(daemon):
    """Rows of the daemon's database but the audit log, from a copy: it holds the lock."""
    copy = sqlite3.connect(":memory:")
    directory = os.path.join(daemon.directory, "copy")
    os.makedirs(directory, exist_ok=True)
    for suffix in ("", "-wal"):
        with open(f"{daemon.directory}/state/dispatchd.db{suffix}", "rb") as source, \
             open(f"{directory}/dispatchd.db{suffix}", "wb") as target:
            target.write(source.read())
    with contextlib.closing(sqlite3.connect(f"{directory}/dispatchd.db")) as opened:
        opened.backup(copy)
    tables = ("programs", "tables", "links", "contexts")
    return {table: copy.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def everything(daemon):
    """All that a load may change."""
    info = daemon.call("Info")
    return (daemon.list("programs"), daemon.list("links"), database(daemon),
            {name: info[name] for name in ("text_bytes_used", "arena_bytes_used", "programs")})


@case
def the_sandbox_is_real():
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        for stage in ("read", "compile"):
            load, pid = load_and_stop(daemon, stage, stage)
            state = status(pid)
            equal((in_sandbox(state), state["NoNewPrivs"]), (True, "1"), "seccomp, no new privileges")
            with open(f"/proc/{pid}/limits") as file:
                limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
            for name in ("Max open files", "Max file size", "Max processes", "Max core file size"):
                equal(limits[name], ["0", "0"], name)
            equal(limits["Max cpu time"], ["3600", "3601"])
            if os.getuid() == 0:
                with open(f"/proc/{pid}/environ") as file:
                    equal(file.read(), "", "environment")
                equal(os.listdir(f"/proc/{pid}/fd"), ["0"], "descriptors")
                assert os.readlink(f"/proc/{pid}/fd/0").startswith("socket:"), os.readlink(f"/proc/{pid}/fd/0")
                with open(f"/proc/{pid}/maps") as file:
                    mappings = [line.split(None, 5) for line in file]
                for mapping in mappings:
                    assert not ("w" in mapping[1] and "x" in mapping[1]), mapping
                    assert "s" not in mapping[1], f"shared memory: {mapping}"
                    assert "memfd" not in mapping[-1] and ".db" not in mapping[-1], f"the daemon's memory: {mapping}"
            os.kill(pid, signal.SIGCONT)
            equal(load.wait(), "loaded", stage)


@case
def a_process_that_dies_is_an_error_of_its_request():
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        daemon.load("seven", verdict(7))
        before = everything(daemon)
        for stage, words in (("read", "reads objects"), ("compile", "compiles")):
            for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGSYS):
                load, pid = load_and_stop(daemon, stage)
                os.kill(pid, number)
                if number != signal.SIGKILL:        # which ends a stopped process, and it may be reaped already
                    os.kill(pid, signal.SIGCONT)
                outcome = load.wait()
                equal(getattr(outcome, "error", outcome), "TranslationFailed")
                for word in (words, f"signal {int(number)}"):
                    assert word in outcome.parameters["reason"], outcome
                equal(outcome.parameters["program"], "held")
                equal(everything(daemon), before, f"state after signal {number} in stage {stage}")
        daemon.load("held", verdict(7))


@case
def a_process_that_takes_too_long_is_ended():
    with Daemon(arguments=["--translation-time", "2"]) as daemon:
        daemon.worker()
        before = everything(daemon)
        for stage in ("read", "compile"):
            load, pid = load_and_stop(daemon, stage)
            outcome = load.wait()
            equal(getattr(outcome, "error", outcome), "TranslationFailed")
            assert "took more than 10 s" in outcome.parameters["reason"], outcome
            assert not os.path.exists(f"/proc/{pid}"), "it is still there"
            equal(everything(daemon), before, "state")
        daemon.load("held", verdict(7))


@case
def others_do_not_wait():
    with Daemon(arguments=PATIENT) as daemon:
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        load, pid = load_and_stop(daemon, "compile")
        daemon.attach("on_test", 3, "seven")
        equal(worker.do("call on_test 3").split()[1], "7")
        daemon.load("eight", verdict(8))
        equal(load.outcome, None, "the stopped one")
        os.kill(pid, signal.SIGCONT)
        equal(load.wait(), "loaded")
        equal([p["name"] for p in daemon.list("programs")], ["eight", "held", "seven"])


@case
def a_few_run_at_once_and_the_others_queue():
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        held = {}
        for number in range(RUNNING_MAX):
            held[number] = load_and_stop(daemon, "read", f"held-{number}")
        loads = [Load(daemon, f"queued-{number}") for number in range(5)]
        for _ in range(10):
            daemon.call("Info")                 # so the daemon has read the calls before
            time.sleep(0.05)
            equal(set(children(daemon)), {pid for _, pid in held.values()}, "processes")
        equal([load.outcome for load in loads], [None] * len(loads), "outcomes of those that are queued")
        for _, pid in held.values():
            os.kill(pid, signal.SIGCONT)
        loads += [load for load, _ in held.values()]
        equal([load.wait() for load in loads], ["loaded"] * len(loads))


@case
def what_is_pinned_and_what_is_taken_meanwhile():
    """The checks of a load come after its translation, so what has changed meanwhile counts."""
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        load, pid = load_and_stop(daemon, "compile", "name")
        daemon.load("name", verdict(8))
        before = everything(daemon)
        os.kill(pid, signal.SIGCONT)
        equal(load.wait().error, "ProgramExists")
        equal(everything(daemon), before, "state")


@case
def the_daemon_ends_while_they_work():
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        load, pid = load_and_stop(daemon, "compile")
        equal(daemon.stop(), 0, "exit code")
        assert not os.path.exists(f"/proc/{pid}"), "the process of a daemon that has ended"
        load.wait()
        daemon.start()
        load, pid = load_and_stop(daemon, "read")
        daemon.kill()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or status(pid)["State"][0] == "Z", "it ends, too")
        load.wait()
        daemon.start()
        equal(daemon.list("programs"), [])


BODIES = {      # of a program that must be refused, and what must be said
    "outside-the-context": ("return *(__u32 *)((char *)t + 24);", ""),
    "not-writable": ("t->method = 1; return 0;", ""),
    "outside-the-packet": ("return *(const __u8 *)t->data;", ""),
    "null": ("return *(volatile __u32 *)0;", ""),
    "no-end": ("volatile __u32 i = 0; while (1) i++; return i;", ""),
    "unknown-helper": ("return ((int (*)(void))4321)();", "4321"),
    "stack": ("__u32 x; asm volatile(\"%0 = *(u8 *)(r10 - 600)\" : \"=r\"(x)); return x;", ""),
}


@case
def a_refused_program_leaves_nothing():
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        daemon.load("seven", verdict(7))
        configured = compile_program(CONTEXT + """
            const volatile __u8 small; static __u32 counter;
            SEC("table/test") __u32 one(struct test *t) { return small + ++counter; }
            SEC("table/test") __u32 two(struct test *t) { return small; }""", "configured")
        elsewhere = compile_program(CONTEXT + 'SEC("table/nowhere") __u32 f(void *c) { return 0; }', "nowhere")
        text = os.path.join(daemon.directory, "text")
        with open(text, "w") as file:
            file.write("no object\n" * 1000)

        def load_one(**parameters):
            daemon.load("bad", configured, function="one", **parameters)

        before = everything(daemon)
        attempts = [
            (lambda: daemon.load("bad", text), "ObjectInvalid", "ELF"),
            (lambda: daemon.load("bad", configured), "ObjectInvalid", "two"),
            (lambda: daemon.load("bad", configured, function="three"), "ObjectInvalid", "three"),
            (lambda: load_one(settings={"smaller": "1"}), "ObjectInvalid", "smaller"),
            (lambda: load_one(settings={"small": "256"}), "ObjectInvalid", "small"),
            (lambda: load_one(settings={"counter": "1"}), "ObjectInvalid", "counter"),
            (lambda: daemon.load("bad", elsewhere), "UnknownContext", "nowhere"),
            (lambda: daemon.load("seven", configured, function="one"), "ProgramExists", "seven"),
            (lambda: daemon.load("no name", configured, function="one"), "InvalidParameter", "no name"),
        ]
        for name, (body, word) in BODIES.items():
            path = compile_program(CONTEXT + f'SEC("table/test") __u32 f(struct test *t) {{ {body} }}', name)
            attempts.append((lambda path=path: daemon.load("bad", path), "ProgramRejected", word))
        for function, error, word in attempts:
            parameters = refused(function, error)
            assert word in str(parameters), f"{word!r} is not in {parameters}"
            equal(everything(daemon), before, f"state after {error} {word}")
        daemon.restart()
        equal(everything(daemon)[:3], before[:3], "state after a restart")


@case
def a_transaction_with_a_refused_program_leaves_nothing():
    with Daemon(arguments=PATIENT) as daemon:
        daemon.worker()
        counter = 'static __u32 n; SEC("table/test") __u32 f(struct test *t) { return ++n; }'
        data = compile_program(CONTEXT + counter, "count")
        bad = compile_program(CONTEXT + f'SEC("table/test") __u32 f(struct test *t) {{ {BODIES["null"][0]} }}', "null")
        before = everything(daemon)
        with open(data, "rb") as good_file, open(bad, "rb") as bad_file:
            good, bad, again = [{"operation": "load", "program": name, "descriptor": number}
                                for number, name in enumerate(("good", "bad", "good"))]
            descriptors = [good_file.fileno(), bad_file.fileno(), good_file.fileno()]
            refused(lambda: daemon.call("Apply", descriptors, operations=[good, bad]), "ProgramRejected")
            equal(everything(daemon), before, "state after one was rejected")
            refused(lambda: daemon.call("Apply", descriptors, operations=[good, again]), "ProgramExists")
            equal(everything(daemon), before, "state after a name was taken")
            attach = {"operation": "attach", "table": "on_test", "key": 3, "program": "good"}
            refused(lambda: daemon.call("Apply", descriptors, operations=[good, attach, attach]), "KeyTaken")
            equal(everything(daemon), before, "state after a key was taken")
            daemon.call("Apply", descriptors, operations=[good, attach])
            equal(daemon.call("Info")["programs"], 1)


@case
def no_room_for_the_data():
    with Daemon(arguments=[*PATIENT, "--arena-quota", "16"]) as daemon:
        daemon.worker()
        large = compile_program(CONTEXT + """
            static volatile __u8 bytes[1 << 20];
            SEC("table/test") __u32 f(struct test *t) { return bytes[t->method & 0xfffff]; }""", "large-data")
        used = daemon.call("Info")["arena_bytes_used"]
        for number in range(15):
            daemon.load(f"p{number}", large)
        before = everything(daemon)
        equal(refused(lambda: daemon.load("bad", large), "QuotaExceeded"),
              {"uid": os.getuid(), "needed": 1 << 20, "used": used + (15 << 20), "maximum": 16 << 20})
        equal(everything(daemon), before, "state")
        daemon.call("Unload", program="p7", wait="quiescent")
        daemon.load("p7", large)


@case
def no_room_for_the_code():
    with Daemon(arguments=[*PATIENT, "--text-size", "1"]) as daemon:
        daemon.worker()
        large = compile_program(CONTEXT + """
            static volatile __u32 counter;
            static const volatile __u8 bytes[600 << 10] = { 1 };
            SEC("table/test") __u32 f(struct test *t) { return bytes[t->method & 255] + ++counter; }""", "large-code")
        daemon.load("first", large)
        before = everything(daemon)
        refused(lambda: daemon.load("second", large), "ImageFull")
        equal(everything(daemon), before, "state")


run()
