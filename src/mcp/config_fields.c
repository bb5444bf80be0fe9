/* config_fields.c: every option of mcp.json, its bounds, its default, and its words. */
#include "mcp/config_fields.h"

#define DAYS(count) ((count) * 24 * 3600 * NS_PER_S)
#define TABLE(id, what, words, ...)                                                                          \
    const struct config_table table_##id = {                                                                 \
        #id, what, words, id##_fields, ARRAY_COUNT(id##_fields), { __VA_ARGS__ }                             \
    }
#define TEXT(field_name, type, member, ...)                                                                  \
    { .name = field_name, .kind = FIELD_TEXT, .offset = offsetof(struct type, member), __VA_ARGS__ }
#define TIME(field_name, type, member, low, high, ...)                                                       \
    { .name = field_name,                                                                                    \
      .kind = FIELD_DURATION,                                                                                \
      .offset = offsetof(struct type, member),                                                               \
      .least = low,                                                                                          \
      .most = high,                                                                                          \
      __VA_ARGS__ }
#define CHOICE(field_name, type, member, ...)                                                                \
    { .name = field_name, .kind = FIELD_CHOICE, .offset = offsetof(struct type, member), __VA_ARGS__ }
#define BOOL(field_name, type, member, ...)                                                                  \
    { .name = field_name, .kind = FIELD_BOOL, .offset = offsetof(struct type, member), __VA_ARGS__ }
#define COUNT(field_name, type, member, low, high, ...)                                                      \
    { .name = field_name,                                                                                    \
      .kind = FIELD_COUNT,                                                                                   \
      .offset = offsetof(struct type, member),                                                               \
      .least = low,                                                                                          \
      .most = high,                                                                                          \
      __VA_ARGS__ }
#define TEXTS(field_name, type, member, ...)                                                                 \
    { .name = field_name, .kind = FIELD_TEXTS, .offset = offsetof(struct type, member), __VA_ARGS__ }
#define HAND(field_name, how, ...) { .name = field_name, .kind = how, .by_hand = true, __VA_ARGS__ }

static const struct config_field auth_fields[] = {
    CHOICE("mode", auth_options, mode, .choices = "none|tokens|jwt", .fallback = "none",
           .help = "Who may call. `none` is for loopback addresses only."),
    TEXT("tokens_file", auth_options, tokens_file,
         .help = "For `tokens`: the file of hashed tokens (`perdure mcp token`)."),
    TEXT("issuer", auth_options, issuer, .help = "For `jwt`: what `iss` must be."),
    TEXT("audience", auth_options, audience, .help = "For `jwt`: what `aud` must name."),
    TEXT("jwks", auth_options, jwks, .help = "For `jwt`: the keys, a file or an http(s) URL."),
    TEXT("resource", auth_options, resource,
         .help = "The URL under which clients know this server; else from the Host header."),
    TEXT("caller_claim", auth_options, caller_claim, .fallback = "sub",
         .help = "The claim that names the caller."),
    TEXT("scope_claim", auth_options, scope_claim,
         .help = "The claim that names the scopes; else `scope`, or `scp`."),
    TIME("leeway", auth_options, leeway_ns, 0, 3600 * NS_PER_S, .fallback = "30s",
         .help = "By how much clocks may differ."),
    TIME("jwks_refresh", auth_options, jwks_refresh_ns, NS_PER_S, DAYS(30), .fallback = "10m",
         .help = "How old keys from a URL may become."),
    TEXTS("authorization_servers", auth_options, authorization_servers,
          .help = "Where clients get their tokens, for the protected-resource metadata; else the issuer."),
    TEXTS("scopes", auth_options, scopes, .help = "Scopes that every call needs."),
};
TABLE(auth, "auth", "Who may call.", NULL);

static const struct config_field codec_fields[] = {
    TEXT("endpoint", codec_options, endpoint, .needed = true,
         .help = "The URL below which `/encode` and `/decode` are."),
    TIME("timeout", codec_options, timeout_ns, 100 * NS_PER_MS, 60 * NS_PER_S, .fallback = "5s",
         .help = "How long it may take to answer."),
};
TABLE(codec, "codec",
      "The codec server of workers that encrypt payloads, as Temporal's web UI asks it: arguments go through "
      "it, "
      "and so does what the gateway cannot read itself.",
      NULL);

