# SPDX-License-Identifier: MIT
"""The arena outlives the daemon: from a worker, from systemd's store, from a snapshot;
and nobody can slip in another."""
import array
import fcntl
import os
import signal
import socket
import subprocess
import threading

from fake_worker import LAYOUT_VERSION, TABLE, lines
from harness import CONTEXT, Connection, Daemon, compile_program, refused, wait_until
from tap import case, equal, run

ARENA_SIZE = 512 << 20
SEAL_ALL = 1 | 2 | 4                        # SEAL, SHRINK, GROW

# Counts the calls for each method in a hash map, and all calls in data of its own.
COUNT = CONTEXT + """
#include <linux/bpf.h>
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 100);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");
__u64 calls;
SEC("table/test") __u32 count(struct test *t)
{
    __u32 key = t->method;
    __u64 one = 1, *value = bpf_map_lookup_elem(&counts, &key);

    __sync_fetch_and_add(&calls, 1);
    if (value)
        return __sync_fetch_and_add(value, 1) + 1;
    return bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST) ? 0 : 1;
}
"""


def called(worker, key=3):
    return int(worker.do(f"call on_test {key}").split()[1])


def counting(daemon):
    """Load and attach, and count to 3."""
    worker = daemon.worker()
    daemon.load("count", compile_program(COUNT, "arena_count"))
    daemon.attach("on_test", 3, "count")
    equal([called(worker) for _ in range(3)], [1, 2, 3], "verdicts")
    return worker


def value(daemon, name="counts", key=0):
    return daemon.call("LookupElement", map=name, key={"value": key})["element"]["value"]["value"]


def origin(daemon):
    return daemon.call("Info")["arena_origin"]


def start_meanwhile(daemon):
    """Start a daemon that will wait for somebody; `join` the thread when it is let go."""
    thread = threading.Thread(target=daemon.start)
    thread.start()
    wait_until(lambda: can_connect(daemon.worker_path), "the worker socket is there")
    return thread


def can_connect(path):
    try:
        Connection(path).close()
        return True
    except OSError:
        return False


def snapshot(daemon):
    return os.path.exists(f"{daemon.directory}/state/arena.snapshot")


@case
def a_new_arena_is_new():
    with Daemon() as daemon:
        info = daemon.call("Info")
        equal((info["arena_origin"], info["arena_bytes"], info["arena_bytes_held"]), ("new", ARENA_SIZE, 0))
        equal((info["seats"], info["seats_used"]), (128, 1), "seats, of which dispatchd has one")
        daemon.restart()
        equal(origin(daemon), "new", "without maps there is nothing to keep")


@case
def one_worker_is_enough_for_contents_to_outlive_a_crash():
    with Daemon() as daemon:
        worker = counting(daemon)
        for generation in (2, 3):
            daemon.kill()
            called(worker)
            daemon.start()
            equal(origin(daemon), "worker")
            wait_until(lambda: worker.do("status").startswith(f"joined generation {generation}"), "moved")
            called(worker)
        equal(value(daemon), 7)
        equal(called(daemon.worker()), 8, "another worker shares it")


@case
def the_next_text_may_have_another_size():
    with Daemon(arguments=["--text-size", "16"]) as daemon:
        worker = counting(daemon)
        daemon.arguments = ["--text-size", "256"]
        daemon.restart()
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal([called(worker), called(daemon.worker())], [4, 5], "verdicts")


@case
def a_worker_that_closed_its_descriptors_has_the_rest_of_the_arena_from_another():
    with Daemon() as daemon:
        first, second = counting(daemon), daemon.worker()
        daemon.kill()
        first.do("close-all reuse")
        daemon.start()
        equal(origin(daemon), "worker")
        for worker in (first, second):
            wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal([called(first), called(second)], [4, 5], "verdicts")


@case
def a_stopped_daemon_leaves_a_snapshot():
    with Daemon() as daemon:
        counting(daemon).kill()
        equal(daemon.stop(), 0)
        assert snapshot(daemon), "no snapshot was written"
        daemon.start()
        equal((origin(daemon), value(daemon)), ("snapshot", 3))
        assert not snapshot(daemon), "it is still there"
        equal(called(daemon.worker()), 4, "the verdict")


@case
def what_each_thread_has_is_in_the_snapshot():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("count", compile_program(COUNT.replace("_HASH", "_PERCPU_HASH"), "arena_count_percpu"))
        daemon.attach("on_test", 3, "count")
        equal([called(worker) for _ in range(3)], [1, 2, 3], "verdicts")
        worker.kill()
        daemon.stop()
        daemon.start()
        equal((origin(daemon), value(daemon)), ("snapshot", 3))
        called(daemon.worker())
        equal(value(daemon), 4, "the sum")


