#include "web/pattern.h"

#include <stdlib.h>

/* Thompson's construction. What an alternative or a repetition cannot be compiled from twice is read twice: the pattern
 * is short. */

enum { RANGES_MAX = 2000, REPETITIONS_MAX = 1000, STEPS_MAX = 20000, NO_LIMIT = -1 };

enum operation {
    OP_CHARACTER, /* `a` is it */
    OP_ANY,
    OP_CLASS,   /* one within `b` ranges from number `a` on */
    OP_OUTSIDE, /* one that is in none of them */
    OP_BEGIN,
    OP_END,
    OP_SPLIT, /* go on at `a` and at `b` */
    OP_JUMP,  /* go on at `a` */
    OP_FOUND,
};

struct instruction {
    uint8_t op;
    uint32_t a, b;
};

struct range {
    uint32_t low, high;
};

/* Places in the program, without doubles. */
struct places {
    uint16_t *list;
    size_t count;
};

/* One block of memory, as large as the program needs. */
struct pattern {
    struct instruction *program;
    struct range *ranges;
    size_t length, range_count;
    struct places now, next;
    uint32_t *seen; /* the round in which a place was last entered */
    uint32_t round;
};

struct compiler {
    struct instruction program[PATTERN_PROGRAM_MAX];
    struct range ranges[RANGES_MAX];
    size_t length, range_count;
    struct slice text;
    size_t at;
    unsigned depth, steps;
    const char *problem; /* NULL: none yet */
};

static bool reject(struct compiler *c, const char *problem) {
    if (c->problem == NULL)
        c->problem = problem;
    return false;
}

static bool emit(struct compiler *c, enum operation op, uint32_t a, uint32_t b) {
    if (c->length == PATTERN_PROGRAM_MAX)
        return reject(c, "it repeats too much");
    c->program[c->length++] = (struct instruction){.op = (uint8_t)op, .a = a, .b = b};
    return true;
}

static bool add_range(struct compiler *c, uint32_t low, uint32_t high) {
    if (c->range_count == RANGES_MAX)
        return reject(c, "it repeats too much");
    c->ranges[c->range_count++] = (struct range){low, high};
    return true;
}

/* ---- characters ---- */

/* The character at *at, which moves behind it. A byte that begins none stands for itself. */
static uint32_t take_character(struct slice text, size_t *at) {
    const uint8_t *bytes = text.data + *at;
    size_t left = text.len - *at;
    uint8_t lead = bytes[0];
    size_t len = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (len > left || lead < 0xC0) {
        (*at)++;
        return lead;
    }
    uint32_t character = lead & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++)
        character = character << 6 | (bytes[i] & 0x3F);
    *at += len;
    return character;
}

static bool more(const struct compiler *c) {
    return c->at < c->text.len;
}

static bool is_next(const struct compiler *c, const char *token) {
    return slice_starts_with(slice_from(c->text, c->at), token);
}

static bool skip(struct compiler *c, const char *token) {
    if (!is_next(c, token))
        return false;
    c->at += strlen(token);
    return true;
}

struct named_class {
    const char *name;
    struct range ranges[4];
    size_t count;
};

static const struct named_class named_classes[] = {
    {"alpha", {{'A', 'Z'}, {'a', 'z'}}, 2},
    {"digit", {{'0', '9'}}, 1},
    {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}, 3},
    {"upper", {{'A', 'Z'}}, 1},
    {"lower", {{'a', 'z'}}, 1},
    {"space", {{'\t', '\r'}, {' ', ' '}}, 2},
    {"blank", {{'\t', '\t'}, {' ', ' '}}, 2},
    {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}, 4},
    {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, 3},
    {"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}, 2},
    {"print", {{' ', '~'}}, 1},
    {"graph", {{'!', '~'}}, 1},
    {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, 4},
};

static const struct named_class *find_class(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof named_classes / sizeof named_classes[0]; i++)
        if (strlen(named_classes[i].name) == len && memcmp(named_classes[i].name, name, len) == 0)
            return &named_classes[i];
    return NULL;
}

static bool add_class(struct compiler *c, const struct named_class *class) {
    for (size_t i = 0; i < class->count; i++)
        if (!add_range(c, class->ranges[i].low, class->ranges[i].high))
            return false;
    return true;
}

/* What d, w or s behind a backslash means; NULL for anything else. */
static const struct named_class *class_of_letter(uint32_t letter) {
    switch (letter) {
    case 'd':
        return find_class("digit", 5);
    case 'w':
        return find_class("word", 4);
    case 's':
        return find_class("space", 5);
    default:
        return NULL;
    }
}

static int hex_digit(uint32_t character) {
    if (character >= '0' && character <= '9')
        return (int)character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? (int)character - 'a' + 10 : -1;
}

