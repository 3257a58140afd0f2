#!/bin/bash
# SPDX-License-Identifier: MIT
# Run a cmocka program. Its TAP calls a skipped test "not ok N # SKIP" (cmocka 1.1.7), which counts as a failure.
set -o pipefail
"$@" | sed -E 's/^not (ok [0-9]+ # SKIP)/\1/'
