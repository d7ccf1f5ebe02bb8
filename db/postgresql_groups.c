#include "db/postgresql_groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 256,
    BYTES_MAX = 256 * 1024, /* of the rows of a group; the last one may exceed it */
    FEW_ROWS = 4,           /* not worth arrays */
    FEW_PLANNED_ROWS = 16,  /* likewise, where making the plan takes longer than a row */
    PLACES = 2 * ROWS_MAX,  /* of a table of keys */
    OID_BYTEA = 17,         /* types of PostgreSQL, catalog pg_type */
    OID_BIGINT = 20,
};

enum table { TABLE_REGISTRATION, TABLE_LEASE, TABLE_SESSION, TABLE_SESSION_STATE };

/* The first column is the key. What joins is planned each time: a plan for a table of ten rows, which it once was, would
 * go through all of a million. */
struct kind {
    enum statement statement;
    enum table table;
    const char *types; /* of its columns: n a number, b bytes */
    const char *text;  /* NULL: as the statement's, with unnest for VALUES */
    bool is_planned_anew;
};

static const struct kind kinds[] = {
    {SQL_PUT_REGISTRATION, TABLE_REGISTRATION, "nbbbbbbbbbnnnnn", NULL, false},
    {SQL_PUT_LEASE, TABLE_LEASE, "nnn", NULL, false},
    {SQL_DELETE_REGISTRATION, TABLE_REGISTRATION, "n", "DELETE FROM registration WHERE id = ANY (?::bigint[])", false},
    {SQL_DELETE_LEASE, TABLE_LEASE, "n", "DELETE FROM lease WHERE id = ANY (?::bigint[])", false},
    {SQL_REFRESH_LEASE, TABLE_LEASE, "nnn",
     "UPDATE lease SET updated_at = given.updated_at, expires_at = given.expires_at FROM unnest(?::bigint[],"
     " ?::bigint[], ?::bigint[]) AS given (id, updated_at, expires_at) WHERE lease.id = given.id",
     true},
    {SQL_PUT_SESSION, TABLE_SESSION, "nnbnb", NULL, false},
    {SQL_PUT_SESSION_STATE, TABLE_SESSION_STATE, "nbnnnn", NULL, false},
    {SQL_REFRESH_SESSION, TABLE_SESSION_STATE, "nbnnnn",
     "UPDATE session_state SET peer = given.peer, number_limit = greatest(session_state.number_limit,"
     " given.number_limit), window_top = given.window_top, window_bits = given.window_bits, used_at ="
     " given.used_at FROM unnest(?::bigint[], ?::bytea[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[]) AS"
     " given (id, peer, number_limit, window_top, window_bits, used_at) WHERE session_state.id = given.id",
     true},
    {SQL_DELETE_SESSION, TABLE_SESSION, "n", "DELETE FROM session WHERE id = ANY (?::bigint[])", false},
    {SQL_DELETE_SESSION_STATE, TABLE_SESSION_STATE, "n", "DELETE FROM session_state WHERE id = ANY (?::bigint[])",
     false},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct group {
    const struct kind *kind;
    struct value *values; /* of one row behind the other */
    size_t rows, bytes;
    uint16_t places[PLACES]; /* of rows by their key, from 1 on; 0: free */
};

struct pg_groups {
    struct pg_group_sender sender;
    struct group groups[KINDS];
    uint8_t *arrays;
    size_t arrays_size;
};

static size_t columns_of(const struct kind *kind) {
    return strlen(kind->types);
}

struct pg_groups *pg_groups_new(const struct pg_group_sender *sender) {
    struct pg_groups *groups = calloc(1, sizeof *groups);
    if (groups == NULL)
        return NULL;
    groups->sender = *sender;
    for (size_t i = 0; i < KINDS; i++) {
        struct group *group = &groups->groups[i];
        group->kind = &kinds[i];
        group->values = malloc(ROWS_MAX * columns_of(group->kind) * sizeof *group->values);
        if (group->values == NULL) {
            pg_groups_free(groups);
            return NULL;
        }
    }
    return groups;
}

void pg_groups_free(struct pg_groups *groups) {
    if (groups == NULL)
        return;
    for (size_t i = 0; i < KINDS; i++)
        free(groups->groups[i].values);
    free(groups->arrays);
    free(groups);
}

static const struct kind *kind_of(enum statement statement) {
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].statement == statement)
            return &kinds[i];
    return NULL;
}

static void put_text(const struct kind *kind, char out[PG_SQL_MAX]) {
    if (kind->text != NULL) {
        snprintf(out, PG_SQL_MAX, "%s", kind->text);
        return;
    }
    const char *text = statement_texts[kind->statement], *values = strstr(text, "VALUES ("),
               *rest = strchr(values, ')');
    int len = snprintf(out, PG_SQL_MAX, "%.*sSELECT * FROM unnest(", (int)(values - text), text);
    for (const char *type = kind->types; *type != '\0'; type++)
        len += snprintf(out + len, (size_t)(PG_SQL_MAX - len), "%s?::%s[]", type == kind->types ? "" : ", ",
                        *type == 'n' ? "bigint" : "bytea");
    snprintf(out + len, (size_t)(PG_SQL_MAX - len), "%s", rest);
}

bool pg_group_text(enum statement statement, char out[PG_SQL_MAX]) {
    const struct kind *kind = kind_of(statement);
    if (kind == NULL || kind->is_planned_anew)
        return false;
    put_text(kind, out);
    return true;
}

/* ---- keys ---- */

