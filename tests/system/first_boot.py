# SPDX-License-Identifier: MIT
"""The installed dispatchd under systemd: start, rights, attach, restart and crash under load, watchdog, activation."""
import json
import os
import pathlib
import signal
import stat
import time

from service import (KEPT_MAP, KEPT_VALUE, KEY, PROGRAM, SAVED_LINKS, TABLE, Load, active, all_moved,
                     every_process_answers_robots, journal, kept_value, listing, main_pid, must, run as run_command,
                     start_httpd, wait_until, workers)
from tap import case, equal, run

NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup"]


def comes_back(before):
    """Another daemon process serves the same links and the workers have moved to it, without anybody's help."""
    wait_until(lambda: main_pid() not in (0, before) and active(), "the daemon comes back")
    wait_until(all_moved, "the workers move")


@case
def systemctl_starts_the_service():
    must("systemd-sysusers")
    must("systemd-tmpfiles", "--create")
    must("systemctl", "daemon-reload")
    must("systemctl", "start", "dispatchd")
    assert active(), journal()


@case
def the_daemon_has_a_user_of_its_own():
    equal(pathlib.Path(f"/proc/{main_pid()}/status").read_text().split("Uid:\t")[1].split()[0],
          must("id", "-u", "dispatchd").strip(), "uid")
    equal(pathlib.Path("/var/lib/dispatchd/dispatchd.db").owner(), "dispatchd", "owner of the database")


@case
def each_socket_has_its_group():
    for name, group in (("control", "dispatchd"), ("worker", "dispatchd-worker")):
        path = pathlib.Path("/run/dispatchd", name)
        assert stat.S_ISSOCK(path.stat().st_mode), path
        equal((path.owner(), path.group(), path.stat().st_mode & 0o777), ("root", group, 0o660), str(path))


@case
def a_service_of_group_dispatchd_worker_joins():
    start_httpd()


@case
def a_user_without_rights_is_refused():
    status, output = run_command(*NOBODY, "--clear-groups", "dispatchctl", "list", "links")
    equal(status, 2, "exit code")
    assert "/run/dispatchd/control" in output and "ermission denied" in output, output


@case
def a_worker_has_no_right_to_control():
    equal(run_command(*NOBODY, "--groups=dispatchd-worker", "dispatchctl", "list", "links")[0], 2, "exit code")


@case
def a_member_of_group_dispatchd_may_control():
    must(*NOBODY, "--groups=dispatchd", "dispatchctl", "list", "links")


@case
def attach_and_detach_change_every_answer():
    every_process_answers_robots(200)
    must("dispatchctl", "load", PROGRAM, f"/opt/{PROGRAM}.bpf.o")
    link = must("dispatchctl", "--quiet", "attach", TABLE, KEY, PROGRAM).strip()
    every_process_answers_robots(403)
    must("dispatchctl", "detach", link)
    every_process_answers_robots(200)


@case
def nothing_is_writable_and_executable():
    processes = [main_pid()] + [worker["pid"] for worker in workers()]
    mappings = [line for pid in processes for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()]
    assert any("x" in line.split()[1] for line in mappings), "no executable mapping seen at all"
    equal([line for line in mappings if {"w", "x"} <= set(line.split()[1])], [], "mappings")


@case
def restarts_and_crashes_under_load_fail_no_request():
    must("dispatchctl", "attach", TABLE, KEY, PROGRAM)
    links = listing("links")
    load = Load(20)
    for _ in range(3):
        before = main_pid()
        must("systemctl", "restart", "dispatchd")
        comes_back(before)
        equal(listing("links"), links, "links after a restart")
    for _ in range(2):
        before = main_pid()
        must("systemctl", "kill", "--signal=KILL", "dispatchd")
        comes_back(before)
        equal(listing("links"), links, "links after a crash")
    print(f"# {load.finish()} requests")
    SAVED_LINKS.write_text(json.dumps(links))


@case
def the_watchdog_ends_a_stopped_daemon_and_no_other():
    drop_in = pathlib.Path("/run/systemd/system/dispatchd.service.d/watchdog.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=1s\n")
    must("systemctl", "daemon-reload")
    must("systemctl", "restart", "dispatchd")
    before = main_pid()
    time.sleep(3)
    equal(main_pid(), before, "process of a daemon that runs")
    os.kill(before, signal.SIGSTOP)
    comes_back(before)
    assert "Watchdog timeout" in journal(), journal()
    drop_in.unlink()
    must("systemctl", "daemon-reload")


@case
def a_control_client_activates_the_service():
    must("systemctl", "stop", "httpd")      # first: its workers would call the daemon back
    must("systemctl", "stop", "dispatchd")
    assert not active()
    equal(listing("links"), json.loads(SAVED_LINKS.read_text()), "links")
    assert active()


@case
def maps_outlive_a_crash_with_no_worker_left():
    must("dispatchctl", "map", "create", KEPT_MAP, "hash", "8", "--key", "u32", "--value", "u64")
    must("dispatchctl", "map", "set", KEPT_MAP, "1", KEPT_VALUE)
    for _ in range(2):
        before = main_pid()
        must("systemctl", "kill", "--signal=KILL", "dispatchd")
        wait_until(lambda: main_pid() not in (0, before) and active(), "the daemon comes back")
        equal(kept_value(), (KEPT_VALUE, "store"), "value, and where from")


@case
def maps_outlive_a_stop():
    must("systemctl", "stop", "dispatchd")
    equal(kept_value(), (KEPT_VALUE, "snapshot"), "value, and where from")


@case
def a_worker_activates_the_service():
    must("systemctl", "stop", "dispatchd")
    assert not active()
    start_httpd()
    assert active()
    every_process_answers_robots(403)


@case
def no_unit_has_failed():
    equal(must("systemctl", "--failed", "--plain", "--no-legend", "--no-pager"), "", "failed units")


@case
def the_service_can_be_enabled():
    must("systemctl", "enable", "dispatchd")


run()
