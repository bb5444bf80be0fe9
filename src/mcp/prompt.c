/* prompt.c: prompts/list, prompts/get, completion/complete. */
#include "mcp/gateway_internal.h"

#define COMPLETIONS_MAX 100

void handle_prompts_list(struct request *request)
{
    json_t *items = json_array();
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        for (size_t j = 0; j < toolset->prompt_count; j++) {
            const struct prompt *prompt = &toolset->prompts[j];
            json_t              *value = json_pack("{s:s, s:s*, s:O*}", "name", prompt->name, "description",
                                                   prompt->description, "arguments", prompt->arguments);
            if (request->revision->structured && prompt->title != NULL)
                json_object_set_new(value, "title", json_string(prompt->title));
            json_array_append_new(items, value);
        }
    }
    list_answer(request, "prompts", items);
}

static const struct prompt *prompt_find(const struct request *request, struct bytes name)
{
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct prompt *prompt = toolset_prompt(request_toolset(request, i), name);
        if (prompt != NULL)
            return prompt;
    }
    return NULL;
}

static void answer_messages(struct request *request, json_t *messages)
{
    const struct prompt *prompt = prompt_find(request, json_text(json_object_get(request->params, "name")));
    request_result(request, json_pack("{s:o, s:s*}", "messages", messages, "description",
                                      prompt == NULL ? NULL : prompt->description));
}

/* A workflow's answer as a prompt: {messages: [...]}, or a text that is then what the user says. */
static void finish_get(struct request *request, const struct outcome *outcome)
{
    json_t *messages = json_object_get(outcome->result, "messages");
    if (messages == NULL)
        messages = json_object_get(json_object_get(outcome->result, "structuredContent"), "messages");
    json_t *first = json_array_get(json_object_get(outcome->result, "content"), 0);
    if (outcome->kind == OUTCOME_PROTOCOL || json_is_true(json_object_get(outcome->result, "isError"))) {
        const char *text = json_string_value(json_object_get(first, "text"));
        request_error(request, outcome->kind == OUTCOME_PROTOCOL ? outcome->code : RPC_INTERNAL_ERROR, NULL,
                      "%s",
                      outcome->message != NULL ? outcome->message
                      : text != NULL           ? text
                                               : "the prompt failed");
    } else if (json_is_array(messages)) {
        answer_messages(request, json_incref(messages));
    } else {
        json_t *content = first == NULL ? json_pack("{s:s, s:s}", "type", "text", "text", "")
                                        : json_incref(first);
        answer_messages(request, json_pack("[{s:s, s:o}]", "role", "user", "content", content));
    }
}

static const char *missing_argument(const struct prompt *prompt, const json_t *arguments)
{
    size_t  index;
    json_t *argument;
    json_array_foreach((json_t *)prompt->arguments, index, argument)
    {
        const char *name = json_string_value(json_object_get(argument, "name"));
        if (name != NULL && json_is_true(json_object_get(argument, "required")) &&
            json_object_get(arguments, name) == NULL)
            return name;
    }
    return NULL;
}

void handle_prompts_get(struct request *request)
{
    struct bytes         name;
    struct error         error;
    json_t JSON_CLEANUP *none = json_object();
    json_t              *messages;
    if (!request_text_param(request, "name", &name))
        return;
    const json_t        *given = json_object_get(request->params, "arguments");
    const json_t        *arguments = given == NULL ? none : given;
    const struct prompt *prompt = prompt_find(request, name);
    const char          *missing = prompt == NULL ? NULL : missing_argument(prompt, arguments);
    if (prompt == NULL || missing != NULL || !json_is_object(arguments)) {
        request_error(request, RPC_INVALID_PARAMS, NULL,
                      prompt == NULL ? "there is no such prompt" : "the argument %s is missing",
                      missing == NULL ? "" : missing);
        return;
    }
    if (prompt->tool != NULL) {
        call_begin(request, prompt->tool, arguments, finish_get);
        return;
    }
    struct template_values values = { .arguments = arguments, .caller = bytes_of_text(request->caller.name) };
    if (template_value(prompt->messages, &values, &messages, &error) != ST_OK)
        request_error(request, RPC_INVALID_PARAMS, NULL, "%s", error.message);
    else
        answer_messages(request, messages);
}

static const json_t *completions_of(const struct request *request, const json_t *ref)
{
    struct bytes type = json_text(json_object_get(ref, "type"));
    struct bytes uri = json_text(json_object_get(ref, "uri"));
    if (bytes_equal_text(type, "ref/prompt")) {
        const struct prompt *prompt = prompt_find(request, json_text(json_object_get(ref, "name")));
        return prompt == NULL ? NULL : prompt->completions;
    }
    for (size_t i = 0; i < request_toolset_count(request); i++) {
        const struct toolset *toolset = request_toolset(request, i);
        for (size_t j = 0; j < toolset->resource_count; j++) {
            if (bytes_equal_text(uri, toolset->resources[j].uri))
                return toolset->resources[j].completions;
        }
    }
    return NULL;
}

void handle_complete(struct request *request)
{
    const json_t *argument = json_object_get(request->params, "argument");
    const json_t *name = json_object_get(argument, "name");
    if (!json_is_object(json_object_get(request->params, "ref")) || !json_is_string(name) ||
        !json_is_string(json_object_get(argument, "value"))) {
        request_error(request, RPC_INVALID_PARAMS, NULL,
                      "completion needs params.ref and params.argument {name, value}");
        return;
    }
    const json_t *all = json_object_get(completions_of(request, json_object_get(request->params, "ref")),
                                        json_string_value(name));
    struct bytes  begun = json_text(json_object_get(argument, "value"));
    json_t       *values = json_array();
    size_t        total = 0, index;
    json_t       *value;
    json_array_foreach((json_t *)all, index, value)
    {
        if (!bytes_starts_with(json_text(value), begun))
            continue;
        if (total++ < COMPLETIONS_MAX)
            json_array_append(values, value);
    }
    request_result(request, json_pack("{s:{s:o, s:I, s:b}}", "completion", "values", values, "total",
                                      (json_int_t)total, "hasMore", total > COMPLETIONS_MAX));
}
