/* Lists of /v3: pages, and the conditions by which entries are chosen, in both spellings: filter=QUERY and field__op=value
 * among the parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "web/document.h"
#include "web/pelion/pelion.h"

enum { TIME_DIGITS = 23, LIMIT_DEFAULT = 50, LIMIT_MIN = 2, LIMIT_MAX = 1000, NAME_MAX_LEN = 128 };

static const char *const operations[] = {"eq", "neq", "in", "nin", "gte", "lte", "like"};
static const char attributes[] = "custom_attributes";

/* ---- values ---- */

static bool read_digits(struct slice *text, size_t count, char *digits) {
    uint64_t number;
    if (text->len < count || !slice_to_u64(slice_of(text->data, count), UINT64_MAX, &number))
        return false;
    memcpy(digits, text->data, count);
    *text = slice_from(*text, count);
    return true;
}

static bool read_char(struct slice *text, char c) {
    if (text->len == 0 || text->data[0] != (uint8_t)c)
        return false;
    *text = slice_from(*text, 1);
    return true;
}

/* "2016-11-30T16:25:12.1234Z", of which the time may be cut: digits of one length, so that they compare as numbers do. */
static bool read_time(struct slice text, char digits[TIME_DIGITS + 1]) {
    static const struct {
        char before;
        uint8_t count;
    } parts[] = {{0, 4}, {'-', 2}, {'-', 2}, {'T', 2}, {':', 2}, {':', 2}};
    size_t len = 0;
    memset(digits, '0', TIME_DIGITS);
    digits[TIME_DIGITS] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (i >= 3 && (text.len == 0 || slice_is(text, "Z")))
            return true;
        if ((parts[i].before != 0 && !read_char(&text, parts[i].before)) ||
            !read_digits(&text, parts[i].count, digits + len))
            return false;
        len += parts[i].count;
    }
    if (read_char(&text, '.')) {
        for (; text.len > 0 && text.data[0] >= '0' && text.data[0] <= '9'; text = slice_from(text, 1)) {
            if (len < TIME_DIGITS)
                digits[len++] = (char)text.data[0];
        }
    }
    return text.len == 0 || slice_is(text, "Z") || slice_is(text, "+00:00");
}

bool pelion_parse_time(struct slice text, uint64_t *unix_ms) {
    char digits[TIME_DIGITS + 1];
    struct tm parts = {0};
    int ms;
    if (!read_time(text, digits) || sscanf(digits, "%4d%2d%2d%2d%2d%2d%3d", &parts.tm_year, &parts.tm_mon,
                                           &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &ms) != 7)
        return false;
    parts.tm_year -= 1900;
    parts.tm_mon--;
    time_t seconds = timegm(&parts);
    *unix_ms = seconds < 0 ? 0 : (uint64_t)seconds * 1000 + (uint64_t)ms;
    return true;
}

static int compare(struct slice a, struct slice b) {
    char left[TIME_DIGITS + 1], right[TIME_DIGITS + 1];
    uint64_t x, y;
    if (read_time(a, left) && read_time(b, right))
        return strcmp(left, right);
    if (slice_to_u64(a, UINT64_MAX, &x) && slice_to_u64(b, UINT64_MAX, &y))
        return x < y ? -1 : x > y;
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static bool has_text(struct slice text, struct slice part) {
    if (text.data == NULL || part.len == 0)
        return text.data != NULL;
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (strncasecmp((const char *)text.data + i, (const char *)part.data, part.len) == 0)
            return true;
    }
    return false;
}

static bool is_one_of(struct slice value, struct slice list) {
    do {
        const uint8_t *comma = list.len == 0 ? NULL : memchr(list.data, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.data);
        if (slice_equal(value, slice_of(list.data, len)))
            return true;
        list = comma == NULL ? SLICE_NONE : slice_from(list, len + 1);
    } while (list.len > 0);
    return false;
}

static bool holds(const char *operation, struct slice value, struct slice wanted) {
    bool is_date = strcmp(operation, "gte") == 0 || strcmp(operation, "lte") == 0;
    if (is_date && (value.data == NULL || wanted.len == 0))
        return false;
    if (strcmp(operation, "gte") == 0)
        return compare(value, wanted) >= 0;
    if (strcmp(operation, "lte") == 0)
        return compare(value, wanted) <= 0;
    if (strcmp(operation, "like") == 0)
        return has_text(value, wanted);
    if (strcmp(operation, "in") == 0 || strcmp(operation, "nin") == 0)
        return (value.data != NULL && is_one_of(value, wanted)) == (operation[0] == 'i');
    char left[TIME_DIGITS + 1], right[TIME_DIGITS + 1];
    bool same =
        value.data != NULL && (slice_equal(value, wanted) ||
                               (read_time(value, left) && read_time(wanted, right) && strcmp(left, right) == 0));
    return same == (operation[0] == 'e');
}

