/* fuzz_mcp_template.c: templates of operators, arguments of strangers.
 *
 * Input: a byte (the kind), the template's text up to a NUL or line end, then the arguments' JSON.
 * What must hold: an id is UTF-8 of 1 to 1000 bytes; two callers never get one id from a template that names the caller; a
 * value's result has a canonical form.
 */
#include "fuzz.h"
#include "mcp/template.h"

static void check_id(struct bytes id)
{
    FUZZ_REQUIRE(id.size > 0 && id.size <= ID_SIZE_MAX && bytes_is_utf8(id) && !bytes_has_nul(id),
                 "an id of %zu bytes", id.size);
}

static void check_text(const struct template *template, enum template_kind kind, const json_t *arguments)
{
    CLEANUP(buffer_release) struct buffer text = { 0 }, other = { 0 };
    struct error                          error = { 0 };
    struct template_values                values = { arguments, BYTES("al-ice"), BYTES("tool"), BYTES("00ff"),
                                                     BYTES("u-u-i-d") };
    enum status                           status = template_text(template, &values, &text, &error);
    FUZZ_REQUIRE(status == ST_OK || error.message[0] != '\0', "refused without words");
    if (status != ST_OK || kind != TEMPLATE_ID)
        return;
    check_id(buffer_bytes(&text));
    values.caller = BYTES("al%2Dice");
    if (!template_names_caller(template) || template_text(template, &values, &other, &error) != ST_OK)
        return;
    check_id(buffer_bytes(&other));
    FUZZ_REQUIRE(!bytes_equal(buffer_bytes(&text), buffer_bytes(&other)), "two callers, one id: %.*s",
                 BYTES_FMT(buffer_bytes(&text)));
}

static void check_value(const struct template *template, const json_t *arguments)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    JSON_CLEANUP json_t                  *value = NULL;
    struct template_values                values = { arguments, BYTES("al-ice"), BYTES("tool"), BYTES("00ff"),
                                                     BYTES("u-u-i-d") };
    struct error                          error = { 0 };
    enum status                           status = template_value(template, &values, &value, &error);
    FUZZ_REQUIRE(status == ST_OK || error.message[0] != '\0', "refused without words");
    if (status == ST_OK)
        (void)!json_canonical(value, &text); /* deeper than JSON may be is refused there */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input  input = { data, size };
    enum template_kind kind = (enum template_kind)fuzz_below(&input, 3);
    size_t             length = 0;
    struct template *template = NULL;
    struct error         error = { 0 };
    JSON_CLEANUP json_t *source = NULL, *arguments = NULL;
    while (length < input.left && input.at[length] != '\n')
        length++;
    struct bytes text = fuzz_take(&input, length);
    (void)fuzz_byte(&input);
    if (json_read(fuzz_rest(&input), 65536, 0, &arguments, NULL, NULL) != ST_OK || !json_is_object(arguments))
        return 0;
    if (kind == TEMPLATE_VALUE) {
        if (json_read(text, 65536, 0, &source, NULL, NULL) != ST_OK)
            return 0;
    } else if ((source = json_stringn(text.size == 0 ? "" : (const char *)text.base, text.size)) == NULL) {
        return 0; /* no UTF-8 */
    }
    enum status status = template_compile(source, kind, NULL, &template, &error);
    FUZZ_REQUIRE(status == ST_OK || error.message[0] != '\0', "refused without words");
    if (status != ST_OK)
        return 0;
    if (kind == TEMPLATE_VALUE)
        check_value(template, arguments);
    else
        check_text(template, kind, arguments);
    template_free(template);
    return 0;
}
