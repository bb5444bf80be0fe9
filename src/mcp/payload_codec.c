/* payload_codec.c: collect, ask, exchange. */
#include "mcp/payload_codec.h"

#include "codec/pb.h"
#include "mcp/run.h"
#include "outbound/outbound.h"

struct payload_codec {
    struct loop            *loop;
    struct outbound_client *client;
    struct buffer           url[2]; /* by direction */
    int64_t                 timeout_ns;
};
struct codec_job {
    struct payload_codec    *codec;
    enum codec_direction     direction;
    const struct pb_message *type;
    struct buffer            message, body, namespace_name;
    struct outbound_header   headers[2];
    struct outbound          outbound;
    codec_done              *done;
    void                    *context;
};

enum status payload_codec_new(struct loop *loop, const char *endpoint, int64_t timeout_ns,
                              struct payload_codec **ret_codec, struct error *error)
{
    static const char *const paths[] = { [CODEC_ENCODE] = "/encode", [CODEC_DECODE] = "/decode" };
    size_t                   size = strlen(endpoint);
    enum status              status = outbound_prepare(error);
    if (status != ST_OK)
        return status;
    struct payload_codec *codec = xcalloc(1, sizeof *codec);
    codec->loop = loop;
    codec->client = outbound_client_new(loop);
    codec->timeout_ns = timeout_ns;
    while (size != 0 && endpoint[size - 1] == '/')
        size--;
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        buffer_append(&codec->url[i], bytes_of(endpoint, size));
        buffer_append_text(&codec->url[i], paths[i]);
    }
    *ret_codec = codec;
    return ST_OK;
}

void payload_codec_free(struct payload_codec *codec)
{
    if (codec == NULL)
        return;
    outbound_client_free(codec->client);
    for (size_t i = 0; i < ARRAY_COUNT(codec->url); i++)
        buffer_release(&codec->url[i]);
    free(codec);
}

/* --- which payloads --- */

/* Whether this server knows what is in it. */
static bool is_readable(struct bytes encoded)
{
    static const char *const known[] = { "json/plain", "json/protobuf", "binary/null", "binary/plain",
                                         "binary/protobuf" };
    struct common_Payload    payload;
    struct arena             arena;
    bool                     readable = false, marked = false;
    arena_init(&arena, SIZE_MAX);
    if (pb_decode(&pb_common_Payload, encoded, &arena, &payload, NULL) != ST_OK)
        readable = true; /* no codec would make anything of it */
    for (size_t i = 0; i < payload.metadata_count && !readable; i++) {
        if (!bytes_equal_text(payload.metadata[i].key, "encoding"))
            continue;
        marked = true;
        for (size_t k = 0; k < ARRAY_COUNT(known); k++)
            readable = readable || bytes_equal_text(payload.metadata[i].value, known[k]);
    }
    arena_release(&arena);
    return readable || !marked;
}

/* Arguments are members of a common.Payloads; of the memo only the arguments that are kept there are anybody's secret. */
static bool is_secret(const struct pb_message *parent, struct bytes whole)
{
    struct common_Memo_FieldsEntry entry;
    struct arena                   arena;
    bool                           secret = parent == &pb_common_Payloads;
    if (secret || parent->shape != PB_SHAPE_MAP_ENTRY)
        return secret;
    arena_init(&arena, SIZE_MAX);
    secret = pb_decode(parent, whole, &arena, &entry, NULL) == ST_OK &&
             bytes_equal_text(entry.key, MEMO_ARGUMENTS);
    arena_release(&arena);
    return secret;
}

struct pass {
    enum codec_direction          direction;
    struct buffer                *collected; /* a common.Payloads; NULL in the second pass */
    const struct common_Payloads *exchanged; /* of the second pass */
    size_t                        count;
};

static void pass_payload(void *context, const struct pb_message *parent, struct bytes whole,
                         struct bytes payload, struct buffer *to)
{
    struct pass *pass = context;
    bool         chosen = pass->direction == CODEC_DECODE ? !is_readable(payload) : is_secret(parent, whole);
    if (!chosen) {
        buffer_append(to, payload);
        return;
    }
    size_t at = pass->count++;
    if (pass->exchanged != NULL) {
        if (at < pass->exchanged->payloads_count)
            buffer_append(to, pass->exchanged->payloads[at]);
        return;
    }
    struct common_Payloads one = { .payloads = &payload, .payloads_count = 1 };
    pb_encode(&pb_common_Payloads, &one, pass->collected); /* one behind the other they are one message */
    buffer_append(to, payload);
}

