/* SPDX-License-Identifier: MIT */
/* See membership.h. */
#include "membership.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "json.h"
#include "lines.h"
#include "native.h"
#include "stubs.h"
#include "table.h"
#include "util.h"

#define RETRY_FIRST_MS 50
#define RETRY_LAST_MS 1000
#define POLL_FIRST_MS 1
#define POLL_LAST_MS 50
#define DEATH_MS 100
#define LEAVE_MS 100                    /* for a socket that is full */

static void put_object(struct json_object **object)
{
    json_object_put(*object);
}

__attribute__((format(printf, 2, 3))) static void set_error(struct membership *membership, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(membership->error, sizeof membership->error, format, arguments);
    va_end(arguments);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void free_strings(struct membership *membership)
{
    sockets_free(&membership->sockets);
    free(TAKE_POINTER(membership->name));
}

int membership_begin(struct membership *membership, const char *socket, const char *name)
{
    int r;

    assert(!membership->mover.current && !membership->mover.moving);
    *membership = (struct membership){
        .wakeup = WAKEUP_NONE,
        .conversation = { .socket = DESCRIPTOR_NONE },
        .arena = DESCRIPTOR_NONE,
        .image_device = membership->image_device,
        .image_inode = membership->image_inode,
        .highest_generation = membership->highest_generation,
    };
    r = conversation_prepare();
    if (r == 0)
        r = sockets_find(socket, &membership->sockets);
    membership->name = r == 0 ? strdup(name) : NULL;
    if (r == 0 && !membership->name)
        r = -ENOMEM;
    if (r == 0)
        r = wakeup_open(&membership->wakeup);
    if (r < 0)
        free_strings(membership);
    return r;
}

/* The conversation is over.  What was asked will not be answered. */
static void hang_up(struct membership *membership)
{
    if (conversation_is_alive(&membership->conversation))
        wakeup_unwatch(&membership->wakeup, membership->conversation.socket.number);
    conversation_end(&membership->conversation);
    membership->phase = MEMBERSHIP_NONE;
    membership->report_move = false;
    table_forget(true);
}

void membership_unhook(struct membership *membership)
{
    if (membership->mover.current)
        mover_switch(&membership->mover, NULL);
}

/* Nobody waits for an answer: a daemon that is gone, or does not hear it, keeps lines that hold nothing. */
void membership_leave(struct membership *membership)
{
    if (conversation_is_alive(&membership->conversation))
        conversation_tell(&membership->conversation, "Leave", NULL, 0, LEAVE_MS);
}

void membership_end(struct membership *membership)
{
    hang_up(membership);
    wakeup_close(&membership->wakeup);
    descriptor_close(&membership->arena);
    free_strings(membership);
    membership_unhook(membership);
}

/* ---- trying again -------------------------------------------------------------------------------------- */

static void retry_now(struct membership *membership)
{
    membership->retry_ms = 0;
    membership->retry_at = 0;
}

static void retry_later(struct membership *membership)
{
    int wait = membership->retry_ms ? 2 * membership->retry_ms : RETRY_FIRST_MS;

    membership->retry_ms = wait < RETRY_LAST_MS ? wait : RETRY_LAST_MS;
    membership->retry_at = wakeup_now() + membership->retry_ms;
}

/* The conversation broke: the daemon went away, our descriptors did, or one side does not keep to the protocol. */
static void lose(struct membership *membership, const char *reason)
{
    bool was_joined = membership->phase == MEMBERSHIP_JOINED;

    set_error(membership, "the conversation with the daemon ended: %s", reason);
    hang_up(membership);
    if (was_joined)
        retry_now(membership);
    else
        retry_later(membership);
}

static void refuse(struct membership *membership)
{
    hang_up(membership);
    membership->refused = true;
    retry_later(membership);
}

/* ---- joining ------------------------------------------------------------------------------------------- */

/* What the daemon has not been told of: tables and natives. */
static int describe_offers(struct json_object *object)
{
    int r;

    r = json_add(object, "tables", table_describe());
    return r < 0 ? r : json_add(object, "natives", native_describe());
}

static struct json_object *describe_join(const struct membership *membership)
{
    _cleanup_(put_object) struct json_object *join = json_object_new_object();

    table_forget(true);
    native_forget();
    if (!join || json_add(join, "layout_version", json_object_new_int64(DD_LAYOUT_VERSION)) < 0 ||
        json_add(join, "name", json_object_new_string(membership->name)) < 0)
        return NULL;
    if (describe_offers(join) < 0)
        return NULL;
    return TAKE_POINTER(join);
}

/* Lines and arena, as far as their descriptors were not lost: how many are in `ret`. */
static size_t collect_descriptors(struct membership *membership, struct json_object *join, int ret[2])
{
    const struct descriptor *lines = &lines_current()->memfd;
    size_t n = 0;

    membership->lines_sent = descriptor_is_ours(lines);
    if (membership->lines_sent)
        ret[n++] = lines->number;
    if (!descriptor_is_ours(&membership->arena))
        return n;
    if (json_add(join, "arena", json_object_new_int64((int64_t)n)) == 0)
        ret[n++] = membership->arena.number;
    return n;
}

/* Without the lines where their descriptor was lost: a daemon that has them knows this process. */
static void send_join(struct membership *membership)
{
    _cleanup_(put_object) struct json_object *join = describe_join(membership);
    int descriptors[2], r = -ENOMEM;

    if (join) {
        size_t n = collect_descriptors(membership, join, descriptors);

        r = conversation_call(&membership->conversation, "Join", join, descriptors, n);
    }
    if (r < 0) {
        lose(membership, strerror(-r));
        return;
    }
    membership->phase = MEMBERSHIP_JOINING;
}

static void try_to_join(struct membership *membership)
{
    char complaint[sizeof membership->error] = "";

    membership->tried = true;
    if (sockets_connect(&membership->sockets, &membership->conversation, complaint, sizeof complaint) < 0) {
        set_error(membership, "%s", complaint);
        membership->refused = false;
        retry_later(membership);
        return;
    }
    send_join(membership);
}

/* A daemon that never had our lines, and they cannot be sent any more: new ones. */
static int renew_lines(void)
{
    struct lines *lines;
    int r;

    r = lines_new(&lines);
    return r < 0 ? r : lines_replace(lines);
}

/* The image of the daemon that we had joined last? */
static bool is_known_image(const struct membership *membership, uint64_t generation, int control)
{
    struct stat status;

    return membership->highest_generation == generation && fstat(control, &status) == 0 &&
           status.st_dev == membership->image_device && status.st_ino == membership->image_inode;
}

/*
 * Generations only grow: `last` in our lines may be of any that we have seen, and would pass for one of this daemon's.
 * A daemon that counts from anew (its database was removed) is met with no window and with new lines.
 */
static void start_afresh(struct membership *membership)
{
    int r = renew_lines();

    if (r == 0 && membership->mover.current)
        mover_switch(&membership->mover, NULL);
    membership->highest_generation = 0;
    lose(membership, r < 0 ? strerror(-r) : "it counts its generations from anew");
    if (r == 0)
        retry_now(membership);
}

static void enter_window(struct membership *membership, struct window *window, int control, pid_t daemon)
{
    struct stat status = { 0 };

    fstat(control, &status);
    membership->image_device = status.st_dev;
    membership->image_inode = status.st_ino;
    membership->daemon = daemon;
    membership->highest_generation = window->generation;
    membership->poll_ms = 0;
    mover_switch(&membership->mover, window);
}

/* Keeps it open, in place of the one before: a daemon after this one may need it back (inheritance.h of the daemon). */
static void keep_arena(struct membership *membership, int arena)
{
    descriptor_close(&membership->arena);
    if (arena >= 0 && descriptor_remember(arena, &membership->arena) < 0)
        close(arena);
}

static void unmap_window(struct window **window)
{
    window_unmap(*window);
}

/* Entries of tables for the current window. */
static int apply(struct membership *membership, struct json_object *entries)
{
    int r;

    r = table_apply(entries, membership->mover.current);
    if (r == 0)
        mover_refresh(&membership->mover);
    return r;
}

/* The image that we are in: only the conversation was lost.  A table may have been declared anew. */
static int resume(struct membership *membership, struct json_object *entries)
{
    membership->report_move = !membership->mover.moving;
    return apply(membership, entries);
}

/* -EBUSY: slots of hooks could not be replaced since the Join was sent, so there is no room for another window yet. */
static int take_image(struct membership *membership, struct answer *answer, const char **reterr_reason)
{
    _cleanup_close_ int control = message_take_descriptor(&answer->message, 0);
    _cleanup_close_ int text = message_take_descriptor(&answer->message, 1);
    _cleanup_close_ int arena = message_take_descriptor(&answer->message, 2);
    _cleanup_close_ int linkage = message_take_descriptor(&answer->message, table_any_direct() ? 4 : 3);
    const struct window_files files = { control, text, arena, linkage };
    _cleanup_(unmap_window) struct window *window = NULL;
    struct json_object *entries = json_object_object_get(answer->parameters, "entries");
    uint64_t generation = json_object_get_uint64(json_object_object_get(answer->parameters, "generation"));
    uint64_t text_size = json_object_get_uint64(json_object_object_get(answer->parameters, "text_size"));
    int r;

    *reterr_reason = "an entry lies outside the text, or is missing";
    if (is_known_image(membership, generation, control)) {
        if (membership->mover.current) {
            if (!descriptor_is_ours(&membership->arena))
                keep_arena(membership, TAKE_DESCRIPTOR(arena));
            return resume(membership, entries);
        }
    } else if (generation <= membership->highest_generation) {
        return -ESTALE;
    }
    if (membership->mover.moving)
        return -EBUSY;
    r = window_map(&files, generation, text_size, mover_free_slot(&membership->mover), table_callers(),
                   &window, reterr_reason);
    if (r < 0)
        return r;
    stubs_fill(window, table_any_direct());
    table_reset(window->slot);
    r = table_apply(entries, window);
    if (r < 0)
        return r;
    enter_window(membership, TAKE_POINTER(window), control, answer->message.sender.pid);
    keep_arena(membership, TAKE_DESCRIPTOR(arena));
    return 0;
}

static void handle_joined(struct membership *membership, struct answer *answer)
{
    const char *reason;
    int r = take_image(membership, answer, &reason);

    if (r == -ESTALE) {
        start_afresh(membership);
        return;
    }
    if (r == -EBUSY) {
        lose(membership, "a move began before it answered");
        return;
    }
    if (r < 0) {
        set_error(membership, "the daemon's image is of no use: %s", r == -EBADMSG ? reason : strerror(-r));
        refuse(membership);
        return;
    }
    table_forgive();
    /* While its daemon restarts, a worker does not go over to another one, which knows nothing of its links. */
    sockets_stay(&membership->sockets);
    membership->phase = MEMBERSHIP_JOINED;
    membership->refused = false;
    membership->error[0] = '\0';
    membership->retry_ms = 0;
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void note_refusal(struct membership *membership, const struct answer *answer)
{
    set_error(membership, "the daemon refused %s: %s %s", answer->method, answer->error,
              answer->parameters ? json_object_to_json_string_ext(answer->parameters, JSON_C_TO_STRING_PLAIN) : "");
}

static void handle_join(struct membership *membership, struct answer *answer)
{
    if (!answer->error) {
        handle_joined(membership, answer);
        return;
    }
    note_refusal(membership, answer);
    if (strcmp(answer->error, "UnknownProcess") == 0 && !membership->lines_sent && renew_lines() == 0) {
        hang_up(membership);
        retry_now(membership);
        return;
    }
    refuse(membership);
}

static void handle_declare(struct membership *membership, struct answer *answer)
{
    if (answer->error) {
        note_refusal(membership, answer);
        if (table_refused(json_object_get_string(json_object_object_get(answer->parameters, "table"))))
            native_forget();            /* they were with the tables, and are not why */
    } else if (apply(membership, json_object_object_get(answer->parameters, "entries")) < 0) {
        lose(membership, "an entry lies outside the text, or is missing");
    }
}

static void handle(struct membership *membership, struct answer *answer)
{
    if (strcmp(answer->method, "Join") == 0)
        handle_join(membership, answer);
    else if (strcmp(answer->method, "Declare") == 0)
        handle_declare(membership, answer);
    else if (answer->error)             /* Moved */
        note_refusal(membership, answer);
}

static void receive(struct membership *membership)
{
    while (membership->phase != MEMBERSHIP_NONE) {
        struct answer answer;
        int r = conversation_receive(&membership->conversation, &answer);

        if (r == 0)
            return;
        if (r == -ECONNRESET && membership->daemon == 0)
            membership->daemon = -1;    /* its socket's word is all that can be had */
        if (r < 0) {
            lose(membership, r == -ECONNRESET ? "it is gone" : strerror(-r));
            return;
        }
        handle(membership, &answer);
        answer_done(&answer);
    }
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static int send_moved(struct membership *membership)
{
    _cleanup_(put_object) struct json_object *parameters = json_object_new_object();
    int64_t generation = (int64_t)membership->mover.current->generation;

    if (!parameters || json_object_object_add(parameters, "generation", json_object_new_int64(generation)) < 0)
        return -ENOMEM;
    membership->report_move = false;
    return conversation_call(&membership->conversation, "Moved", parameters, NULL, 0);
}

static int send_declare(struct membership *membership)
{
    _cleanup_(put_object) struct json_object *parameters = json_object_new_object();

    if (!parameters || describe_offers(parameters) < 0)
        return -ENOMEM;
    return conversation_call(&membership->conversation, "Declare", parameters, NULL, 0);
}

static void ask(struct membership *membership)
{
    int r = 0;

    if (membership->phase != MEMBERSHIP_JOINED || membership->conversation.awaiting)
        return;
    if (membership->report_move)
        r = send_moved(membership);
    else if (table_any_new() || native_any_new())
        r = send_declare(membership);
    if (r < 0)
        lose(membership, strerror(-r));
}

/* ---- the state machine --------------------------------------------------------------------------------- */

/* Descriptors that the application closed behind our back. */
static void check_descriptors(struct membership *membership)
{
    if (membership->phase != MEMBERSHIP_NONE && !conversation_is_alive(&membership->conversation)) {
        lose(membership, "its descriptor was closed");
        retry_now(membership);
        /* A forked child may hold the socket: then it is still in the epoll, and cannot be named to take it out. */
        wakeup_close(&membership->wakeup);
    }
    if (!wakeup_is_ours(&membership->wakeup)) {
        wakeup_close(&membership->wakeup);
        wakeup_open(&membership->wakeup);       /* fails: tried again with the next call */
    }
}

static void move(struct membership *membership)
{
    bool was_moving = membership->mover.moving;

    if (!mover_step(&membership->mover)) {
        int r = membership->mover.direct_result;
        int wait = membership->poll_ms ? 2 * membership->poll_ms : POLL_FIRST_MS;

        membership->poll_ms = wait < POLL_LAST_MS ? wait : POLL_LAST_MS;
        if (r < 0)
            set_error(membership, "hooks that are called without indirect branches stay as they are: %s", strerror(-r));
        return;
    }
    membership->poll_ms = 0;
    if (was_moving && membership->phase == MEMBERSHIP_JOINED)
        membership->report_move = true;
}

static void set_timer(const struct membership *membership)
{
    int64_t time = -1;

    if (membership->mover.moving)
        time = wakeup_now() + membership->poll_ms;
    else if (membership->phase == MEMBERSHIP_NONE)
        time = membership->retry_at;
    wakeup_at(&membership->wakeup, time);
    if (membership->phase != MEMBERSHIP_NONE)
        wakeup_watch(&membership->wakeup, membership->conversation.socket.number,
                     conversation_is_sending(&membership->conversation));
}

void membership_process(struct membership *membership)
{
    check_descriptors(membership);
    receive(membership);
    move(membership);
    if (membership->phase == MEMBERSHIP_NONE && !membership->mover.moving && wakeup_now() >= membership->retry_at)
        try_to_join(membership);
    ask(membership);
    set_timer(membership);
}

bool membership_is_settled(const struct membership *membership)
{
    if (membership->phase == MEMBERSHIP_JOINED)
        return !membership->mover.moving && !membership->report_move && !membership->conversation.awaiting;
    return membership->phase == MEMBERSHIP_NONE && membership->tried && membership->retry_ms > 0;
}

void membership_rejoin(struct membership *membership, int64_t timeout_ms)
{
    int64_t deadline = wakeup_now() + timeout_ms;

    retry_now(membership);
    for (;;) {
        int64_t left = deadline - wakeup_now();

        membership_process(membership);
        if (membership->phase == MEMBERSHIP_JOINED || left <= 0)
            return;
        wakeup_wait(membership->wakeup.epoll, (int)left);
    }
}

enum dd_state membership_state(const struct membership *membership)
{
    if (membership->phase == MEMBERSHIP_JOINED)
        return DD_JOINED;
    if (membership->refused)
        return DD_REFUSED;
    return membership->mover.current ? DD_ORPHANED : DD_ALONE;
}

/* ---- fork ---------------------------------------------------------------------------------------------- */

/*
 * Exited or a zombie: its memory is gone.  In between it has closed its sockets already, so its end is waited for, a
 * little.  A process that got its number meanwhile passes for it: the safe side.
 */
static bool process_is_gone(pid_t process, int wait_ms)
{
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
    struct pollfd poll_pidfd = { .fd = pidfd, .events = POLLIN };

    if (pidfd < 0)
        return errno == ESRCH;
    return poll(&poll_pidfd, 1, wait_ms) == 1;
}

/* A conversation may end while its daemon lives. */
bool membership_is_live(const struct membership *membership)
{
    if (!membership->mover.current || membership->daemon < 0)
        return false;
    if (membership->phase == MEMBERSHIP_JOINED || membership->daemon == 0)
        return true;
    return !process_is_gone(membership->daemon, membership->deaf ? 0 : DEATH_MS);
}

void membership_after_fork(struct membership *membership, int given, bool live)
{
    _cleanup_close_ int socket = given;
    int r = -EBADF;

    conversation_end(&membership->conversation);
    wakeup_close(&membership->wakeup);
    wakeup_open(&membership->wakeup);
    membership->phase = MEMBERSHIP_NONE;
    table_forget(false);
    retry_now(membership);
    if (socket >= 0)
        r = conversation_begin(&membership->conversation, socket);
    if (r == 0) {
        TAKE_DESCRIPTOR(socket);
        r = conversation_tell(&membership->conversation, "Adopt", NULL, 0, 0);
    }
    if (r == 0) {
        membership->phase = MEMBERSHIP_JOINED;
        membership->report_move = !membership->mover.moving;
    } else {
        hang_up(membership);
        if (live && membership_is_live(membership))     /* it may have died since */
            mover_switch(&membership->mover, NULL);
    }
    wakeup_at(&membership->wakeup, 0);      /* whoever drives the child comes at once */
}