/* What follows a backslash, when it is one character. */
static bool take_escaped(struct compiler *c, uint32_t *character) {
    if (!more(c))
        return reject(c, "nothing follows the backslash");
    uint32_t letter = take_character(c->text, &c->at);
    *character = letter;
    if (letter == 't')
        *character = '\t';
    else if (letter == 'r')
        *character = '\r';
    else if (letter == 'n')
        *character = '\n';
    else if (letter == 'x') {
        int high = more(c) ? hex_digit(c->text.data[c->at]) : -1;
        int low = c->at + 1 < c->text.len ? hex_digit(c->text.data[c->at + 1]) : -1;
        if (high < 0 || low < 0)
            return reject(c, "two hexadecimal digits must follow \\x");
        *character = (uint32_t)(high << 4 | low);
        c->at += 2;
    } else if (letter >= '1' && letter <= '9')
        return reject(c, "there are no back-references");
    else if (letter < 0x80 && (letter == '0' || (letter | 0x20) - 'a' < 26))
        return reject(c, "there is no such letter behind a backslash");
    return true;
}

/* ---- [ ] ---- */

/* "[:digit:]", behind its "[:". */
static bool take_named_class(struct compiler *c) {
    size_t len = 0;
    struct slice rest = slice_from(c->text, c->at);
    while (len < rest.len && rest.data[len] != ':')
        len++;
    const struct named_class *class = find_class((const char *)rest.data, len);
    c->at += len;
    if (class == NULL || !skip(c, ":]"))
        return reject(c, "there is no such class of characters");
    return add_class(c, class);
}

/* A member of [ ], which may be the low end of a range. */
static bool take_member(struct compiler *c) {
    uint32_t low, high;
    if (skip(c, "[:"))
        return take_named_class(c);
    if (skip(c, "\\")) {
        const struct named_class *class = more(c) ? class_of_letter(c->text.data[c->at]) : NULL;
        if (class != NULL) {
            c->at++;
            return add_class(c, class);
        }
        if (!take_escaped(c, &low))
            return false;
    } else {
        low = take_character(c->text, &c->at);
    }
    high = low;
    if (is_next(c, "-") && c->at + 1 < c->text.len && c->text.data[c->at + 1] != ']') {
        c->at++;
        if (skip(c, "\\")) {
            if (!take_escaped(c, &high))
                return false;
        } else {
            high = take_character(c->text, &c->at);
        }
    }
    return low <= high ? add_range(c, low, high) : reject(c, "the range ends before it begins");
}

/* Behind its '['. */
static bool compile_brackets(struct compiler *c) {
    enum operation op = skip(c, "^") ? OP_OUTSIDE : OP_CLASS;
    size_t first = c->range_count;
    bool closed = false;
    do { /* a ']' that comes first is a member */
        if (!more(c))
            return reject(c, "the ] is missing");
        if (!take_member(c))
            return false;
        closed = skip(c, "]");
    } while (!closed);
    return emit(c, op, (uint32_t)first, (uint32_t)(c->range_count - first));
}

/* ---- the rest ---- */

static bool compile_choice(struct compiler *c);

/* Behind its '('. */
static bool compile_group(struct compiler *c) {
    if (skip(c, "?") && !skip(c, ":"))
        return reject(c, "of what begins with (? only (?: is known");
    if (++c->depth > PATTERN_DEPTH_MAX)
        return reject(c, "the groups are nested too deep");
    if (!compile_choice(c))
        return false;
    c->depth--;
    return skip(c, ")") || reject(c, "the ) is missing");
}

/* Behind its backslash. */
static bool compile_escape(struct compiler *c) {
    uint32_t character = more(c) ? c->text.data[c->at] : 0;
    const struct named_class *class = class_of_letter(character | 0x20);
    if (class == NULL)
        return take_escaped(c, &character) && emit(c, OP_CHARACTER, character, 0);
    size_t first = c->range_count;
    c->at++;
    return add_class(c, class) && emit(c, (character & 0x20) != 0 ? OP_CLASS : OP_OUTSIDE, (uint32_t)first,
                                       (uint32_t)(c->range_count - first));
}

static bool compile_atom(struct compiler *c) {
    if (++c->steps > STEPS_MAX)
        return reject(c, "it repeats too much");
    if (skip(c, "("))
        return compile_group(c);
    if (skip(c, "["))
        return compile_brackets(c);
    if (skip(c, "\\"))
        return compile_escape(c);
    if (skip(c, "."))
        return emit(c, OP_ANY, 0, 0);
    if (skip(c, "^"))
        return emit(c, OP_BEGIN, 0, 0);
    if (skip(c, "$"))
        return emit(c, OP_END, 0, 0);
    if (is_next(c, "*") || is_next(c, "+") || is_next(c, "?") || is_next(c, "{"))
        return reject(c, "there is nothing to repeat");
    return emit(c, OP_CHARACTER, take_character(c->text, &c->at), 0);
}

