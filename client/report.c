#include "client/report.h"

#include <inttypes.h>
#include <math.h>

#include "common/base/duration.h"
#include "common/base/text.h"
#include "common/lwm2m/text.h"

/* A line stays a line, whatever is in the text. */
static void put_plain(FILE *out, struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            putc(c, out);
    }
}

static void put_json_string(FILE *out, struct slice text) {
    bool utf8 = slice_is_utf8(text);
    putc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else
            putc(c < 0x80 || utf8 ? c : '?', out);
    }
    putc('"', out);
}

static void begin(const struct report *report, const char *event) {
    uint8_t bytes[40];
    struct buffer now = buffer_over(bytes, sizeof bytes);
    time_put(&now, clock_now_ms(report->clock));
    fprintf(report->out, "{\"event\":\"%s\",\"ts\":\"%.*s\"", event, (int)now.len, (const char *)now.data);
}

static void put_member(const struct report *report, const char *name, struct slice text) {
    fprintf(report->out, ",\"%s\":", name);
    put_json_string(report->out, text);
}

static void end(const struct report *report) {
    fputs(report->json ? "}\n" : "\n", report->out);
    fflush(report->out);
}

static struct slice last_segment(struct slice location) {
    size_t at = location.len;
    while (at > 0 && location.data[at - 1] != '/')
        at--;
    return slice_from(location, at);
}

void report_registered(const struct report *report, struct slice endpoint, struct slice location) {
    if (report->json) {
        begin(report, "registered");
        put_member(report, "endpoint", endpoint);
        put_member(report, "device_id", last_segment(location));
        put_member(report, "location", location);
    } else {
        fputs("Client registered\nEndpoint Name: ", report->out);
        put_plain(report->out, endpoint);
        fputs("\nDevice ID: ", report->out);
        put_plain(report->out, last_segment(location));
    }
    end(report);
}

void report_event(const struct report *report, const char *event, const char *text) {
    if (report->json)
        begin(report, event);
    else
        fputs(text, report->out);
    end(report);
}

static void put_retry(const struct report *report, uint64_t retry_ms) {
    if (retry_ms == 0)
        return;
    fprintf(report->out, report->json ? ",\"retry_in_s\":%" PRIu64 ".%03u" : "; trying again in %" PRIu64 ".%03u s",
            retry_ms / 1000, (unsigned)(retry_ms % 1000));
}

/* `4.04 Not Found: who are you?`, or why there is no answer. */
static void put_reason(const struct report *report, const struct coap_reply *reply) {
    bool is_answer = reply->result == COAP_CALL_REPLY;
    struct coap_code_text code = coap_code_text(is_answer ? reply->message->code : COAP_EMPTY);
    const char *reason = is_answer ? coap_code_name(reply->message->code) : coap_call_result_text(reply->result);
    if (report->json) {
        if (is_answer)
            put_member(report, "code", slice_str(code.text));
        put_member(report, "reason", slice_str(reason));
        if (is_answer)
            put_member(report, "diagnostic", reply->body);
        return;
    }
    fprintf(report->out, "%s%s%s", is_answer ? code.text : "", is_answer ? " " : "", reason);
    if (is_answer && reply->body.len > 0) {
        fputs(": ", report->out);
        put_plain(report->out, reply->body);
    }
}

void report_failure(const struct report *report, const char *event, const char *what, const struct coap_reply *reply,
                    uint64_t retry_ms) {
    if (report->json)
        begin(report, event);
    else
        fprintf(report->out, "%s failed: ", what);
    put_reason(report, reply);
    put_retry(report, retry_ms);
    end(report);
}

void report_unusable(const struct report *report, const char *event, const char *what, const char *why,
                     uint64_t retry_ms) {
    if (report->json) {
        begin(report, event);
        put_member(report, "reason", slice_str(why));
    } else {
        fprintf(report->out, "%s failed: %s", what, why);
    }
    put_retry(report, retry_ms);
    end(report);
}

static void put_hex_member(const struct report *report, const char *name, struct slice bytes) {
    uint8_t memory[2 * DTLS_CID_MAX];
    struct buffer hex = buffer_over(memory, sizeof memory);
    text_put_hex(&hex, bytes);
    put_member(report, name, buffer_slice(&hex));
}

static void put_session_text(FILE *out, const struct dtls_client_description *session) {
    uint8_t memory[2 * DTLS_CID_MAX];
    struct buffer cid = buffer_over(memory, sizeof memory);
    text_put_hex(&cid, session->server_cid);
    fprintf(out, "%s%s", session->restored ? "Session restored: " : "Handshake: ",
            session->restored  ? ""
            : session->resumed ? "resumed, "
                               : "full, ");
    fprintf(out, "%s, %s%.*s", session->cipher_suite,
            cid.len == 0         ? "no CID"
            : session->cid_draft ? "draft CID "
                                 : "CID ",
            (int)cid.len, (const char *)cid.data);
    if (!session->restored)
        fprintf(out, ", %u bytes up and %u down", session->traffic.handshake_out, session->traffic.handshake_in);
}

