# SPDX-License-Identifier: MIT
"""After a reboot: what first_boot.py enabled is running, what it attached is attached."""
import json

from service import (KEPT_VALUE, SAVED_LINKS, active, every_process_answers_robots, journal, kept_value, listing,
                     start_httpd)
from tap import case, equal, run


@case
def the_enabled_service_runs():
    assert active(), journal()


@case
def the_links_are_the_same():
    equal(listing("links"), json.loads(SAVED_LINKS.read_text()), "links")


@case
def maps_have_what_they_had():
    equal(kept_value(), (KEPT_VALUE, "snapshot"), "value, and where from")


@case
def a_new_server_runs_what_is_attached():
    start_httpd()
    every_process_answers_robots(403)


run()
