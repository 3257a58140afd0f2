/* SPDX-License-Identifier: MIT */
/* The table of verbs, and what is printed from their replies. */
#include "verb.h"

#include <json-c/json.h>
#include <string.h>

#include "map.h"
#include "plan.h"
#include "print.h"
#include "statistics.h"
#include "status.h"
#include "util.h"

/* ---- printing ------------------------------------------------------------------------------------------ */

static void rows_show(const struct verb *verb, struct json_object *rows, bool quiet)
{
    if (quiet)
        print_ids(verb->columns, rows);
    else
        print_table(verb->columns, rows);
}

static void print_rows(const struct verb *verb, struct json_object *reply, bool quiet)
{
    rows_show(verb, json_object_object_get(reply, verb->rows), quiet);
}

static void print_info(const struct verb *verb, struct json_object *reply, bool quiet)
{
    if (!quiet)
        print_facts(reply);
}

/* What the verifier did, if that was asked for; the daemon has cleaned it. */
void log_show(struct json_object *object)
{
    struct json_object *log = json_object_object_get(object, "log");

    if (log)
        fputs(json_object_get_string(log), stdout);
}

/* One program, as a table of one row. */
static void print_program(const struct verb *verb, struct json_object *reply, bool quiet)
{
    struct json_object *rows = require(json_object_new_array());

    json_object_array_add(rows, json_object_get(json_object_object_get(reply, verb->rows)));
    rows_show(verb, rows, quiet);
    json_object_put(rows);
}

static void print_verdict(const struct verb *verb, struct json_object *reply, bool quiet)
{
    struct json_object *facts;

    log_show(reply);
    if (quiet)
        return;
    facts = require(json_object_get(reply));
    json_object_object_del(facts, "log");
    puts("accepted");
    print_facts(facts);
    json_object_put(facts);
}

