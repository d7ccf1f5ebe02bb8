# Turn the page's files into C: web/page_files.h and page_files.c under OUT, from the files in DIR. Where gzip is given, each
# is there compressed, unless that makes it longer, and then not as it is: see web/page.c.
#
#   cmake -DDIR=web/page -DOUT=build/dev/generated/web -DGZIP=/usr/bin/gzip -P cmake/embed_page.cmake
file(GLOB files "${DIR}/*.html" "${DIR}/*.css" "${DIR}/*.js" "${DIR}/*.svg")
list(SORT files)
file(MAKE_DIRECTORY "${OUT}")

set(types_html "text/html; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_svg "image/svg+xml")

# Append the bytes of a file as the array `name`, and set `length`.
macro(append_bytes path name)
    file(READ "${path}" hex HEX)
    string(LENGTH "${hex}" length)
    math(EXPR length "${length} / 2")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    string(APPEND arrays "static const uint8_t ${name}[] = {${hex}};\n")
endmacro()

set(arrays "")
set(rows "")
set(count 0)
foreach(file IN LISTS files)
    get_filename_component(name "${file}" NAME)
    get_filename_component(extension "${file}" LAST_EXT)
    string(SUBSTRING "${extension}" 1 -1 extension)
    file(SHA256 "${file}" hash)
    string(SUBSTRING "${hash}" 0 16 hash)
    file(SIZE "${file}" plain_length)
    set(bytes "${file}")
    set(packed false)
    if(GZIP)
        execute_process(COMMAND "${GZIP}" -9 -n -c "${file}" OUTPUT_FILE "${OUT}/packed.gz" COMMAND_ERROR_IS_FATAL ANY)
        file(SIZE "${OUT}/packed.gz" size)
        if(size LESS plain_length)
            set(bytes "${OUT}/packed.gz")
            set(packed true)
        endif()
    endif()
    append_bytes("${bytes}" "bytes_${count}")
    file(REMOVE "${OUT}/packed.gz")
    string(APPEND rows "    {\"${name}\", \"${types_${extension}}\", \"W/\\\"${hash}\\\"\", bytes_${count}, ${length}, "
        "${plain_length}, ${packed}},\n")
    math(EXPR count "${count} + 1")
endforeach()

file(WRITE "${OUT}/page_files.h" [=[
/* The files of the page, by name. Generated from web/page/. */
#ifndef BERTH_WEB_PAGE_FILES_H
#define BERTH_WEB_PAGE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_file {
    const char *name, *type, *etag;
    const uint8_t *bytes;
    size_t len;
    size_t plain_len; /* of the file */
    bool packed;      /* `bytes` is what gzip makes of it */
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

#endif
]=])

file(WRITE "${OUT}/page_files.c" "#include \"web/page_files.h\"

${arrays}
const size_t page_file_count = ${count};

const struct page_file page_files[] = {
${rows}};
")
