/* What a program says of itself: --help, a manual page and completions for shells, all from the one table that its
 * options are read by, so that none of them can say something else. */
#ifndef BERTH_BASE_MANUAL_H
#define BERTH_BASE_MANUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* `argument`: NULL for a switch; words with | between them are all that may stand there; FILE, PROGRAM and DIR are names
 * of such; what begins with [ may be left out. `help` may end in the default, in brackets. */
struct manual_option {
    const char *name, *argument, *help;
};

/* A heading over the options from `first` on. */
struct manual_heading {
    const char *first, *title;
};

/* Text of its own behind the options. Its lines are shown as they are; up to 120 characters. */
struct manual_section {
    const char *title, *text;
};

struct manual {
    const char *program, *summary;
    const char *const *usage;    /* what may stand behind the program's name, a line each; ends with NULL */
    const char *const *commands; /* what may be the first word; ends with NULL; NULL: there are none */
    const struct manual_option *options;
    size_t option_count;
    const struct manual_heading *headings;
    size_t heading_count;
    const struct manual_section *sections;
    size_t section_count;
};

/* What `manual_print` knows, as the argument of an option: help|man|bash|zsh|fish. */
extern const char manual_forms[];

/* Print it in one of these forms; false if there is no such form. */
bool manual_print(const struct manual *manual, const char *form, FILE *out);

#endif