void report_handshake(const struct report *report, const struct dtls_client_description *session) {
    if (!report->json) {
        put_session_text(report->out, session);
        end(report);
        return;
    }
    begin(report, session->restored ? "session_restored" : "handshake");
    if (!session->restored)
        put_member(report, "kind", slice_str(session->resumed ? "resumed" : "full"));
    put_member(report, "cipher_suite", slice_str(session->cipher_suite));
    put_hex_member(report, "cid", session->cid);
    put_hex_member(report, "server_cid", session->server_cid);
    fprintf(report->out, ",\"cid_draft\":%s", session->cid_draft ? "true" : "false");
    if (!session->restored)
        fprintf(report->out, ",\"sent\":%u,\"received\":%u", session->traffic.handshake_out,
                session->traffic.handshake_in);
    end(report);
}

void report_handshake_failure(const struct report *report, const struct dtls_failure *failure) {
    if (report->json) {
        begin(report, "handshake_failed");
        put_member(report, "reason", slice_str(dtls_fault_name(failure->fault)));
        if (failure->alert_sent >= 0)
            fprintf(report->out, ",\"alert_sent\":%d", failure->alert_sent);
        if (failure->alert_received >= 0)
            fprintf(report->out, ",\"alert_received\":%d", failure->alert_received);
    } else if (failure->alert_received >= 0) {
        fprintf(report->out, "Handshake failed: alert %d came", failure->alert_received);
    } else {
        fprintf(report->out, "Handshake failed: %s", dtls_fault_name(failure->fault));
    }
    end(report);
}

static void report_figure(const struct report *report, const struct account_figure *figure) {
    begin(report, "account");
    put_member(report, "what", slice_str(figure->what));
    put_member(report, "session", slice_str(figure->session));
    fprintf(report->out, ",\"sent\":%" PRIu64 ",\"received\":%" PRIu64, figure->up, figure->down);
    fprintf(report->out, ",\"datagrams_sent\":%" PRIu64 ",\"datagrams_received\":%" PRIu64, figure->datagrams_up,
            figure->datagrams_down);
    fprintf(report->out, ",\"coap_sent\":%" PRIu64 ",\"coap_received\":%" PRIu64, figure->coap_up, figure->coap_down);
    end(report);
}

void report_account(const struct report *report, const struct account_figure *figures, size_t count) {
    if (!report->json && count > 0)
        fprintf(report->out, "%-32s%6s%6s%6s  %-9s  %s\n", "bytes of UDP payload", "up", "down", "all", "datagrams",
                "CoAP in it");
    for (size_t i = 0; i < count; i++) {
        const struct account_figure *figure = &figures[i];
        char name[48];
        if (report->json) {
            report_figure(report, figure);
            continue;
        }
        snprintf(name, sizeof name, "%s, %s", figure->session, figure->what);
        fprintf(report->out, "%-32s%6" PRIu64 "%6" PRIu64 "%6" PRIu64, name, figure->up, figure->down,
                figure->up + figure->down);
        fprintf(report->out, "  %3" PRIu64 " + %-3" PRIu64 "  %" PRIu64 " + %" PRIu64 "\n", figure->datagrams_up,
                figure->datagrams_down, figure->coap_up, figure->coap_down);
    }
}

void report_request(const struct report *report, uint8_t method, struct slice path, uint8_t code) {
    struct coap_code_text answer = coap_code_text(code), number = coap_code_text(method);
    const char *name = coap_code_name(method)[0] == '\0' ? number.text : coap_code_name(method);
    if (report->json) {
        begin(report, "request");
        put_member(report, "method", slice_str(name));
        put_member(report, "path", path);
        put_member(report, "code", slice_str(answer.text));
    } else {
        fprintf(report->out, "Request: %s ", name);
        put_plain(report->out, path);
        fprintf(report->out, " -> %s", answer.text);
    }
    end(report);
}

/* `["/3/0/9","/3/0/13"]` or `3/0/9 3/0/13`. */
static void put_paths(const struct report *report, const struct lwm2m_path *paths, size_t count) {
    if (report->json)
        fputs(",\"paths\":[", report->out);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[32];
        struct buffer path = buffer_over(bytes, sizeof bytes);
        lwm2m_path_put(&path, &paths[i]);
        if (i > 0)
            putc(report->json ? ',' : ' ', report->out);
        if (report->json)
            put_json_string(report->out, buffer_slice(&path));
        else
            put_plain(report->out, slice_from(buffer_slice(&path), 1));
    }
    if (report->json)
        putc(']', report->out);
}