static const struct config_field policy_fields[] = {
    CHOICE("running", tool, running, .choices = "attach|reject|new", .fallback = "attach",
           .help =
               "When a run with the id is open: wait for it, refuse, or start another one under a fresh id."),
    CHOICE("closed", tool, closed, .choices = "rerun|rerun_if_failed|return", .fallback = "rerun",
           .help = "When a run with the id has closed: start anew, do so only after a failure, or answer "
                   "with its result."),
    TIME("window", tool, window_ns, 0, DAYS(3650), .fallback = "0s",
         .help = "For how long after its close a run is the answer (`return`, `rerun_if_failed`); 0s: as "
                 "long as it is retained."),
    CHOICE("same_id_other_args", tool, same_id_other_args, .choices = "reject|ignore", .fallback = "reject",
           .help = "The id is taken by a call with other arguments: refuse (and change nothing), or take its "
                   "run as the answer."),
    TIME("execution_timeout", tool, execution_timeout_ns, 0, DAYS(3650), .fallback = "0s",
         .help = "Of the workflow with its retries and continuations; 0s: none."),
    TIME("run_timeout", tool, run_timeout_ns, 0, DAYS(3650), .fallback = "0s",
         .help = "Of a single run; 0s: none."),
    TIME("workflow_task_timeout", tool, workflow_task_timeout_ns, 0, 120 * NS_PER_S, .fallback = "0s",
         .help = "Of a workflow task; 0s: the server's."),
    TIME("start_delay", tool, start_delay_ns, 0, DAYS(3650), .fallback = "0s",
         .help = "How long the first task waits."),
};
TABLE(policy, "Starting", "", NULL);

static const struct config_field waiting_fields[] = {
    CHOICE("task", tool, task, .choices = "auto|always|never", .fallback = "auto",
           .help =
               "Whether a client that knows tasks gets one: when the call takes longer, at once, or not."),
    TIME("task_after", tool, task_after_ns, 0, 50 * NS_PER_S, .fallback = "2s",
         .help = "`auto`: after how long."),
    TIME("sync_wait", tool, sync_wait_ns, 0, 50 * NS_PER_S, .fallback = "25s",
         .help = "How long one request waits for the answer before another way is taken."),
    TIME("hold", tool, hold_ns, 0, 3600 * NS_PER_S, .fallback = "50s",
         .help = "How long a request is held for an older client that can do nothing but wait."),
    TIME("max_stream", tool, max_stream_ns, NS_PER_S, 3600 * NS_PER_S, .fallback = "240s",
         .help = "How long a stream of progress is kept open at a time."),
    COUNT(
        "legs", tool, legs, 0, 100, .fallback = "9",
        .help =
            "How often a client without tasks is asked to come again before it gets a hand-off; 0: at once."),
    CHOICE("on_disconnect", tool, on_disconnect, .choices = "detach|cancel", .fallback = "detach",
           .help = "The client goes away: the run goes on, or is asked to cancel."),
    BOOL("hand_off", tool, hand_off, .fallback = "true",
         .help = "Whether a run that takes long may be answered by a handle for `task_result`."),
    CHOICE(
        "result", tool, result, .choices = "plain|raw", .fallback = "plain",
        .help =
            "`raw`: the workflow's result is a CallToolResult (content, structuredContent, isError) itself."),
};
TABLE(waiting, "Waiting", "", NULL);

static const struct config_field defaults_fields[] = {
    TEXT("task_queue", tool, task_queue, .help = "Where workers poll."),
};
TABLE(defaults, "defaults",
      "What tools have that say nothing else. A toolset's own go before those of the document.",
      &table_policy, &table_waiting);

static const struct config_field condition_fields[] = {
    TEXT("query", query_condition, query, .needed = true,
         .help = "The query that tells the workflow's state."),
    HAND("equals", FIELD_JSON, .choices = "any", .needed = true,
         .help = "What it answers while the question is open."),
};
TABLE(condition, "approval.when", "When the question is open.", NULL);

static const struct config_field rule_fields[] = {
    TEXT("if", answer_rule, condition,
         .help = "A field of the form that must be true; else the rule always holds."),
    TEXT("signal", answer_rule, signal, .help = "The signal to send."),
    TEXT("update", answer_rule, update, .help = "The update to send."),
    HAND("args", FIELD_VALUES, .help = "What it carries; `{answer.NAME}` is a field of the form."),
};
TABLE(rule, "approval.accept, approval.decline",
      "How an answer reaches the workflow: the first rule that holds.", NULL);