@case
def what_a_worker_has_is_younger_than_the_snapshot():
    with Daemon() as daemon:
        worker = counting(daemon)
        daemon.stop()
        assert snapshot(daemon), "no snapshot was written"
        equal(called(worker), 4, "without a daemon")
        daemon.start()
        equal((origin(daemon), value(daemon)), ("worker", 4))
        assert not snapshot(daemon), "it is still there"


@case
def after_a_crash_with_nobody_left_maps_are_empty_and_that_is_said():
    with Daemon() as daemon:
        counting(daemon).kill()
        daemon.restart()
        equal(origin(daemon), "lost")
        assert "maps are empty" in daemon.log(), daemon.log()
        refused(lambda: value(daemon), "UnknownElement")
        equal(called(daemon.worker()), 1, "the verdict")


@case
def an_old_snapshot_is_never_shown():
    with Daemon() as daemon:
        counting(daemon).kill()
        daemon.stop()
        path = f"{daemon.directory}/state/arena.snapshot"
        with open(path, "rb") as file:
            old = file.read()
        daemon.start()
        worker = daemon.worker()
        equal((called(worker), origin(daemon)), (4, "snapshot"))
        daemon.kill()
        worker.kill()
        with open(path, "wb") as file:      # as from a backup
            file.write(old)
        daemon.start()
        equal(origin(daemon), "lost")
        assert "is older than" in daemon.log(), daemon.log()


@case
def a_damaged_snapshot_is_named_and_not_used():
    with Daemon() as daemon:
        counting(daemon).kill()
        daemon.stop()
        with open(f"{daemon.directory}/state/arena.snapshot", "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)[0]
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last ^ 1]))
        daemon.start()
        equal(origin(daemon), "lost")
        assert "is damaged" in daemon.log(), daemon.log()
        refused(lambda: value(daemon), "UnknownElement")
        equal(called(daemon.worker()), 1, "the verdict")


@case
def a_worker_that_comes_without_it_is_not_waited_for():
    with Daemon() as daemon:
        worker = counting(daemon)
        daemon.kill()
        worker.do("close-all reuse")
        daemon.start()
        equal(origin(daemon), "lost")
        assert "have not come back" not in daemon.log(), daemon.log()


@case
def a_worker_that_ends_is_not_waited_for():
    with Daemon() as daemon:
        worker = counting(daemon)
        os.kill(worker.pid, signal.SIGSTOP)
        daemon.kill()
        starting = start_meanwhile(daemon)
        worker.kill()
        starting.join()
        equal(origin(daemon), "lost")
        assert "have not come back" not in daemon.log(), daemon.log()


# ---- who lies ----

