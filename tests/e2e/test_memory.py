# SPDX-License-Identifier: MIT
"""
No mapping is writable and executable, in any process; text and control cannot be written by a worker, by any route; and
what a worker writes into the arena harms neither the daemon nor others.
"""
import ctypes
import mmap
import os
import socket
import subprocess
import sys

from fake_worker import LAYOUT_VERSION, TABLE, lines
from harness import CONTEXT, Connection, Daemon, compile_program, descendants, verdict
from tap import Skip, case, equal, run

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
FAILED = ctypes.c_void_p(-1).value


def mappings(pid):
    with open(f"/proc/{pid}/maps") as file:
        return [line.split(None, 5) for line in file]


def join(daemon):
    """As a hostile worker: keep the descriptors.  Returns (connection, control, text, arena, and two linkages)."""
    connection = Connection(daemon.worker_path)
    connection.send({"method": "io.dispatchd.Worker.Join",
                     "parameters": {"layout_version": LAYOUT_VERSION, "name": "hostile", "tables": [TABLE]}}, [lines()])
    data, descriptors, _, _ = socket.recv_fds(connection.socket, 65536, 8)
    assert b"error" not in data, data
    return connection, *descriptors


def attempts(descriptor, size):
    """Every route by which a worker might write: name and whether it succeeded."""
    found = {}

    def attempt(name, function):
        try:
            found[name] = bool(function())
        except OSError:
            found[name] = False

    def write_mapping(d, flags=mmap.MAP_SHARED):
        return libc.mmap(None, 4096, PROT_READ | PROT_WRITE, flags, d, 0) != FAILED

    read_only = libc.mmap(None, size, PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    executable = libc.mmap(None, size, PROT_READ | PROT_EXEC, mmap.MAP_SHARED, descriptor, 0)
    before = os.pread(descriptor, 4096, 0)
    path = f"/proc/self/fd/{descriptor}"
    attempt("shared writable mapping", lambda: write_mapping(descriptor))
    for name, address in (("read", read_only), ("execute", executable)):
        if address != FAILED:
            attempt(f"mprotect of the {name} mapping",
                    lambda: libc.mprotect(address, 4096, PROT_READ | PROT_WRITE) == 0)
            def through_mem():
                memory = os.open("/proc/self/mem", os.O_RDWR)
                try:
                    return os.pwrite(memory, b"\x90", address)
                finally:
                    os.close(memory)
            attempt(f"/proc/self/mem of the {name} mapping", through_mem)
    attempt("pwrite", lambda: os.pwrite(descriptor, b"\x90", 0))
    attempt("ftruncate", lambda: os.ftruncate(descriptor, 0) is None)
    attempt("ftruncate larger", lambda: os.ftruncate(descriptor, 2 * size) is None)
    attempt("punch a hole", lambda: libc.fallocate(descriptor, 3, ctypes.c_long(0), ctypes.c_long(4096)) == 0)
    for mode in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
        def reopen():
            d = os.open(path, mode)
            try:
                return os.pwrite(d, b"\x90", 0)
            finally:
                os.close(d)
        attempt(f"reopen {mode} and write", reopen)

        def reopen_and_map():
            d = os.open(path, mode)
            try:
                return write_mapping(d)
            finally:
                os.close(d)
        attempt(f"reopen {mode} and map", reopen_and_map)
    found["changed"] = os.pread(descriptor, 4096, 0) != before
    return found


def hostile(daemon, uid):
    """All attempts, as this uid, in a child."""
    done = subprocess.run([sys.executable, __file__, "hostile", daemon.worker_path, str(uid)], capture_output=True,
                          text=True, timeout=60)
    equal(done.returncode, 0, done.stdout + done.stderr)
    return done.stdout


if len(sys.argv) > 1 and sys.argv[1] == "hostile":
    class Target:
        worker_path = sys.argv[2]
    if int(sys.argv[3]):
        os.setresuid(int(sys.argv[3]), int(sys.argv[3]), int(sys.argv[3]))
    _connection, _control, _text, _arena, *_linkages = join(Target)
    for _size in (0, 1 << 30):                  # its bytes are anybody's, its size is not
        try:
            os.ftruncate(_arena, _size)
            sys.exit("the arena has another size")
        except PermissionError:
            pass
    _failed = [f"{what}: {name}" for what, descriptor, size in (("control", _control, 4096), ("text", _text, 1 << 20),
                                                                  *(("linkage", _linkage, 4096) for _linkage in _linkages))
               for name, succeeded in attempts(descriptor, size).items() if succeeded]
    print("\n".join(_failed))
    sys.exit(1 if _failed else 0)


@case
def nothing_is_writable_and_executable():
    with Daemon() as daemon:
        workers = [daemon.worker() for _ in range(2)]
        workers[0].do("fork 2")
        daemon.load("seven", verdict(7))
        for number in range(30):
            daemon.call("Detach", link=daemon.attach("on_test", 3, "seven"))
        for pid in [daemon.process.pid, *[w.pid for w in workers], *descendants(workers[0].pid)]:
            both = [m for m in mappings(pid) if "w" in m[1] and "x" in m[1]]
            equal(both, [], f"mappings of {pid}")
        # The same file is never writable here and executable there, within one process.
        for pid in [daemon.process.pid, *[w.pid for w in workers]]:
            writable = {m[4] for m in mappings(pid) if "w" in m[1] and "s" in m[1]}
            executable = {m[4] for m in mappings(pid) if "x" in m[1] and "s" in m[1]}
            equal(writable & executable, set(), f"files that {pid} can both write and execute")


@case
def a_worker_cannot_write_text_or_control():
    with Daemon() as daemon:
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        daemon.attach("on_test", 3, "seven")
        hostile(daemon, 0)
        equal(worker.do("call on_test 3").split()[1], "7")


@case
def nor_can_another_user():
    if os.getuid() != 0:
        raise Skip("only root can become another user")
    with Daemon() as daemon:
        os.chmod(daemon.directory, 0o755)
        os.chmod(daemon.directory + "/run", 0o755)
        hostile(daemon, 65534)


@case
def the_attempts_would_be_seen():
    """The same attempts on a file without seals: all succeed but those that the kernel forbids on any file."""
    descriptor = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 1 << 20)
    found = attempts(descriptor, 4096)
    impossible = {f"reopen {os.O_WRONLY} and map"}      # a shared writable mapping needs a descriptor that may read
    equal({name for name, succeeded in found.items() if not succeeded} - impossible, set(),
          "attempts that would not be seen")


