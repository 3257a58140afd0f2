# SPDX-License-Identifier: MIT
"""The worker side of the protocol by hand: what a hostile worker would send."""
import fcntl
import os

LAYOUT_VERSION = 5
FIELDS = [
    {"name": "data", "offset": 0, "size": 8, "rights": "data"},
    {"name": "data_end", "offset": 8, "size": 8, "rights": "data_end"},
    {"name": "method", "offset": 16, "size": 4, "rights": "read"},
    {"name": "status", "offset": 20, "size": 4, "rights": "write"},
]
TABLE = {"name": "on_test", "context": "test", "context_size": 24, "default_verdict": 0, "fields": FIELDS}


def counters(line):
    """Where the counters of a line lie: the lines, and behind them 40 MiB for each."""
    return (1 << 20) + line * (40 << 20)


def lines():
    """A descriptor of reader lines as libdispatchd makes it: proto/dispatchd/layout.h."""
    descriptor = os.memfd_create("lines", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(descriptor, counters(16383))           # sparse
    os.pwrite(descriptor, (0x64646c31).to_bytes(4, "little") + (LAYOUT_VERSION).to_bytes(4, "little"), 0)
    fcntl.fcntl(descriptor, 1033, 1 | 2 | 4)            # F_ADD_SEALS: SEAL, SHRINK, GROW
    return descriptor