static bool take_number(struct compiler *c, int *number) {
    size_t digits = 0;
    *number = 0;
    while (more(c) && c->text.data[c->at] >= '0' && c->text.data[c->at] <= '9' && digits++ < 4)
        *number = *number * 10 + (c->text.data[c->at++] - '0');
    return digits > 0;
}

/* Behind its '{'. */
static bool take_bounds(struct compiler *c, int *least, int *most) {
    bool has_least = take_number(c, least);
    *most = *least;
    if (skip(c, ",") && !take_number(c, most))
        *most = has_least ? NO_LIMIT : 0;
    if (!skip(c, "}") || (!has_least && *most == 0))
        return reject(c, "a repetition is {2}, {2,} or {2,5}");
    if (*least > REPETITIONS_MAX || *most > REPETITIONS_MAX)
        return reject(c, "it repeats too much");
    return *most == NO_LIMIT || *least <= *most || reject(c, "the repetition ends before it begins");
}

/* False when no repetition follows, or a wrong one. */
static bool take_repetition(struct compiler *c, int *least, int *most) {
    *least = 0;
    *most = NO_LIMIT;
    if (skip(c, "*"))
        return true;
    if (skip(c, "+")) {
        *least = 1;
        return true;
    }
    if (skip(c, "?")) {
        *most = 1;
        return true;
    }
    return skip(c, "{") && take_bounds(c, least, most);
}

/* Compile the atom at `start` once more; c->at is the same afterwards. */
static bool compile_again(struct compiler *c, size_t start) {
    size_t behind = c->at;
    c->at = start;
    bool compiled = compile_atom(c);
    c->at = behind;
    return compiled;
}

/* Any number of the atom at `start`, none included. */
static bool compile_loop(struct compiler *c, size_t start) {
    uint32_t split = (uint32_t)c->length;
    if (!emit(c, OP_SPLIT, split + 1, 0) || !compile_again(c, start) || !emit(c, OP_JUMP, split, 0))
        return false;
    c->program[split].b = (uint32_t)c->length;
    return true;
}

/* The atom at `start`, or nothing. */
static bool compile_option(struct compiler *c, size_t start) {
    uint32_t split = (uint32_t)c->length;
    if (!emit(c, OP_SPLIT, split + 1, 0) || !compile_again(c, start))
        return false;
    c->program[split].b = (uint32_t)c->length;
    return true;
}

static bool compile_repeated(struct compiler *c) {
    size_t start = c->at, before = c->length, ranges_before = c->range_count;
    int least, most;
    if (!compile_atom(c))
        return false;
    if (!take_repetition(c, &least, &most))
        return c->problem == NULL;
    skip(c, "?"); /* "as few as can be" finds no more and no less */
    size_t behind = c->at;
    c->length = before; /* once more, as often as is said */
    c->range_count = ranges_before;
    for (int i = 0; i < least; i++)
        if (!compile_again(c, start))
            return false;
    if (most == NO_LIMIT && !compile_loop(c, start))
        return false;
    for (int i = least; i < most; i++)
        if (!compile_option(c, start))
            return false;
    c->at = behind;
    return true;
}

static bool compile_branch(struct compiler *c) {
    while (more(c) && !is_next(c, "|") && !is_next(c, ")"))
        if (!compile_repeated(c))
            return false;
    return true;
}

/* Branches with | between them. Each has a split before it but the last, and a jump to the end behind it. Room for the
 * split is made when it is known that one is needed, by reading the branch once more. */
static bool compile_choice(struct compiler *c) {
    uint32_t jumps[PATTERN_MAX];
    size_t jump_count = 0;
    for (;;) {
        size_t start = c->at, ranges_before = c->range_count;
        uint32_t split = (uint32_t)c->length;
        if (++c->steps > STEPS_MAX)
            return reject(c, "it repeats too much");
        if (!compile_branch(c))
            return false;
        if (!is_next(c, "|"))
            break;
        c->at = start;
        c->length = split;
        c->range_count = ranges_before;
        if (!emit(c, OP_SPLIT, split + 1, 0) || !compile_branch(c))
            return false;
        jumps[jump_count++] = (uint32_t)c->length;
        if (!emit(c, OP_JUMP, 0, 0))
            return false;
        c->program[split].b = (uint32_t)c->length;
        skip(c, "|");
    }
    for (size_t i = 0; i < jump_count; i++)
        c->program[jumps[i]].a = (uint32_t)c->length;
    return true;
}

