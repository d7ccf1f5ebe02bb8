# Turn the schema's steps into C: db/schema_steps.h and schema_steps.c under OUT, from the .sql files in DIR.
# A step's version is the number its file name begins with: 0001_initial.sql is version 1.
#
#   cmake -DDIR=db/schema -DOUT=build/dev/generated/db -P cmake/embed_sql.cmake
file(GLOB files "${DIR}/*.sql")
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
    string(REPLACE "\\" "\\\\" sql "${sql}")
    string(REPLACE "\"" "\\\"" sql "${sql}")
    string(REPLACE "\n" "\\n\"\n     \"" sql "${sql}")
    string(APPEND steps "    /* ${name} */\n    {${version},\n     \"${sql}\"},\n")
endforeach()
math(EXPR count "${expected} - 1")

file(WRITE "${OUT}/schema_steps.h" [=[
/* The database schema's steps, oldest first: apply those above the version that a database has. Generated from
 * db/schema/. */
#ifndef BERTH_DB_SCHEMA_STEPS_H
#define BERTH_DB_SCHEMA_STEPS_H

#include <stddef.h>

struct schema_step {
    int version;     /* 1, 2, 3 … without gaps */
    const char *sql; /* one or more statements */
};

extern const struct schema_step schema_steps[];
extern const size_t schema_step_count;

#endif
]=])

file(WRITE "${OUT}/schema_steps.c" "#include \"db/schema_steps.h\"

const size_t schema_step_count = ${count};

/* Ends in an empty step, so that a build without any step is still a C array. */
const struct schema_step schema_steps[] = {
${steps}    {0, NULL},
};
")
