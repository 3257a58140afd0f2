# SPDX-License-Identifier: MIT
"""Every way in which the daemon cannot start: its exit code, and one line that says what to do."""
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile

from harness import CONTEXT, DISPATCHD, Connection, Daemon, compile_program, verdict, wait_until
from tap import Skip, case, equal, run


def start(*arguments, environment=None, wrapper=(), directory=None, preexec=None):
    """Run a daemon that is to fail; (exit code, what it said)."""
    directory = directory or tempfile.mkdtemp()
    command = [*wrapper, DISPATCHD, *arguments]
    if not any(a.startswith("--runtime") or a == "--user" for a in arguments):
        command += ["--runtime-dir", f"{directory}/run"]
    if not any(a.startswith("--state") or a == "--user" for a in arguments):
        command += ["--state-dir", f"{directory}/state"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, preexec_fn=preexec)
    return done.returncode, done.stdout + done.stderr


def expect(result, code, *words):
    equal(result[0], code, f"exit code ({result[1].strip()})")
    for word in words:
        assert word in result[1], f"{word!r} is not in {result[1]!r}"
    equal(len(result[1].strip().splitlines()) <= 2, True, "short")


@case
def help_and_version():
    equal(start("--help")[0], 0)
    equal(start("--version")[0], 0)


@case
def usage():
    expect(start("--nonsense"), 2, "--help")
    expect(start("nonsense"), 2, "nonsense", "--help")
    expect(start("--text-size", "0"), 2, "--text-size", "1 to 1024")
    expect(start("--text-size", "5x"), 2, "--text-size")
    expect(start("--translation-time", "0"), 2, "--translation-time", "1 to 3600")
    expect(start("--user", environment={"PATH": os.environ["PATH"]}), 2, "XDG_RUNTIME_DIR", "--runtime-dir")


@case
def socket_in_use():
    with Daemon() as daemon:
        expect(start("--runtime-dir", f"{daemon.directory}/run"), 3, "another dispatchd serves", "--runtime-dir")


@case
def stale_socket_is_replaced():
    with Daemon() as daemon:
        daemon.kill(signal.SIGKILL)
        assert os.path.exists(daemon.control_path)
        daemon.start()
        daemon.call("Info")


@case
def path_of_socket_too_long():
    with tempfile.TemporaryDirectory() as directory:
        name = f"{directory}/{'x' * 100}"
        os.mkdir(name)
        expect(start("--runtime-dir", name), 3, "--runtime-dir")


@case
def database_in_use():
    with Daemon() as daemon:
        expect(start("--state-dir", f"{daemon.directory}/state"), 5, "dispatchd.db", "--state-dir")


@case
def newer_database_is_refused_and_left_alone():
    with Daemon() as daemon:
        path = f"{daemon.directory}/state/dispatchd.db"
        daemon.stop()
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 99")
        database.commit()
        database.close()
        with open(path, "rb") as file:
            before = file.read()
        expect(start("--state-dir", f"{daemon.directory}/state"), 4, "version 99", "newer")
        with open(path, "rb") as file:
            equal(file.read() == before, True, "unchanged database")


@case
def no_database():
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/dispatchd.db", "wb") as file:
            file.write(b"this is not a database, whatever its name says " * 100)
        expect(start("--state-dir", directory), 5, "not a database")


@case
def foreign_database_is_left_alone():
    with tempfile.TemporaryDirectory() as directory:
        database = sqlite3.connect(f"{directory}/dispatchd.db")
        database.execute("CREATE TABLE precious (x)")
        database.commit()
        database.close()
        expect(start("--state-dir", directory), 5, "not a database of dispatchd")


@case
def no_permission():
    if os.getuid() != 0:
        expect(start("--state-dir", "/proc/nothing"), 6)
        return
    # Root without the right to pass over modes: another user could not even reach a checkout below /root.
    without = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"]
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(f"{directory}/open")
        os.mkdir(f"{directory}/full", 0o555)
        expect(start("--state-dir", f"{directory}/full/s", "--runtime-dir", f"{directory}/open", wrapper=without), 6,
               "full/s", "--user", "--state-dir")
        expect(start("--runtime-dir", f"{directory}/full/r", "--state-dir", f"{directory}/open", wrapper=without), 6,
               "full/r", "--user", "--runtime-dir")