static struct pattern *pattern_of(const struct compiler *c) {
    size_t program = c->length * sizeof *c->program, ranges = c->range_count * sizeof *c->ranges;
    size_t seen = c->length * sizeof(uint32_t), list = c->length * sizeof(uint16_t);
    struct pattern *pattern = malloc(sizeof *pattern + program + ranges + seen + 2 * list);
    if (pattern == NULL)
        return NULL;
    uint8_t *memory = (uint8_t *)(pattern + 1);
    *pattern = (struct pattern){.program = memcpy(memory, c->program, program),
                                .ranges = (struct range *)(void *)(memory + program),
                                .length = c->length,
                                .range_count = c->range_count,
                                .seen = (uint32_t *)(void *)(memory + program + ranges)};
    memcpy(pattern->ranges, c->ranges, ranges);
    pattern->now.list = (uint16_t *)(void *)(memory + program + ranges + seen);
    pattern->next.list = pattern->now.list + c->length;
    return pattern;
}

struct pattern *pattern_compile(struct slice text, const char **problem, size_t *at) {
    struct compiler *c = calloc(1, sizeof *c);
    struct pattern *pattern = NULL;
    *problem = "the server is out of memory";
    *at = 0;
    if (c == NULL)
        return NULL;
    c->text = text;
    if (text.len > PATTERN_MAX)
        reject(c, "it is longer than 256 bytes");
    else if (compile_choice(c) && more(c))
        reject(c, "the ( is missing");
    else if (c->problem == NULL && emit(c, OP_FOUND, 0, 0))
        pattern = pattern_of(c);
    if (c->problem != NULL) {
        *problem = c->problem;
        *at = c->at;
    }
    free(c);
    return pattern;
}

void pattern_free(struct pattern *pattern) {
    free(pattern);
}

/* ---- searching ---- */

struct position {
    bool at_begin, at_end;
};

/* Follow jumps, splits and anchors from `place`, and note where a character is awaited. True when that is the end of the
 * program. */
static bool enter(struct pattern *pattern, struct places *places, uint32_t place, struct position position) {
    uint16_t open[PATTERN_PROGRAM_MAX + 1]; /* every place is entered once a round */
    size_t count = 0;
    open[count++] = (uint16_t)place;
    while (count > 0) {
        place = open[--count];
        if (pattern->seen[place] == pattern->round)
            continue;
        pattern->seen[place] = pattern->round;
        const struct instruction *at = &pattern->program[place];
        switch ((enum operation)at->op) {
        case OP_FOUND:
            return true;
        case OP_JUMP:
            open[count++] = (uint16_t)at->a;
            break;
        case OP_SPLIT:
            open[count++] = (uint16_t)at->b;
            open[count++] = (uint16_t)at->a;
            break;
        case OP_BEGIN:
        case OP_END:
            if (at->op == OP_BEGIN ? position.at_begin : position.at_end)
                open[count++] = (uint16_t)(place + 1);
            break;
        default:
            places->list[places->count++] = (uint16_t)place;
            break;
        }
    }
    return false;
}

static bool is_in(const struct pattern *pattern, const struct instruction *class, uint32_t character) {
    for (uint32_t i = 0; i < class->b; i++) {
        const struct range *range = &pattern->ranges[class->a + i];
        if (character >= range->low && character <= range->high)
            return true;
    }
    return false;
}

static bool takes(const struct pattern *pattern, const struct instruction *at, uint32_t character) {
    switch ((enum operation)at->op) {
    case OP_CHARACTER:
        return at->a == character;
    case OP_ANY:
        return true;
    case OP_CLASS:
        return is_in(pattern, at, character);
    case OP_OUTSIDE:
        return !is_in(pattern, at, character);
    default:
        return false;
    }
}

bool pattern_found(struct pattern *pattern, struct slice text) {
    struct slice all = text;
    struct places *now = &pattern->now, *next = &pattern->next;
    size_t at = 0;
    if (text.len > PATTERN_TEXT_MAX)
        text.len = PATTERN_TEXT_MAX;
    memset(pattern->seen, 0, pattern->length * sizeof *pattern->seen);
    pattern->round = 1;
    now->count = 0;
    for (;;) {
        struct position position = {.at_begin = at == 0, .at_end = at >= all.len};
        if (enter(pattern, now, 0, position)) /* it may begin anywhere */
            return true;
        if (at >= text.len)
            return false;
        uint32_t character = take_character(text, &at);
        position = (struct position){.at_begin = false, .at_end = at >= all.len};
        pattern->round++;
        next->count = 0;
        for (size_t i = 0; i < now->count; i++)
            if (takes(pattern, &pattern->program[now->list[i]], character) &&
                enter(pattern, next, now->list[i] + 1u, position))
                return true;
        struct places *last = now;
        now = next;
        next = last;
    }
}
