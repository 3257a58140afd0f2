/* SPDX-License-Identifier: MIT */
/* What a program sees of an HTTP request: shared by the server and by the programs in ../programs. */
#ifndef EXAMPLES_REQUEST_H
#define EXAMPLES_REQUEST_H

#include <linux/types.h>

/* Longest request head, in bytes; the server refuses longer ones itself.  So a program that looks this far has seen
 * everything. */
#define REQUEST_HEAD_MAX 4096

enum request_method {
    REQUEST_GET = 1,
    REQUEST_HEAD,
    REQUEST_POST,
    REQUEST_PUT,
    REQUEST_DELETE,
};

/* Verdicts of a program at table on_request. */
enum request_verdict {
    REQUEST_PASS,       /* answer with the status in the context */
    REQUEST_BLOCK,      /* answer with 403 */
};

/*
 * data to data_end: request line and header lines, each ended by CR LF, then the empty line; without the body.  It is
 * the text as the server has parsed it: in the order of arrival, one space after each colon, folded lines joined.
 * A program and the server thus never read the same bytes differently.
 */
struct request {
    const void *data, *data_end;
    __u32 method;       /* enum request_method */
    __u32 status;       /* in: what the server would answer; out: what it answers (200 to 599) */
    __u32 variant;      /* in: 0; out: which variant of the page to send */
    __u32 client;       /* its IPv4 address, in network byte order; 0: it has none */
};

#endif