static void print_link(const struct verb *verb, struct json_object *reply, bool quiet)
{
    printf("%s%s\n", quiet ? "" : "link ", json_object_get_string(json_object_object_get(reply, "link")));
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static const struct column program_columns[] = {
    { "PROGRAM", "name", 0 },
    { "CONTEXT", "context", 0 },
    { "FUNCTION", "function", 0 },
    { "INSTRUCTIONS", "instructions", 0 },
    { "BYTES", "image_bytes", 0 },
    { "LINKS", "links", 0 },
    { "DIGEST", "digest", 12 },
    { 0 },
};

static const struct column table_columns[] = {
    { "TABLE", "name", 0 },
    { "CONTEXT", "context", 0 },
    { "DEFAULT", "default_verdict", 0 },
    { "WORKERS", "workers", 0 },
    { "SHAPE", "shape", 0 },
    { "POLICY", "policy", 0 },
    { "BYTES", "image_bytes", 0 },
    { "SETTLED", "settled", 0 },
    { "LINKS", "links", 0 },
    { 0 },
};

static const struct column call_columns[] = {
    { "CALL", "name", 0 },
    { "PROTOTYPE", "prototype", 0 },
    { "TARGET", "target", 0 },
    { "WORKERS", "workers", 0 },
    { "SETTLED", "settled", 0 },
    { "LINK", "link", 0 },
    { 0 },
};

static const struct column map_columns[] = {
    { "MAP", "name", 0 },
    { "KIND", "kind", 0 },
    { "KEY", "key", 40 },
    { "VALUE", "value", 40 },
    { "ENTRIES", "max_entries", 0 },
    { "BYTES", "bytes", 0 },
    { "PROGRAMS", "programs", 0 },
    { 0 },
};

static const struct column link_columns[] = {
    { "LINK", "id", 0 },
    { "TABLE", "table", 0 },
    { "KEYS", "keys", 0 },
    { "PRIORITY", "priority", 0 },
    { "PROCEED-ON", "proceed_on", 0 },
    { "PROGRAM", "program", 0 },
    { 0 },
};

static const struct column worker_columns[] = {
    { "PID", "pid", 0 },
    { "NAME", "name", 0 },
    { "UID", "uid", 0 },
    { "STATE", "state", 0 },
    { "GENERATION", "generation", 0 },
    { "THREADS", "threads", 0 },
    { "HOLDING", "holding", 0 },
    { "LEAKED", "leaked_guards", 0 },
    { "TABLES", "tables", 0 },
    { "LACKING", "lacking", 0 },
    { 0 },
};

const struct verb verbs[] = {
    {
        .name = "load",
        .argument = { { "NAME", "program", ARGUMENT_NAME }, { "FILE", NULL, ARGUMENT_FILE } },
        .options = OPTIONS_OBJECT | OPTIONS_WAIT,
        .summary = "prove a program safe, compile it, and keep it under a name",
        .help = "FILE is an ELF object from `clang -target bpf -O2 -g` with a program in a section \"table/CONTEXT\",\n"
                "CONTEXT being the type that tables declare.  A program that is not proven safe is refused.  It runs\n"
                "nowhere until it is attached.  dispatchd keeps the object; the file is not needed any more.",
        .method = "Load",
        .print = print_program,
        .rows = "program",
        .columns = program_columns,
    },
    {
        .name = "verify",
        .argument = { { "FILE", NULL, ARGUMENT_FILE } },
        .options = OPTIONS_OBJECT | OPTIONS_VERBOSE,
        .summary = "say whether load would accept a program, and load nothing",
        .help = "A worker must have declared the program's context.  PROCESSED counts instructions on all paths that\n"
                "the verifier followed.",
        .method = "Verify",
        .print = print_verdict,
    },
    {
        .name = "unload",
        .argument = { { "NAME", "program", ARGUMENT_NAME } },
        .options = OPTIONS_WAIT,
        .summary = "forget a program that nothing is attached to",
        .help = "Refused while links hold the program: detach them first.",
        .method = "Unload",
    },
    {
        .name = "attach",
        .argument = { { "TABLE", "table", ARGUMENT_NAME },
                      { "KEYS", "key", ARGUMENT_KEYS },
                      { "PROGRAM", "program", ARGUMENT_TARGET } },
        .options = OPTIONS_WAIT | OPTIONS_CHAIN,
        .summary = "run a program at a key of a table, in all workers",
        .help = "KEYS is a number from 0 to 4294967295, in decimal or as 0x..., a range of them (1024-65535), or the\n"
                "word default: all keys that nothing else is attached to.  Ranges do not overlap.  PROGRAM is a\n"
                "loaded one, or a native, a function that workers register (program:NAME or native:NAME where both\n"
                "have the name).  Prints the link, by which it is detached or replaced.  The link outlives dispatchd\n"
                "and the workers.\n"
                "\n"
                "Several programs attached to the same KEYS are a chain: they run by priority, the lowest first, and\n"
                "those of one priority by link.  The next one runs if the verdict is one to proceed on; without\n"
                "--proceed-on a link's verdict is final, and nothing can be attached behind it.",
        .method = "Attach",
        .print = print_link,
    },
    {
        .name = "detach",
        .argument = { { "LINK", "link", ARGUMENT_LINK } },
        .options = OPTIONS_WAIT,
        .summary = "take a link away: the key has its default again",
        .help = "LINK is the number that attach printed and `list links` shows.",
        .method = "Detach",
    },
    {
        .name = "replace",
        .argument = { { "LINK", "link", ARGUMENT_LINK }, { "PROGRAM", "program", ARGUMENT_TARGET } },
        .options = OPTIONS_WAIT,
        .summary = "give a link another program",
        .help = "No call in between runs neither.  The link keeps its number, its counters and its place in a chain.",
        .method = "Replace",
    },
    {
        .name = "set-call",
        .argument = { { "CALL", "call", ARGUMENT_NAME }, { "TARGET", "program", ARGUMENT_CALL_TARGET } },
        .options = OPTIONS_WAIT,
        .summary = "say what a static call runs, in all workers",
        .help = "TARGET is a native, a function of the call's prototype that workers offer (those that do not have\n"
                "it run their default); a loaded program, from a section \"call/CALL\", which gets the arguments as\n"
                "numbers (where both have the name, native:NAME or program:NAME says which); value:N, to run\n"
                "nothing and return N, any value of the type that the call returns (of a pointer, and of a call\n"
                "that returns nothing, 0); or default, each worker's own function.",
        .method = "SetCall",
    },
    {
        .name = "set-policy",
        .argument = { { "TABLE", "table", ARGUMENT_NAME }, { "POLICY", "policy", ARGUMENT_POLICY } },
        .options = OPTIONS_WAIT,
        .summary = "say whether a table may use indirect branches",
        .help = "POLICY is any, or no-indirect: then the table is a decision tree.  It holds until it is set again.",
        .method = "SetPolicy",
    },
    {
        .name = "explain",
        .argument = { { "TABLE", "table", ARGUMENT_NAME } },
        .summary = "why the code of a table has its shape",
        .help = "dispatchd looks now and then at the keys that come, and gives the table the shape that costs least\n"
                "for them.  KEYS of FREQUENCIES are the hottest of the last sample.  Expected costs are those of the\n"
                "planner's model, of a call without the program.",
        .method = "Explain",
        .print = plan_print,
    },
    {
        .name = "stats on",
        .options = OPTIONS_SCOPE | OPTIONS_MISSES | OPTIONS_COUNT | OPTIONS_WAIT,
        .counting = "runs",
        .summary = "count what runs, and with which verdicts",
        .help = "A table is counted with its misses and all its links, also those that are attached later.  What is\n"
                "not counted costs nothing.",
        .method = "SetStatistics",
    },
    {
        .name = "stats off",
        .options = OPTIONS_SCOPE | OPTIONS_MISSES | OPTIONS_WAIT,
        .counting = "off",
        .summary = "count no longer; what was counted stays",
        .help = "",
        .method = "SetStatistics",
    },
    {
        .name = "stats show",
        .options = OPTIONS_SCOPE,
        .summary = "what was counted",
        .help = "MISSES are calls with keys that nothing is attached to.  VERDICTS are VERDICT:RUNS.  Totals go on\n"
                "when a program is replaced, workers end or dispatchd starts again.",
        .answers = ANSWERS_MERGED,
        .method = "GetStatistics",
        .print = statistics_print,
    },
    {
        .name = "map list",
        .summary = "maps, and the programs that use each",
        .help = "KEY and VALUE are types in C.  BYTES is memory that all workers share.",
        .answers = ANSWERS_MERGED,
        .method = "ListMaps",
        .print = map_print_list,
        .rows = "maps",
        .columns = map_columns,
    },
    {
        .name = "map show",
        .argument = { { "MAP", "map", ARGUMENT_NAME } },
        .summary = "all about one map, and how many elements it has",
        .help = "For a ringbuf, entries counts bytes that nobody has read.",
        .method = "ShowMap",
        .print = map_print,
    },
    {
        .name = "map create",
        .argument = { { "MAP", "map", ARGUMENT_NAME },
                      { "KIND", "kind", ARGUMENT_NAME },
                      { "ENTRIES", "max_entries", ARGUMENT_NUMBER } },
        .options = OPTIONS_MAP | OPTIONS_WAIT,
        .summary = "make a map; programs that define one of its name share it",
        .help = "KIND is array, hash, lru_hash, percpu_array, percpu_hash, lpm_trie, queue, stack, ringbuf,\n"
                "array_of_maps or hash_of_maps.  ENTRIES is how many elements there may be; of a ringbuf, its bytes.\n"
                "Loading a program makes the maps that it defines, so this is for those that must be there before.",
        .method = "CreateMap",
        .print = map_print,
    },
    {
        .name = "map remove",
        .argument = { { "MAP", "map", ARGUMENT_NAME } },
        .options = OPTIONS_WAIT,
        .summary = "forget a map, with all that it holds",
        .help = "Refused while programs or maps of maps use it.",
        .method = "RemoveMap",
    },
    {
        .name = "map get",
        .argument = { { "MAP", "map", ARGUMENT_NAME }, { "KEY...", NULL, ARGUMENT_KEY } },
        .options = OPTIONS_HEX,
        .summary = "the value of a key; of a queue or stack, which has none, the next value",
        .help = "KEY is MEMBER=VALUE for each member where keys are structs, else one word: a number, or text.  Of\n"
                "percpu kinds the value is the sum of what threads have, which is shown by SEAT below it.",
        .method = "LookupElement",
        .print = map_print_element,
    },
    {
        .name = "map set",
        .argument = { { "MAP", "map", ARGUMENT_NAME }, { "KEY... VALUE...", NULL, ARGUMENT_ELEMENT } },
        .options = OPTIONS_ONLY | OPTIONS_HEX,
        .summary = "set the value of a key",
        .help = "KEY as for `map get`.  VALUE likewise: MEMBER=VALUE where values are structs (what is not given is\n"
                "0), else one word.  The value of a map of maps is the name of a map.  Words that begin with a minus\n"
                "stand behind --, as in `map set -- balance 7 -5`.",
        .method = "UpdateElement",
    },
    {
        .name = "map delete",
        .argument = { { "MAP", "map", ARGUMENT_NAME }, { "KEY...", NULL, ARGUMENT_KEY } },
        .options = OPTIONS_HEX,
        .summary = "take an element away",
        .help = "KEY as for `map get`.",
        .method = "DeleteElement",
    },
    {
        .name = "map dump",
        .argument = { { "MAP", "map", ARGUMENT_NAME } },
        .options = OPTIONS_HEX,
        .answers = ANSWERS_GATHERED,
        .summary = "all elements",
        .help = "An element that is there all the time is shown; of those that come or go meanwhile perhaps some are.\n"
                "With --json each answer is a line.",
        .method = "IterateMap",
        .print = map_print_elements,
        .rows = "elements",
    },
    {
        .name = "map clear",
        .argument = { { "MAP", "map", ARGUMENT_NAME } },
        .summary = "delete all elements; set those of an array to 0",
        .help = "Elements that programs add meanwhile may stay.",
        .method = "ClearMap",
        .print = map_print_removed,
    },
    {
        .name = "map push",
        .argument = { { "MAP", "map", ARGUMENT_NAME }, { "VALUE...", NULL, ARGUMENT_VALUE } },
        .options = OPTIONS_DROP | OPTIONS_HEX,
        .summary = "put a value into a queue or stack",
        .help = "VALUE as for `map set`.",
        .method = "PushElement",
    },
    {
        .name = "map pop",
        .argument = { { "MAP", "map", ARGUMENT_NAME } },
        .options = OPTIONS_HEX,
        .summary = "take the next value out of a queue or stack",
        .help = "",
        .method = "PopElement",
        .print = map_print_element,
    },
    {
        .name = "map read",
        .argument = { { "MAP", "map", ARGUMENT_NAME } },
        .options = OPTIONS_FOLLOW | OPTIONS_HEX,
        .answers = ANSWERS_STREAMED,
        .summary = "take records out of a ringbuf",
        .help = "A record is a line: its members, if the ring's definition gives the type of its values and it is of that\n"
                "size; else its bytes.  Of several who read at one time each gets all.",
        .method = "ReadRing",
        .print = map_print_records,
        .rows = "records",
    },
    {
        .name = "trace",
        .answers = ANSWERS_STREAMED,
        .summary = "print what programs write with bpf_trace_printk, until interrupted",
        .help = "Before each line stand the process and the thread.",
        .method = "Trace",
        .print = map_print_records,
        .rows = "lines",
    },
    {
        .name = "list programs",
        .summary = "loaded programs, and the links that hold each",
        .help = "BYTES is the size of a program's code with its constant data.",
        .answers = ANSWERS_MERGED,
        .method = "ListPrograms",
        .print = print_rows,
        .rows = "programs",
        .columns = program_columns,
    },
    {
        .name = "list tables",
        .summary = "tables that workers have declared",
        .help = "SHAPE and BYTES describe the code that finds the program of a key; SETTLED is whether it has its\n"
                "final place, where calls are fastest.  WORKERS counts those that declare the table now.",
        .answers = ANSWERS_MERGED,
        .method = "ListTables",
        .print = print_rows,
        .rows = "tables",
        .columns = table_columns,
    },
    {
        .name = "list calls",
        .summary = "static calls that workers have declared",
        .help = "",
        .answers = ANSWERS_MERGED,
        .method = "ListCalls",
        .print = print_rows,
        .rows = "calls",
        .columns = call_columns,
    },
    {
        .name = "list links",
        .summary = "which program runs at which key",
        .help = "",
        .answers = ANSWERS_MERGED,
        .method = "ListLinks",
        .print = print_rows,
        .rows = "links",
        .columns = link_columns,
    },
    {
        .name = "list workers",
        .summary = "processes that call tables",
        .help = "STATE is current; moving (it joined, but threads may still run the code of an earlier dispatchd);\n"
                "unmoved (it still runs that code and has not come back); or disconnected (it closed its socket and\n"
                "runs on).  HOLDING workers have a thread that keeps replaced code from being reused.  LEAKED counts\n"
                "guards that were left by longjmp.  LACKING names hooks that lead to a native which the worker does\n"
                "not have: it runs its default there.",
        .answers = ANSWERS_MERGED,
        .method = "ListWorkers",
        .print = print_rows,
        .rows = "workers",
        .columns = worker_columns,
    },
    {
        .name = "info",
        .summary = "version, generation and use of dispatchd",
        .help = "The generation is one more after each start of dispatchd.",
        .method = "Info",
        .print = print_info,
    },
    { 0 },
};

/* ---- finding ------------------------------------------------------------------------------------------- */

const struct verb *verb_find(char **words, int n_words, int *ret_words)
{
    for (const struct verb *verb = verbs; verb->name; verb++) {
        const char *second = strchr(verb->name, ' ');
        size_t first = second ? (size_t)(second - verb->name) : strlen(verb->name);
        int needed = second ? 2 : 1;

        if (n_words < needed || strlen(words[0]) != first || strncmp(words[0], verb->name, first) != 0)
            continue;
        if (second && strcmp(words[1], second + 1) != 0)
            continue;
        *ret_words = needed;
        return verb;
    }
    return NULL;
}

static bool takes_the_rest(const struct argument *argument)
{
    return argument->kind >= ARGUMENT_KEY;
}

bool verb_takes(const struct verb *verb, int words)
{
    int n = 0;

    while (verb->argument[n].shown && !takes_the_rest(&verb->argument[n]))
        n++;
    return verb->argument[n].shown ? words >= n : words == n;
}

/* ---- help ---------------------------------------------------------------------------------------------- */

void verb_usage(FILE *out, const struct verb *verb)
{
    fputs(verb->name, out);
    for (const struct argument *argument = verb->argument; argument->shown; argument++)
        fprintf(out, " %s", argument->shown);
    options_usage(out, verb->options);
}

static void verb_help_one(const struct verb *verb)
{
    fputs("Usage: dispatchctl [OPTION...] ", stdout);
    verb_usage(stdout, verb);
    printf("\n%c%s.\n", verb->summary[0] - ('a' - 'A'), verb->summary + 1);
    if (*verb->help)
        printf("\n%s\n", verb->help);
    if (verb->options) {
        putchar('\n');
        options_help(stdout, verb->options);
    }
}

/* Is the word the verb's name, or the first of the two words of its name? */
static bool verb_begins(const struct verb *verb, const char *word)
{
    size_t length = strlen(word);

    return strncmp(verb->name, word, length) == 0 && (verb->name[length] == '\0' || verb->name[length] == ' ');
}

int verb_help(const char *word)
{
    int found = 0;

    for (const struct verb *verb = verbs; verb->name; verb++)
        if (verb_begins(verb, word)) {
            if (found++)
                putchar('\n');
            verb_help_one(verb);
        }
    return found;
}

static bool verb_ends(const struct verb *verb, const char *word)
{
    const char *second = strchr(verb->name, ' ');

    return second && !strcmp(second + 1, word);
}

/* The names of all verbs that begin, or end, with the word; NULL: there is none.  The caller's. */
static char *verb_names(const char *word, bool (*has)(const struct verb *verb, const char *word))
{
    char *names = NULL, *before;

    for (const struct verb *verb = verbs; verb->name; verb++) {
        if (!has(verb, word))
            continue;
        before = names;
        if (asprintf(&names, "%s%s%s", before ? before : "", before ? ", " : "", verb->name) < 0)
            require(NULL);
        free(before);
    }
    return names;
}

/* Of maps, what is to be done stands second: who looks for `list maps` is told of `map list`. */
enum status verb_missing(const char *word)
{
    _cleanup_free_ char *first = verb_names(word, verb_begins), *second = verb_names(word, verb_ends);

    if (first)
        return complain(STATUS_USAGE, "%s is the first word of: %s%s%s", word, first,
                        second ? "; and the second of: " : "", second ? second : "");
    if (second)
        return complain(STATUS_USAGE, "%s is the second word of: %s", word, second);
    return complain(STATUS_USAGE, "there is no verb '%s'; see dispatchctl --help", word);
}
