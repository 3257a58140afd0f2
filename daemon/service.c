/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "log.h"

/* Log lines quote what clients sent: keep it to one line of text. */
static const char *printable(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return text;
}

void service_refuse(struct call *call, const char *interface, struct refusal *refusal)
{
    const struct ucred *peer = call_sender(call) ? call_sender(call) : call_peer(call);
    bool general = !strcmp(refusal->error, "InvalidParameter");
    char name[256], parameters[1024];

    snprintf(name, sizeof(name), "%s.%s", general ? "org.varlink.service" : interface, refusal->error);
    snprintf(parameters, sizeof(parameters), "%s", json_object_to_json_string(refusal->parameters));
    log_line(LOG_NOTICE, "%s of pid %d (uid %u) refused: %s %s", call_method(call), (int)peer->pid, (unsigned)peer->uid,
             refusal->error, printable(parameters));
    call_error(call, name, json_object_get(refusal->parameters));
    refusal_done(refusal);
}

const char *parameter_string(struct json_object *parameters, const char *name)
{
    return json_object_get_string(json_object_object_get(parameters, name));
}

int64_t parameter_int(struct json_object *parameters, const char *name)
{
    return json_object_get_int64(json_object_object_get(parameters, name));
}

bool parameter_bool(struct json_object *parameters, const char *name)
{
    return json_object_get_boolean(json_object_object_get(parameters, name));
}
