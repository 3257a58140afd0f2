#!/bin/bash
# SPDX-License-Identifier: MIT
# The protocol's models, the quick ones: what is correct holds, and each mutation fails.  `make model` runs the
# exhaustive ones.
command -v spin >/dev/null || { echo "1..0 # SKIP spin is not installed"; exit 0; }
[[ ${SANITIZERS:-} != yes ]] || { echo "1..0 # SKIP the models are not compiled code"; exit 0; }
exec "$SOURCE_DIR/doc/model/run.sh" --quick