@case
def directories_that_cannot_be_made():
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/file", "wb"):
            pass
        expect(start("--runtime-dir", f"{directory}/a/b/c"), 3, "a/b/c", "the directory above it", "--runtime-dir")
        expect(start("--runtime-dir", f"{directory}/file/r"), 3, "file/r", "Not a directory",
               "give another --runtime-dir")
        expect(start("--state-dir", f"{directory}/file/s"), 5, "file/s", "Not a directory", "give another --state-dir")


@case
def no_executable_memory_files():
    # vm.memfd_noexec belongs to the pid namespace, so a new one may be spoiled.
    wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
               "echo 2 > /proc/sys/vm/memfd_noexec || exit 77; exec \"$@\"", "sh"]
    code, text = start(wrapper=wrapper)
    if code in (1, 77) and "memfd_noexec" not in text.replace("/proc/sys/vm/memfd_noexec", ""):
        raise Skip(f"no pid namespace with vm.memfd_noexec: {text.strip()}")
    expect((code, text), 7, "vm.memfd_noexec", "SELinux")


@case
def damaged_row_is_named_and_kept():
    with Daemon() as daemon:
        path = f"{daemon.directory}/state/dispatchd.db"
        daemon.stop()
        database = sqlite3.connect(path)
        database.execute("INSERT INTO contexts VALUES ('c', 8)")
        database.execute("INSERT INTO programs (name, context, digest, object, function, settings)"
                         " VALUES ('broken', 'c', x'00', x'7f454c46', '', '{}')")
        database.commit()
        database.close()
        expect(start("--state-dir", f"{daemon.directory}/state"), 9, "program \"broken\"")
        database = sqlite3.connect(path)
        equal(database.execute("SELECT name FROM programs").fetchall(), [("broken",)])
        database.close()


@case
def program_that_is_not_safe_is_named_and_kept():
    """As a daemon without a verifier may have loaded it."""
    unsafe = compile_program(CONTEXT + 'SEC("table/test") __u32 f(struct test *t) { t->method = 1; return 0; }',
                             "unsafe")
    with Daemon() as daemon:
        daemon.worker()
        for number in range(20):
            daemon.load(f"p{number}", verdict(number % 3))
        path = f"{daemon.directory}/state/dispatchd.db"
        daemon.stop()
        for change, words in (
                ("object = ?, function = ''", ["ProgramRejected", "read-only"]), ("settings = 'x'", ["Bad message"]),
                ("settings = '{}'", ["ProgramRejected"]), ("function = 'g'", ["ObjectInvalid", "no program g"])):
            with contextlib.closing(sqlite3.connect(path)) as database, open(unsafe, "rb") as file:
                values = [file.read()] if "?" in change else []
                database.execute(f"UPDATE programs SET {change} WHERE name = 'p7'", values)
                database.commit()
            expect(start("--state-dir", f"{daemon.directory}/state"), 9, 'program "p7"', "--forget-program p7", *words)
        with contextlib.closing(sqlite3.connect(path)) as database:
            equal(database.execute("SELECT count(*) FROM programs").fetchone(), (20,))
            database.execute("DELETE FROM programs WHERE name = 'p7'")
            database.commit()
        daemon.start()
        equal(len(daemon.list("programs")), 19)


@case
def a_program_that_cannot_be_restored_is_forgotten_on_request():
    with Daemon() as daemon:
        worker = daemon.worker()
        for name in ("seven", "broken"):
            daemon.load(name, verdict(7))
            for key in (1, 2):
                daemon.attach("on_test", key + 10 * (name == "broken"), name)
        daemon.stop()
        directory = f"{daemon.directory}/state"
        expect(start("--state-dir", directory, "--forget-program", "nobody"), 2, "nobody", "nothing is changed")
        with contextlib.closing(sqlite3.connect(f"{directory}/dispatchd.db")) as database:
            database.execute("UPDATE programs SET object = x'00' WHERE name = 'broken'")
            database.commit()
        code, text = start("--state-dir", directory, "--runtime-dir", f"{daemon.directory}/run")
        expect((code, text), 9, "--forget-program broken")
        expect(start("--state-dir", directory, "--forget-program", "broken"), 0, '"broken" and 2 links are forgotten')
        daemon.start()
        equal([program["name"] for program in daemon.list("programs")], ["seven"], "programs")
        equal([link["keys"] for link in daemon.list("links")], ["1", "2"], "links")
        expect(start("--state-dir", directory, "--forget-program", "seven"), 5, "another dispatchd has it open")
        wait_until(lambda: worker.do("call on_test 11").split()[1] == "0", "the worker has moved")
        equal(worker.do("call on_test 1").split()[1], "7", "what the other program says")


