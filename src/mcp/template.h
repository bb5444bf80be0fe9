/* template.h: "{path|filter}" in ids, arguments and texts of mcp.json.
 *
 *   {city}  {customer.name}  {lines.0.sum}   from the arguments       {@}  all of them        {@.caller}  if a name is taken
 *   {caller}  who calls      {tool}  its name        {hash}  SHA-256 of the arguments        {uuid}  a fresh one per call
 *   {x|lower} {x|upper} {x|slug} {x|fixed:4} {x|default:none} {x|default:uuid}, several in a row     {{ and }}  the braces
 *
 * In a value, a string that is one sole placeholder without other text keeps the type of what it names; an argument that is
 * not there is null. In an id or a text it is an error (in the words of who called), unless it has a default.
 * In an id, {caller} cannot run into its neighbours: it has a separator on each side, and where that separator occurs in the
 * caller's name it is written as %XX. So nobody reaches another caller's run by the choice of arguments.
 *
 * Owns:    the compiled form (template_free). Thread: immutable, any. Limits: TEMPLATE_PARTS_MAX parts in a string; an id
 * has ID_SIZE_MAX bytes of UTF-8, is not empty.
 */
#ifndef MCP_TEMPLATE_H
#define MCP_TEMPLATE_H
#include "mcp/json.h"
#include "mcp/schema.h"

#define TEMPLATE_PARTS_MAX     64
#define TEMPLATE_TEXT_SIZE_MAX (64 * 1024) /* of what a text becomes */
#define ID_SIZE_MAX            1000

struct template;
enum template_kind {
    TEMPLATE_TEXT,  /* a text for people */
    TEMPLATE_ID,    /* a workflow id or an update id: see above */
    TEMPLATE_VALUE, /* any JSON value with templates in its strings (keys are taken as they are) */
};
/* `source` is a string for texts and ids. `input` (NULL: anything goes) is what the paths are looked up in. */
enum status template_compile(const json_t *source, enum template_kind kind, const struct schema *input,
                             struct template **ret_template, struct error *error) MUST_USE;
void        template_free(struct template *template); /* NULL is fine */
/* Whether {caller} (or a hash: which tells no caller) occurs: for the lints. */
bool template_names_caller(const struct template *template);

struct template_values {
    const json_t *arguments; /* an object */
    struct bytes  caller, tool;
    struct bytes  hash; /* hexadecimal */
    struct bytes  uuid;
};
/* Appends. An id is checked whole. ST_INVALID_ARGUMENT with words for who made the arguments. */
enum status template_text(const struct template *template, const struct template_values *values,
                          struct buffer *to, struct error *error) MUST_USE;
/* Of a TEMPLATE_VALUE: a new value. */
enum status template_value(const struct template *template, const struct template_values *values,
                           json_t **ret_value, struct error *error) MUST_USE;
#endif
