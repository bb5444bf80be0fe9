/* server_attributes.c: search attributes made from the state. */
#include "engine/server_attributes.h"

#include "codec/pb.h"
#include "engine/failure.h"
#include "engine/fold.h"

/* A JSON list of texts in the making. */
struct list_text {
    struct buffer text;
    size_t        count;
};

static void list_add(struct list_text *list, struct bytes entry)
{
    buffer_append_byte(&list->text, list->count++ == 0 ? '[' : ',');
    json_put_string(&list->text, entry);
}

static struct bytes list_payload(struct list_text *list, struct arena *arena)
{
    buffer_append_byte(&list->text, ']');
    struct common_Payload_MetadataEntry metadata[] = {
        { .key = BYTES("encoding"), .value = BYTES("json/plain") },
        { .key = BYTES("type"), .value = BYTES("KeywordList") },
    };
    struct common_Payload payload = { .metadata = metadata,
                                      .metadata_count = ARRAY_COUNT(metadata),
                                      .data = buffer_bytes(&list->text) };
    struct bytes          encoded = pb_encode_arena(&pb_common_Payload, &payload, arena);
    buffer_release(&list->text);
    return encoded;
}

static bool names_type_before(const struct execution *execution, uint32_t index)
{
    const struct activity *activity = execution->activities[index].record;
    for (uint32_t i = 0; i < index; i++) {
        const struct activity *other = execution->activities[i].record;
        if (other->pause.time != 0 && bytes_equal(other->type, activity->type))
            return true;
    }
    return false;
}

/* What is paused: the run, and the types of its activities. False: nothing is. */
static bool pause_info(const struct execution *execution, struct arena *arena, struct bytes *ret_payload)
{
    struct list_text list = { .count = 0 };
    buffer_init(&list.text);
    if (execution->pause.time != 0) {
        list_add(&list, arena_printf(arena, "Workflow:%.*s", BYTES_FMT(execution->workflow_id)));
        if (execution->pause.reason.size != 0)
            list_add(&list, arena_printf(arena, "Reason:%.*s", BYTES_FMT(execution->pause.reason)));
    }
    for (uint32_t i = 0; i < execution->activity_count; i++) {
        const struct activity *activity = execution->activities[i].record;
        if (activity->pause.time != 0 && !names_type_before(execution, i))
            list_add(&list, arena_printf(arena, "property:activityType=%.*s", BYTES_FMT(activity->type)));
    }
    if (list.count == 0)
        return false;
    *ret_payload = list_payload(&list, arena);
    return true;
}

static struct bytes problems(const struct execution *execution, struct arena *arena)
{
    struct list_text list = { .count = 0 };
    buffer_init(&list.text);
    if (execution->problem_timeout_type != 0) {
        list_add(&list, BYTES("category=WorkflowTaskTimedOut"));
        list_add(&list, BYTES("cause=WorkflowTaskTimedOutCauseStartToClose"));
    } else {
        struct bytes cause = cause_name(arena, execution->problem_cause);
        list_add(&list, BYTES("category=WorkflowTaskFailed"));
        list_add(&list, arena_printf(arena, "cause=WorkflowTaskFailedCause%.*s", BYTES_FMT(cause)));
    }
    return list_payload(&list, arena);
}

struct bytes execution_search_attributes(const struct execution *execution, struct arena *arena)
{
    struct common_SearchAttributes_IndexedFieldsEntry fields[2];
    struct common_SearchAttributes                    own = { .indexed_fields = fields };
    struct bytes                                      payload;
    if (pause_info(execution, arena, &payload)) {
        fields[own.indexed_fields_count].key = BYTES("TemporalPauseInfo");
        fields[own.indexed_fields_count++].value = payload;
    }
    if (execution_reports_problems(execution)) {
        fields[own.indexed_fields_count].key = BYTES("TemporalReportedProblems");
        fields[own.indexed_fields_count++].value = problems(execution, arena);
    }
    struct bytes of_user = arena_copy(arena, execution->search_attributes);
    if (own.indexed_fields_count == 0)
        return of_user;
    return fields_merge(of_user, pb_encode_arena(&pb_common_SearchAttributes, &own, arena), arena);
}
