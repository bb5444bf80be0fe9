/* descriptors.h: the schema as serialized FileDescriptorProtos, for server reflection. Constant; slices live for ever. */
#ifndef CODEC_DESCRIPTORS_H
#define CODEC_DESCRIPTORS_H
#include "codec/pb_schema.h"

/* By file name as in imports, e.g. "common.proto". */
bool descriptor_find_file(struct bytes name, struct bytes *ret) MUST_USE;
/* The file that defines a message, enum, service, method ("pkg.Service.Method" or "pkg.Service/Method"), field
 * ("pkg.Message.field") or enum value ("pkg.VALUE"). Case-sensitive; no leading dot. */
bool descriptor_find_symbol(struct bytes symbol, struct bytes *ret) MUST_USE;
#endif
