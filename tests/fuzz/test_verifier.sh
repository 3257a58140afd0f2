#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Replay the corpus of the verifier's fuzzer.
exec "$BUILD_DIR/tests/fuzz/replay_verifier" "$SOURCE_DIR"/tests/fuzz/corpus/verifier/*
