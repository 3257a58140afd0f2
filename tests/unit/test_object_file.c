/* SPDX-License-Identifier: MIT */
/* ELF files that are none, are for something else, are cut off or damaged: refused, never misread. */
#include "objects.h"

static void test_refused_files(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("verdict", &size), *copy = malloc(size), *huge = calloc(1, OBJECT_SIZE_MAX + 1u);
    Elf64_Ehdr header;

#define CHANGED(field, value, rule, text)  \
    memcpy(copy, bytes, size);  \
    memcpy(&header, copy, sizeof(header));  \
    header.field = value;  \
    memcpy(copy, &header, sizeof(header));  \
    objects_refused(#field, copy, size, rule, text)
    objects_refused("empty", (const uint8_t *)"", 0, "elf", "no ELF object");
    objects_refused("text", (const uint8_t *)"int main(void) { return 0; }\n", 30, "elf", "no ELF object");
    objects_refused("archive", (const uint8_t *)"!<arch>\n", 8, "elf", "no ELF object");
    objects_refused("huge", huge, OBJECT_SIZE_MAX + 1u, "limit", "4194305 bytes");
    CHANGED(e_machine, EM_X86_64, "machine", "for machine 62, not BPF");
    CHANGED(e_type, ET_EXEC, "elf", "no 64-bit little-endian object");
    CHANGED(e_shoff, size + 64, "elf", "cut off");
    CHANGED(e_shstrndx, 9999, "elf", "");
    free(huge);
    free(copy);
    free(bytes);
}

/* One change to one object each. */
static void damage_overlap(uint8_t *bytes)
{
    objects_section(bytes, ".rodata")->sh_size = objects_section(bytes, ".symtab")->sh_offset;
}

static void damage_outside(uint8_t *bytes)
{
    objects_section(bytes, ".data")->sh_offset = UINT64_MAX - 4;
}

static void damage_symbol_value(uint8_t *bytes)
{
    objects_symbol(bytes, "started")->st_value = UINT64_MAX;
}

static void damage_symbol_table(uint8_t *bytes)
{
    Elf64_Shdr *section = objects_section(bytes, ".BTF.ext");

    section->sh_type = SHT_SYMTAB;
    section->sh_entsize = sizeof(Elf64_Sym);
    section->sh_size = 2 * sizeof(Elf64_Sym);
}

static void damage_relocation_symbol(uint8_t *bytes)
{
    Elf64_Rel *relocation = (Elf64_Rel *)(void *)(bytes + objects_section(bytes, ".reltable/packet")->sh_offset);

    relocation->r_info = ELF64_R_INFO(12345ull, ELF64_R_TYPE(relocation->r_info));
}

static void damage_relocation_twice(uint8_t *bytes)
{
    Elf64_Rel *relocation = (Elf64_Rel *)(void *)(bytes + objects_section(bytes, ".reltable/packet")->sh_offset);

    relocation[1].r_offset = relocation[0].r_offset;
}

static void damage_relocation_target(uint8_t *bytes)
{
    objects_section(bytes, ".reltable/packet")->sh_info = 999;
}

static void damage_relocation_form(uint8_t *bytes)
{
    objects_section(bytes, ".reltable/packet")->sh_type = SHT_RELA;
}

static void damage_two_tables(uint8_t *bytes)
{
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Shdr *section = (Elf64_Shdr *)(void *)(bytes + header->e_shoff);
    uint32_t target = objects_section(bytes, ".reltable/packet")->sh_info;

    for (unsigned i = 1; i < header->e_shnum; i++)
        if (section[i].sh_type == SHT_REL)
            section[i].sh_info = target;
}

static void test_damaged_tables(void **state)
{
    static const struct { void (*damage)(uint8_t *bytes); const char *text; } cases[] = {
        { damage_overlap, "sections of the object overlap" },
        { damage_outside, "cannot be read" },
        { damage_symbol_value, "symbol \"started\" lies outside" },
        { damage_symbol_table, "two symbol tables" },
        { damage_relocation_symbol, "a relocation of section \"table/packet\" at byte" },
        { damage_relocation_twice, "is there twice" },
        { damage_relocation_target, "a section that it does not have" },
        { damage_relocation_form, "(RELA)" },
        { damage_two_tables, "two tables of relocations" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char what[16];
        size_t size;
        uint8_t *bytes = objects_bytes("data", &size);

        assert_non_null(bytes);
        snprintf(what, sizeof(what), "case %zu", i);
        cases[i].damage(bytes);
        objects_refused(what, bytes, size, "elf", cases[i].text);
        free(bytes);
    }
}

/* Refused, or the bytes that are missing are not needed. */
static void test_truncated(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("several", &size);

    for (size_t length = 0; length < size; length++) {
        struct jit_error error = { 0 };
        int r = objects_try(bytes, length, &error);

        if (length < size - 64)         /* the section headers are at the end */
            assert_int_equal(r, -EINVAL);
    }
    free(bytes);
}

/* Sections of DWARF are most of an object, and nothing reads them. */
static bool is_dwarf(uint8_t *bytes, size_t at)
{
    const Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    const Elf64_Shdr *section = (Elf64_Shdr *)(void *)(bytes + header->e_shoff);
    const char *names = (const char *)bytes + section[header->e_shstrndx].sh_offset;

    for (unsigned i = 1; i < header->e_shnum; i++)
        if (strstr(names + section[i].sh_name, ".debug_") && at >= section[i].sh_offset &&
            at - section[i].sh_offset < section[i].sh_size)
            return true;
    return false;
}

/* Any single byte changed: no crash, no hang, an error with a text or programs. */
static void test_damaged(void **state)
{
    static const char *const names[] = { "several", "data" };
    static const uint8_t patterns[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

    for (size_t n = 0; n < COUNT(names); n++) {
        size_t size;
        uint8_t *bytes = objects_bytes(names[n], &size);

        assert_non_null(bytes);
        for (size_t at = 0; at < size; at++) {
            uint8_t saved = bytes[at];
            bool skipped = is_dwarf(bytes, at);

            for (size_t p = 0; p < COUNT(patterns) && !skipped; p++) {
                struct jit_error error = { 0 };

                bytes[at] = patterns[p];
                objects_try(bytes, size, &error);
            }
            bytes[at] = saved;
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_damaged_tables),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests_name("object_file", tests, NULL, NULL);
}
