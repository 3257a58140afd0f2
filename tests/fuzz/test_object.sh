#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Replay the corpus of the object reader's fuzzer.
exec "$BUILD_DIR/tests/fuzz/replay_object" "$SOURCE_DIR"/tests/fuzz/corpus/object/*
