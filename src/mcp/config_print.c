/* config_print.c: the tables of config_fields.c as JSON Schema, for editors, and as Markdown, for readers. */
#include "mcp/config_fields.h"

#define SCHEMA_DIALECT "https://json-schema.org/draft/2020-12/schema"

static void put(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        panic("out of memory");
}

static json_t *reference_to(const struct config_table *table)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/$defs/%s", table->name));
}

static json_t *choices_of(const char *choices)
{
    json_t *list = json_array();
    for (size_t size; *choices != '\0'; choices += size + (choices[size] == '|')) {
        size = strcspn(choices, "|");
        if (json_array_append_new(list, json_stringn(choices, size)) != 0)
            panic("out of memory");
    }
    return list;
}

static json_t *field_schema(const struct config_field *field)
{
    switch (field->kind) {
    case FIELD_TEXT:
        return json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
    case FIELD_DURATION:
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^([0-9]+(ms|s|m|h|d))+$");
    case FIELD_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_COUNT:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)field->least, "maximum",
                         (json_int_t)field->most);
    case FIELD_CHOICE:
        return json_pack("{s:o}", "enum", choices_of(field->choices));
    case FIELD_TEXTS:
        return json_pack("{s:s, s:{s:s, s:i}}", "type", "array", "items", "type", "string", "minLength", 1);
    case FIELD_JSON:
        return strcmp(field->choices, "any") == 0 ? json_object()
                                                  : json_pack("{s:s}", "type", field->choices);
    case FIELD_TEMPLATE:
        return json_pack("{s:s}", "type", "string");
    case FIELD_VALUES:
        return json_pack("{s:s}", "type", "array");
    case FIELD_SCHEMA:
        return json_pack("{s:[{s:s, s:s}, {s:s}]}", "anyOf", "type", "string", "pattern", "^@", "type",
                         "object");
    case FIELD_OBJECT:
        return reference_to(field->table);
    case FIELD_MAP:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", reference_to(field->table));
    default:
        assert(field->kind == FIELD_LIST);
        return json_pack("{s:[o, {s:s, s:o}]}", "anyOf", reference_to(field->table), "type", "array", "items",
                         reference_to(field->table));
    }
}

static void put_properties(const struct config_table *table, json_t *properties, json_t *required)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_field *field = &table->fields[i];
        json_t                    *schema = field_schema(field);
        if (*field->help != '\0')
            put(schema, "description", json_string(field->help));
        if (field->fallback != NULL && field->kind == FIELD_BOOL)
            put(schema, "default", json_boolean(*field->fallback == 't'));
        else if (field->fallback != NULL && field->kind == FIELD_COUNT)
            put(schema, "default", json_integer(atoll(field->fallback)));
        else if (field->fallback != NULL && field->kind == FIELD_VALUES)
            put(schema, "default", json_loads(field->fallback, 0, NULL));
        else if (field->fallback != NULL)
            put(schema, "default", json_string(field->fallback));
        put(properties, field->name, schema);
        if (field->needed && json_array_append_new(required, json_string(field->name)) != 0)
            panic("out of memory");
    }
}

static json_t *table_schema(const struct config_table *table)
{
    json_t *properties = json_object(), *required = json_array();
    put_properties(table, properties, required);
    for (size_t i = 0; i < ARRAY_COUNT(table->also) && table->also[i] != NULL; i++)
        put_properties(table->also[i], properties, required);
    json_t *schema = json_pack("{s:s, s:s, s:b, s:o}", "title", table->title, "type", "object",
                               "additionalProperties", 0, "properties", properties);
    if (json_array_size(required) > 0)
        put(schema, "required", json_incref(required));
    json_decref(required);
    if (*table->help != '\0')
        put(schema, "description", json_string(table->help));
    return schema;
}

json_t *config_json_schema(void)
{
    json_t              *definitions = json_object();
    json_t              *schema = json_pack("{s:s}", "$schema", SCHEMA_DIALECT);
    JSON_CLEANUP json_t *document = table_schema(config_tables[0]);
    if (json_object_update(schema, document) != 0)
        panic("out of memory");
    for (size_t i = 1; i < config_table_count; i++)
        put(definitions, config_tables[i]->name, table_schema(config_tables[i]));
    put(schema, "$defs", definitions);
    return schema;
}

/* --- Markdown --- */

static void print_type(const struct config_field *field, struct buffer *to)
{
    static const char *const names[] = {
        [FIELD_TEXT] = "text",
        [FIELD_DURATION] = "duration",
        [FIELD_BOOL] = "true or false",
        [FIELD_COUNT] = "number",
        [FIELD_TEXTS] = "texts",
        [FIELD_TEMPLATE] = "template",
        [FIELD_VALUES] = "array with templates",
        [FIELD_SCHEMA] = "JSON Schema",
        [FIELD_OBJECT] = "object",
        [FIELD_MAP] = "objects by name",
        [FIELD_LIST] = "array of objects",
    };
    if (field->kind == FIELD_JSON) {
        buffer_printf(to, "%s", strcmp(field->choices, "any") == 0 ? "JSON" : field->choices);
        return;
    }
    if (field->kind != FIELD_CHOICE) {
        buffer_append_text(to, names[field->kind]);
        return;
    }
    buffer_append_byte(to, '`');
    for (const char *at = field->choices; *at != '\0'; at++) {
        if (*at == '|')
            buffer_append_text(to, "`, `");
        else
            buffer_append_byte(to, (uint8_t)*at);
    }
    buffer_append_byte(to, '`');
}

static void print_table(const struct config_table *table, struct buffer *to)
{
    buffer_printf(to, "\n## %s\n\n", table->title);
    if (*table->help != '\0')
        buffer_printf(to, "%s\n\n", table->help);
    for (size_t i = 0; i < ARRAY_COUNT(table->also) && table->also[i] != NULL; i++)
        buffer_printf(to, "%s \"%s\"%s", i == 0 ? "And what stands under" : " and", table->also[i]->title,
                      i + 1 < ARRAY_COUNT(table->also) && table->also[i + 1] != NULL ? "" : ".\n\n");
    buffer_append_text(to, "| field | value | default | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct config_field *field = &table->fields[i];
        buffer_printf(to, "| `%s` | ", field->name);
        print_type(field, to);
        if (field->needed)
            buffer_append_text(to, " | needed | ");
        else if (field->fallback != NULL)
            buffer_printf(to, " | `%s` | ", field->fallback);
        else
            buffer_append_text(to, " | | ");
        buffer_printf(to, "%s |\n", field->help);
    }
}

void config_print_reference(struct buffer *to)
{
    for (size_t i = 0; i < config_table_count; i++)
        print_table(config_tables[i], to);
}
