# SPDX-License-Identifier: MIT
"""Long answers: made in turns, so that others are served meanwhile, and each row that stays is there exactly once."""
import json
import subprocess

from harness import DISPATCHCTL, Daemon, refused, verdict, wait_until
from tap import case, equal, run

CONTROL = "io.dispatchd.Control."
TURN_ROWS, ANSWER_ROWS = 256, 1024      # of daemon/listing.h
UNREAD = 20000                          # links whose answers are more than a socket and the daemon's queue hold


def attach_many(daemon, keys, program="one", **more):
    """Links of these keys, in requests of 5,000; their ids."""
    links = []
    for first in range(0, len(keys), 5000):
        operations = [dict(operation="attach", table="on_test", key=key, program=program, **more)
                      for key in keys[first:first + 5000]]
        links += [outcome["link"] for outcome in daemon.call("Apply", operations=operations)["outcomes"]]
    return links


def started(links):
    daemon = Daemon()
    daemon.worker()
    daemon.load("one", verdict(1))
    return daemon, attach_many(daemon, range(links))


def rows(answer):
    return sum(len(value) for value in answer.values() if isinstance(value, list))


def ctl(daemon, *arguments):
    return subprocess.run([*DISPATCHCTL, "--socket", daemon.control_path, *arguments], capture_output=True, text=True,
                          timeout=120, check=True).stdout


@case
def with_more_each_turn_is_an_answer():
    daemon, links = started(3000)
    with daemon:
        daemon.call("SetStatistics", table="on_test", counting="runs")
        for method, name, wanted in (("ListLinks", "id", 3000), ("GetStatistics", "link", 6002)):
            answers = list(daemon.connect().call_more(CONTROL + method))
            assert max(map(rows, answers)) <= TURN_ROWS + 2, f"{method}: {max(map(rows, answers))} rows"
            equal(sum(map(rows, answers)), wanted, f"{method}: rows")
            equal([row[name] for answer in answers for row in answer["links"]], links, method)
        entries = daemon.gather("GetStatistics")["entries"]
        equal([entry["links"] for entry in entries], [[link] for link in links], "entries")


@case
def without_more_there_is_one_answer_or_none():
    daemon, links = started(ANSWER_ROWS)
    with daemon:
        for method in ("ListLinks", "ListTables", "ListPrograms", "ListCalls", "ListMaps", "ListWorkers",
                       "GetStatistics"):
            one, gathered = daemon.call(method), daemon.gather(method)
            for answer in one, gathered:
                answer.pop("cycles_per_second", None)
            equal(one, gathered, method)
        equal(len(daemon.call("ListLinks")["links"]), ANSWER_ROWS)
        another = daemon.attach("on_test", ANSWER_ROWS, "one")
        refused(lambda: daemon.call("ListLinks"), "AnswerTooLong", maximum=ANSWER_ROWS)
        daemon.call("Detach", link=another)
        daemon.call("SetStatistics", table="on_test", counting="runs")
        refused(lambda: daemon.call("GetStatistics", table="on_test"), "AnswerTooLong", maximum=ANSWER_ROWS)
        equal(rows(daemon.call("GetStatistics", link=links[5])), 1)
        connection = daemon.connect()
        connection.send({"method": CONTROL + "ListLinks", "oneway": True})
        equal(len(connection.call(CONTROL + "ListLinks")["links"]), ANSWER_ROWS, "after one that goes nowhere")


@case
def while_links_are_listed_they_change():
    """Who does not read has its listing stopped midway, while others change what is listed."""
    daemon, links = started(UNREAD)
    with daemon:
        reader = daemon.connect()
        answers = reader.call_more(CONTROL + "ListLinks")
        first = next(answers)["links"]
        late = daemon.attach("on_test", UNREAD, "one")          # answered before the listing is over
        early, last = links[0], links[-1]
        for link in early, last:
            daemon.call("Detach", link=link)
        daemon.call("Replace", link=links[-2], program="one")
        shown = [row["id"] for row in first] + [row["id"] for answer in answers for row in answer["links"]]
        equal(shown, links[:-1] + [late], "what was shown")


@case
def while_statistics_are_shown_all_changes():
    """Also workers end, a chain loses its first link and gets another, tables come."""
    daemon, links = started(UNREAD)
    with daemon:
        ending = daemon.worker()
        daemon.load("two", verdict(2))
        chained = attach_many(daemon, range(2 * UNREAD, 2 * UNREAD + 10), proceed_on=[1])
        attach_many(daemon, range(2 * UNREAD, 2 * UNREAD + 10), "two")
        daemon.call("SetStatistics", table="on_test", counting="runs")
        for _ in range(5):
            ending.do(f"call on_test {UNREAD - 1}")
            ending.do(f"call on_test {2 * UNREAD + 5}")
        answers = daemon.connect().call_more(CONTROL + "GetStatistics")
        shown = [next(answers)]
        ending.do("register aaa")
        wait_until(lambda: len(daemon.list("tables")) == 2, "declared")
        late = daemon.attach("on_test", UNREAD, "one")
        daemon.call("Detach", link=links[-2])
        daemon.call("Detach", link=chained[5])
        ending.kill()
        wait_until(lambda: len(daemon.list("workers")) == 1, "gone")
        shown += answers
        [table] = [row for answer in shown for row in answer["tables"]]
        equal((table["table"], table["runs"], table["misses"]), ("on_test", 10, 0), "the table")
        linked = {row["link"]: row["counts"]["runs"] for answer in shown for row in answer["links"]}
        equal(sum(len(answer["links"]) for answer in shown), len(linked), "links that are shown twice")
        equal(set(links + [late]) - set(linked), {links[-2]}, "links that are not shown")
        equal((linked[links[0]], linked[links[-1]]), (0, 5), "runs")
        entries = [row for answer in shown for row in answer["entries"]]
        equal([row["keys"] for row in entries],
              [str(key) for key in [*range(UNREAD - 2), UNREAD - 1, UNREAD, *range(2 * UNREAD, 2 * UNREAD + 10)]], "entries")
        equal([len(row["links"]) for row in entries[-10:]], [2] * 5 + [1] + [2] * 4, "links of the chains")


@case
def several_at_once():
    daemon, links = started(5000)
    with daemon:
        readers = [daemon.connect().call_more(CONTROL + "ListLinks") for _ in range(5)]
        shown = [next(reader)["links"] for reader in readers]
        for number, reader in enumerate(readers):
            for answer in reader:
                shown[number] += answer["links"]
        for answer in shown:
            equal([row["id"] for row in answer], links)


@case
def dispatchctl_shows_all():
    daemon, links = started(3000)
    with daemon:
        daemon.call("SetStatistics", table="on_test", counting="runs")
        equal([row["id"] for row in json.loads(ctl(daemon, "list", "links", "--json"))["links"]], links)
        equal(ctl(daemon, "list", "links", "--quiet").split(), [str(link) for link in links])
        equal(len(ctl(daemon, "list", "links").splitlines()), 3001, "lines")
        shown = json.loads(ctl(daemon, "stats", "show", "--json"))
        equal({name: len(value) for name, value in shown.items() if isinstance(value, list)},
              dict(tables=1, entries=3000, links=3000, programs=1))
        equal(len(ctl(daemon, "stats", "show", "--quiet").splitlines()), 3000, "lines")


run()
