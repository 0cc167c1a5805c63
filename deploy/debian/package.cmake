# The Debian package: cpack --config build/release/CPackConfig.cmake
#
# Its libraries are found by dpkg-shlibdeps, which Debian's dpkg-dev has.
install(FILES deploy/systemd/weir.service DESTINATION /usr/lib/systemd/system)
install(FILES deploy/debian/weir.conf DESTINATION /etc/weir)
install(FILES deploy/debian/default DESTINATION /etc/default RENAME weir)
install(FILES README.md CHANGELOG.md DESTINATION share/doc/weir)
install(FILES LICENSE DESTINATION share/doc/weir RENAME copyright)
install(DIRECTORY docs DESTINATION share/doc/weir)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_VENDOR weir)
set(CPACK_PACKAGE_CONTACT "the weir authors <weir@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, init-system-helpers")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "consul, postgresql")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "API gateway that finds its upstreams in HashiCorp Consul")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"weir takes a Kong-compatible Admin API, follows Consul's service catalog by blocking queries,
checks health, and keeps its configuration in PostgreSQL or in an embedded file.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${PROJECT_SOURCE_DIR}/deploy/debian/postinst ${PROJECT_SOURCE_DIR}/deploy/debian/prerm
  ${PROJECT_SOURCE_DIR}/deploy/debian/postrm ${PROJECT_SOURCE_DIR}/deploy/debian/conffiles)
include(CPack)
