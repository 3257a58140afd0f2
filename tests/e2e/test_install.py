# SPDX-License-Identifier: MIT
"""`make install`: what lies where, and that headers, library and pkg-config file serve those who know nothing else."""
import os
import re
import shlex
import subprocess
import tempfile

from installation import installed, make, variables
from tap import SOURCE_DIR, case, equal, run

INSTALLED = {
    "bindir": ["dispatchctl"],
    "sbindir": ["dispatchd"],
    "libdir": ["libdispatchd.la", "libdispatchd.so", "libdispatchd.so.0", "libdispatchd.so.0.0.0"],
    "includedir": ["dispatchd.h", "dispatchd/call.h", "dispatchd/direct.h", "dispatchd/layout.h"],
    "pkgconfigdir": ["dispatchd.pc"],
    "systemdsystemunitdir": ["dispatchd.service", "dispatchd-control.socket", "dispatchd-worker.socket"],
    "sysusersdir": ["dispatchd.conf"],
    "tmpfilesdir": ["dispatchd.conf"],
    "man1dir": ["dispatchctl.1"],
    "man8dir": ["dispatchd.8"],
    "docdir": ["README.md", "HACKING.md", "architecture.md", "maps.md", "shapes.md", "shapes.svg", "verifier.md"],
}
HEADERS = INSTALLED["includedir"]

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]

# What a worker writes, with every macro.
USE = """
#include <dispatchd.h>
struct request { const void *data, *data_end; uint32_t method, status; };
DD_TABLE(on_request, struct request, 0, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))
DD_TABLE_DECLARE(elsewhere, struct request)
#ifdef __cplusplus
extern "C" {
#endif
uint32_t sum_plain(uint32_t first, uint32_t second);
void touch_plain(void);
#ifdef __cplusplus
}
#endif
uint32_t sum_plain(uint32_t first, uint32_t second) { return first + second; }
void touch_plain(void) { }
DD_CALL(sum, uint32_t(uint32_t, uint32_t), sum_plain)
DD_CALL(touch, void(void), touch_plain)
DD_NATIVE(sum_plain, uint32_t(uint32_t first, uint32_t second))
int main(void)
{
    struct request request = { 0, 0, 1, 200 };
    uint32_t verdict = 1;

    if (dd_open(0) < 0)
        return 1;
    DD_GUARDED {
        verdict = on_request(3, &request);
    }
    DD_INVOKE(touch);
    if (DD_INVOKE(sum, 1, 2) != 3)
        return 2;
    return (int)(verdict + dd_table_call(&on_request_table, 3, &request));
}
"""


def output(*command, text=None, **options):
    """What a command printed; it has to succeed."""
    done = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, f"{shlex.join(command)}: status {done.returncode}: {done.stdout}"
    return done.stdout


def compiles(language, standards, compilers):
    """Each header alone, twice, and all macros; in the plain language, without _GNU_SOURCE.  With -I: in a system's
    directory of headers a compiler would hide their warnings."""
    for compiler in compilers:
        for standard in standards:
            command = [*shlex.split(compiler), "-x", language, "-std=" + standard, *STRICT,
                       "-I" + installed().path("includedir"), "-fsyntax-only", "-"]
            for header in HEADERS:
                output(*command, text=f"#include <{header}>\n#include <{header}>\nint main(void);\n")
            output(*command, text=USE)


@case
def installs_what_it_should_and_no_more():
    wanted = {os.path.join(installed().variable[directory], name)
              for directory, names in INSTALLED.items() for name in names}
    equal(sorted(installed().files() ^ wanted), [], "files on one side only")


@case
def headers_need_nothing_else_in_C():
    compiles("c", ["c11", "gnu17"], [installed().variable["CC"], os.environ.get("CLANG", "clang")])


@case
def headers_need_nothing_else_in_Cxx():
    compiles("c++", ["c++11", "gnu++17"], [installed().variable["CXX"], os.environ.get("CLANG", "clang")])


@case
def the_library_exports_what_the_header_declares_in_one_version():
    library, text = installed().path("libdir", "libdispatchd.so"), ""
    for header in HEADERS:
        with open(installed().path("includedir", header)) as file:
            text += file.read()
    declared = re.findall(r"^(?:extern )?DD_PUBLIC\b[^;(]*?\b(\w+)\s*(?:\(|;|__attribute__)", text, re.MULTILINE)
    symbols = output("nm", "-D", "--defined-only", "--with-symbol-versions", library)
    exported = [line.split()[2] for line in symbols.splitlines()]
    exported.remove("DISPATCHD_0")      # the version itself
    assert len(declared) > 10, declared
    equal(sorted(exported), sorted(name + "@@DISPATCHD_0" for name in declared))


@case
def pkg_config_is_all_that_a_worker_needs():
    """It compiles, links and runs; without a daemon it gets its defaults."""
    there, worker = installed(), os.path.join(installed().root, "worker")
    flags = output("pkg-config", "--cflags", "--libs", "dispatchd", env=there.environment()).split()
    source = USE.replace("DD_TABLE_DECLARE(elsewhere, struct request)\n", "")
    compiler = shlex.split(there.variable["CC"] + " " + there.variable["SANITIZER_FLAGS"])
    output(*compiler, *STRICT, "-x", "c", "-", *flags, "-o", worker, text=source)
    output(worker, env=there.environment(DISPATCHD_WORKER_SOCKET="/nonexistent/worker"))
    os.unlink(worker)
    equal(output("pkg-config", "--modversion", "dispatchd", env=there.environment()).strip(),
          there.variable["PACKAGE_VERSION"], "version")


@case
def installed_programs_run_and_find_nothing_in_the_build_directory():
    there = installed()
    for directory, name in (("bindir", "dispatchctl"), ("sbindir", "dispatchd")):
        equal(output(there.path(directory, name), "--version").strip(), f"{name} {there.variable['PACKAGE_VERSION']}")
    for directory, name in (("bindir", "dispatchctl"), ("sbindir", "dispatchd"), ("libdir", "libdispatchd.so")):
        dynamic = output("readelf", "-d", there.path(directory, name))
        assert "NEEDED" in dynamic, dynamic
        assert not re.search("RPATH|RUNPATH", dynamic), dynamic


@case
def the_service_starts_the_installed_daemon():
    with open(installed().path("systemdsystemunitdir", "dispatchd.service")) as file:
        command = re.search(r"^ExecStart=(.*)$", file.read(), re.MULTILINE).group(1)
    equal(command, os.path.join(installed().variable["sbindir"], "dispatchd"))


@case
def configured_for_the_system_all_lies_where_systemd_looks():
    with tempfile.TemporaryDirectory() as directory:
        output(os.path.join(SOURCE_DIR, "configure"), "--quiet", "--prefix=/usr", cwd=directory)
        equal({name: variables(directory)[name] for name in ("systemdsystemunitdir", "sysusersdir", "tmpfilesdir")},
              {"systemdsystemunitdir": "/usr/lib/systemd/system", "sysusersdir": "/usr/lib/sysusers.d",
               "tmpfilesdir": "/usr/lib/tmpfiles.d"})


@case
def uninstall_leaves_no_file():
    make("uninstall", "DESTDIR=" + installed().root)
    equal(installed().files(), set())


run()
