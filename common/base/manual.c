#include "common/base/manual.h"

#include <string.h>

const char manual_forms[] = "help|man|bash|zsh|fish";

/* The heading that begins at this option, or NULL. */
static const char *heading_at(const struct manual *manual, const char *option) {
    for (size_t i = 0; i < manual->heading_count; i++) {
        if (strcmp(manual->headings[i].first, option) == 0)
            return manual->headings[i].title;
    }
    return NULL;
}

static bool may_be_left_out(const char *argument) {
    return argument != NULL && argument[0] == '[';
}

static bool is_one_of(const char *argument) {
    return argument != NULL && argument[0] >= 'a' && argument[0] <= 'z' && strchr(argument, '|') != NULL;
}

static bool is_directory(const char *argument) {
    return argument != NULL && strcmp(argument, "DIR") == 0;
}

static bool is_path(const char *argument) {
    return is_directory(argument) ||
           (argument != NULL && (strcmp(argument, "FILE") == 0 || strcmp(argument, "PROGRAM") == 0));
}

/* The words of `tv|json`, with blanks between them. */
static void print_words(const char *argument, FILE *out) {
    for (; *argument != '\0'; argument++)
        fputc(*argument == '|' ? ' ' : *argument, out);
}

/* ---- help ---- */

static void print_help(const struct manual *manual, FILE *out) {
    fprintf(out, "%s: %s\n\n", manual->program, manual->summary);
    for (size_t i = 0; manual->usage[i] != NULL; i++)
        fprintf(out, "%s %s %s\n", i == 0 ? "usage:" : "      ", manual->program, manual->usage[i]);
    for (size_t i = 0; i < manual->option_count; i++) {
        const struct manual_option *option = &manual->options[i];
        const char *argument = option->argument == NULL ? "" : option->argument;
        const char *heading = heading_at(manual, option->name);
        char left[64];
        if (heading != NULL || i == 0)
            fprintf(out, "\n%s:\n", heading != NULL ? heading : "Options");
        snprintf(left, sizeof left, "--%s%s%s", option->name, argument[0] == '[' || argument[0] == '\0' ? "" : " ",
                 argument);
        fprintf(out, "  %-34s %s\n", left, option->help);
    }
    for (size_t i = 0; i < manual->section_count; i++)
        fprintf(out, "\n%s:\n\n%s", manual->sections[i].title, manual->sections[i].text);
}

/* ---- the manual page, in the macros of man(7) ---- */

