#include "server/bootstrap_plan.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/coap/option.h"
#include "common/lwm2m/format.h"
#include "common/lwm2m/link_format.h"

enum {
    SECURITY = 0,
    SERVER = 1,
    OSCORE = 21,
    ACCOUNT_NODES = 28, /* of one account: 12 of Security, 7 of OSCORE, 4 of Server, and some more */
    RANKS = 5,
};

/* ---- memory ---- */

static struct bootstrap_plan *plan_new(size_t steps, size_t nodes, size_t text) {
    size_t size = sizeof(struct bootstrap_plan) + steps * sizeof(struct bootstrap_step) +
                  nodes * sizeof(struct lwm2m_node) + text;
    uint8_t *memory = calloc(1, size);
    if (memory == NULL)
        return NULL;
    struct bootstrap_plan *plan = (struct bootstrap_plan *)(void *)memory;
    plan->nodes = (struct lwm2m_node *)(void *)(memory + sizeof *plan);
    plan->steps = (struct bootstrap_step *)(void *)(plan->nodes + nodes);
    plan->text = buffer_over(plan->steps + steps, text);
    plan->size = size;
    return plan;
}

void bootstrap_plan_free(struct bootstrap_plan *plan) {
    if (plan == NULL)
        return;
    mbedtls_platform_zeroize(plan, plan->size);
    free(plan);
}

static void add_step(struct bootstrap_plan *plan, enum bootstrap_verb verb, struct lwm2m_path path) {
    plan->steps[plan->step_count++] = (struct bootstrap_step){.verb = verb, .path = path, .first = plan->node_count};
}

/* The nodes that were added since it are what the last step writes. */
static void end_step(struct bootstrap_plan *plan) {
    struct bootstrap_step *step = &plan->steps[plan->step_count - 1];
    step->count = plan->node_count - step->first;
    if (step->count == 0)
        plan->step_count--;
}

static void add_node(struct bootstrap_plan *plan, struct lwm2m_path path, struct lwm2m_value value) {
    plan->nodes[plan->node_count++] = (struct lwm2m_node){.path = path, .value = value};
}

/* ---- templates ---- */

static struct slice replacement_for(struct slice *text, const struct bootstrap_facts *facts) {
    const struct {
        const char *name;
        struct slice value;
    } names[] = {{"{endpoint}", facts->endpoint}, {"{account}", facts->account}, {"{id}", facts->device_id}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_starts_with(*text, names[i].name)) {
            *text = slice_from(*text, strlen(names[i].name));
            return names[i].value;
        }
    }
    struct slice one = slice_of(text->data, 1);
    *text = slice_from(*text, 1);
    return one;
}

void bootstrap_expand(struct buffer *out, struct slice text, const struct bootstrap_facts *facts) {
    while (text.len > 0) {
        const uint8_t *brace = memchr(text.data, '{', text.len);
        size_t plain = brace == NULL ? text.len : (size_t)(brace - text.data);
        buffer_put(out, text.data, plain);
        text = slice_from(text, plain);
        if (text.len > 0)
            buffer_put_slice(out, replacement_for(&text, facts));
    }
}

/* At least as many bytes as all texts among the values have when they are expanded. */
static size_t expanded_size(const struct bootstrap_config *config, const struct bootstrap_facts *facts) {
    size_t longest = facts->endpoint.len + facts->account.len + facts->device_id.len, size = 0;
    for (size_t i = 0; i < config->node_count; i++) {
        const struct lwm2m_value *value = &config->nodes[i].value;
        if (value->type == LWM2M_STRING)
            size +=
                value->bytes.len + (value->bytes.len / 4) * longest; /* "{id}" is the shortest that stands for more */
    }
    return size;
}

static struct lwm2m_value expanded(struct bootstrap_plan *plan, struct lwm2m_value value,
                                   const struct bootstrap_facts *facts) {
    if (value.type != LWM2M_STRING || value.bytes.len == 0 || memchr(value.bytes.data, '{', value.bytes.len) == NULL)
        return value;
    size_t at = plan->text.len;
    bootstrap_expand(&plan->text, value.bytes, facts);
    value.bytes = slice_of(plan->text.data + at, plan->text.len - at);
    return value;
}

/* ---- what is there ---- */

