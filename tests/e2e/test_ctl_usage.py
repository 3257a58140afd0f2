# SPDX-License-Identifier: MIT
"""dispatchctl without a daemon: its help, its manual, and command lines that are wrong."""
import os
import re
import subprocess

from tap import BUILD_DIR, SOURCE_DIR, case, equal, run

CTL = os.path.join(BUILD_DIR, "ctl/dispatchctl")
MAP_VERBS = ["map " + verb for verb in
             "list show create remove get set delete dump clear push pop read".split()]
LIST_VERBS = ["list " + what for what in "programs tables calls links workers".split()]
STATS_VERBS = ["stats on", "stats off", "stats show"]
VERBS = ["load", "verify", "unload", "attach", "detach", "replace", "set-call", "set-policy", "explain", *STATS_VERBS,
         *MAP_VERBS, "trace", *LIST_VERBS, "info"]
NOWHERE = ["--socket", "/nonexistent/control"]


def ctl(*arguments, **options):
    return subprocess.run([CTL, *arguments], capture_output=True, text=True, timeout=20, **options)


def refused(*arguments):
    """A wrong command line: exit code 1, one complaint, nothing on standard output.  Returns the complaint."""
    result = ctl(*NOWHERE, *arguments)
    equal(result.returncode, 1, f"exit code of {arguments}: {result.stderr}")
    equal(result.stdout, "", "standard output")
    return result.stderr


@case
def help_lists_every_verb_and_exit_code():
    result = ctl("--help")
    equal(result.returncode, 0)
    equal(result.stderr, "")
    equal(re.findall(r"^  ([a-z-]+(?: [a-z]+)?)\b.*\n {8}\S", result.stdout, re.M), VERBS, "verbs")
    equal(re.findall(r"^  (\d)  ", result.stdout, re.M), ["0", "1", "2", "3", "4", "5"], "exit codes")


@case
def every_verb_has_help():
    for verb in VERBS:
        result = ctl(*verb.split(), "--help")
        equal(result.returncode, 0)
        assert re.search(rf"^Usage: dispatchctl \[OPTION...\] {verb}\b", result.stdout, re.M), result.stdout
    equal(ctl("list", "--help").stdout.count("Usage:"), len(LIST_VERBS), "usages of list")
    equal(ctl("map", "--help").stdout.count("Usage:"), len(MAP_VERBS), "usages of map")


@case
def help_needs_neither_daemon_nor_arguments():
    equal(ctl(*NOWHERE, "attach", "--help").returncode, 0)


@case
def manual_names_every_verb_option_and_exit_code():
    with open(os.path.join(SOURCE_DIR, "doc/dispatchctl.1")) as file:
        manual = file.read().replace("\\-", "-").replace("\\", "")
    text = ctl("--help").stdout + "".join(ctl(*verb.split(), "--help").stdout for verb in VERBS)
    for verb in VERBS:
        assert verb in manual, verb
    for option in set(re.findall(r"--[a-z-]+", text)):
        assert option in manual, option
    for number, meaning in re.findall(r"^  (\d)  (.*)$", text, re.M):
        assert re.search(rf"^\.B {number}\n", manual, re.M), number


@case
def version_is_printed():
    assert re.fullmatch(r"dispatchctl \d+\.\d+\.\d+\n", ctl("--version").stdout)


@case
def no_verb():
    assert "--help" in refused()


@case
def unknown_verb_is_named():
    assert "'frobnicate'" in refused("frobnicate")
    assert "'frobnicate'" in refused("frobnicate", "--help")
    for first, verbs in (("list", LIST_VERBS), ("stats", STATS_VERBS), ("map", MAP_VERBS)):
        for arguments in ([first], [first, "everything"]):
            assert ", ".join(verbs) in refused(*arguments), arguments
    assert "map list" in refused("list", "maps")
    assert "stats show, map show" in refused("show")


@case
def unknown_option_is_named():
    assert "--frobnicate" in refused("info", "--frobnicate")


@case
def wrong_number_of_arguments_shows_usage():
    for arguments in (["attach", "table", "1"], ["attach", "table", "1", "program", "more"], ["detach"],
                      ["list", "links", "7"],
                      ["map", "list", "7"], ["map", "get"], ["map", "create", "m", "hash"], ["trace", "7"]):
        complaint = refused(*arguments)
        assert "arguments" in complaint and "dispatchctl " + arguments[0] in complaint, complaint


@case
def key_out_of_range_is_refused():
    for key in ("4294967296", "0x100000000", "99999999999999999999", "", "x", "0x", "0xg", "1.5", " 1", "+1", "1e3"):
        complaint = refused("attach", "table", key, "program")
        assert "KEY" in complaint and "4294967295" in complaint and f"'{key}'" in complaint, complaint