/* Text as roff takes it: no escapes, no requests, hyphens that can be copied and searched for. */
static void print_roff(const char *text, FILE *out) {
    bool begins = true;
    for (; *text != '\0'; text++) {
        if (begins && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        begins = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void print_man_title(const char *title, FILE *out) {
    fputs(".SH ", out);
    for (; *title != '\0'; title++)
        fputc(*title >= 'a' && *title <= 'z' ? *title - 'a' + 'A' : *title, out);
    fputc('\n', out);
}

static void print_man_option(const struct manual_option *option, FILE *out) {
    fputs(".TP\n\\fB\\-\\-", out);
    print_roff(option->name, out);
    fputs("\\fR", out);
    if (option->argument != NULL) {
        fputs(may_be_left_out(option->argument) ? "\\fI" : " \\fI", out);
        print_roff(option->argument, out);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    print_roff(option->help, out);
    fputc('\n', out);
}

static void print_man(const struct manual *manual, FILE *out) {
    fputs(".TH ", out);
    print_roff(manual->program, out);
    fprintf(out, " 1 \"\" \"Berth %s\" \"Berth\"\n.SH NAME\n", BERTH_VERSION);
    print_roff(manual->program, out);
    fputs(" \\- ", out);
    print_roff(manual->summary, out);
    fputs("\n.SH SYNOPSIS\n", out);
    for (size_t i = 0; manual->usage[i] != NULL; i++) {
        fputs(i == 0 ? ".B " : ".br\n.B ", out);
        print_roff(manual->program, out);
        fputc('\n', out);
        print_roff(manual->usage[i], out);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < manual->option_count; i++) {
        const char *heading = heading_at(manual, manual->options[i].name);
        if (heading != NULL) {
            fputs(".SS ", out);
            print_roff(heading, out);
            fputc('\n', out);
        }
        print_man_option(&manual->options[i], out);
    }
    for (size_t i = 0; i < manual->section_count; i++) {
        print_man_title(manual->sections[i].title, out);
        fputs(".nf\n", out);
        print_roff(manual->sections[i].text, out);
        fputs(".fi\n", out);
    }
}

/* ---- completions ---- */

/* The program's name as part of a function's: berth_server. */
static void print_identifier(const char *name, FILE *out) {
    for (; *name != '\0'; name++)
        fputc(*name == '-' ? '_' : *name, out);
}

static void print_commands(const struct manual *manual, FILE *out) {
    for (size_t i = 0; manual->commands != NULL && manual->commands[i] != NULL; i++)
        fprintf(out, "%s%s", i == 0 ? "" : " ", manual->commands[i]);
}

static void print_bash(const struct manual *manual, FILE *out) {
    fprintf(out, "# Completion of %s for bash.\n_", manual->program);
    print_identifier(manual->program, out);
    fputs("() {\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n    case $before in\n",
          out);
    for (size_t i = 0; i < manual->option_count; i++) {
        const struct manual_option *option = &manual->options[i];
        if (option->argument == NULL || may_be_left_out(option->argument))
            continue;
        fprintf(out, "    --%s) ", option->name);
        if (is_one_of(option->argument)) {
            fputs("mapfile -t COMPREPLY < <(compgen -W \"", out);
            print_words(option->argument, out);
            fputs("\" -- \"$word\")", out);
        } else if (is_path(option->argument)) {
            fprintf(out, "mapfile -t COMPREPLY < <(compgen -%s -- \"$word\")",
                    is_directory(option->argument) ? "d" : "f");
        } else {
            fputs("COMPREPLY=()", out);
        }
        fputs("; return ;;\n", out);
    }
    fputs("    esac\n    local words=\"", out);
    for (size_t i = 0; i < manual->option_count; i++)
        fprintf(out, "%s--%s", i == 0 ? "" : " ", manual->options[i].name);
    fputs("\"\n", out);
    if (manual->commands != NULL) {
        fputs("    [ \"$COMP_CWORD\" -gt 1 ] || words=\"$words ", out);
        print_commands(manual, out);
        fputs("\"\n", out);
    }
    fputs("    mapfile -t COMPREPLY < <(compgen -W \"$words\" -f -- \"$word\")\n}\ncomplete -o filenames -F _", out);
    print_identifier(manual->program, out);
    fprintf(out, " %s\n", manual->program);
}

/* Between single quotes, with what means something in a spec of zsh's _arguments behind backslashes. */
static void print_zsh_text(const char *text, FILE *out) {
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\'", out);
        else if (strchr("[]:\\", *text) != NULL)
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_zsh(const struct manual *manual, FILE *out) {
    fprintf(out, "#compdef %s\n_arguments", manual->program);
    for (size_t i = 0; i < manual->option_count; i++) {
        const struct manual_option *option = &manual->options[i];
        fprintf(out, " \\\n  '*--%s%s[", option->name, may_be_left_out(option->argument) ? "=-" : "");
        print_zsh_text(option->help, out);
        fputc(']', out);
        if (option->argument != NULL) {
            fputs(may_be_left_out(option->argument) ? "::" : ":", out);
            print_zsh_text(option->argument, out);
            fputc(':', out);
        }
        if (is_one_of(option->argument)) {
            fputc('(', out);
            print_words(option->argument, out);
            fputc(')', out);
        } else if (is_path(option->argument)) {
            fputs(is_directory(option->argument) ? "_files -/" : "_files", out);
        }
        fputc('\'', out);
    }
    if (manual->commands != NULL) {
        fputs(" \\\n  '1::command:(", out);
        print_commands(manual, out);
        fputs(")' \\\n  '*::file:_files'", out);
    }
    fputc('\n', out);
}

static void print_fish_text(const char *text, FILE *out) {
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_fish(const struct manual *manual, FILE *out) {
    fprintf(out, "# Completion of %s for fish.\n", manual->program);
    if (manual->commands != NULL) {
        fprintf(out, "complete -c %s -n __fish_use_subcommand -a '", manual->program);
        print_commands(manual, out);
        fputs("'\n", out);
    }
    for (size_t i = 0; i < manual->option_count; i++) {
        const struct manual_option *option = &manual->options[i];
        fprintf(out, "complete -c %s -l %s", manual->program, option->name);
        if (is_one_of(option->argument)) {
            fputs(" -x -a '", out);
            print_words(option->argument, out);
            fputc('\'', out);
        } else if (is_path(option->argument)) {
            fputs(is_directory(option->argument) ? " -x -a '(__fish_complete_directories)'" : " -r -F", out);
        } else if (option->argument != NULL && !may_be_left_out(option->argument)) {
            fputs(" -x", out);
        }
        fputs(" -d '", out);
        print_fish_text(option->help, out);
        fputs("'\n", out);
    }
}

bool manual_print(const struct manual *manual, const char *form, FILE *out) {
    static const struct {
        const char *name;
        void (*print)(const struct manual *manual, FILE *out);
    } forms[] = {
        {"help", print_help}, {"man", print_man}, {"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(form, forms[i].name) == 0) {
            forms[i].print(manual, out);
            return true;
        }
    }
    return false;
}
