/* content.c: outcomes as each revision's clients can read them. */
#include "mcp/gateway_internal.h"

/* What came with 2025-06-18 is said in older words: a link becomes a text, and structured content is in the text already. */
static void make_old(json_t *result)
{
    size_t  index;
    json_t *block;
    json_array_foreach(json_object_get(result, "content"), index, block)
    {
        if (!bytes_equal_text(json_text(json_object_get(block, "type")), "resource_link"))
            continue;
        json_array_set_new(json_object_get(result, "content"), index,
                           json_pack("{s:s, s:o}", "type", "text", "text",
                                     json_incref(json_object_get(block, "uri"))));
    }
    json_object_del(result, "structuredContent");
}

json_t *content_result(const struct request *request, const struct outcome *outcome)
{
    assert(outcome->kind != OUTCOME_PROTOCOL);
    json_t *result = json_deep_copy(outcome->result);
    json_t *structured = json_object_get(result, "structuredContent");
    if (!request->revision->structured)
        make_old(result);
    /* Before 2026-07-28 it has to be an object. */
    else if (structured != NULL && !request->revision->modern && !json_is_object(structured))
        json_object_del(result, "structuredContent");
    if (json_object_get(result, "content") == NULL)
        json_object_set_new(result, "content", json_array());
    return result;
}

void content_answer(struct request *request, const struct outcome *outcome)
{
    if (outcome->kind == OUTCOME_PROTOCOL)
        request_error(request, outcome->code, json_incref(outcome->data), "%s", outcome->message);
    else
        request_result(request, content_result(request, outcome));
}
