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
/* The namespace's own attributes, decoded once per use. False: the record does not decode, or there is none; it is empty then. */
bool search_attributes_load(const struct namespace_config *namespace, struct arena *arena,
                            struct state_Namespace *ret_record);
/* enums_IndexedValueType; 0: there is none of this name. */
int32_t search_attribute_type(const struct state_Namespace *record, struct bytes name);
/* Checks an encoded SearchAttributes as a client gave it; INVALID_ARGUMENT names the attribute. Empty is fine. */
enum status search_attributes_check(const struct namespace_config *namespace, struct bytes encoded,
                                    struct arena *arena, struct error *error) MUST_USE;
/* Whether each of them and all of them together keep to the limits of their size; INVALID_ARGUMENT names the limit. */
enum status search_attributes_fit(const struct namespace_config *namespace, struct bytes encoded,
                                  struct arena *arena, struct error *error) MUST_USE;
/* The same attributes with the `type` metadata that typed clients rely on; empty stays empty. */
struct bytes search_attributes_typed(const struct namespace_config *namespace, struct bytes encoded,
                                     struct arena *arena);
/* The values by which lists find a run, for its row: those of attributes that the namespace has, encoded as
 * store_attributes_encode does. `ret_apart`: the run is in a division of its own. */
struct bytes search_attributes_values(const struct namespace_config *namespace, struct bytes encoded,
                                      struct arena *arena, bool *ret_apart);
#endif
