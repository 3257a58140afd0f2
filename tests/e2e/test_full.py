# SPDX-License-Identifier: MIT
"""A full image: what does not fit is refused and changes nothing, but taking a link away never is."""
from harness import Daemon, Refused, verdict, wait_until
from tap import case, equal, run

PROGRAMS = 8
SMALLEST = ("--text-size", "1")


def load_programs(daemon):
    for number in range(1, PROGRAMS + 1):
        daemon.load(f"p{number}", verdict(number))


def program_of(key):
    """The number of a program is its verdict."""
    return 1 + key % PROGRAMS


def verdicts(worker, keys):
    return {key: int(worker.do(f"call on_test {key}").split()[1]) for key in keys}


def wanted(links, keys):
    return {key: program_of(key) if key in links else 0 for key in keys}


def listed(daemon):
    return {link["first"]: link["id"] for link in daemon.list("links")}


def attach_group(daemon, keys, table="on_test"):
    """One change; the links by key."""
    operations = [{"operation": "attach", "table": table, "key": key, "program": f"p{program_of(key)}"}
                  for key in keys]
    outcomes = daemon.call("Apply", operations=operations)["outcomes"]
    return {key: outcome["link"] for key, outcome in zip(keys, outcomes)}


def detach_group(daemon, links):
    """One change, or several if they do not fit a message."""
    operations = [{"operation": "detach", "link": link} for link in links]
    while operations:
        daemon.call("Apply", operations=operations[:20000])
        operations = operations[20000:]


def expect_full(daemon, attach):
    """The attempt is refused for the image and leaves no trace."""
    before = daemon.list("links"), daemon.call("Info")["text_bytes_used"]
    try:
        attach()
    except Refused as refusal:
        equal(refusal.error, "ImageFull", str(refusal.parameters))
        assert refusal.parameters["needed"] > 0 and refusal.parameters["available"] >= 0, refusal.parameters
    else:
        raise AssertionError("there was room")
    equal((daemon.list("links"), daemon.call("Info")["text_bytes_used"]), before, "links and bytes after a refusal")


def attach_until_full(daemon, group, table="on_test", most=1 << 20):
    """Groups of keys until one does not fit, then smaller ones, down to a single key; the links by key."""
    links = {}
    while group > 0 and len(links) < most:
        keys = range(len(links), len(links) + group)
        try:
            links.update(attach_group(daemon, keys, table))
        except Refused as refusal:
            equal(refusal.error, "ImageFull")
            group //= 2
    return links


def free_bytes(daemon):
    info = daemon.call("Info")
    return info["text_bytes"] - info["text_bytes_used"]


def is_settled(daemon):
    [table] = daemon.list("tables")
    return table["settled"]


@case
def each_detach_succeeds_while_a_reader_keeps_what_was_replaced():
    with Daemon(arguments=SMALLEST) as daemon:
        holder, worker = daemon.worker(), daemon.worker()
        load_programs(daemon)
        holder.do("hold")
        links = attach_until_full(daemon, 8)
        keys = range(len(links) + 2)
        assert len(links) > 500, f"only {len(links)} links fit"
        expect_full(daemon, lambda: attach_group(daemon, [len(links)]))
        equal(verdicts(worker, keys), wanted(links, keys), "verdicts in the full image")
        used = daemon.call("Info")["text_bytes_used"]
        order = sorted(links, key=lambda key: key * 7919 % 104729)
        for key in order[:-4]:
            daemon.call("Detach", link=links.pop(key))
            few = {key, (key + 1) % len(keys), order[-1], order[-2]}
            equal(verdicts(worker, few), wanted(links, few), f"verdicts after detaching {key}")
        equal(verdicts(worker, keys), wanted(links, keys), "verdicts after all")
        assert daemon.call("Info")["text_bytes_used"] >= used, "something was freed under a reader"
        assert not is_settled(daemon), "the table has new code: the image was not full"
        expect_full(daemon, lambda: attach_group(daemon, order[:-4]))

        daemon.restart()
        equal(listed(daemon), links, "links after a restart")
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal(verdicts(worker, keys), wanted(links, keys), "verdicts after a restart")
        holder.do("release")
        detach_group(daemon, links.values())
        equal(verdicts(worker, keys), wanted({}, keys), "verdicts without links")


@case
def the_reader_leaves_and_the_table_gets_new_code():
    with Daemon(arguments=SMALLEST) as daemon:
        holder, worker = daemon.worker(), daemon.worker()
        load_programs(daemon)
        holder.do("hold")
        links = attach_until_full(daemon, 8)
        keys = range(len(links) + 8)
        for key in list(links)[50:]:                 # with so few its code fits behind the slot
            daemon.call("Detach", link=links.pop(key))
        assert not is_settled(daemon), "the table has new code: the image was not full"
        holder.do("release")
        wait_until(lambda: is_settled(daemon), "the table settles, with no other change")
        equal(verdicts(worker, keys), wanted(links, keys), "verdicts of the new code")
        links.update(attach_group(daemon, [key for key in keys if key not in links]))
        equal(verdicts(worker, keys), wanted(links, keys), "verdicts after attaching again")
        equal(listed(daemon), links, "links")


@case
def groups_in_an_image_full_of_links():
    """Nobody keeps anything here: it is the links themselves that fill the image."""
    with Daemon(arguments=SMALLEST) as daemon:
        worker = daemon.worker()
        load_programs(daemon)
        links = attach_until_full(daemon, 1024)
        keys = range(0, len(links) + 100, 13)
        assert len(links) > 5000, f"only {len(links)} links fit"
        daemon.restart()
        equal(listed(daemon), links, "links after a restart: what fitted must fit again")
        wait_until(lambda: worker.do("status").startswith("joined generation 2"), "moved")
        equal(verdicts(worker, keys), wanted(links, keys), "verdicts in the full image")
        for size in (1, 3, 100, 1000, len(links)):
            group = list(links)[:size]
            detach_group(daemon, [links.pop(key) for key in group])
            equal(verdicts(worker, keys), wanted(links, keys), f"verdicts after detaching {size}")
        equal(listed(daemon), {}, "links")


@case
def tables_that_fitted_fit_again():
    """Full of tables whose code stands behind their slots: starting anew needs no more than running did."""
    with Daemon(arguments=SMALLEST) as daemon:
        workers = [daemon.worker() for _ in range(16)]
        load_programs(daemon)
        names, links = [f"table-{number}" for number in range(256)], {}
        while free_bytes(daemon) > 40000:               # a table, its links, and its copy
            name = names[len(links)]
            workers[len(links) // 16].do(f"register {name}")
            wait_until(lambda: name in [t["name"] for t in daemon.list("tables")], "declared")
            links[name] = attach_until_full(daemon, 250, name, 250)
            wait_until(lambda: all(t["settled"] for t in daemon.list("tables")), "all settle")
        assert len(links) > 20, f"only {len(links)} tables fit"
        before = daemon.list("links")
        daemon.restart()
        equal(daemon.list("links"), before, "links after a restart")
        for link in before[::97]:
            daemon.call("Detach", link=link["id"])
        wait_until(lambda: {w["state"] for w in daemon.list("workers")} == {"current"}, "all have moved")
        gone = {(link["table"], link["first"]) for link in before[::97]}
        for name, keys in links.items():
            worker = workers[names.index(name) // 16]
            for key in list(keys)[::31]:
                equal(int(worker.do(f"call {name} {key}").split()[1]), 0 if (name, key) in gone else program_of(key))


run()