static bool value_holds(const json_t *value, const char *operation, struct slice wanted) {
    char number[24];
    if (json_is_array(value)) {
        bool any = false;
        for (size_t i = 0; i < json_array_size(value) && !any; i++)
            any = is_one_of(document_string(json_array_get(value, i)), wanted);
        return any == (operation[0] != 'n');
    }
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return holds(operation,
                 json_is_string(value)    ? document_string(value)
                 : json_is_integer(value) ? slice_str(number)
                 : json_is_true(value)    ? slice_str("true")
                 : json_is_false(value)   ? slice_str("false")
                                          : SLICE_NONE,
                 wanted);
}

/* ---- conditions ---- */

/* "custom_attributes__NAME__eq", in parts. */
struct condition {
    char field[NAME_MAX_LEN + 1], attribute[NAME_MAX_LEN + 1]; /* attribute "": it is about a field */
    const char *operation;                                     /* NULL: it has one that there is not */
    bool has_operation;
};

static const char *operation_of(struct slice name) {
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (slice_is(name, operations[i]))
            return operations[i];
    }
    return NULL;
}

static const uint8_t *find_mark(struct slice text) {
    return text.len == 0 ? NULL : memmem(text.data, text.len, "__", 2);
}

static void copy(char text[NAME_MAX_LEN + 1], struct slice from) {
    size_t len = from.len < NAME_MAX_LEN ? from.len : NAME_MAX_LEN;
    if (len > 0)
        memcpy(text, from.data, len);
    text[len] = '\0';
}

static struct condition condition_of(struct slice name) {
    struct condition c = {.operation = operations[0]};
    const uint8_t *mark = find_mark(name);
    copy(c.field, mark == NULL ? name : slice_of(name.data, (size_t)(mark - name.data)));
    if (mark == NULL)
        return c;
    struct slice rest = slice_from(name, (size_t)(mark + 2 - name.data));
    if (strcmp(c.field, attributes) == 0) {
        /* a name may have underscores of its own: what is behind the last two is the operation if it is one */
        for (size_t i = rest.len; i >= 2; i--) {
            if (memcmp(rest.data + i - 2, "__", 2) == 0 && operation_of(slice_from(rest, i)) != NULL) {
                c.operation = operation_of(slice_from(rest, i));
                rest.len = i - 2;
                break;
            }
        }
        copy(c.attribute, rest);
    } else {
        c.operation = operation_of(rest);
        c.has_operation = true;
    }
    return c;
}

/* What a list can be asked for besides conditions. */
static bool is_paging(struct slice name) {
    return slice_is(name, "limit") || slice_is(name, "order") || slice_is(name, "after") || slice_is(name, "include") ||
           slice_is(name, "filter") || slice_is(name, "continuation_marker");
}

bool pelion_meets(const json_t *shown, const struct query *query) {
    for (size_t i = 0; i < query->count; i++) {
        if (is_paging(query->items[i].name))
            continue;
        struct condition c = condition_of(query->items[i].name);
        const json_t *value = json_object_get(shown, c.field);
        bool is_known = value != NULL;
        if (c.attribute[0] != '\0')
            value = json_object_get(value, c.attribute);
        if (is_known && c.operation != NULL && !value_holds(value, c.operation, query->items[i].value))
            return false;
    }
    return true;
}

/* One of the words of `list`. */
static bool is_word_of(const char *list, const char *word) {
    size_t len = strlen(word);
    if (len == 0)
        return false;
    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    }
    return false;
}

/* Parameters that are no condition are passed over, conditions that nothing can meet are not: they would mean something
 * else than was meant. */
static bool check(const struct query *query, const char *fields, bool is_filter, char name[NAME_MAX_LEN + 1]) {
    for (size_t i = 0; i < query->count; i++) {
        struct condition c = condition_of(query->items[i].name);
        bool is_condition = is_filter || c.has_operation || c.attribute[0] != '\0';
        bool is_good = c.operation != NULL && is_word_of(fields, c.field) &&
                       (strcmp(c.field, attributes) == 0) == (c.attribute[0] != '\0');
        if ((is_filter || !is_paging(query->items[i].name)) && is_condition && !is_good) {
            copy(name, query->items[i].name);
            return false;
        }
    }
    return true;
}

bool pelion_read_filter(struct slice text, const char *fields, struct buffer *memory, struct query *filter,
                        char why[PELION_WHY_MAX]) {
    char name[NAME_MAX_LEN + 1];
    const char *fault =
        text.len > memory->cap - memory->len ? "The filter is too long." : query_parse(text, memory, filter);
    if (fault != NULL)
        snprintf(why, PELION_WHY_MAX, "%s", fault);
    else if (!check(filter, fields, true, name))
        snprintf(why, PELION_WHY_MAX, "A filter can't be by \"%s\".", name);
    else
        return true;
    return false;
}