def forged():
    """What a hostile worker may have instead, and how it is called."""
    seals = {"not sealed": 0, "sealed in part": 1 | 2, "another file than the arena": SEAL_ALL}
    for name, seal in seals.items():
        descriptor = os.memfd_create("dispatchd-arena", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.ftruncate(descriptor, ARENA_SIZE)
        if seal:
            fcntl.fcntl(descriptor, 1033, seal)
        yield descriptor, "another file" if seal == SEAL_ALL else "its size is not sealed"
    descriptor = os.memfd_create("dispatchd-arena", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(descriptor, ARENA_SIZE // 2)
    fcntl.fcntl(descriptor, 1033, SEAL_ALL)
    yield descriptor, "it has another size"
    yield os.open("/dev/null", os.O_RDWR), "it is no memfd"


@case
def what_is_not_the_arena_is_refused_and_its_bringer_joins():
    with Daemon() as daemon:
        worker = counting(daemon)
        os.kill(worker.pid, signal.SIGSTOP)         # so that the daemon waits, and the liars come first
        daemon.kill()
        starting = start_meanwhile(daemon)
        liars = []
        for descriptor, reason in forged():
            liar = Connection(daemon.worker_path)
            liar.send({"method": "io.dispatchd.Worker.Join", "parameters": {
                "layout_version": LAYOUT_VERSION, "name": "liar", "tables": [TABLE], "arena": 1}},
                [lines(), descriptor])
            liars.append((liar, reason))
            wait_until(lambda: reason in daemon.log(), f"the log says that {reason}")
        absent = Connection(daemon.worker_path)
        absent.send({"method": "io.dispatchd.Worker.Join", "parameters": {
            "layout_version": LAYOUT_VERSION, "name": "liar", "tables": [TABLE], "arena": 9}}, [lines()])
        os.kill(worker.pid, signal.SIGCONT)
        starting.join()
        equal((origin(daemon), value(daemon)), ("worker", 3))
        for liar, reason in liars + [(absent, "there is none")]:
            answer = liar.receive()
            assert "error" not in answer, answer
            assert f"is refused: {reason}" in daemon.log() or reason == "another file", daemon.log()
        equal(called(worker), 4, "the verdict")


@case
def what_nobody_needs_is_not_looked_at():
    with Daemon() as daemon:
        counting(daemon)
        for descriptor, _ in forged():
            Connection(daemon.worker_path).call("io.dispatchd.Worker.Join", [lines(), descriptor], name="liar",
                                                layout_version=LAYOUT_VERSION, tables=[TABLE], arena=1)
        equal(value(daemon), 3)


# ---- systemd's descriptor store ----

class Store:
    """Stands for systemd: keeps what the daemon gives it, and passes it to the next one."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = f"{daemon.directory}/notify"
        self.socket.bind(self.path)
        self.socket.settimeout(60)
        self.kept = None

    def receive(self):
        """Until the daemon is ready."""
        while True:
            text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4))
            words = text.decode().split("\n")
            if "FDSTOREREMOVE=1" in words and "FDNAME=arena" in words:
                self.kept = None
            if "FDSTORE=1" in words and "FDNAME=arena" in words:
                self.kept = array.array("i", control[0][2])[0]
            if "READY=1" in words:
                return


def start_under(daemon, store, kept=None):
    """Start the daemon with what the store has, or with `kept` in its place, as descriptor 3."""
    passed = store.kept if kept is None else kept
    shell = ["sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=arena exec \"$@\"", "sh"]
    with open(daemon.log_path, "ab") as log:
        daemon.process = subprocess.Popen(
            (shell if passed is not None else []) + daemon.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=dict(os.environ, NOTIFY_SOCKET=store.path), close_fds=False,
            preexec_fn=None if passed is None else lambda: os.dup2(passed, 3))
    store.receive()
    wait_until(daemon.answers, "the daemon answers")


@case
def systemd_keeps_it_when_no_worker_is_left():
    with Daemon(start=False) as daemon:
        store = Store(daemon)
        start_under(daemon, store)
        assert store.kept is not None, "the daemon gave nothing to the store"
        counting(daemon).kill()
        for _ in range(2):
            daemon.kill()
            start_under(daemon, store)
            equal((origin(daemon), value(daemon)), ("store", 3))
        equal(called(daemon.worker()), 4, "the verdict")


@case
def what_systemd_has_is_checked_too():
    with Daemon(start=False) as daemon:
        store = Store(daemon)
        start_under(daemon, store)
        counting(daemon).kill()
        for descriptor, reason in forged():
            daemon.kill()
            start_under(daemon, store, descriptor)
            equal(origin(daemon), "lost")
            assert reason in daemon.log(), daemon.log()


# ---- room ----

@case
def data_that_the_old_programs_write_is_nobodys_until_they_have_moved():
    with Daemon() as daemon:
        bringing, stopped = counting(daemon), daemon.worker()
        os.kill(stopped.pid, signal.SIGSTOP)
        daemon.restart()
        equal(origin(daemon), "worker")
        held = daemon.call("Info")["arena_bytes_held"]
        assert held > 0, held
        wait_until(lambda: bringing.do("status").startswith("joined generation 2"), "moved")
        assert daemon.call("Info")["arena_bytes_held"] >= held, "it is given away while a worker has not moved"
        os.kill(stopped.pid, signal.SIGCONT)
        wait_until(lambda: daemon.call("Info")["arena_bytes_held"] == 0, "nothing is held")
        equal(called(stopped), 4, "the verdict")


@case
def maps_may_be_larger_than_64_mib_and_no_larger_than_the_quota():
    with Daemon(arguments=["--arena-quota", "200"]) as daemon:
        def create(name, mebibytes):
            daemon.call("CreateMap", map=name, kind="array", key="u32", value="u64", max_entries=mebibytes << 17)

        used = daemon.call("Info")["arena_bytes_used"]
        create("large", 150)
        daemon.call("UpdateElement", map="large", key={"value": (150 << 17) - 1}, value={"value": 77})
        parameters = refused(lambda: create("larger", 100), "QuotaExceeded")
        equal((parameters["maximum"], parameters["uid"]), (200 << 20, os.getuid()))
        assert parameters["used"] >= 150 << 20 and parameters["needed"] >= 100 << 20, parameters
        daemon.stop()
        daemon.start()
        equal((origin(daemon), value(daemon, "large", (150 << 17) - 1)), ("snapshot", 77))
        daemon.call("RemoveMap", map="large", wait="quiescent")
        equal(daemon.call("Info")["arena_bytes_used"], used, "bytes used in the arena")
        create("larger", 100)


@case
def a_full_arena_says_how_much_there_is():
    with Daemon(arguments=["--arena-quota", "512"]) as daemon:
        def create(name, mebibytes):
            """With a copy for each of 128 seats: of the host's memory it takes next to nothing."""
            daemon.call("CreateMap", map=name, kind="percpu_array", key="u32", value="u64", max_entries=mebibytes << 10)

        create("one", 224)
        create("two", 192)
        parameters = refused(lambda: create("three", 128), "ArenaFull")
        equal(parameters["available"], daemon.call("Info")["arena_largest_gap"])
        create("three", parameters["available"] * 7 // 8 >> 20)


run()
