/* search_attributes.h: which search attributes there are, of which type, and whether values fit. */
#ifndef ENGINE_SEARCH_ATTRIBUTES_H
#define ENGINE_SEARCH_ATTRIBUTES_H
#include "base/arena.h"
#include "pb/all.pb.h"
#include "shard/entity.h"

/* Those that every namespace has. */
struct search_attribute {
    struct bytes name;
    int32_t      type;     /* enums_IndexedValueType */
    bool         settable; /* by clients */
};
extern const struct search_attribute system_attributes[];
extern const size_t                  system_attribute_count;
/* NULL: no such system attribute. */
const struct search_attribute *search_attribute_system(struct bytes name);
/* Checks an encoded SearchAttributes as a client gave it; INVALID_ARGUMENT names the attribute. Empty is fine. */
enum status search_attributes_check(const struct namespace_config *namespace, struct bytes encoded,
                                    struct arena *arena, struct error *error) MUST_USE;
/* Whether each of them and all of them together keep to the limits of their size; INVALID_ARGUMENT names the limit. */
enum status search_attributes_fit(const struct namespace_config *namespace, struct bytes encoded,
                                  struct arena *arena, struct error *error) MUST_USE;
/* The same attributes with the `type` metadata that typed clients rely on; empty stays empty. */
struct bytes search_attributes_typed(const struct namespace_config *namespace, struct bytes encoded,
                                     struct arena *arena);
#endif