@case
def a_map_has_at_least_one_entry_and_not_too_many():
    for entries in ("0", "-1", "x", "4294967296", ""):
        assert "ENTRIES" in refused("map", "create", "--", "m", "hash", entries), entries


@case
def negative_key_is_refused():
    refused("attach", "table", "-1", "program")
    assert "KEY" in refused("attach", "--", "table", "-1", "program")


@case
def link_must_be_a_number():
    assert "LINK" in refused("detach", "seven")
    assert "LINK" in refused("detach", "9223372036854775808")


@case
def largest_key_and_link_are_accepted():
    """They get as far as the socket."""
    for arguments in (["attach", "table", "4294967295", "program"], ["attach", "table", "0xFFFFFFFF", "program"],
                      ["detach", "9223372036854775807"]):
        equal(ctl(*NOWHERE, *arguments).returncode, 2, "exit code")


@case
def options_of_other_verbs_are_refused():
    assert "--wait" in refused("list", "links", "--wait", "live")
    assert "--program" in refused("detach", "7", "--program", "f")
    assert "--set" in refused("unload", "p", "--set", "a=1")
    assert "--verbose" in refused("load", "p", "f", "-v")
    assert "--hex" in refused("map", "list", "--hex")
    assert "--follow" in refused("map", "dump", "m", "--follow")
    assert "--new" in refused("map", "delete", "m", "1", "--new")
    assert "--drop-oldest" in refused("map", "pop", "m", "--drop-oldest")
    for option in (["--key", "u32"], ["--value", "u32"], ["--inner", "m"], ["--read-only"], ["--write-only"]):
        assert option[0] in refused("map", "show", "m", *option)


@case
def options_that_exclude_each_other_are_refused():
    assert "--new and --existing" in refused("map", "set", "m", "1", "2", "--new", "--existing")
    assert "--read-only and --write-only" in refused("map", "create", "m", "hash", "1", "--read-only", "--write-only")
    assert "--time and --histogram" in refused("stats", "on", "--time", "--histogram")
    assert "--table and --link" in refused("stats", "show", "--table", "t", "--link", "7")
    assert "--link and --misses" in refused("stats", "on", "--misses", "--link", "7")


@case
def options_are_given_once():
    for option, *arguments in [
        ["program", "load", "p", "f", "--program", "a", "--program", "b"],
        ["wait", "detach", "7", "--wait=live", "--wait=live"], ["json", "info", "--json", "--json"],
        ["quiet", "info", "-q", "--quiet"], ["timeout", "info", "--timeou=1", "--timeout", "2"],
        ["socket", "info", "--socket", "other"], ["verbose", "verify", "f", "--set", "a=1", "-v", "--set", "b=1", "-v"],
    ]:
        assert f"--{option} is given twice" in refused(*arguments), arguments
    equal(ctl(*NOWHERE, "load", "p", "/dev/null", "--set", "a=1", "--set", "b=1").returncode, 2, "--set")


@case
def bad_values_of_options_are_refused():
    assert "quiescent" in refused("detach", "7", "--wait", "soon")
    for seconds in ("0", "-1", "x", "1.5", "86401", ""):
        assert "--timeout" in refused("info", f"--timeout={seconds}")
    assert "--json" in refused("info", "--json", "--quiet")
    for setting in ("a", "=1", ""):
        assert "NAME=VALUE" in refused("load", "p", "f", "--set", setting)
    assert "--priority" in refused("attach", "t", "1", "p", "--priority=2147483648")
    assert "--link" in refused("stats", "show", "--link", "0")
    for verdicts in ("", "1,", "1;2", "-1", "4294967296"):
        assert "--proceed-on" in refused("attach", "t", "1", "p", f"--proceed-on={verdicts}")
    assert "two values" in refused("load", "p", "f", "--set", "a=1", "--set", "a=2")


@case
def arguments_that_are_not_utf8_are_refused():
    assert "UTF-8" in refused("unload", b"\xff\xfe")


@case
def missing_file_is_named():
    result = ctl(*NOWHERE, "load", "name", "/nonexistent/object.o")
    equal(result.returncode, 5)
    assert "/nonexistent/object.o" in result.stderr and "No such file" in result.stderr, result.stderr


@case
def full_disk_is_reported():
    with open("/dev/full", "w") as full:
        result = subprocess.run([CTL, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    equal(result.returncode, 5)
    assert "No space left" in result.stderr, result.stderr


run()