static const struct config_field approval_fields[] = {
    HAND("when", FIELD_OBJECT, .table = &table_condition, .needed = true,
         .help = "When the question is open."),
    HAND("message", FIELD_TEMPLATE, .needed = true, .help = "What the person is asked."),
    HAND("form", FIELD_JSON, .choices = "object", .needed = true,
         .help = "What they fill in: `properties` of simple types, and `required`."),
    HAND("accept", FIELD_LIST, .table = &table_rule, .needed = true, .help = "What an answer does."),
    HAND("decline", FIELD_LIST, .table = &table_rule, .help = "What a refusal does; else nothing."),
};
TABLE(approval, "approval", "A question to a person for a workflow that knows nothing of MCP.", NULL);

#define START_FIELDS                                                                                         \
    TEXT("workflow", tool, workflow, .needed = true, .help = "The workflow type."),                          \
        HAND("id", FIELD_TEMPLATE, .fallback = "mcp-{tool}-{caller}-{hash}",                                 \
             .help = "The workflow id: what makes a repeated call the same call."),                          \
        HAND("args", FIELD_VALUES, .fallback = "[\"{@}\"]", .help = "The workflow's arguments."),            \
        TEXT("task_queue", tool, task_queue, .help = "Where its workers poll; else the toolset's.")
static const struct config_field start_fields[] = { START_FIELDS };
TABLE(start, "start", "Start a workflow, answer with its result.", &table_policy);
static const struct config_field update_with_start_fields[] = {
    START_FIELDS,
    TEXT("update", tool, operation, .needed = true, .help = "The update's name."),
    HAND("update_args", FIELD_VALUES, .fallback = "[]", .help = "The update's arguments."),
    HAND("update_id", FIELD_TEMPLATE,
         .help = "What makes a repeated update the same one; else each call has its own."),
};
TABLE(update_with_start, "update_with_start", "Start it if it does not run, answer with the update's result.",
      &table_policy);
static const struct config_field signal_with_start_fields[] = {
    START_FIELDS,
    TEXT("signal", tool, operation, .needed = true, .help = "The signal's name."),
    HAND("signal_args", FIELD_VALUES, .fallback = "[]", .help = "The signal's arguments."),
};
TABLE(signal_with_start, "signal_with_start",
      "Start it if it does not run; the answer is that the signal is durable.", &table_policy);

#define EXISTING_FIELDS                                                                                      \
    HAND("workflow_id", FIELD_TEMPLATE, .needed = true, .help = "Whose."),                                   \
        TEXT("name", tool, operation, .needed = true, .help = "The handler's name."),                        \
        HAND("args", FIELD_VALUES, .fallback = "[]", .help = "Its arguments.")
static const struct config_field signal_fields[] = { EXISTING_FIELDS };
TABLE(signal, "signal", "Signal a workflow that runs.", NULL);
static const struct config_field update_fields[] = {
    EXISTING_FIELDS,
    HAND("update_id", FIELD_TEMPLATE,
         .help = "What makes a repeated update the same one; else each call has its own."),
};
TABLE(update, "update", "Update a workflow that runs, answer with the update's result.", NULL);
static const struct config_field query_fields[] = {
    EXISTING_FIELDS,
    TIME("timeout", tool, query_timeout_ns, 100 * NS_PER_MS, 30 * NS_PER_S, .fallback = "3s",
         .help = "How long a worker may take to answer."),
    CHOICE("fallback", tool, fallback, .choices = "none|describe", .fallback = "none",
           .help = "No worker answers: an error, or what the server knows of the run."),
};
TABLE(query, "query", "Query a workflow.", NULL);

