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

void route_index_make(struct route_index *index, const struct route_table *table) {
    index->table = table;
    for (size_t i = 0; i < table->count; i++) {
        index->segments[i] = 0;
        for (const char *c = table->routes[i].path; *c != '\0'; c++)
            index->segments[i] = (uint8_t)(index->segments[i] + (*c == '/'));
    }
}

/* Whether `segment` is the literal that `pattern` is at, which a '/' or its end follows. What was decoded may have a '/'
 * or a NUL in it, and no literal has. */
static bool is_literal(const char *pattern, struct slice segment) {
    for (size_t i = 0; i < segment.len; i++)
        if ((uint8_t)pattern[i] != segment.data[i] || pattern[i] == '\0' || pattern[i] == '/')
            return false;
    return pattern[segment.len] == '\0' || pattern[segment.len] == '/';
}

/* How many segments matched literally, or -1. The pattern has as many as the path. */
static int match_pattern(const char *pattern, const struct route_path *path, struct slice args[ROUTE_ARGS_MAX]) {
    int literal = 0;
    size_t arg = 0;
    for (size_t i = 0; i < path->count; i++) {
        const struct slice *segment = &path->segments[i];
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
    return literal;
}

/* The same of the route of that number. */
static inline int match_route(const struct route_index *index, size_t number, const struct route_path *path,
                              struct slice args[ROUTE_ARGS_MAX]) {
    if (index->segments[number] != path->count || path->too_long)
        return -1;
    return match_pattern(index->table->routes[number].path, path, args);
}

static bool method_fits(const struct route *route, const char *method) {
    return strcmp(route->method, method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* The most literal segments with which any route has the path, or -1. Only routes that match so have it: what is at
 * /{endpoint}/discover is not what is at /{endpoint}/{object}. */
static int most_literal(const struct route_index *index, const struct route_path *path) {
    int most = -1;
    for (size_t i = 0; i < index->table->count; i++) {
        struct slice taken[ROUTE_ARGS_MAX];
        int literal = match_route(index, i, path, taken);
        most = literal > most ? literal : most;
    }
    return most;
}

enum route_result route_find(const struct route_index *index, const char *method, const struct route_path *path,
                             const struct route **route, struct slice args[ROUTE_ARGS_MAX]) {
    int most = -1;
    bool found = false;
    size_t which = 0;
    for (size_t i = 0; i < index->table->count; i++) {
        struct slice taken[ROUTE_ARGS_MAX];
        int literal = match_route(index, i, path, taken);
        if (literal < most || literal < 0)
            continue;
        found = found && literal == most;
        most = literal;
        if (found || !method_fits(&index->table->routes[i], method))
            continue;
        found = true;
        which = i;
    }
    if (found) {
        *route = &index->table->routes[which];
        match_route(index, which, path, args);
    }
    return found ? ROUTE_FOUND : most < 0 ? ROUTE_NO_PATH : ROUTE_NO_METHOD;
}

void route_put_allowed(const struct route_index *index, const struct route_path *path, struct buffer *out) {
    int literal = most_literal(index, path);
    for (size_t i = 0; literal >= 0 && i < index->table->count; i++) {
        struct slice taken[ROUTE_ARGS_MAX];
        const char *method = index->table->routes[i].method;
        if (match_route(index, i, path, taken) == literal)
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