/* Some answers begin with lwm2m="1.1" outside of any link (C §6.1.7.3's examples, LNK-17). */
static struct slice without_version(struct slice links) {
    if (links.len == 0 || links.data[0] == '<')
        return links;
    const uint8_t *link = memchr(links.data, '<', links.len);
    return link == NULL ? SLICE_NONE : slice_from(links, (size_t)(link - links.data));
}

void bootstrap_discovered(struct slice links, struct bootstrap_facts *facts) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    link_format_start(&cursor, without_version(links));
    facts->knows_occupied = true;
    while (link_format_next(&cursor, &link)) {
        struct lwm2m_path path;
        struct slice ssid;
        if (!lwm2m_path_parse(link.target, &path, NULL) || path.len != 2 ||
            (path.ids[0] != SECURITY && path.ids[0] != OSCORE) || link_format_find(&link, "ssid", &ssid))
            continue;
        if (facts->occupied_count < BOOTSTRAP_DISCOVERED_MAX)
            facts->occupied[facts->occupied_count++] = path;
    }
}

struct bootstrap_plan *bootstrap_plan_look(const struct bootstrap_config *config, enum bootstrap_sequence sequence) {
    static const struct lwm2m_path security_object = {.ids = {SECURITY}, .len = 1};
    struct bootstrap_plan *plan = plan_new(2 * BOOTSTRAP_PATHS_MAX, 0, 0);
    if (plan == NULL || sequence != BOOTSTRAP_STANDARD)
        return plan;
    for (size_t i = 0; i < config->discovers.count; i++)
        add_step(plan, BOOTSTRAP_DISCOVER, config->discovers.paths[i]);
    /* BS-34: where the bootstrap account lies decides where others may. */
    bool leaves_ids = false;
    for (size_t i = 0; i < config->account_count; i++)
        leaves_ids = leaves_ids || config->accounts[i].security_instance == BOOTSTRAP_ID_AUTO;
    if (!config->has_discovers && leaves_ids)
        add_step(plan, BOOTSTRAP_DISCOVER, security_object);
    for (size_t i = 0; i < config->reads.count; i++)
        add_step(plan, BOOTSTRAP_READ, config->reads.paths[i]);
    return plan;
}

/* ---- instance ids ---- */

struct instances {
    uint16_t security, server, oscore;
};

struct giving {
    struct bootstrap_plan *plan;
    const struct bootstrap_config *config;
    const struct bootstrap_facts *facts;
    enum bootstrap_sequence sequence;
    struct instances ids[BOOTSTRAP_ACCOUNTS_MAX];
};

static uint16_t *id_of(struct instances *ids, uint16_t object) {
    return object == SECURITY ? &ids->security : object == SERVER ? &ids->server : &ids->oscore;
}

static bool is_free(struct giving *g, uint16_t object, uint16_t id) {
    for (size_t i = 0; i < g->config->account_count; i++) {
        if (*id_of(&g->ids[i], object) == id)
            return false;
    }
    for (size_t i = 0; i < g->config->writes.count; i++) {
        const struct lwm2m_path *path = &g->config->writes.paths[i];
        if (path->len == 2 && path->ids[0] == object && path->ids[1] == id)
            return false;
    }
    for (size_t i = 0; i < g->facts->occupied_count; i++) {
        if (g->facts->occupied[i].ids[0] == object && g->facts->occupied[i].ids[1] == id)
            return false;
    }
    /* Where nobody says where it is, the bootstrap account is mostly the first; the vendor's clients keep theirs apart. */
    return g->facts->knows_occupied || g->sequence == BOOTSTRAP_PELION || object != SECURITY || id != 0;
}

static uint16_t lowest_free(struct giving *g, uint16_t object) {
    uint16_t id = 0;
    while (!is_free(g, object, id)) /* a few dozen ids are taken at most */
        id++;
    return id;
}

/* The account of a bootstrap server takes the place of the one that is there. */
static uint16_t place_of_bootstrap(struct giving *g) {
    for (size_t i = 0; i < g->facts->occupied_count; i++) {
        if (g->facts->occupied[i].ids[0] == SECURITY)
            return g->facts->occupied[i].ids[1];
    }
    return g->facts->knows_occupied ? lowest_free(g, SECURITY) : 0;
}

