/* schema.h: JSON Schema (2020-12, the part that tools use): compiled once, then values are checked against it.
 *
 * Understood: type, enum, const, required, properties, patternProperties, additionalProperties, propertyNames, items,
 * prefixItems, contains (min/maxContains), min/max Items/Length/Properties, uniqueItems, minimum, maximum, exclusive ones,
 * multipleOf, pattern, anyOf, oneOf, allOf, not, if/then/else, dependentRequired, dependentSchemas, $defs with "$ref": "#..."
 * and $anchor, boolean schemas. Annotations (title, format, default, ...) check nothing. What else there is makes a warning.
 * No reference leaves the document: nothing is ever fetched.
 *
 * Owns:    the compiled form and one reference to the document; schema_free gives both back.
 * Thread:  immutable after schema_compile: any number of threads may check.
 * Limits:  SCHEMA_NODES_MAX subschemas; a check ends after SCHEMA_STEPS_MAX steps, SCHEMA_DEPTH_MAX levels and a bounded
 *          effort of each pattern, whatever schema and value are.
 */
#ifndef MCP_SCHEMA_H
#define MCP_SCHEMA_H
#include "mcp/json.h"

#define SCHEMA_NODES_MAX  4096
#define SCHEMA_DEPTH_MAX  192
#define SCHEMA_STEPS_MAX  1000000
#define SCHEMA_ERRORS_MAX 8 /* that one check speaks of */

struct schema;
struct schema_warnings {
    void (*warn)(void *context, const char *pointer, const char *words); /* NULL: nobody listens */
    void *context;
};
/* `document` must not change any more. An error's message begins with the pointer of the place in the document, which
 * `ret_pointer` (NULL is fine) gets too. */
enum status   schema_compile(json_t *document, const struct schema_warnings *warnings,
                             struct schema **ret_schema, struct buffer *ret_pointer,
                             struct error *error) MUST_USE;
void          schema_free(struct schema *schema); /* NULL is fine */
const json_t *schema_document(const struct schema *schema);

/* ST_OK: it conforms. ST_INVALID_ARGUMENT: it does not; `words` gets a line per finding, each "/pointer: what must be" (the
 * whole value is "(root)"). ST_RESOURCE_EXHAUSTED: the check took too long; `words` says so. */
enum status schema_check(const struct schema *schema, const json_t *instance, struct buffer *words) MUST_USE;

/* Whether a value that conforms can have something at this path of names ("customer", "name"). For a schema that does not
 * tell (combinations, no properties at all) it is SCHEMA_MAYBE. */
enum schema_answer { SCHEMA_NO, SCHEMA_YES, SCHEMA_MAYBE };
enum schema_answer schema_has_path(const struct schema *schema, const struct bytes *names, size_t count);
/* Whether the schema is one of objects, as MCP wants of a tool's input: its "type" is "object". */
bool schema_is_of_objects(const struct schema *schema);
#endif