/* --- the way there and back --- */

static void job_free(struct codec_job *job)
{
    buffer_release(&job->message);
    buffer_release(&job->body);
    buffer_release(&job->namespace_name);
    free(job);
}

static enum status exchange(struct codec_job *job, struct arena *arena, struct buffer *to,
                            struct error *error)
{
    const char            *url = (const char *)job->outbound.url.base;
    int                    size = (int)job->outbound.url.size;
    struct buffer wire     CLEANUP(buffer_release) = { 0 };
    struct common_Payloads payloads;
    struct pass            pass = { .direction = job->direction, .exchanged = &payloads };
    struct pb_replace      rule = { &pb_common_Payload, pass_payload, &pass };
    struct buffer none     CLEANUP(buffer_release) = { 0 };
    struct error           words;
    if (job->outbound.status == 0)
        return error_set(error, ST_UNAVAILABLE, "the codec server %.*s: %s", size, url,
                         job->outbound.error.message);
    if (job->outbound.status != 200)
        return error_set(error, ST_INTERNAL, "the codec server %.*s answered with HTTP status %d", size, url,
                         job->outbound.status);
    if (json_parse(&pb_common_Payloads, job->outbound.answer, arena, &wire, &words) != ST_OK)
        return error_set(error, ST_INTERNAL, "the codec server %.*s: its answer is no list of payloads: %s",
                         size, url, words.message);
    struct bytes answered = arena_copy(arena, buffer_bytes(&wire));
    if (pb_decode(&pb_common_Payloads, answered, arena, &payloads, &words) != ST_OK ||
        pb_replace(job->type, buffer_bytes(&job->message), &rule, to) != ST_OK)
        return error_set(error, ST_INTERNAL, "the codec server %.*s: its answer cannot be used", size, url);
    if (pass.count != payloads.payloads_count)
        return error_set(error, ST_INTERNAL,
                         "the codec server %.*s answered with %zu payloads instead of %zu", size, url,
                         payloads.payloads_count, pass.count);
    return ST_OK;
}

static void answered(struct outbound *outbound)
{
    struct codec_job     *job = CONTAINER_OF(outbound, struct codec_job, outbound);
    struct buffer message CLEANUP(buffer_release) = { 0 };
    struct arena          arena;
    struct error          error = { 0 };
    arena_init(&arena, SIZE_MAX);
    (void)!exchange(job, &arena, &message, &error);
    arena_release(&arena);
    job->done(job->context, error.code == ST_OK ? buffer_bytes(&message) : BYTES_EMPTY, &error);
    job_free(job);
}

struct codec_job *codec_apply(struct payload_codec *codec, enum codec_direction direction,
                              struct bytes namespace_name, const struct pb_message *type,
                              struct bytes message, codec_done *done, void *context)
{
    struct buffer collected CLEANUP(buffer_release) = { 0 };
    struct buffer           copy = { 0 };
    struct pass             pass = { .direction = direction, .collected = &collected };
    struct pb_replace       rule = { &pb_common_Payload, pass_payload, &pass };
    struct error            error;
    if (pb_replace(type, message, &rule, &copy) != ST_OK || pass.count == 0) {
        buffer_release(&copy); /* what is not well-formed is found by who decodes it */
        return NULL;
    }
    struct codec_job *job = xcalloc(1, sizeof *job);
    job->codec = codec;
    job->direction = direction;
    job->type = type;
    job->message = copy;
    job->done = done;
    job->context = context;
    buffer_append(&job->namespace_name, namespace_name);
    if (json_print(&pb_common_Payloads, buffer_bytes(&collected), 0, &job->body, &error) != ST_OK)
        panic("payloads cannot be printed: %s", error.message);
    job->headers[0] = (struct outbound_header){ BYTES("Content-Type"), BYTES("application/json") };
    job->headers[1] = (struct outbound_header){ BYTES("X-Namespace"), buffer_bytes(&job->namespace_name) };
    job->outbound = (struct outbound){ .url = buffer_bytes(&codec->url[direction]),
                                       .headers = job->headers,
                                       .header_count = ARRAY_COUNT(job->headers),
                                       .body = buffer_bytes(&job->body),
                                       .timeout_ns = codec->timeout_ns,
                                       .answer_max = CODEC_MESSAGE_MAX,
                                       .done = answered };
    outbound_client_send(codec->client, &job->outbound);
    return job;
}

void codec_cancel(struct codec_job *job)
{
    if (job == NULL)
        return;
    outbound_client_cancel(job->codec->client, &job->outbound);
    job_free(job);
}