static void choose_ids(struct giving *g) {
    for (size_t i = 0; i < g->config->account_count; i++) {
        const struct bootstrap_account *a = &g->config->accounts[i];
        g->ids[i] = (struct instances){a->security_instance, a->server_instance, a->oscore_instance};
    }
    for (size_t i = 0; i < g->config->account_count; i++) {
        const struct bootstrap_account *a = &g->config->accounts[i];
        struct instances *ids = &g->ids[i];
        if (ids->security == BOOTSTRAP_ID_AUTO)
            ids->security = a->is_bootstrap ? place_of_bootstrap(g) : lowest_free(g, SECURITY);
        if (ids->server == BOOTSTRAP_ID_AUTO && !a->is_bootstrap)
            ids->server = lowest_free(g, SERVER);
        if (ids->oscore == BOOTSTRAP_ID_AUTO && a->has_oscore)
            ids->oscore = lowest_free(g, OSCORE);
    }
}

/* ---- accounts as nodes ---- */

static struct lwm2m_path resource(uint16_t object, uint16_t instance, uint16_t id) {
    return (struct lwm2m_path){.ids = {object, instance, id}, .len = 3};
}

static struct lwm2m_value opaque(struct slice bytes) {
    return lwm2m_bytes(LWM2M_OPAQUE, bytes);
}

static int64_t mode_number(enum bootstrap_security security) {
    static const int64_t numbers[BOOTSTRAP_SECURITY_COUNT] = {
        [BOOTSTRAP_PSK] = 0, [BOOTSTRAP_RPK] = 1, [BOOTSTRAP_X509] = 2, [BOOTSTRAP_NONE] = 3};
    return numbers[security];
}

static void put_security(struct giving *g, size_t i) {
    const struct bootstrap_account *a = &g->config->accounts[i];
    struct bootstrap_plan *plan = g->plan;
    uint16_t id = g->ids[i].security;
    struct slice identity = a->security == BOOTSTRAP_PSK ? a->identity : a->public_key;
    bool has_keys = a->security != BOOTSTRAP_NONE;
    bool empty_too = g->facts->is_1_0 && g->sequence != BOOTSTRAP_PELION;
    add_node(plan, resource(SECURITY, id, 0), lwm2m_bytes(LWM2M_STRING, a->uri));
    add_node(plan, resource(SECURITY, id, 1), lwm2m_boolean(a->is_bootstrap));
    add_node(plan, resource(SECURITY, id, 2), lwm2m_integer(mode_number(a->security)));
    if (has_keys || empty_too)
        add_node(plan, resource(SECURITY, id, 3), opaque(has_keys ? identity : SLICE_NONE));
    if ((has_keys && a->server_key.len > 0) || empty_too)
        add_node(plan, resource(SECURITY, id, 4), opaque(has_keys ? a->server_key : SLICE_NONE));
    if (has_keys || empty_too)
        add_node(plan, resource(SECURITY, id, 5), opaque(has_keys ? a->key : SLICE_NONE));
    if (!a->is_bootstrap)
        add_node(plan, resource(SECURITY, id, 10), lwm2m_integer(a->short_id));
    if (a->sni.len > 0)
        add_node(plan, resource(SECURITY, id, 14), lwm2m_bytes(LWM2M_STRING, a->sni));
    if (a->certificate_usage >= 0 && a->security == BOOTSTRAP_X509)
        add_node(plan, resource(SECURITY, id, 15),
                 (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = (uint64_t)a->certificate_usage});
    if (a->has_oscore)
        add_node(plan, resource(SECURITY, id, 17),
                 (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {OSCORE, g->ids[i].oscore}});
}

/* The device sends as what the server knows as its peer's id (RFC 8613 §3.1). */
static void put_oscore(struct giving *g, size_t i) {
    const struct bootstrap_account *a = &g->config->accounts[i];
    uint16_t id = g->ids[i].oscore;
    if (!a->has_oscore)
        return;
    add_node(g->plan, resource(OSCORE, id, 0), opaque(a->secret));
    add_node(g->plan, resource(OSCORE, id, 1), opaque(a->recipient_id));
    add_node(g->plan, resource(OSCORE, id, 2), opaque(a->sender_id));
    add_node(g->plan, resource(OSCORE, id, 3), lwm2m_integer(a->aead));
    if (a->salt.len > 0)
        add_node(g->plan, resource(OSCORE, id, 5), opaque(a->salt));
    if (a->id_context.len > 0)
        add_node(g->plan, resource(OSCORE, id, 6), opaque(a->id_context));
}