static const struct config_field tool_fields[] = {
    TEXT("title", tool, title, .help = "For people."),
    TEXT("description", tool, description, .help = "For the model: what it does and when to use it."),
    HAND("input", FIELD_SCHEMA,
         .help =
             "JSON Schema of the arguments, `@other_tool` for its, or `{\"$ref\": \"file.json\"}`; else an "
             "object without properties."),
    HAND("output", FIELD_SCHEMA, .help = "JSON Schema of the result. One that does not conform is an error."),
    HAND("annotations", FIELD_JSON, .choices = "object",
         .help = "As MCP has them: readOnlyHint, destructiveHint, ..."),
    HAND("icons", FIELD_JSON, .choices = "array", .help = "As MCP has them."),
    HAND("_meta", FIELD_JSON, .choices = "object", .help = "As MCP has it."),
    BOOL("expose", tool, exposed, .fallback = "true",
         .help = "false: prompts and resources may use it, clients may not."),
    BOOL("shared", tool, shared, .fallback = "false",
         .help = "Runs are those of all callers, on purpose: no warning about an id without the caller."),
    TEXTS("scopes", tool, scopes, .help = "Scopes that it needs, besides its toolset's."),
    HAND("start", FIELD_OBJECT, .table = &table_start, .help = "Exactly one of these six is needed."),
    HAND("update_with_start", FIELD_OBJECT, .table = &table_update_with_start, .help = ""),
    HAND("signal_with_start", FIELD_OBJECT, .table = &table_signal_with_start, .help = ""),
    HAND("signal", FIELD_OBJECT, .table = &table_signal, .help = ""),
    HAND("update", FIELD_OBJECT, .table = &table_update, .help = ""),
    HAND("query", FIELD_OBJECT, .table = &table_query, .help = ""),
    HAND("running_text", FIELD_TEMPLATE,
         .help = "What a hand-off says first: that the run goes on, in words of this tool."),
    HAND("resource", FIELD_TEXT,
         .help = "A URI, perhaps with `{argument}` in it, under which the tool's answer can be read as a "
                 "resource; without "
                 "a scheme it is below `tool://TOOLSET/`."),
    HAND("require_query", FIELD_JSON, .choices = "object",
         .help = "`{QUERY: VALUE}`: the call is refused unless the query answers so."),
    HAND("approval", FIELD_OBJECT, .table = &table_approval,
         .help = "Turns a state of the workflow into a question."),
};
TABLE(tool, "A tool", "", &table_waiting);

static const struct config_field prompt_fields[] = {
    TEXT("title", prompt, title, .help = "For people."),
    TEXT("description", prompt, description, .help = "For people."),
    HAND("arguments", FIELD_JSON, .choices = "array",
         .help = "`[{\"name\", \"description\", \"required\"}]`."),
    HAND("messages", FIELD_VALUES,
         .help = "`[{\"role\", \"content\"}]`; a content that is a string is text. Placeholders are the "
                 "arguments."),
    HAND("tool", FIELD_TEXT,
         .help = "Instead of messages: a tool of the toolset whose (raw) result is the prompt."),
    HAND("completions", FIELD_JSON, .choices = "object",
         .help = "`{ARGUMENT: [VALUE, ...]}`: what is proposed."),
};
TABLE(prompt, "A prompt", "", NULL);

static const struct config_field resource_fields[] = {
    TEXT("name", resource, name, .help = "Else the URI."),
    TEXT("title", resource, title, .help = "For people."),
    TEXT("description", resource, description, .help = "For people and models."),
    TEXT("mimeType", resource, mime_type, .help = "Of the content."),
    HAND("annotations", FIELD_JSON, .choices = "object", .help = "As MCP has them."),
    HAND("text", FIELD_TEMPLATE, .help = "The content; with a URI that has `{names}`, they may be used."),
    HAND("json", FIELD_JSON, .choices = "any", .help = "The content, as JSON."),
    HAND("blob", FIELD_TEXT, .help = "The content, in base64."),
    HAND("file", FIELD_TEXT, .help = "A file of text beside this one."),
    HAND("tool", FIELD_TEXT, .help = "A tool of the toolset that is called with the URI's names."),
    HAND("completions", FIELD_JSON, .choices = "object", .help = "`{NAME: [VALUE, ...]}`: what is proposed."),
};
TABLE(resource, "A resource",
      "Its key is the URI; with `{names}` it is a template. Exactly one of text, json, blob, file and tool.",
      NULL);

static const struct config_field toolset_fields[] = {
    TEXT("title", toolset, title, .help = "For people."),
    TEXT("instructions", toolset, instructions, .help = "For the model: what these tools are for."),
    TEXT("namespace", toolset, namespace_name, .fallback = "default", .help = "Where the workflows run."),
    HAND("task_queue", FIELD_TEXT, .help = "Where their workers poll."),
    TEXTS("scopes", toolset, scopes, .help = "Scopes that every tool needs."),
    HAND("defaults", FIELD_OBJECT, .table = &table_defaults,
         .help = "What its tools have that say nothing else."),
    HAND("tools", FIELD_MAP, .table = &table_tool, .help = "By name: 1 to 128 of `A-Z a-z 0-9 _ . -`."),
    HAND("prompts", FIELD_MAP, .table = &table_prompt, .help = "By name."),
    HAND("resources", FIELD_MAP, .table = &table_resource, .help = "By URI."),
};
TABLE(toolset, "A toolset",
      "Served at `/mcp/NAME`, and with all others at `/mcp`. So is a document of the registry.", NULL);

