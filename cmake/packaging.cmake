# What lies beside the programs where they are installed, and the Debian package: cpack --config build/release/CPackConfig.cmake

# Manual pages and completions, printed by the programs themselves; programs for another machine cannot be asked.
if(NOT CMAKE_CROSSCOMPILING AND NOT BERTH_SANITIZE)
    set(share "${CMAKE_BINARY_DIR}/share")
    file(MAKE_DIRECTORY "${share}")
    foreach(program IN ITEMS berth-server berth-device)
        add_custom_command(TARGET ${program} POST_BUILD
            COMMAND ${program} --manual man > "${share}/${program}.1"
            COMMAND gzip -9nf "${share}/${program}.1"
            COMMAND ${program} --manual bash > "${share}/${program}.bash"
            COMMAND ${program} --manual zsh > "${share}/_${program}"
            COMMAND ${program} --manual fish > "${share}/${program}.fish"
            COMMENT "Manual page and completions of ${program}")
        install(FILES "${share}/${program}.1.gz" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
        install(FILES "${share}/${program}.bash" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
            RENAME ${program})
        install(FILES "${share}/_${program}" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions")
        install(FILES "${share}/${program}.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
    endforeach()
endif()

install(FILES packaging/berth.service DESTINATION lib/systemd/system)
install(DIRECTORY scenarios DESTINATION "${CMAKE_INSTALL_DATADIR}/berth")
add_custom_command(OUTPUT "${CMAKE_BINARY_DIR}/changelog.gz"
    COMMAND gzip -9nc "${CMAKE_SOURCE_DIR}/CHANGELOG.md" > "${CMAKE_BINARY_DIR}/changelog.gz"
    DEPENDS "${CMAKE_SOURCE_DIR}/CHANGELOG.md")
add_custom_target(changelog ALL DEPENDS "${CMAKE_BINARY_DIR}/changelog.gz")
install(FILES "${CMAKE_BINARY_DIR}/changelog.gz" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES NOTICE README.md packaging/copyright DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# --- the Debian package ----------------------------------------------------------------------------------------------

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME berth)
set(CPACK_PACKAGE_VENDOR "The authors of Berth")
set(CPACK_PACKAGE_CONTACT "The authors of Berth <berth@localhost>" CACHE STRING "Whom the package names as maintainer")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "LwM2M server, bootstrap server and test endpoint")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"An LwM2M server that you run next to your tests. Devices register with it over
CoAP (UDP, DTLS, TCP, TLS, OSCORE), SQLite remembers them, and tests ask and
wait over HTTP. A reference device, berth-device, comes with it.")
set(CPACK_PACKAGING_INSTALL_PREFIX "/usr")
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS libpq5) # loaded for --database
include(CPack)
