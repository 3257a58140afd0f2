/* SPDX-License-Identifier: MIT */
/*
 * Replays files through a fuzzing entry, as TAP: one test a file.  Linked with any fuzz_*.c in place of libFuzzer, so
 * that what was found once is tried at every `make check`.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION        /* else libFuzzer has a main() */
/* The content of a file in a buffer of just its size, so that a sanitizer sees a read beyond it. */
static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size;

    if (!file)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        data = malloc(size ? (size_t)size : 1);
        if (data && fread(data, 1, (size_t)size, file) != (size_t)size) {
            free(data);
            data = NULL;
        }
        *ret_size = (size_t)size;
    }
    fclose(file);
    return data;
}

int main(int n_arguments, char *arguments[])
{
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", n_arguments - 1);
    for (int i = 1; i < n_arguments; i++) {
        size_t size = 0;
        uint8_t *data = read_file(arguments[i], &size);

        if (data)
            LLVMFuzzerTestOneInput(data, size);     /* a fault ends the process: this test is then missing */
        else
            failed++;
        printf("%sok %d - %s%s%s\n", data ? "" : "not ", i, arguments[i], data ? "" : ": ",
               data ? "" : strerror(errno));
        free(data);
    }
    return failed > 0 || n_arguments < 2;
}
#endif
