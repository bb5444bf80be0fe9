/* fuzz_mcp_schema.c: schemas of operators, values of strangers.
 *
 * Input: the schema's text, a line with nothing but ";", the value's text.
 * What must hold: a check ends, and says words exactly when it does not say yes; {"not": schema} says the opposite, and
 * {"allOf": [schema]} the same (where the effort suffices for both).
 */
#include "fuzz.h"
#include "mcp/schema.h"

static enum status outcome(const json_t *document, const json_t *instance)
{
    CLEANUP(buffer_release) struct buffer words = { 0 };
    struct schema                        *schema = NULL;
    struct error                          error = { 0 };
    enum status status = schema_compile((json_t *)(uintptr_t)document, NULL, &schema, NULL, &error);
    if (status != ST_OK) {
        FUZZ_REQUIRE(error.message[0] != '\0', "refused without words");
        return ST_FAILED_PRECONDITION;
    }
    status = schema_check(schema, instance, &words);
    FUZZ_REQUIRE((words.size == 0) == (status == ST_OK), "status %d, %zu bytes of words", status, words.size);
    FUZZ_REQUIRE(bytes_is_utf8(buffer_bytes(&words)), "words that are not UTF-8");
    schema_free(schema);
    return status;
}

/* References are of the whole document: within another one they lead elsewhere. */
static bool has_references(struct bytes text)
{
    return memmem(text.base, text.size, "ref", 3) != NULL || memmem(text.base, text.size, "\\u", 2) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *separator = size == 0 ? NULL : memmem(data, size, "\n;\n", 3);
    if (separator == NULL)
        return 0;
    size_t       schema_size = (size_t)(separator - data);
    struct bytes schema_text = bytes_of(data, schema_size),
                 text = bytes_of(separator + 3, size - schema_size - 3);
    JSON_CLEANUP json_t *schema = NULL, *instance = NULL;
    if (json_read(schema_text, 65536, 0, &schema, NULL, NULL) != ST_OK ||
        json_read(text, 65536, 0, &instance, NULL, NULL) != ST_OK)
        return 0;
    enum status status = outcome(schema, instance);
    if (status == ST_FAILED_PRECONDITION || has_references(schema_text))
        return 0;
    JSON_CLEANUP json_t *negation = json_pack("{s:O}", "not", schema),
                        *all = json_pack("{s:[O]}", "allOf", schema);
    enum status opposite = outcome(negation, instance), same = outcome(all, instance);
    if (status == ST_RESOURCE_EXHAUSTED || opposite == ST_RESOURCE_EXHAUSTED || same == ST_RESOURCE_EXHAUSTED)
        return 0;
    FUZZ_REQUIRE((status == ST_OK) != (opposite == ST_OK), "it and its negation both say %d", status);
    FUZZ_REQUIRE(status == same, "it says %d, and %d as the only one of allOf", status, same);
    return 0;
}
