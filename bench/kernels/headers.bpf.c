/* SPDX-License-Identifier: MIT */
/* An HTTP request: its path, its lines, and the digits in the values of its headers. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define HEAD_MAX 256

enum part { METHOD, PATH, REST };

SEC("table/kernel")
__u32 headers(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u64 path = 0xcbf29ce484222325;
    __u32 part = METHOD, lines = 0, digits = 0, in_value = 0;

    for (int i = 0; i < HEAD_MAX && at + 1 <= end; i++, at++) {
        __u8 byte = *at;

        if (byte == '\n') {
            lines++;
            in_value = 0;
            part = REST;
        } else if (part == METHOD && byte == ' ') {
            part = PATH;
        } else if (part == PATH) {
            if (byte == ' ')
                part = REST;
            else
                path = (path ^ byte) * 0x100000001b3;
        } else if (byte == ':') {
            in_value = 1;
        } else if (in_value && byte >= '0' && byte <= '9') {
            digits = digits * 10 + (byte - '0');
        }
    }
    kernel->result = path;
    return digits << 8 | lines;
}