/* ---- a page ---- */

struct page {
    const struct call *call;
    const struct pelion_list *list;
    struct query filter;
    struct slice after;
    uint64_t limit, total;
    json_t *data;
    bool wants_total, has_more, is_descending;
};

static void add(struct page *page, const char *id, const json_t *item, bool is_past) {
    json_t *shown = page->list->show(page->call, id, item);
    bool wanted = shown != NULL && pelion_meets(shown, &page->call->query) && pelion_meets(shown, &page->filter);
    page->total += wanted;
    if (wanted && is_past && json_array_size(page->data) == page->limit)
        page->has_more = true;
    else if (wanted && is_past)
        json_array_append(page->data, shown);
    json_decref(shown);
}

/* The one entry that a condition on the id leaves; NULL: there is no such condition. */
static bool find_id(const struct query *query, struct slice *id) {
    *id = query_get(query, "id__eq");
    *id = id->data == NULL ? query_get(query, "id") : *id;
    return id->data != NULL;
}

static void fill_one(struct page *page, struct slice id) {
    const json_t *items = page->list->items;
    char text[PELION_ITEM_ID_MAX + 1];
    const json_t *item =
        id.len == 0 || id.len > PELION_ITEM_ID_MAX ? NULL : json_object_getn(items, (const char *)id.data, id.len);
    if (item == NULL)
        return;
    memcpy(text, id.data, id.len);
    text[id.len] = '\0';
    add(page, text, item, page->after.len == 0);
}

static void fill_all(struct page *page) {
    json_t *items = (json_t *)(uintptr_t)page->list->items, *item;
    size_t count = json_object_size(items), at = 0;
    const char **order = calloc(count + 1, sizeof *order), *id;
    if (order == NULL)
        return;
    json_object_foreach(items, id, item) order[at++] = id;
    bool is_past = page->after.len == 0;
    for (at = 0; at < count && (page->wants_total || !page->has_more); at++) {
        id = order[page->is_descending ? count - 1 - at : at];
        if (is_past || page->wants_total)
            add(page, id, json_object_get(items, id), is_past);
        is_past = is_past || slice_is(page->after, id);
    }
    free(order);
}

static bool read_page(struct page *page, struct buffer *memory) {
    const struct query *query = &page->call->query;
    struct slice order = query_get(query, "order"), include = query_get(query, "include");
    struct slice limit = query_get(query, "limit");
    char name[NAME_MAX_LEN + 1], why[PELION_WHY_MAX];
    page->limit = LIMIT_DEFAULT;
    if (!pelion_read_filter(query_get(query, "filter"), page->list->fields, memory, &page->filter, why))
        pelion_send_invalid(page->call->request, "filter", why);
    else if (!check(query, page->list->fields, false, name))
        pelion_send_invalid(page->call->request, name, "The list can't be filtered so.");
    else if (limit.len > 0 && !slice_to_u64(limit, UINT64_MAX, &page->limit))
        pelion_send_invalid(page->call->request, "limit", "It is a number from 2 to 1000.");
    else if (order.len > 0 && !slice_is(order, "ASC") && !slice_is(order, "DESC"))
        pelion_send_invalid(page->call->request, "order", "It is ASC or DESC.");
    else {
        page->limit = page->limit < LIMIT_MIN ? LIMIT_MIN : page->limit > LIMIT_MAX ? LIMIT_MAX : page->limit;
        page->is_descending = slice_is(order, "DESC");
        page->wants_total = include.len > 0 && memmem(include.data, include.len, "total_count", 11) != NULL;
        return true;
    }
    return false;
}

void pelion_send_list(const struct call *call, const struct pelion_list *list) {
    struct page page = {.call = call, .list = list, .after = query_get(&call->query, "after")};
    uint8_t decoded[PELION_FILTER_MAX];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    struct slice id;
    if (!read_page(&page, &memory))
        return;
    page.data = json_array();
    if (find_id(&call->query, &id) || find_id(&page.filter, &id))
        fill_one(&page, id);
    else
        fill_all(&page);
    json_t *json = json_pack("{sssIsosssbso}", "object", "list", "limit", (json_int_t)page.limit, "after",
                             page.after.len == 0 ? json_null() : document_text(page.after), "order",
                             page.is_descending ? "DESC" : "ASC", "has_more", (int)page.has_more, "data", page.data);
    if (page.wants_total)
        json_object_set_new(json, "total_count", json_integer((json_int_t)page.total));
    pelion_send_json(call->request, 200, json);
}
