# The wire schema: structs and tables out of proto/, in generated/pb. Needs protoc and Debian's python3-protobuf.
find_program(PROTOC protoc REQUIRED)
file(GLOB_RECURSE proto_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(pb_dir ${CMAKE_BINARY_DIR}/generated/pb)
set(pb_stamp ${CMAKE_BINARY_DIR}/generated/pb.stamp)
set(pb_sources ${pb_dir}/tables.pb.c ${pb_dir}/descriptors.pb.c)
# Each header is named, so that what includes one is compiled again in the same build that changed it; those that did not
# change keep their times. The plugin says which there are.
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/protoc-gen-perdure --headers ${proto_files}
                OUTPUT_VARIABLE pb_headers OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(pb_headers)
list(TRANSFORM pb_headers PREPEND ${pb_dir}/)
add_custom_command(
  OUTPUT ${pb_stamp}
  BYPRODUCTS ${pb_sources} ${pb_headers}
  COMMAND ${CMAKE_SOURCE_DIR}/tools/pb_generate ${PROTOC} ${CMAKE_SOURCE_DIR} ${pb_dir}
  COMMAND ${CMAKE_COMMAND} -E touch ${pb_stamp}
  DEPENDS ${proto_files} ${CMAKE_SOURCE_DIR}/tools/protoc-gen-perdure ${CMAKE_SOURCE_DIR}/tools/pb_generate
  COMMENT "Generating generated/pb from proto/"
  VERBATIM)
add_custom_target(perdure_pb_generate DEPENDS ${pb_stamp})
set_source_files_properties(${pb_sources} PROPERTIES GENERATED TRUE)
add_library(perdure_pb STATIC ${pb_sources})
add_dependencies(perdure_pb perdure_pb_generate)

# The codec behind a pipe, for tests/contract.
add_executable(codec_tool EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/contract/codec_tool.c)
target_link_libraries(codec_tool PRIVATE perdure_codec)
set_property(GLOBAL APPEND PROPERTY PERDURE_TESTS codec_tool)
