/* search_attributes.h: which search attributes there are, of which type, and whether values fit. */
#ifndef ENGINE_SEARCH_ATTRIBUTES_H
#define ENGINE_SEARCH_ATTRIBUTES_H
#include "base/arena.h"
#include "pb/all.pb.h"
#include "shard/entity.h"

#define SEARCH_ATTRIBUTES_MAX      100
#define SEARCH_ATTRIBUTE_SIZE_MAX  2048
#define SEARCH_ATTRIBUTES_SIZE_MAX (40 * 1024)

/* The enums_IndexedValueType of a name that a client may set in this namespace; 0: it may not, or there is none. */
int32_t search_attribute_type(const struct namespace_config *namespace, struct bytes name,
                              struct arena *arena);
/* Checks an encoded SearchAttributes as a client gave it; INVALID_ARGUMENT names the attribute. Empty is fine. */
enum status search_attributes_check(const struct namespace_config *namespace, struct bytes encoded,
                                    struct arena *arena, struct error *error) MUST_USE;
/* The same attributes with the `type` metadata that typed clients rely on; empty stays empty. */
struct bytes search_attributes_typed(const struct namespace_config *namespace, struct bytes encoded,
                                     struct arena *arena);
#endif
