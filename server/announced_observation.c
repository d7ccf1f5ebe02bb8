#include "server/announced_observation.h"

#include "common/coap/option.h"
#include "common/lwm2m/link_format.h"
#include "server/dealings.h"
#include "server/operation.h"
#include "server/profile.h"

enum { TOKEN_LEN = 2 };

/* A link that announces an observation. */
struct announcement {
    struct lwm2m_path path;
    uint8_t token[TOKEN_LEN];
};

static bool next_announcement(struct link_format_cursor *cursor, struct announcement *announcement) {
    struct link_format_link link;
    struct slice number;
    uint64_t token;
    while (link_format_next(cursor, &link)) {
        if (!link_format_find(&link, "aobs", &number) || !slice_to_u64(number, UINT16_MAX, &token) ||
            !lwm2m_path_parse(link.target, &announcement->path, NULL) || announcement->path.len == 0)
            continue;
        announcement->token[0] = (uint8_t)(token >> 8);
        announcement->token[1] = (uint8_t)token;
        return true;
    }
    return false;
}

static struct slice token_of(const struct announcement *announcement) {
    return slice_of(announcement->token, TOKEN_LEN);
}

static bool find(const struct registration *r, struct slice token, struct announcement *announcement) {
    struct link_format_cursor cursor;
    link_format_start(&cursor, registration_links(r));
    while (next_announcement(&cursor, announcement)) {
        if (slice_equal(token_of(announcement), token))
            return true;
    }
    return false;
}

static bool is_full(const struct registration *r) {
    size_t count = 0;
    for (const struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations; o != NULL; o = o->next)
        count += o->is_auto;
    return count >= ANNOUNCED_OBSERVATIONS_MAX;
}

/* As if we had sent the request that the device has answered without one. */
static bool resume(struct server *server, struct registration *r, const struct announcement *announcement) {
    char memory[32];
    struct buffer path = buffer_over(memory, sizeof memory);
    struct coap_message request;
    struct coap_uint scratch[2];
    const struct coap_option observe = {COAP_OBSERVE, SLICE_NONE};
    lwm2m_path_put(&path, &announcement->path);
    const struct operation_request get = {.method = COAP_GET,
                                          .path = buffer_slice(&path),
                                          .accept = COAP_FORMAT_NONE,
                                          .content_format = COAP_FORMAT_NONE,
                                          .options = &observe,
                                          .option_count = 1};
    return operation_compose(r, &get, &request, scratch) &&
           observation_resume(server, r, &request, &announcement->path, token_of(announcement)) != NULL;
}

bool announced_observation_adopt(struct server *server, struct registration *r, struct slice token) {
    struct announcement announcement;
    return token.len == TOKEN_LEN && profile_observes_by_itself((enum client_profile)r->profile) &&
           find(r, token, &announcement) && !is_full(r) && resume(server, r, &announcement);
}

void announced_observations_adopt(struct server *server, struct registration *r) {
    struct link_format_cursor cursor;
    struct announcement announcement;
    if (!profile_observes_by_itself((enum client_profile)r->profile))
        return;
    link_format_start(&cursor, registration_links(r));
    while (!is_full(r) && next_announcement(&cursor, &announcement))
        resume(server, r, &announcement); /* refused when its token is in use: it is there already */
}

void announced_observations_check(struct registration *r) {
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations, *next; o != NULL; o = next) {
        struct announcement announcement;
        next = o->next;
        if (o->is_auto && !(find(r, coap_observation_token(o->coap), &announcement) &&
                            lwm2m_path_equal(&announcement.path, &o->paths[0])))
            observation_drop(o);
    }
}

void announced_observations_drop(struct registration *r) {
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations, *next; o != NULL; o = next) {
        next = o->next;
        if (o->is_auto)
            observation_drop(o);
    }
}