@case
def who_waits_to_join_a_daemon_that_cannot_start_is_no_line():
    with Daemon() as daemon:
        daemon.worker()
        for number in range(8):
            daemon.load(f"p{number}", verdict(number % 3))
        path = f"{daemon.directory}/state/dispatchd.db"
        daemon.stop()
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE programs SET object = x'00' WHERE name = 'p7'")
            database.commit()
        process = subprocess.Popen(daemon.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        joining = []
        while process.poll() is None and len(joining) < 20:             # as soon as it listens
            with contextlib.suppress(OSError):
                connection = Connection(daemon.worker_path)
                connection.send({"method": "io.dispatchd.Worker.Join",
                                 "parameters": {"layout_version": 0, "name": "waits", "tables": []}})
                joining.append(connection)
        text = process.communicate()[0]
        expect((process.returncode, text), 9, 'program "p7"')
        assert joining and "without an answer" not in text, text


@case
def user_mode():
    with tempfile.TemporaryDirectory() as directory:
        environment = dict(os.environ, XDG_RUNTIME_DIR=f"{directory}/runtime", HOME=f"{directory}/home")
        environment.pop("XDG_STATE_HOME", None)
        os.mkdir(f"{directory}/runtime")
        os.mkdir(f"{directory}/home")
        process = subprocess.Popen([DISPATCHD, "--user"], env=environment, stderr=subprocess.DEVNULL)
        path = f"{directory}/runtime/dispatchd/control"

        def answers():
            try:
                return Connection(path).call("io.dispatchd.Control.Info")
            except OSError:
                return None
        wait_until(answers, "the user's daemon answers")
        assert os.path.exists(f"{directory}/home/.local/state/dispatchd/dispatchd.db")
        # Its writable mapping of the image is kept from the user's other processes.
        equal(os.stat(f"/proc/{process.pid}/mem").st_uid, 0, "owner of a process that is not dumpable")
        process.terminate()
        equal(process.wait(60), 0, "exit code")


@case
def sockets_from_systemd():
    with tempfile.TemporaryDirectory() as directory:
        listening = []
        for name in ("control", "worker"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{directory}/{name}")
            listener.listen()
            listening.append(listener)

        def pass_descriptors():
            descriptors = [os.dup(listener.fileno()) for listener in listening]
            for number, descriptor in enumerate(descriptors, 3):
                os.dup2(descriptor, number)
        shell = ["sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=$0 exec \"$@\""]
        arguments = [DISPATCHD, "--runtime-dir", "/nonexistent", "--state-dir", f"{directory}/state"]
        done = subprocess.run([*shell, "one:two", *arguments], preexec_fn=pass_descriptors, pass_fds=(3, 4),
                              capture_output=True, text=True, timeout=60)
        expect((done.returncode, done.stderr), 3, "FileDescriptorName=")
        process = subprocess.Popen([*shell, "control:worker", *arguments], preexec_fn=pass_descriptors,
                                   pass_fds=(3, 4), stderr=subprocess.DEVNULL)
        Connection(f"{directory}/control").call("io.dispatchd.Control.Info")
        process.terminate()
        equal(process.wait(60), 0, "exit code")


@case
def a_long_start_is_told():
    """systemd gives up a start after a while, unless it is told that it goes on."""
    with Daemon() as daemon, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        daemon.worker()
        daemon.load("seven", verdict(7))
        daemon.load("eight", verdict(8))
        daemon.kill()
        supervisor.bind(f"{daemon.directory}/notify")
        os.environ["NOTIFY_SOCKET"] = f"{daemon.directory}/notify"
        try:
            daemon.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        supervisor.settimeout(60)
        told = []
        while not told or not told[-1].startswith("READY=1"):
            told.append(supervisor.recv(4096).decode())
        told = [message.split("\n")[0] for message in told if not message.startswith("FDSTORE")]
        equal(told, ["EXTEND_TIMEOUT_USEC=200000000"] * 2 + ["READY=1"])


run()
