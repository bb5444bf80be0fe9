# The schema inside the binary.
file(GLOB store_migrations CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schema/sqlite/*.sql)
string(REPLACE ";" "," store_migrations_joined "${store_migrations}")
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/generated/sqlite_migrations.c
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${CMAKE_BINARY_DIR}/generated/sqlite_migrations.c
    -DINPUTS=${store_migrations_joined} -P ${CMAKE_SOURCE_DIR}/cmake/embed_sql.cmake
  DEPENDS ${store_migrations} ${CMAKE_SOURCE_DIR}/cmake/embed_sql.cmake VERBATIM)
add_library(perdure_store_schema STATIC ${CMAKE_BINARY_DIR}/generated/sqlite_migrations.c)

# The contract suite of stores, which each store's test links.
file(GLOB store_contract_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/store/contract/*.c)
add_library(perdure_store_contract STATIC EXCLUDE_FROM_ALL ${store_contract_sources})
target_compile_definitions(perdure_store_contract PRIVATE TESTING_CHECKS_ONLY)
target_link_libraries(perdure_store_contract PUBLIC perdure_base PkgConfig::CMOCKA)
set(PERDURE_TEST_EXTRA_store perdure_store_contract perdure_store)

# What the store costs by itself: not part of `all`.
foreach(name store_bench visibility_bench)
    add_executable(${name} EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/${name}.c)
    target_link_libraries(${name} PRIVATE perdure_store)
endforeach()
