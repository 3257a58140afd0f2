# SPDX-License-Identifier: MIT
"""What clients may send by mistake or malice: a clear error that names the argument, and nothing is changed."""
import os
import tempfile

from fake_worker import FIELDS, LAYOUT_VERSION, TABLE, counters, lines
from harness import CONTEXT, Connection, Daemon, Refused, compile_program, refused, verdict
from tap import case, equal, run

def join(daemon, table=None, descriptor=None, **parameters):
    connection = Connection(daemon.worker_path)
    call = {"layout_version": LAYOUT_VERSION, "name": "test", "tables": [table or TABLE], **parameters}
    connection.call("io.dispatchd.Worker.Join", [lines() if descriptor is None else descriptor], **call)
    return connection


daemon = Daemon()
joined = join(daemon)
kept = []               # connections that stay: a process that lost one could join again without lines
daemon.load("seven", verdict(7))
daemon.attach("on_test", 3, "seven")


def state():
    tables = [{k: v for k, v in table.items() if k != "workers"} for table in daemon.list("tables")
              if table["name"] == "on_test"]
    return [daemon.list("programs"), tables, daemon.list("links")], daemon.call("Info")["text_bytes_used"]


def wait_settled():
    from harness import wait_until
    wait_until(lambda: all(t["settled"] for t in daemon.list("tables")), "tables settle")


wait_settled()
before = state()


@case
def broken_json_closes_the_connection_only():
    for data in (b"{\0", b"nonsense\0", b"[]\0", b"{}\0", b"\0", b"\xff\xfe{}\0", b'{"method":"\xc3("}\0', b"1\0",
                 b'{"method":1}\0', b'{"method":"x"}\0', b'{"method":"a.b","extra":1}\0', b'{"method":"a.b"} x\0'):
        connection = daemon.connect()
        try:
            connection.send_bytes(data)
            reply = connection.receive()
        except (BrokenPipeError, ConnectionResetError):
            reply = None
        assert reply is None or "error" in reply, f"{data!r}: {reply}"
        connection.close()
    daemon.call("Info")


@case
def truncated_json():
    whole = b'{"method":"io.dispatchd.Control.Attach","parameters":{"table":"on_test","key":9,"program":"seven"}}\0'
    for length in range(len(whole) - 1):
        connection = daemon.connect()
        connection.send_bytes(whole[:length])
        connection.close()


