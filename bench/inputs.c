/* SPDX-License-Identifier: MIT */
/* Inputs made from a fixed seed. */
#include "inputs.h"

#include <stdio.h>
#include <string.h>

static struct input inputs[INPUT_KINDS][INPUTS];
static uint64_t state = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

static void add(struct input *input, const void *bytes, size_t size)
{
    if (size > INPUT_MAX - input->size)
        size = INPUT_MAX - input->size;
    memcpy(input->bytes + input->size, bytes, size);
    input->size += size;
}

static void fill_noise(struct input *input)
{
    for (input->size = 0; input->size < INPUT_MAX; input->size++)
        input->bytes[input->size] = (uint8_t)random_below(256);
}

static void fill_text(struct input *input)
{
    static const char *const paths[] = { "/", "/index.html", "/api/v1/users/4711", "/static/css/main.css?version=31" };
    static const char *const header[] = {
        "Host: www.example.org\r\n", "User-Agent: curl/7.88.1\r\n", "Accept: text/html,application/json;q=0.9\r\n",
        "Content-Length: 1480\r\n", "Accept-Encoding: gzip, br\r\n", "X-Request-Id: 7f4a7c15-9e37-79b9\r\n",
    };
    char line[128];
    int length = snprintf(line, sizeof(line), "%s %s HTTP/1.1\r\n", random_below(2) ? "GET" : "POST",
                          paths[random_below(4)]);

    add(input, line, (size_t)length);
    while (input->size < 300) {
        const char *next = header[random_below(6)];

        add(input, next, strlen(next));
    }
    add(input, "Cookie: variant=2\r\n\r\n", 21);
}

static void fill_unicode(struct input *input)
{
    static const char *const characters[] = { "a", "e", "n", " ", "\xc3\xa4", "\xe4\xb8\x96", "\xf0\x9f\x99\x82" };

    while (input->size < 400) {
        const char *next = characters[random_below(10) < 7 ? random_below(4) : 4 + random_below(3)];

        add(input, next, strlen(next));
    }
}

static void fill_base64(struct input *input)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    while (input->size < 256)
        add(input, &digits[random_below(64)], 1);
}

static void fill_frame(struct input *input)
{
    uint32_t six = random_below(2), tcp = random_below(2);
    uint8_t ip[40] = { 0 }, transport[20] = { 0x9c, 0x40, 0x01, 0xbb, [12] = 0x50 };

    add(input, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
    if (random_below(3) == 0)
        add(input, "\x81\0\0\x2a", 4);
    add(input, six ? "\x86\xdd" : "\x08\0", 2);
    for (size_t i = 8; i < sizeof(ip); i++)
        ip[i] = (uint8_t)random_below(256);
    ip[0] = six ? 0x60 : 0x45;
    ip[six ? 5 : 3] = 100;
    ip[six ? 6 : 9] = tcp ? 6 : 17;
    add(input, ip, six ? 40 : 20);
    add(input, transport, tcp ? 20 : 8);
    add(input, "payload of the packet", 21);
}

static void (*const fill[INPUT_KINDS])(struct input *input) = {
    [INPUT_NOISE] = fill_noise,
    [INPUT_TEXT] = fill_text,
    [INPUT_UNICODE] = fill_unicode,
    [INPUT_BASE64] = fill_base64,
    [INPUT_FRAME] = fill_frame,
};

const struct input *inputs_get(enum input_kind kind, unsigned number)
{
    if (inputs[kind][0].size == 0)
        for (unsigned i = 0; i < INPUTS; i++)
            fill[kind](&inputs[kind][i]);
    return &inputs[kind][number];
}