static void put_server(struct giving *g, size_t i) {
    const struct bootstrap_account *a = &g->config->accounts[i];
    uint16_t id = g->ids[i].server;
    if (a->is_bootstrap)
        return;
    add_node(g->plan, resource(SERVER, id, 0), lwm2m_integer(a->short_id));
    add_node(g->plan, resource(SERVER, id, 1), lwm2m_integer(a->lifetime_s));
    add_node(g->plan, resource(SERVER, id, 6), lwm2m_boolean(a->keeps_notifications));
    add_node(g->plan, resource(SERVER, id, 7),
             a->binding.len == 0 ? lwm2m_string("U") : lwm2m_bytes(LWM2M_STRING, a->binding));
}

/* ---- the makers ---- */

typedef void put_fn(struct giving *g, size_t account);

static const struct {
    uint16_t object;
    put_fn *put;
} account_parts[] = {{SECURITY, put_security}, {OSCORE, put_oscore}, {SERVER, put_server}};

/* BS-10: Security, OSCORE (COSE, MQTT), Server, Access Control, and what else there is. */
static unsigned rank_of(uint16_t object) {
    switch (object) {
    case SECURITY:
        return 0;
    case OSCORE:
    case 23:
    case 24:
        return 1;
    case SERVER:
        return 2;
    case 2:
        return 3;
    default:
        return 4;
    }
}

static void put_target(struct giving *g, const struct lwm2m_path *target) {
    for (size_t i = 0; i < g->config->node_count; i++) {
        const struct lwm2m_node *node = &g->config->nodes[i];
        if (lwm2m_path_contains(target, &node->path))
            add_node(g->plan, node->path, expanded(g->plan, node->value, g->facts));
    }
}

/* An instance in each message (C §6.1.7.5). */
static void write_accounts(struct giving *g, unsigned rank) {
    for (size_t part = 0; part < sizeof account_parts / sizeof account_parts[0]; part++) {
        uint16_t object = account_parts[part].object;
        for (size_t i = 0; rank_of(object) == rank && i < g->config->account_count; i++) {
            struct lwm2m_path path = {.ids = {object, *id_of(&g->ids[i], object)}, .len = 2};
            add_step(g->plan, BOOTSTRAP_WRITE, path);
            account_parts[part].put(g, i);
            end_step(g->plan);
        }
    }
}

/* All instances of an object in one message: the only form that the vendor's clients take well (B1, B2). */
static void write_accounts_whole(struct giving *g, unsigned rank) {
    for (size_t part = 0; part < sizeof account_parts / sizeof account_parts[0]; part++) {
        uint16_t object = account_parts[part].object;
        if (rank_of(object) != rank)
            continue;
        add_step(g->plan, BOOTSTRAP_WRITE, (struct lwm2m_path){.ids = {object}, .len = 1});
        for (size_t i = 0; i < g->config->account_count; i++)
            account_parts[part].put(g, i);
        end_step(g->plan);
    }
}

static void write_targets(struct giving *g, unsigned rank) {
    for (size_t i = 0; i < g->config->writes.count; i++) {
        const struct lwm2m_path *target = &g->config->writes.paths[i];
        if (rank_of(target->ids[0]) != rank)
            continue;
        add_step(g->plan, BOOTSTRAP_WRITE, *target);
        put_target(g, target);
        end_step(g->plan);
    }
}

/* Whether no earlier target is of the same object. */
static bool is_first_of_object(const struct bootstrap_paths *paths, size_t i) {
    for (size_t j = 0; j < i; j++) {
        if (paths->paths[j].ids[0] == paths->paths[i].ids[0])
            return false;
    }
    return true;
}

static void write_targets_whole(struct giving *g, unsigned rank) {
    const struct bootstrap_paths *writes = &g->config->writes;
    for (size_t i = 0; i < writes->count; i++) {
        struct lwm2m_path object = {.ids = {writes->paths[i].ids[0]}, .len = 1};
        if (rank_of(object.ids[0]) != rank || !is_first_of_object(writes, i))
            continue;
        add_step(g->plan, BOOTSTRAP_WRITE, object);
        put_target(g, &object);
        end_step(g->plan);
    }
}

