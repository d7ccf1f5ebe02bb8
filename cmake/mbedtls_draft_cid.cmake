# A second copy of Mbed TLS's SSL layer, for devices whose DTLS connection ID is the draft's (common/net/dtls_layer.h). Which
# connection ID the SSL layer speaks is a matter of its compilation, so the system's library can't serve both.
#
# The copy is compiled from the sources of exactly the version that is installed (script/bootstrap fetches them), against
# the installed headers. All its symbols but one are hidden. It leans on internal symbols of the cipher library, which may
# change with any version; therefore the program takes Mbed TLS statically, as it was when it was compiled.
#
# Sets mbedtls_libraries, and defines mbedtls_draft_cid_into(<target>).

set(mbedtls_libraries MbedTLS::mbedtls MbedTLS::mbedx509 MbedTLS::mbedcrypto)
set(draft_cid_sources "")

if(NOT BERTH_DTLS_DRAFT_CID STREQUAL "OFF")
    if(DEFINED ENV{XDG_CACHE_HOME})
        set(cache "$ENV{XDG_CACHE_HOME}")
    else()
        set(cache "$ENV{HOME}/.cache")
    endif()
    find_path(BERTH_MBEDTLS_SOURCE library/ssl_msg.c HINTS "$ENV{BERTH_MBEDTLS_SOURCE}"
        "${cache}/berth/mbedtls-${MbedTLS_VERSION}" NO_DEFAULT_PATH DOC "Mbed TLS's sources, of the installed version")

    set(reason "")
    if(NOT BERTH_MBEDTLS_SOURCE)
        set(reason "the sources of Mbed TLS ${MbedTLS_VERSION} are not there (script/bootstrap fetches them)")
    elseif(NOT TARGET MbedTLS::mbedtls_static)
        set(reason "Mbed TLS is not installed as static libraries")
    else()
        set(version "#define MBEDTLS_VERSION_STRING[ \t]+\"${MbedTLS_VERSION}\"")
        file(STRINGS "${BERTH_MBEDTLS_SOURCE}/include/mbedtls/build_info.h" same REGEX "${version}")
        if(NOT same)
            set(reason "${BERTH_MBEDTLS_SOURCE} is not version ${MbedTLS_VERSION} of Mbed TLS")
        endif()
    endif()

    if(NOT reason)
        file(GLOB draft_cid_sources "${BERTH_MBEDTLS_SOURCE}/library/ssl_*.c" "${BERTH_MBEDTLS_SOURCE}/library/mps_*.c"
            "${BERTH_MBEDTLS_SOURCE}/library/debug.c")
        set(mbedtls_libraries MbedTLS::mbedtls_static MbedTLS::mbedx509_static MbedTLS::mbedcrypto_static)
    elseif(BERTH_DTLS_DRAFT_CID STREQUAL "ON")
        message(FATAL_ERROR "BERTH_DTLS_DRAFT_CID: ${reason}")
    else()
        message(WARNING "Devices with the draft's DTLS connection ID will not be served: ${reason}")
    endif()
endif()

function(mbedtls_draft_cid_into target)
    if(NOT draft_cid_sources)
        return()
    endif()
    set(config "${CMAKE_BINARY_DIR}/generated/mbedtls_draft_cid.h")
    file(CONFIGURE OUTPUT "${config}" CONTENT
        "#undef MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT\n#define MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT 1\n")
    add_library(mbedtls_draft_cid OBJECT ${draft_cid_sources} "${CMAKE_SOURCE_DIR}/common/net/dtls_layer.c")
    target_include_directories(mbedtls_draft_cid PRIVATE "${BERTH_MBEDTLS_SOURCE}/library")
    target_compile_definitions(mbedtls_draft_cid PRIVATE "MBEDTLS_USER_CONFIG_FILE=\"${config}\"" DTLS_LAYER_DRAFT)
    # Not our code: it is not ours to warn of, and it hands null pointers of no length to memcpy.
    target_compile_options(mbedtls_draft_cid PRIVATE -w -fno-sanitize=undefined)
    target_link_libraries(mbedtls_draft_cid PRIVATE MbedTLS::mbedtls_static)
    set(object "${CMAKE_BINARY_DIR}/mbedtls_draft_cid.o")
    add_custom_command(
        OUTPUT "${object}"
        COMMAND "${CMAKE_LINKER}" -r -o "${object}" $<TARGET_OBJECTS:mbedtls_draft_cid>
        COMMAND "${CMAKE_OBJCOPY}" --keep-global-symbol=dtls_layer_draft "${object}"
        DEPENDS mbedtls_draft_cid $<TARGET_OBJECTS:mbedtls_draft_cid>
        COMMENT "Hiding the symbols of the second SSL layer" COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(${target} PRIVATE "${object}")
    target_compile_definitions(${target} PRIVATE BERTH_DTLS_DRAFT_CID)
endfunction()
