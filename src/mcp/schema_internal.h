/* schema_internal.h: a compiled schema: an array of nodes, one per subschema, which name one another by index. */
#ifndef MCP_SCHEMA_INTERNAL_H
#define MCP_SCHEMA_INTERNAL_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/arena.h"
#include "mcp/schema.h"

#define NODE_NONE UINT32_MAX

enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
};

struct node_list {
    uint32_t *nodes;
    size_t    count;
};
struct node_member {
    struct bytes name;
    uint32_t     node;
};
struct pattern {
    const char *source;
    pcre2_code *code;
    uint32_t    node; /* of patternProperties */
};
enum { COMBINE_ALL, COMBINE_ANY, COMBINE_ONE, COMBINE_COUNT };
enum { BOUND_MINIMUM, BOUND_MAXIMUM, BOUND_ABOVE, BOUND_BELOW, BOUND_COUNT };
enum { SIZE_LENGTH, SIZE_ITEMS, SIZE_PROPERTIES, SIZE_CONTAINS, SIZE_COUNT };

struct schema_node {
    bool                never; /* the schema `false` */
    unsigned            types; /* 0: any */
    const json_t       *enumeration, *constant;
    const json_t       *bounds[BOUND_COUNT], *multiple_of;
    int64_t             size_min[SIZE_COUNT], size_max[SIZE_COUNT]; /* -1: none */
    bool                unique_items;
    struct pattern     *pattern;
    const json_t       *required;           /* an array of strings */
    const json_t       *dependent_required; /* an object of such arrays */
    struct node_member *properties;         /* sorted by name */
    size_t              property_count;
    struct node_member *dependent_schemas;
    size_t              dependent_count;
    struct pattern     *pattern_properties;
    size_t              pattern_property_count;
    struct node_list    prefix_items, combine[COMBINE_COUNT];
    uint32_t additional, property_names, items, contains, not, condition, then, otherwise, reference;
};
struct schema {
    json_t             *document;
    struct arena        arena; /* lists and members */
    struct schema_node *nodes;
    size_t              node_count;
    struct pattern    **patterns; /* all of them, to be freed */
    size_t              pattern_count;
};

/* Of the node's properties; NODE_NONE: it names none so. */
uint32_t schema_property(const struct schema_node *node, struct bytes name);
#endif
