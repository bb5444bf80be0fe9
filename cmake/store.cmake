# The contract suite of stores, which each store's test links, and the schema inside the binary.
file(GLOB store_contract_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/store/contract/*.c)
add_library(perdure_store_contract STATIC EXCLUDE_FROM_ALL ${store_contract_sources})
target_compile_definitions(perdure_store_contract PRIVATE TESTING_CHECKS_ONLY)
target_link_libraries(perdure_store_contract PUBLIC perdure_base PkgConfig::CMOCKA)
set(PERDURE_TEST_EXTRA_store perdure_store_contract perdure_store)
