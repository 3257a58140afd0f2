/* SPDX-License-Identifier: MIT */
/* What the kernels are fed with: 16 inputs of each kind, the same in every run. */
#ifndef BENCH_INPUTS_H
#define BENCH_INPUTS_H

#include <stddef.h>
#include <stdint.h>

#define INPUTS 16
#define INPUT_MAX 512           /* bytes */

enum input_kind {
    INPUT_NOISE,                /* random bytes */
    INPUT_TEXT,                 /* HTTP requests */
    INPUT_UNICODE,              /* text of characters of 1 to 4 bytes */
    INPUT_BASE64,
    INPUT_FRAME,                /* Ethernet: VLAN or not, IPv4 or IPv6, TCP or UDP */
    INPUT_KINDS,
};

struct input {
    uint8_t bytes[INPUT_MAX];
    size_t size;                /* bytes */
};

/* Input `number` of a kind, INPUTS different ones. */
const struct input *inputs_get(enum input_kind kind, unsigned number);

#endif