static size_t place_of(const struct group *group, int64_t key) {
    size_t place = (uint64_t)key * 0x9e3779b97f4a7c15u >> 32 & (PLACES - 1), columns = columns_of(group->kind);
    while (group->places[place] != 0 && group->values[(group->places[place] - 1u) * columns].number != key)
        place = (place + 1) & (PLACES - 1);
    return place;
}

static void empty(struct group *group) {
    if (group->rows > 0)
        memset(group->places, 0, sizeof group->places);
    group->rows = group->bytes = 0;
}

/* ---- arrays, as they are sent: PostgreSQL, array_send ---- */

static void put_element(struct buffer *out, const struct value *value) {
    if (value->kind == VALUE_NULL) {
        buffer_put_u32(out, UINT32_MAX);
    } else if (value->kind == VALUE_NUMBER) {
        buffer_put_u32(out, PG_NUMBER_BYTES);
        buffer_put_u64(out, (uint64_t)value->number);
    } else {
        buffer_put_u32(out, (uint32_t)value->bytes.len);
        buffer_put_slice(out, value->bytes);
    }
}

static void put_array(struct buffer *out, const struct group *group, size_t column) {
    size_t columns = columns_of(group->kind);
    bool has_null = false;
    for (size_t row = 0; row < group->rows; row++)
        has_null |= group->values[row * columns + column].kind == VALUE_NULL;
    buffer_put_u32(out, 1); /* dimensions */
    buffer_put_u32(out, has_null);
    buffer_put_u32(out, group->kind->types[column] == 'n' ? OID_BIGINT : OID_BYTEA);
    buffer_put_u32(out, (uint32_t)group->rows);
    buffer_put_u32(out, 1); /* of the first element */
    for (size_t row = 0; row < group->rows; row++)
        put_element(out, &group->values[row * columns + column]);
}

static bool reserve_arrays(struct pg_groups *groups, const struct group *group) {
    size_t columns = columns_of(group->kind);
    size_t size = columns * 20 + group->rows * columns * (4 + PG_NUMBER_BYTES) + group->bytes;
    if (size <= groups->arrays_size)
        return true;
    uint8_t *arrays = realloc(groups->arrays, size);
    if (arrays == NULL)
        return false;
    groups->arrays = arrays;
    groups->arrays_size = size;
    return true;
}

/* ---- sending ---- */

static bool send_rows(struct pg_groups *groups, const struct group *group) {
    size_t columns = columns_of(group->kind);
    bool sent = true;
    for (size_t row = 0; row < group->rows && sent; row++)
        sent =
            groups->sender.send_row(groups->sender.arg, group->kind->statement, group->values + row * columns, columns);
    return sent;
}

static bool send_arrays(struct pg_groups *groups, const struct group *group) {
    struct pg_parameters arrays = {.count = (int)columns_of(group->kind)};
    struct buffer out = buffer_over(groups->arrays, groups->arrays_size);
    for (int i = 0; i < arrays.count; i++) {
        size_t begin = out.len;
        put_array(&out, group, (size_t)i);
        arrays.values[i] = (const char *)out.data + begin;
        arrays.lengths[i] = (int)(out.len - begin);
        arrays.formats[i] = 1; /* as bytes, not as text */
    }
    if (!group->kind->is_planned_anew)
        return groups->sender.send_group(groups->sender.arg, group->kind->statement, &arrays);
    return groups->sender.send_text(groups->sender.arg, group->kind->text, &arrays);
}

static bool send_group(struct pg_groups *groups, struct group *group) {
    size_t few = group->kind->is_planned_anew ? FEW_PLANNED_ROWS : FEW_ROWS;
    bool in_arrays = group->rows >= few && reserve_arrays(groups, group);
    bool sent = in_arrays ? send_arrays(groups, group) : send_rows(groups, group);
    empty(group);
    return sent;
}

/* A row with this key in another group of the table came before. */
static bool send_earlier(struct pg_groups *groups, const struct kind *kind, int64_t key) {
    bool sent = true;
    for (size_t i = 0; i < KINDS && sent; i++) {
        struct group *group = &groups->groups[i];
        if (kinds[i].table == kind->table && group->rows > 0 && group->places[place_of(group, key)] != 0)
            sent = send_group(groups, group);
    }
    return sent;
}

bool pg_groups_run(struct pg_groups *groups, enum statement statement, const struct value *values, size_t count) {
    const struct kind *kind = kind_of(statement);
    bool clears = statement == SQL_CLEAR_REGISTRATIONS || statement == SQL_CLEAR_LEASES;
    if (kind == NULL)
        return (!clears || pg_groups_send(groups)) &&
               groups->sender.send_row(groups->sender.arg, statement, values, count);
    struct group *group = &groups->groups[kind - kinds];
    if (!send_earlier(groups, kind, values[0].number))
        return false;
    memcpy(group->values + group->rows * count, values, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        group->bytes += values[i].kind == VALUE_TEXT || values[i].kind == VALUE_BLOB ? values[i].bytes.len : 0;
    group->rows++;
    group->places[place_of(group, values[0].number)] = (uint16_t)group->rows;
    return (group->rows < ROWS_MAX && group->bytes < BYTES_MAX) || send_group(groups, group);
}

bool pg_groups_send(struct pg_groups *groups) {
    bool sent = true;
    for (size_t i = 0; i < KINDS && sent; i++)
        if (groups->groups[i].rows > 0)
            sent = send_group(groups, &groups->groups[i]);
    return sent;
}

void pg_groups_drop(struct pg_groups *groups) {
    for (size_t i = 0; i < KINDS; i++)
        empty(&groups->groups[i]);
}
