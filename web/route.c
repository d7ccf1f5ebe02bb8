#include "web/route.h"

bool route_path_parse(struct slice path, struct buffer *memory, struct route_path *out) {
    out->count = 0;
    out->too_long = false;
    while (path.len > 0) {
        path = slice_from(path, 1); /* the '/' */
        const uint8_t *slash = path.len > 0 ? memchr(path.data, '/', path.len) : NULL;
        struct slice segment = slash == NULL ? path : slice_of(path.data, (size_t)(slash - path.data));
        path = slice_from(path, segment.len);
        if (out->count == ROUTE_SEGMENTS_MAX) {
            out->too_long = true;
            return true;
        }
        if (!percent_decode(segment, false, memory, &out->segments[out->count++]))
            return false;
    }
    return true;
}

/* Whether `segment` is the literal that `pattern` is at, which a '/' or its end follows. What was decoded may have a '/'
 * or a NUL in it, and no literal has. */
static bool is_literal(const char *pattern, struct slice segment) {
    if (segment.len == 0)
        return *pattern == '\0' || *pattern == '/';
    return strncmp(pattern, (const char *)segment.data, segment.len) == 0 &&
           memchr(segment.data, '\0', segment.len) == NULL && memchr(segment.data, '/', segment.len) == NULL &&
           (pattern[segment.len] == '\0' || pattern[segment.len] == '/');
}

/* How many segments matched literally, or -1. Every request asks it of every route, so most end at a first byte. */
static int match_pattern(const char *pattern, const struct route_path *path, struct slice args[ROUTE_ARGS_MAX]) {
    int literal = 0;
    size_t arg = 0;
    if (path->too_long)
        return -1;
    for (size_t i = 0; i < path->count; i++) {
        const struct slice *segment = &path->segments[i];
        if (*pattern == '\0')
            return -1;
        pattern++; /* the '/' */
        if (*pattern == '{') {
            if (segment->len == 0 || arg == ROUTE_ARGS_MAX)
                return -1;
            args[arg++] = *segment;
            while (*pattern != '\0' && *pattern != '/')
                pattern++;
        } else if (is_literal(pattern, *segment)) {
            literal++;
            pattern += segment->len;
        } else {
            return -1;
        }
    }
    return *pattern == '\0' ? literal : -1;
}

static bool method_fits(const struct route *route, const char *method) {
    return strcmp(route->method, method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* The most literal segments with which any route has the path, or -1. Only routes that match so have it: what is at
 * /{endpoint}/discover is not what is at /{endpoint}/{object}. */
static int most_literal(struct route_table table, const struct route_path *path) {
    int most = -1;
    for (size_t i = 0; i < table.count; i++) {
        struct slice taken[ROUTE_ARGS_MAX];
        int literal = match_pattern(table.routes[i].path, path, taken);
        most = literal > most ? literal : most;
    }
    return most;
}

enum route_result route_find(struct route_table table, const char *method, const struct route_path *path,
                             const struct route **route, struct slice args[ROUTE_ARGS_MAX]) {
    int most = -1;
    bool found = false;
    for (size_t i = 0; i < table.count; i++) {
        struct slice taken[ROUTE_ARGS_MAX] = {0};
        int literal = match_pattern(table.routes[i].path, path, taken);
        if (literal < most || literal < 0)
            continue;
        found = found && literal == most;
        most = literal;
        if (found || !method_fits(&table.routes[i], method))
            continue;
        found = true;
        *route = &table.routes[i];
        memcpy(args, taken, sizeof taken);
    }
    return found ? ROUTE_FOUND : most < 0 ? ROUTE_NO_PATH : ROUTE_NO_METHOD;
}

void route_put_allowed(struct route_table table, const struct route_path *path, struct buffer *out) {
    int literal = most_literal(table, path);
    for (size_t i = 0; literal >= 0 && i < table.count; i++) {
        struct slice taken[ROUTE_ARGS_MAX];
        const char *method = table.routes[i].method;
        if (match_pattern(table.routes[i].path, path, taken) == literal)
            buffer_printf(out, strcmp(method, "GET") == 0 ? "%s, HEAD, " : "%s, ", method);
    }
    if (out->len > 0)
        buffer_put_str(out, "OPTIONS");
}

static bool has_parameter(const struct route *route, struct slice name) {
    for (const struct route_parameter *p = route->parameters; p != NULL && p->name != NULL; p++)
        if (strcmp(p->in, "query") == 0 && slice_is(name, p->name))
            return true;
    return false;
}

const struct slice *route_check_query(const struct route *route, const struct query *query, bool *twice) {
    for (size_t i = 0; i < query->count; i++) {
        *twice = false;
        if (!has_parameter(route, query->items[i].name))
            return &query->items[i].name;
        for (size_t k = 0; k < i; k++)
            *twice = *twice || slice_equal(query->items[k].name, query->items[i].name);
        if (*twice)
            return &query->items[i].name;
    }
    return NULL;
}
