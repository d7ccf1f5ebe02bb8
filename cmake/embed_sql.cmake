# Turn the schema's steps into C: db/schema_steps.h and schema_steps.c under OUT, from the .sql files in DIR and in
# DIR/postgresql. A step's version is the number its file name begins with: 0001_initial.sql is version 1. The steps in DIR
# are written for SQLite; for PostgreSQL the types are translated, and what is text or bytes is BYTEA, because devices'
# texts need not be UTF-8. Those in DIR/postgresql come after them, and are PostgreSQL's alone.
#
#   cmake -DDIR=db/schema -DOUT=build/dev/generated/db -P cmake/embed_sql.cmake
function(quote sql out)
    string(REPLACE "\\" "\\\\" sql "${sql}")
    string(REPLACE "\"" "\\\"" sql "${sql}")
    string(REPLACE "\n" "\\n\"\n     \"" sql "${sql}")
    set(${out} "\"${sql}\"" PARENT_SCOPE)
endfunction()

function(translate sql out)
    string(REGEX REPLACE "--[^\n]*" "" sql "${sql}")
    string(REGEX REPLACE " *\n+" "\n" sql "${sql}")
    string(REGEX REPLACE "\\) STRICT(, WITHOUT ROWID)?;" ");" sql "${sql}")
    string(REGEX REPLACE "([ (])INTEGER([ ,;)\n])" "\\1BIGINT\\2" sql "${sql}")
    string(REGEX REPLACE "([ (])(TEXT|BLOB)([ ,;)\n])" "\\1BYTEA\\3" sql "${sql}")
    set(${out} "${sql}" PARENT_SCOPE)
endfunction()

# The C initializers of the steps in `directory`, and how many there are.
function(embed directory for_both out_steps out_count)
    file(GLOB files "${directory}/*.sql")
    list(SORT files COMPARE NATURAL)
    set(steps "")
    set(expected 1)
    foreach(file IN LISTS files)
        get_filename_component(name "${file}" NAME)
        if(NOT name MATCHES "^0*([1-9][0-9]*)_[a-z0-9_]+[.]sql$")
            message(FATAL_ERROR "${file}: a schema step is named like 0001_initial.sql")
        endif()
        set(version "${CMAKE_MATCH_1}")
        if(NOT version EQUAL expected)
            message(FATAL_ERROR "${file}: schema step ${expected} should come next, and there is one of each")
        endif()
        math(EXPR expected "${expected} + 1")

        file(READ "${file}" sql)
        string(REPLACE "\r\n" "\n" sql "${sql}")
        if(for_both)
            quote("${sql}" sqlite)
            translate("${sql}" sql)
        else()
            set(sqlite NULL)
        endif()
        quote("${sql}" postgresql)
        string(APPEND steps "    /* ${name} */\n    {${version},\n     ${sqlite},\n     ${postgresql}},\n")
    endforeach()
    math(EXPR count "${expected} - 1")
    set(${out_steps} "${steps}" PARENT_SCOPE)
    set(${out_count} "${count}" PARENT_SCOPE)
endfunction()

embed("${DIR}" TRUE steps count)
embed("${DIR}/postgresql" FALSE postgresql_steps postgresql_count)

file(WRITE "${OUT}/schema_steps.h" [=[
/* The database schema's steps, oldest first: apply those above the version that a database has. Generated from
 * db/schema/. */
#ifndef BERTH_DB_SCHEMA_STEPS_H
#define BERTH_DB_SCHEMA_STEPS_H

#include <stddef.h>

struct schema_step {
    int version;     /* 1, 2, 3 … without gaps */
    const char *sql; /* one or more statements */
    const char *postgresql; /* the same for PostgreSQL */
};

extern const struct schema_step schema_steps[];
extern const size_t schema_step_count;

/* After those, for PostgreSQL alone; numbered for themselves, and `sql` is NULL. */
extern const struct schema_step postgresql_steps[];
extern const size_t postgresql_step_count;

#endif
]=])

file(WRITE "${OUT}/schema_steps.c" "#include \"db/schema_steps.h\"

const size_t schema_step_count = ${count};
const size_t postgresql_step_count = ${postgresql_count};

/* Each ends in an empty step, so that a build without any step is still a C array. */
const struct schema_step schema_steps[] = {
${steps}    {0, NULL, NULL},
};

const struct schema_step postgresql_steps[] = {
${postgresql_steps}    {0, NULL, NULL},
};
")