@case
def the_daemon_believes_nothing_in_the_arena():
    """A worker that fills it with anything changes what programs load from there, and nothing else."""
    with Daemon() as daemon:
        worker = daemon.worker()
        path = compile_program(CONTEXT + """
            static __u32 index, table[16];
            SEC("table/test") __u32 f(struct test *t) { table[index & 15] = 7; return table[index & 15]; }""", "index")
        daemon.load("index", path)
        daemon.attach("on_test", 3, "index")
        connection, *descriptors = join(daemon)
        for fill in (b"\xff", b"\x80", b"\x00", b"\x7f"):
            os.pwrite(descriptors[2], fill * (1 << 20), 0)
            equal(worker.do("call on_test 3").split()[1], "7")
            daemon.load("other", path)
            daemon.call("Unload", program="other", wait="quiescent")
            daemon.list("programs")
        connection.close()


@case
def the_daemon_believes_no_line():
    """A worker that scribbles on its lines delays the reuse of code, and nothing else."""
    with Daemon() as daemon:
        connection = Connection(daemon.worker_path)
        descriptor = lines()
        connection.call("io.dispatchd.Worker.Join", [descriptor], layout_version=LAYOUT_VERSION, name="scribbler",
                        tables=[TABLE])
        worker = daemon.worker()
        daemon.load("seven", verdict(7))
        for fill in (b"\xff", b"\x01", b"\x80", b"\x00"):
            os.pwrite(descriptor, fill * (1 << 20), 0)
            link = daemon.attach("on_test", 3, "seven")
            equal(worker.do("call on_test 3").split()[1], "7")
            daemon.list("workers")
            daemon.call("Detach", link=link)


run()