@case
def deep_nesting():
    for depth in (40, 1000, 100000):
        connection = daemon.connect()
        try:
            connection.send_bytes(b'{"method":"a.b","parameters":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}\0")
            reply = connection.receive()
            assert reply is None or "error" in reply
        except (BrokenPipeError, ConnectionResetError):
            pass
        connection.close()


@case
def huge_message():
    connection = daemon.connect()
    try:
        for _ in range(300):
            connection.send_bytes(b" " * (1 << 20))
        reply = connection.receive()
        assert reply is None or "LimitExceeded" in reply["error"], reply
    except (BrokenPipeError, ConnectionResetError):
        pass
    connection.close()
    daemon.call("Info")


@case
def unknown_methods():
    refused(lambda: daemon.call("Nonsense"), "MethodNotFound", method=lambda m: "Nonsense" in m)
    refused(lambda: daemon.connect().call("io.example.Nothing.Method"), "InterfaceNotFound")
    # The sockets have different rights.
    refused(lambda: daemon.connect().call("io.dispatchd.Worker.Adopt"), "InterfaceNotFound")
    refused(lambda: Connection(daemon.worker_path).call("io.dispatchd.Control.Info"), "InterfaceNotFound")


@case
def parameters_missing_mistyped_unknown():
    good = {"table": "on_test", "key": 9, "program": "seven"}
    for name in good:
        rest = {k: v for k, v in good.items() if k != name}
        refused(lambda: daemon.call("Attach", **rest), "InvalidParameter", parameter=name)
        for wrong in (None, [], {}, True, 1.5, "x" if name == "key" else 7):
            refused(lambda: daemon.call("Attach", **rest, **{name: wrong}), "InvalidParameter", parameter=name)
    refused(lambda: daemon.call("Attach", **good, extra=1), "InvalidParameter", parameter="extra")
    refused(lambda: daemon.call("Attach", **good, wait="never"), "InvalidParameter", parameter="wait")
    for key in (-1, 1 << 32, 1 << 62):
        refused(lambda: daemon.call("Attach", table="on_test", key=key, program="seven"), "InvalidParameter",
                parameter="key", reason=lambda r: "4294967295" in r)
    refused(lambda: daemon.call("Apply", operations=[{"operation": "attach", "table": "on_test", "program": "seven"}]),
            "InvalidParameter", parameter="key")


@case
def names():
    for name in ("", "a" * 64, "a b", "a/b", "ä", "a\n", "../x"):
        refused(lambda: daemon.load(name, verdict(7)), "InvalidParameter", parameter="program")
    refused(lambda: daemon.load("a" * 100000, verdict(7)), "InvalidParameter", parameter="program")


@case
def unknown_objects():
    refused(lambda: daemon.attach("nothing", 1, "seven"), "UnknownTable", table="nothing")
    refused(lambda: daemon.attach("on_test", 1, "nothing"), "UnknownProgram", program="nothing")
    refused(lambda: daemon.call("Unload", program="nothing"), "UnknownProgram", program="nothing")
    for link in (0, -1, 99, 1 << 62):
        refused(lambda: daemon.call("Detach", link=link), "UnknownLink", link=link)


@case
def taken():
    refused(lambda: daemon.attach("on_test", 3, "seven"), "KeyTaken", table="on_test", keys="3", link=1,
            link_keys="3", program="seven")
    refused(lambda: daemon.load("seven", verdict(8)), "ProgramExists", program="seven")
    refused(lambda: daemon.call("Unload", program="seven"), "ProgramInUse", program="seven", links=[1])


@case
def objects_that_are_none():
    with tempfile.TemporaryDirectory() as directory:
        def write(name, data):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(data)
            return f"{directory}/{name}"
        with open(verdict(8), "rb") as file:
            good = file.read()
        for name, data, word in (
                ("empty", b"", "ELF"), ("text", b"hello, world\n" * 20, "ELF"),
                ("truncated", good[:200], ""), ("machine", good[:18] + b"\x3e\x00" + good[20:], "BPF"),
                ("class", good[:4] + b"\x01" + good[5:], "ELF")):
            path = write(name, data)
            refused(lambda: daemon.load("bad", path), "ObjectInvalid", program="bad", reason=lambda r: word in r)
        refused(lambda: daemon.load("bad", compile_program("int x;", "nothing")), "ObjectInvalid",
                reason=lambda r: "section" in r)
        refused(lambda: daemon.load("bad", compile_program(
            '__attribute__((section("xdp"))) int f(void *c) { return 0; }', "xdp")), "ObjectInvalid",
            reason=lambda r: "xdp" in r)
        # The daemon cannot be made to wait for a descriptor, nor to read what is no file.
        os.mkfifo(f"{directory}/fifo")
        fifo = os.open(f"{directory}/fifo", os.O_RDWR)
        for descriptor in (fifo, os.open(directory, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)):
            refused(lambda: daemon.call("Load", [descriptor], program="bad"), "InvalidParameter",
                    parameter="object")
        refused(lambda: daemon.call("Load", program="bad"), "InvalidParameter", parameter="object")
        refused(lambda: daemon.call("Load", program="bad", object="!!"), "InvalidParameter",
                parameter="object", reason=lambda r: "base64" in r)
        large = write("large", b"")
        os.truncate(large, 1 << 40)
        refused(lambda: daemon.load("bad", large), "LimitExceeded")


@case
def programs_that_are_refused():
    cases = {
        "context-write": ("t->method = 1; return 0;", "ProgramRejected", "method"),
        "context-field": ("return *(__u32 *)((char *)t + 24);", "ProgramRejected", ""),
        "helper": ("return bpf_get_current_task();", "ProgramRejected", "get_current_task"),
        "stack": ("__u32 x; asm volatile(\"%0 = *(u8 *)(r10 - 600)\" : \"=r\"(x)); return x;", "ProgramRejected", ""),
        "leak": ("return (__u32)(unsigned long)t;", "ProgramRejected", ""),
        "kernel-function": ("extern int kernel_f(void); return kernel_f();", "ProgramRejected", "kernel_f"),
        "unsized": ("extern int unsized(const void *p) __ksym; return unsized(t);", "ProgramRejected",
                    "a pointer without a size"),
    }
    for name, (body, errors, word) in cases.items():
        path = compile_program(CONTEXT + f'SEC("table/test") __u32 f(struct test *t) {{ {body} }}', name)
        try:
            daemon.load("bad", path)
        except Refused as refusal:
            assert refusal.error in errors.split(), f"{name}: {refusal}"
            assert word in str(refusal.parameters), f"{name}: {refusal}"
        else:
            raise AssertionError(f"{name} was loaded")


@case
def refusals_while_linking_name_their_place():
    pointer = ('static __attribute__((noinline)) int one(int x) { return x + 1; }\n'
               'static __attribute__((noinline)) int two(int x) { return x * 3; }\n'
               'SEC("table/test") __u32 f(struct test *t)\n{\n'
               '    int (*chosen)(int) = t->method & 1 ? one : two;\n    return chosen(t->method);\n}\n')
    elsewhere = ('extern int elsewhere(int x);\nstatic __attribute__((noinline)) int inner(int x)\n{\n'
                 '    return elsewhere(x) + 1;\n}\nSEC("table/test") __u32 f(struct test *t) { return inner(t->method); }\n')
    for text, function, rule, source, hint in ((pointer, "f", "unsupported", "return chosen(t->method);", "-O2"),
                                               (elsewhere, "inner", "relocation", "return elsewhere(x) + 1;", "")):
        with tempfile.NamedTemporaryFile("w", suffix=".c") as file:
            file.write(text)
            file.flush()
            path = compile_program(f'{CONTEXT}\n#include "{file.name}"\n', rule)
        parameters = refused(lambda: daemon.load("bad", path), "ProgramRejected")
        shown = {name: parameters[name] for name in ("program", "function", "rule", "source", "file", "line")}
        line = 1 + [line.strip() for line in text.splitlines()].index(source)
        equal(shown, {"program": "bad", "function": function, "rule": rule, "source": source, "file": file.name,
                      "line": line})
        assert parameters["instruction"] >= 0 and hint in parameters["hint"], parameters


@case
def long_file_names_keep_their_end():
    text = f'\n#line 5 "/{"far/" * 80}away.c"\n' 'SEC("table/test") __u32 f(struct test *t) { return *(__u32 *)8; }\n'
    parameters = refused(lambda: daemon.load("bad", compile_program(CONTEXT + text, "far")), "ProgramRejected")
    assert parameters["file"].endswith("/far/away.c") and len(parameters["file"]) == 255, parameters


@case
def context_of_an_old_header():
    path = compile_program(CONTEXT.replace("__u32 method;", "__u64 method;") +
                           'SEC("table/test") __u32 f(struct test *t) { t->status = 1; return 0; }', "old-header")
    try:
        daemon.load("bad", path)
    except Refused as refusal:
        assert refusal.error in ("ObjectInvalid", "ProgramRejected"), refusal
    else:
        raise AssertionError("loaded")


@case
def another_context_for_a_known_table():
    other = dict(TABLE, fields=FIELDS[:3])
    refused(lambda: join(daemon, other), "ContextMismatch", table="on_test", reason=lambda r: "fields" in r)
    refused(lambda: join(daemon, dict(TABLE, context_size=32)), "ContextMismatch")
    refused(lambda: join(daemon, dict(TABLE, default_verdict=9)), "ContextMismatch", reason=lambda r: "detach" in r)
    refused(lambda: join(daemon, dict(TABLE, name="second", fields=FIELDS[:2])), "ContextMismatch", table="second")


@case
def program_for_another_context():
    other = join(daemon, dict(TABLE, name="other", context="other", fields=FIELDS[:3]))
    refused(lambda: daemon.attach("other", 1, "seven"), "ContextMismatch", table="other", table_context="other",
            program="seven", program_context="test")
    kept.append(other)


@case
def declarations_that_are_none():
    def field(**changes):
        return dict(TABLE, name="bad", context="bad", fields=[dict(FIELDS[2], **changes)])
    for table in (field(offset=-1), field(offset=22), field(size=3), field(size=0), field(offset=1 << 40),
                  field(name=""),
                  field(name="x" * 64), field(rights="data"),
                  dict(TABLE, name="bad", context="bad", context_size=1 << 20),
                  dict(TABLE, name="b d"), dict(TABLE, name="x" * 64), dict(TABLE, name="bad", context=""),
                  dict(TABLE, name="bad", context="bad", fields=[FIELDS[2], FIELDS[2]]),
                  dict(TABLE, name="bad", default_verdict=1 << 32), dict(TABLE, name="bad", default_verdict=-1)):
        try:
            join(daemon, table)
        except Refused:
            continue
        raise AssertionError(f"accepted {table}")
    refused(lambda: join(daemon, tables=[dict(TABLE, name=f"t{i}") for i in range(300)]), "LimitExceeded", maximum=256)


@case
def calls_and_natives_that_are_none():
    call = dict(TABLE, name="bad", context="", context_size=0, fields=[])
    for prototype in ("", "int", "u32(int)", "u32( u32)", "u32(double)", f"u32({','.join(['u32'] * 13)})",
                      "u32(" + "a" * 300 + "*)", "u32(u32)x", "request(u32)", "u32(s32(*)(double))",
                      "u32(" + "s32(*)(" * 100000):
        refused(lambda: join(daemon, dict(call, prototype=prototype)), "InvalidParameter", parameter="tables.prototype")
        refused(lambda: join(daemon, natives=[{"name": "bad", "prototype": prototype, "may_block": False}]),
                "InvalidParameter", parameter="natives.prototype")
    refused(lambda: join(daemon, dict(call, name="x" * 59, prototype="u32()")), "InvalidParameter",
            parameter="tables.name")
    refused(lambda: join(daemon, dict(TABLE, name="bad", context="call.bad")), "InvalidParameter",
            parameter="tables.context")
    refused(lambda: join(daemon, dict(TABLE, context="call.on_test", prototype="u32()")), "ContextMismatch",
            table="on_test")
    refused(lambda: join(daemon, tables=[dict(call, prototype="u32()"), dict(call, prototype="u64()")]),
            "ContextMismatch")
    for name in ("", "a b", "x" * 64, "native:x"):
        refused(lambda: join(daemon, natives=[{"name": name, "prototype": "u32()", "may_block": False}]),
                "InvalidParameter", parameter="natives.name")
    many = [{"name": f"n{i}", "prototype": "u32()", "may_block": False} for i in range(1025)]
    refused(lambda: join(daemon, natives=many), "LimitExceeded", maximum=1024)
    equal(daemon.list("calls"), [])


@case
def descriptors_that_are_no_lines():
    import fcntl
    unsealed = os.memfd_create("lines", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, counters(16383))
    small = os.memfd_create("lines", os.MFD_ALLOW_SEALING)
    os.ftruncate(small, 4096)
    fcntl.fcntl(small, 1033, 1 | 2 | 4)
    with tempfile.TemporaryFile() as file:
        for descriptor in (unsealed, small, file.fileno(), os.open("/dev/zero", os.O_RDWR), os.pipe()[0]):
            refused(lambda: join(daemon, descriptor=descriptor), "DescriptorRefused", descriptor=0)


@case
def joining_wrongly():
    refused(lambda: join(daemon, layout_version=LAYOUT_VERSION - 1), "LayoutMismatch", expected=LAYOUT_VERSION)
    connection = Connection(daemon.worker_path)
    refused(lambda: connection.call("io.dispatchd.Worker.Moved", generation=1), "UnknownProcess")
    refused(lambda: connection.call("io.dispatchd.Worker.Fork"), "UnknownProcess")
    refused(lambda: connection.call("io.dispatchd.Worker.Declare", tables=[TABLE]), "UnknownProcess")
    refused(lambda: connection.call("io.dispatchd.Worker.Join", layout_version=LAYOUT_VERSION, name="x",
                                    tables=[TABLE]),
            "UnknownProcess")
    again = join(daemon)
    refused(lambda: again.call("io.dispatchd.Worker.Join", [lines()], layout_version=LAYOUT_VERSION, name="x",
                               tables=[]),
            "InvalidParameter")
    refused(lambda: again.call("io.dispatchd.Worker.Moved", generation=77), "InvalidParameter", parameter="generation")
    refused(lambda: again.call("io.dispatchd.Worker.Fork"), "DescriptorRefused")
    again.close()


@case
def a_transaction_is_all_or_nothing():
    operations = [
        {"operation": "attach", "table": "on_test", "key": 50, "program": "seven"},
        {"operation": "detach", "link": 1},
        {"operation": "attach", "table": "on_test", "key": 50, "program": "seven"},
    ]
    refused(lambda: daemon.call("Apply", operations=operations), "KeyTaken", keys="50")


@case
def each_refusal_is_one_line_of_log():
    assert "refused: KeyTaken" in daemon.log()
    for line in daemon.log().splitlines():
        assert line.startswith("dispatchd: "), f"not a line of the daemon: {line!r}"


@case
def nothing_was_changed():
    wait_settled()
    equal(state()[0], before[0], "registry")
    equal(state()[1] - before[1], 4096, "bytes used in the image, but for the entry of the table \"other\"")
    daemon.restart()
    equal(daemon.list("links"), before[0][2], "links after a restart")


@case
def the_daemon_ends_well():
    joined.close()
    equal(daemon.stop(), 0, "exit code")
    daemon.close()


run()