void report_sent(const struct report *report, const struct lwm2m_path *paths, size_t count, uint8_t code) {
    struct coap_code_text text = coap_code_text(code);
    if (report->json) {
        begin(report, "sent");
        put_paths(report, paths, count);
        put_member(report, "code", slice_str(text.text));
    } else {
        fputs("Sent: ", report->out);
        put_paths(report, paths, count);
        fprintf(report->out, " -> %s %s", text.text, coap_code_name(code));
    }
    end(report);
}

void report_send_failure(const struct report *report, const struct lwm2m_path *paths, size_t count,
                         const struct coap_reply *reply) {
    if (report->json) {
        begin(report, "send_failed");
        put_paths(report, paths, count);
    } else {
        fputs("Send of ", report->out);
        put_paths(report, paths, count);
        fputs(" failed: ", report->out);
    }
    put_reason(report, reply);
    end(report);
}

static void put_observation(const struct report *report, const char *event, const char *verb,
                            const struct lwm2m_path *paths, size_t count, const char *how) {
    if (report->json) {
        begin(report, event);
        put_paths(report, paths, count);
        if (how != NULL)
            put_member(report, "how", slice_str(how));
    } else {
        fputs("Observation of ", report->out);
        put_paths(report, paths, count);
        fprintf(report->out, "%s%s%s", verb, how == NULL ? "" : ": ", how == NULL ? "" : how);
    }
    end(report);
}

void report_observation_began(const struct report *report, const struct lwm2m_path *paths, size_t count) {
    put_observation(report, "observation_began", " began", paths, count, NULL);
}

void report_observation_ended(const struct report *report, const struct lwm2m_path *paths, size_t count,
                              const char *why) {
    put_observation(report, "observation_ended", " ended", paths, count, why);
}

void report_observation(const struct report *report, const struct lwm2m_path *paths, size_t count, const char *state) {
    put_observation(report, "observation", "", paths, count, state);
}

void report_notified(const struct report *report, const struct lwm2m_path *paths, size_t count, enum coap_type type,
                     size_t values) {
    const char *type_text = type == COAP_CON ? "CON" : "NON";
    if (report->json) {
        begin(report, "notified");
        put_paths(report, paths, count);
        put_member(report, "type", slice_str(type_text));
        fprintf(report->out, ",\"values\":%zu", values);
    } else {
        fputs("Notified: ", report->out);
        put_paths(report, paths, count);
        fprintf(report->out, " (%s, %zu value%s)", type_text, values, values == 1 ? "" : "s");
    }
    end(report);
}

static bool is_json_number(const struct lwm2m_value *value) {
    return value->type == LWM2M_INTEGER || value->type == LWM2M_UNSIGNED || value->type == LWM2M_TIME ||
           value->type == LWM2M_FLOAT;
}

void report_value(const struct report *report, const struct lwm2m_node *node) {
    const struct lwm2m_value *value = &node->value;
    uint8_t path_bytes[32], bytes[512];
    struct buffer path = buffer_over(path_bytes, sizeof path_bytes), text = buffer_over(bytes, sizeof bytes);
    lwm2m_path_put(&path, &node->path);
    struct slice shown = value->bytes;
    if (value->type != LWM2M_STRING && value->type != LWM2M_CORELNK) {
        lwm2m_text_encode(value, &text);
        shown = buffer_slice(&text);
    }
    if (!report->json) {
        put_plain(report->out, slice_from(buffer_slice(&path), 1));
        fputs(" = ", report->out);
        put_plain(report->out, shown);
        end(report);
        return;
    }
    begin(report, "value");
    put_member(report, "path", buffer_slice(&path));
    put_member(report, "type", slice_str(lwm2m_type_name(value->type)));
    if (value->type == LWM2M_BOOLEAN)
        fprintf(report->out, ",\"value\":%s", value->truth ? "true" : "false");
    else if (is_json_number(value) && shown.len > 0)
        fprintf(report->out, ",\"value\":%.*s", (int)shown.len, (const char *)shown.data);
    else
        put_member(report, "value", shown);
    end(report);
}

void report_text(const struct report *report, const char *event, struct slice about, const char *text) {
    if (report->json) {
        begin(report, event);
        put_member(report, "about", about);
        put_member(report, "text", slice_str(text));
    } else {
        put_plain(report->out, about);
        fprintf(report->out, "%s%s", about.len > 0 ? ": " : "", text);
    }
    end(report);
}
