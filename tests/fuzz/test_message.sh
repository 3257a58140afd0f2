#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Replay the corpus of the codec's fuzzer.
exec "$BUILD_DIR/tests/fuzz/replay_message" "$SOURCE_DIR"/tests/fuzz/corpus/message/*