static void delete_paths(struct giving *g) {
    static const struct lwm2m_path defaults[] = {{.ids = {SECURITY}, .len = 1}, {.ids = {SERVER}, .len = 1}};
    size_t count = g->sequence == BOOTSTRAP_PELION ? 1 : 2; /* they refuse anything but / and /0 */
    const struct lwm2m_path *paths = defaults;
    if (g->config->has_deletes) {
        paths = g->config->deletes.paths;
        count = g->config->deletes.count;
    }
    for (size_t i = 0; i < count; i++)
        add_step(g->plan, BOOTSTRAP_DELETE, paths[i]);
}

static void make_sequence(struct giving *g) {
    delete_paths(g);
    for (unsigned rank = 0; rank < RANKS; rank++) {
        if (g->sequence == BOOTSTRAP_PELION) {
            write_accounts_whole(g, rank);
            write_targets_whole(g, rank);
        } else {
            write_accounts(g, rank);
            write_targets(g, rank);
        }
    }
    add_step(g->plan, BOOTSTRAP_FINISH, (struct lwm2m_path){.len = 0});
}

/* C §6.1.7.7: everything in one message, without Delete and Finish. */
static void make_pack(struct giving *g) {
    add_step(g->plan, BOOTSTRAP_WRITE, (struct lwm2m_path){.len = 0});
    for (unsigned rank = 0; rank < RANKS; rank++) {
        for (size_t part = 0; part < sizeof account_parts / sizeof account_parts[0]; part++) {
            for (size_t i = 0; rank_of(account_parts[part].object) == rank && i < g->config->account_count; i++)
                account_parts[part].put(g, i);
        }
        for (size_t i = 0; i < g->config->writes.count; i++) {
            if (rank_of(g->config->writes.paths[i].ids[0]) == rank)
                put_target(g, &g->config->writes.paths[i]);
        }
    }
    end_step(g->plan);
}

/* A resource that is written into an instance of an account, and other things that stand in the list twice. */
static bool arrange(struct bootstrap_plan *plan, const char **problem) {
    for (size_t i = 0; i < plan->step_count; i++) {
        struct bootstrap_step *step = &plan->steps[i];
        struct lwm2m_nodes nodes = lwm2m_nodes_over(plan->nodes + step->first, step->count);
        nodes.count = step->count;
        if (step->verb == BOOTSTRAP_WRITE && !lwm2m_nodes_arrange(&nodes)) {
            *problem = nodes.remark;
            return false;
        }
    }
    return true;
}

struct bootstrap_plan *bootstrap_plan_give(const struct bootstrap_config *config, enum bootstrap_sequence sequence,
                                           const struct bootstrap_facts *facts, const char **problem) {
    size_t steps = config->deletes.count + 3 + 3 * config->account_count + config->writes.count + 1;
    size_t nodes = config->account_count * ACCOUNT_NODES + config->node_count;
    struct giving g = {.plan = plan_new(steps, nodes, expanded_size(config, facts)),
                       .config = config,
                       .facts = facts,
                       .sequence = sequence};
    *problem = "out of memory";
    if (g.plan == NULL)
        return NULL;
    choose_ids(&g);
    if (sequence == BOOTSTRAP_PACK)
        make_pack(&g);
    else
        make_sequence(&g);
    if (arrange(g.plan, problem))
        return g.plan;
    bootstrap_plan_free(g.plan);
    return NULL;
}

/* ---- payloads ---- */

static size_t value_size(const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        return value->bytes.len;
    default:
        return 0;
    }
}

bool bootstrap_plan_encode(const struct bootstrap_plan *plan, const struct bootstrap_step *step, int format,
                           struct buffer *payload) {
    size_t cap = 256; /* each node has a name in SenML, and JSON may write a byte as six */
    for (size_t i = 0; i < step->count; i++)
        cap += 64 + 6 * value_size(&plan->nodes[step->first + i].value);
    uint8_t *memory = malloc(cap);
    *payload = buffer_over(memory, cap);
    if (memory == NULL)
        return false;
    struct lwm2m_encode_context context = {.base = step->path, .mode = SENML_CONTENT};
    return lwm2m_encode(format, plan->nodes + step->first, step->count, &context, payload);
}
