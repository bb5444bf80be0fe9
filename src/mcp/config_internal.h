/* config_internal.h: one reading of documents: where it is, what it has found, what it makes. */
#ifndef MCP_CONFIG_INTERNAL_H
#define MCP_CONFIG_INTERNAL_H
#include "mcp/config_fields.h"

/* What a catalog must give back. */
struct owned {
    struct owned  *next;
    struct schema *schema;
    struct template *template;
    json_t *json;
};
struct catalog_private {
    struct arena  arena; /* structs and texts */
    struct owned *owned;
    uint64_t      texts_hash; /* of all that was read */
    struct tool   defaults;   /* of the document: what toolsets of the registry go by, too */
};
/* A text that findings speak of: a source, or a file that one names. */
struct config_text {
    const char  *file;
    struct bytes text;
    bool         commented;
};
struct reader {
    struct catalog             *catalog;
    struct config_report       *report;
    const struct config_source *source;
    struct config_text          text;    /* what `pointer` points into */
    struct buffer               pointer; /* of what is being read */
};

/* --- config.c --- */
/* A finding at `pointer` and `below` it (NULL: there itself). */
void config_find(struct reader *reader, enum config_finding_kind kind, const char *below, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
#define config_error(reader, ...) config_find((reader), CONFIG_ERROR, __VA_ARGS__)
/* Steps into a member; the result is for config_leave. */
size_t config_enter(struct reader *reader, const char *name);
size_t config_enter_index(struct reader *reader, size_t index);
void   config_leave(struct reader *reader, size_t before);
/* Reads what the table says, into `base`; what is read by hand is left. Unknown and missing fields are errors. False: no object. */
bool config_read_fields(struct reader *reader, const json_t *object, const struct config_table *table,
                        void *base);
/* Sets every field with a default (and a place) to it. */
void        config_set_defaults(struct reader *reader, const struct config_table *table, void *base);
void       *config_alloc(struct reader *reader, size_t count, size_t size);
const char *config_text(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
json_t     *config_own(struct reader *reader, json_t *value); /* takes the reference */
/* NULL, with a finding at the member `name`, when it cannot be compiled. */
const struct schema   *config_schema(struct reader *reader, json_t *document);
const struct template *config_template(struct reader *reader, const json_t *object, const char *name,
                                       enum template_kind kind, const struct schema *input);
/* A member of the types that its field allows; NULL: it is not there, or is something else (a finding). */
json_t *config_member(struct reader *reader, const json_t *object, const struct config_table *table,
                      const char *name);
/* An object schema with these names as strings, for prompts and URIs. */
const struct schema *config_names_schema(struct reader *reader, const struct bytes *names, size_t count);
/* The text of a file beside the source, at most `size_max`; false with a finding. */
bool config_file(struct reader *reader, const char *name, size_t size_max, struct config_text *ret_text);

/* A file's bytes, in the arena. */
bool config_read_whole(const char *path, size_t size_max, struct arena *arena, struct bytes *ret_text,
                       struct error *error) MUST_USE;

/* --- config_tool.c --- */
void config_read_tools(struct reader *reader, const json_t *tools, struct toolset *toolset,
                       const struct tool *defaults);
/* --- config_static.c --- */
void config_read_prompts(struct reader *reader, const json_t *prompts, struct toolset *toolset);
/* Those of tools that are resources besides, behind the others; at the tools, after config_read_resources. */
void config_add_tool_resources(struct reader *reader, struct toolset *toolset);
void config_read_resources(struct reader *reader, const json_t *resources, struct toolset *toolset);

bool     config_is_name(const char *name, size_t size_max, bool tool);
uint64_t config_hash(const json_t *value); /* stable; 0 for NULL */
#endif
