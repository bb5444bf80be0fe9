/* fuzz_mcp_config.c: documents: JSON with limits, and what is made of it.
 *
 * Input: a byte (0: JSON; 1: a whole mcp.json; 2: a toolset of the registry), then the text.
 * What must hold: what is read has a canonical form that reads as the same value; every finding has words and a place in the
 * text; a catalog's tools have an id and a schema; a document that the parser takes conforms to the published schema.
 */
#include "fuzz.h"
#include "mcp/config.h"

static uint32_t lines_of(struct bytes text)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < text.size; i++)
        lines += text.base[i] == '\n';
    return lines;
}

static void check_json(struct bytes text)
{
    struct error      error = { 0 };
    struct json_place place;
    json_t           *value = NULL, *again = NULL;
    if (json_read(text, JSON_TEXT_SIZE_MAX, JSON_WITH_COMMENTS, &value, &place, &error) != ST_OK) {
        FUZZ_REQUIRE(error.message[0] != '\0' && place.line <= lines_of(text), "no words, or line %u",
                     place.line);
        return;
    }
    CLEANUP(buffer_release) struct buffer canonical = { 0 }, pointer = { 0 };
    FUZZ_REQUIRE(json_canonical(value, &canonical), "no canonical form of what was read");
    FUZZ_REQUIRE(json_read(buffer_bytes(&canonical), 8 * JSON_TEXT_SIZE_MAX, 0, &again, NULL, &error) ==
                         ST_OK &&
                     json_same(value, again),
                 "the canonical form is another value: %s", error.message);
    json_t     *member;
    const char *name;
    json_object_foreach(value, name, member)
    {
        buffer_clear(&pointer);
        json_pointer_append(&pointer, bytes_of_text(name));
        FUZZ_REQUIRE(json_pointer_get(value, buffer_bytes(&pointer)) == member, "a pointer leads elsewhere");
        buffer_append_byte(&pointer, 0);
        place = json_locate(text, JSON_WITH_COMMENTS, (const char *)pointer.base);
        FUZZ_REQUIRE(place.line >= 1 && place.line <= lines_of(text), "line %u", place.line);
    }
    json_decref(value);
    json_decref(again);
}

static void check_catalog(const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->toolset_count; i++) {
        const struct toolset *toolset = catalog->toolsets[i];
        for (size_t k = 0; k < toolset->tool_count; k++) {
            const struct tool *tool = &toolset->tools[k];
            FUZZ_REQUIRE(tool->id != NULL && tool->input_schema != NULL &&
                             schema_is_of_objects(tool->input_schema),
                         "a tool without id or schema");
            FUZZ_REQUIRE(tool->kind >= TOOL_SIGNAL || (tool->workflow != NULL && tool->task_queue != NULL),
                         "a start of nothing");
            FUZZ_REQUIRE(tool->kind == TOOL_START || tool->operation != NULL, "no operation");
            FUZZ_REQUIRE(toolset_tool(toolset, bytes_of_text(tool->name)) == tool,
                         "a tool that is not found");
        }
        for (size_t k = 0; k < toolset->resource_count; k++) {
            json_t *names = NULL;
            FUZZ_REQUIRE(toolset_resource(toolset, bytes_of_text(toolset->resources[k].uri), &names) !=
                                 NULL ||
                             toolset->resources[k].is_template,
                         "a resource that is not found");
            json_decref(names);
        }
    }
}

static void check_published(struct bytes text)
{
    static struct schema                 *schema; /* compiled once for all inputs */
    CLEANUP(buffer_release) struct buffer words = { 0 };
    JSON_CLEANUP json_t                  *document = NULL;
    if (schema == NULL) {
        JSON_CLEANUP json_t *published = config_json_schema();
        FUZZ_REQUIRE(schema_compile(published, NULL, &schema, NULL, NULL) == ST_OK, "no published schema");
    }
    FUZZ_REQUIRE(json_read(text, CONFIG_SIZE_MAX, JSON_WITH_COMMENTS, &document, NULL, NULL) == ST_OK,
                 "not read twice");
    FUZZ_REQUIRE(schema_check(schema, document, &words) == ST_OK,
                 "taken, but not by the published schema: %.*s", BYTES_FMT(buffer_bytes(&words)));
}

static bool contains(struct bytes text, const char *word)
{
    return text.size > 0 && memmem(text.base, text.size, word, strlen(word)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input    input = { data, size };
    unsigned             kind = fuzz_below(&input, 3);
    struct bytes         text = fuzz_rest(&input);
    struct config_source source = { "/nowhere/mcp.json", text, kind == 1 ? NULL : "it", 1 };
    struct config_report report;
    struct catalog      *catalog = NULL;
    check_json(text);
    /* Nothing of the machine's files is read: a name may be escaped too. */
    if (kind == 0 ||
        (kind == 1 && (contains(text, "$ref") || contains(text, "file") || contains(text, "\\u"))))
        return 0;
    config_report_init(&report);
    enum status status = config_build(&source, 1, &catalog, &report);
    FUZZ_REQUIRE((status == ST_OK) == (report.error_count == 0), "status %d, %zu errors", status,
                 report.error_count);
    for (size_t i = 0; i < report.count; i++)
        FUZZ_REQUIRE(report.findings[i].words[0] != '\0' && report.findings[i].place.line <= lines_of(text),
                     "a finding without words, or behind the text");
    if (status == ST_OK) {
        check_catalog(catalog);
        if (kind == 1)
            check_published(text);
    }
    config_report_release(&report);
    catalog_unref(catalog);
    return 0;
}
