/* SPDX-License-Identifier: MIT */
/* Commit 75ccbef6369e ("bpf: Introduce BPF dispatcher"), with keys in esi instead of addresses in rdx. */
#include "kernel_tree.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "measure.h"

#define TARGET_ALIGNMENT 16

struct tree {
    uint8_t *at;
    dd_entry *const *target;
    uint32_t default_verdict;
};

static void emit(struct tree *tree, const void *bytes, size_t size)
{
    memcpy(tree->at, bytes, size);
    tree->at += size;
}

/* A distance of four bytes, which are the next ones. */
static void emit_distance(struct tree *tree, const uint8_t *to)
{
    int32_t distance = (int32_t)(to - (tree->at + sizeof(int32_t)));

    emit(tree, &distance, sizeof(distance));
}

/* cmp esi, key */
static void emit_compare(struct tree *tree, uint32_t key)
{
    emit(tree, (const uint8_t[]){ 0x81, 0xfe }, 2);
    emit(tree, &key, sizeof(key));
}

/* je target; mov eax, default; ret */
static void emit_leaf(struct tree *tree, uint32_t key)
{
    emit_compare(tree, key);
    emit(tree, (const uint8_t[]){ 0x0f, 0x84 }, 2);
    emit_distance(tree, (const uint8_t *)(uintptr_t)tree->target[key]);
    emit(tree, (const uint8_t[]){ 0xb8 }, 1);
    emit(tree, &tree->default_verdict, sizeof(tree->default_verdict));
    emit(tree, (const uint8_t[]){ 0xc3 }, 1);
}

/* cmp esi, pivot; ja high; (low half); high: (high half).  The distance is filled in when it is known. */
static void emit_keys(struct tree *tree, uint32_t first, uint32_t last)
{
    uint32_t pivot = first + (last - first) / 2;
    uint8_t *distance;

    if (first == last) {
        emit_leaf(tree, first);
        return;
    }
    emit_compare(tree, pivot);
    emit(tree, (const uint8_t[]){ 0x0f, 0x87 }, 2);
    distance = tree->at;
    tree->at += sizeof(int32_t);
    emit_keys(tree, first, pivot);
    while ((uintptr_t)tree->at % TARGET_ALIGNMENT != 0)
        emit(tree, (const uint8_t[]){ 0x90 }, 1);
    memcpy(distance, &(int32_t){ (int32_t)(tree->at - (distance + sizeof(int32_t))) }, sizeof(int32_t));
    emit_keys(tree, pivot + 1, last);
}

void kernel_tree_make(uint8_t *code, uint32_t n, dd_entry *const *target, uint32_t default_verdict)
{
    struct tree tree = { code, target, default_verdict };

    emit_keys(&tree, 0, n - 1);
    if (mprotect(code, KERNEL_TREE_SIZE(n), PROT_READ | PROT_EXEC) < 0)
        die("cannot make a tree executable: %s", strerror(errno));
}