static const struct config_field document_fields[] = {
    HAND("$schema", FIELD_TEXT, .help = "For editors."),
    TEXT("listen", catalog, listen,
         .help = "HOST:PORT for the tools alone; else they are at the server's HTTP address."),
    HAND("auth", FIELD_OBJECT, .table = &table_auth, .help = "Who may call."),
    HAND("codec", FIELD_OBJECT, .table = &table_codec,
         .help = "Where payloads are encoded and decoded; else they are sent as `json/plain`."),
    TEXTS("origins", catalog, origins,
          .help = "Origins of web pages that may call; `*` for any port. Else only loopback ones."),
    TEXTS("hosts", catalog, hosts, .help = "Names of this server in the Host header besides loopback ones."),
    COUNT("open_tasks_per_caller", catalog, open_tasks_per_caller, 1, 1000000, .fallback = "1000",
          .help = "How many runs of one caller may be open in a namespace; past it a call that would start "
                  "another one is refused."),
    COUNT("calls_per_second", catalog, calls_per_second, 0, 1000000, .fallback = "0",
          .help = "Of one caller; 0: no bound."),
    COUNT("calls_burst", catalog, calls_burst, 0, 100000, .fallback = "0",
          .help = "How many of them at once; 0: twice as many."),
    HAND("defaults", FIELD_OBJECT, .table = &table_defaults,
         .help = "What tools have that say nothing else."),
    HAND("toolsets", FIELD_MAP, .table = &table_toolset, .needed = true,
         .help = "By name: 1 to 64 of `a-z 0-9 _ -`."),
};
TABLE(document, "mcp.json",
      "JSON, with `//` and `/* */` comments. `listen`, `auth`, `codec`, `origins`, `hosts` and the numbers "
      "here are "
      "read when "
      "the server starts; "
      "`defaults` and `toolsets`\nwhenever the file changes.",
      NULL);

const struct config_table *const config_tables[] = {
    &table_document,
    &table_auth,
    &table_codec,
    &table_toolset,
    &table_defaults,
    &table_tool,
    &table_waiting,
    &table_start,
    &table_policy,
    &table_update_with_start,
    &table_signal_with_start,
    &table_signal,
    &table_update,
    &table_query,
    &table_approval,
    &table_condition,
    &table_rule,
    &table_prompt,
    &table_resource,
};
const size_t config_table_count = ARRAY_COUNT(config_tables);

const struct config_field *config_field_named(const struct config_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->fields[i].name, name) == 0)
            return &table->fields[i];
    for (size_t i = 0; i < ARRAY_COUNT(table->also) && table->also[i] != NULL; i++)
        for (size_t k = 0; k < table->also[i]->count; k++)
            if (strcmp(table->also[i]->fields[k].name, name) == 0)
                return &table->also[i]->fields[k];
    return NULL;
}

bool config_duration(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t     ns;
    } units[] = { { "ms", NS_PER_MS },
                  { "s", NS_PER_S },
                  { "m", 60 * NS_PER_S },
                  { "h", 3600 * NS_PER_S },
                  { "d", DAYS(1) } };
    int64_t sum = 0;
    if (*text == '\0')
        return false;
    while (*text != '\0') {
        int64_t number = 0;
        size_t  digits = strspn(text, "0123456789"), unit = 0;
        if (digits == 0 || digits > 12)
            return false;
        for (size_t i = 0; i < digits; i++)
            number = number * 10 + (text[i] - '0');
        text += digits;
        while (unit < ARRAY_COUNT(units) && strncmp(text, units[unit].unit, strlen(units[unit].unit)) != 0)
            unit++;
        if (unit == ARRAY_COUNT(units) || __builtin_mul_overflow(number, units[unit].ns, &number) ||
            __builtin_add_overflow(sum, number, &sum))
            return false;
        text += strlen(units[unit].unit);
    }
    *ret_ns = sum;
    return true;
}
