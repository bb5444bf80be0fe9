/* schedule.c: the kind: its state, and what is decided about requests. */
#include "schedule/schedule.h"

#include "base/clock.h"
#include "base/hash.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "engine/search_attributes.h"
#include "schedule/act.h"
#include "shard/number.h"
#include "shard/rows.h"

/* A volatile delta: the layer above was told of the orders that there are. */
static const uint8_t told_mark[] = { 0 };

struct schedule {
    struct bytes          encoded; /* owned */
    struct arena          arena;   /* of the record */
    struct state_Schedule record;
    struct bytes          seed;
    struct spec          *spec;
    struct bytes          namespace_id; /* owned, as text */
    int64_t               due;
    bool                  told;
};

/* --- state --- */

static void *state_new(const struct entity_identity *identity)
{
    struct schedule *self = xcalloc(1, sizeof *self);
    uint8_t         *id = xmalloc(identity->namespace_id.size + 1);
    if (identity->namespace_id.size != 0)
        memcpy(id, identity->namespace_id.base, identity->namespace_id.size);
    self->namespace_id = bytes_of(id, identity->namespace_id.size);
    arena_init(&self->arena, SIZE_MAX);
    self->due = TIME_NEVER;
    return self;
}

static void state_free(void *state)
{
    struct schedule *self = state;
    spec_close(self->spec);
    arena_release(&self->arena);
    free((void *)(uintptr_t)self->encoded.base);
    free((void *)(uintptr_t)self->namespace_id.base);
    free(self);
}

static size_t state_size(const void *state)
{
    const struct schedule *self = state;
    return sizeof *self + 4 * self->encoded.size + 4096; /* the record twice, and ICU's calendar */
}

static bool is_whole(const struct state_Schedule *record)
{
    const struct schedule_Schedule *schedule = record->schedule;
    if (record->number <= 0 || schedule == NULL || schedule->spec == NULL || schedule->policies == NULL ||
        schedule->state == NULL || schedule->action == NULL || schedule->action->action_case == 0)
        return false;
    for (size_t i = 0; i < record->running_count; i++) {
        if (record->running[i].start == NULL)
            return false;
    }
    for (size_t i = 0; i < record->recent_actions_count; i++) {
        if (record->recent_actions[i].start_workflow_result == NULL)
            return false;
    }
    return true;
}

static enum status state_set(void *state, struct bytes encoded, struct error *error)
{
    struct schedule      *self = state;
    struct state_Schedule record;
    struct arena          arena;
    struct spec          *spec = NULL;
    arena_init(&arena, SIZE_MAX);
    uint8_t *copy = xmalloc(encoded.size + 1);
    if (encoded.size != 0)
        memcpy(copy, encoded.base, encoded.size);
    if (pb_decode(&pb_state_Schedule, bytes_of(copy, encoded.size), &arena, &record, error) != ST_OK ||
        !is_whole(&record) || spec_open(record.schedule->spec, &spec, error) != ST_OK) {
        free(copy);
        arena_release(&arena);
        return error_set(error, ST_DATA_LOSS, "the record of a schedule cannot be used");
    }
    spec_close(self->spec);
    arena_release(&self->arena);
    free((void *)(uintptr_t)self->encoded.base);
    self->encoded = bytes_of(copy, encoded.size);
    self->arena = arena;
    self->record = record;
    self->spec = spec;
    self->seed = schedule_seed(self->namespace_id, record.schedule_id, &self->arena);
    self->due = act_next_due(&self->record, spec, self->seed);
    self->told = false;
    return ST_OK;
}

static enum status apply(void *state, const struct transition_record *record, struct error *error)
{
    struct schedule *self = state;
    if (record->delta.size == sizeof told_mark && record->delta.base[0] == told_mark[0]) {
        self->told = true;
        return ST_OK;
    }
    return state_set(state, record->delta, error);
}

static void snapshot(const void *state, struct buffer *to)
{
    buffer_append(to, ((const struct schedule *)state)->encoded);
}

static void loaded(void *state UNUSED, int64_t now UNUSED) {}

/* What was ordered and may never have been told is due at once. */
static int64_t next_due(const void *state)
{
    const struct schedule *self = state;
    return !self->told && act_has_orders(&self->record) ? 0 : self->due;
}

static int64_t last_event_time(const void *state UNUSED)
{
    return 0;
}

static bool is_open(const void *state UNUSED)
{
    return true;
}

static bool awaits_worker(const void *state UNUSED)
{
    return false;
}

static store_number number_of(const void *state)
{
    return ((const struct schedule *)state)->record.number;
}

/* --- small things that others need as well --- */

struct bytes schedule_business_id(struct bytes schedule_id, struct arena *arena)
{
    return arena_printf(arena, SCHEDULE_ID_PREFIX "%.*s", BYTES_FMT(schedule_id));
}

struct bytes schedule_seed(struct bytes namespace_id, struct bytes schedule_id, struct arena *arena)
{
    return arena_printf(arena, "%.*s-%.*s", BYTES_FMT(namespace_id), BYTES_FMT(schedule_id));
}

struct bytes schedule_token(const struct state_Schedule *record, struct arena *arena)
{
    uint8_t *token = arena_must(arena_alloc(arena, 8));
    for (int i = 0; i < 8; i++)
        token[i] = (uint8_t)((uint64_t)record->conflict_token >> (56 - 8 * i));
    return bytes_of(token, 8);
}

/* --- decisions --- */

struct deciding {
    struct schedule_request *request;
    struct env              *env;
    struct decision         *decision;
    struct state_Schedule   *record;
    struct act               act;
    struct spec             *spec; /* of a schedule that replaces another one; owned */
    bool                     told; /* of the orders that there were */
    struct schedule_counts   before;
};

/* Paused ones are found by an attribute of the server's. */
static struct bytes listed_attributes(const struct deciding *self)
{
    struct arena                       *arena = self->request->base.arena;
    struct common_SearchAttributes      all = { 0 };
    struct error                        why;
    struct common_Payload_MetadataEntry metadata[] = { { BYTES("encoding"), BYTES("json/plain") },
                                                       { BYTES("type"), BYTES("Bool") } };
    struct common_Payload               payload = { .metadata = metadata, .metadata_count = 2 };
    struct common_SearchAttributes_IndexedFieldsEntry *fields;
    if (pb_decode(&pb_common_SearchAttributes, self->record->search_attributes, arena, &all, &why) != ST_OK)
        all.indexed_fields_count = 0;
    fields = ARENA_NEW_ARRAY(arena, struct common_SearchAttributes_IndexedFieldsEntry,
                             all.indexed_fields_count + 1);
    for (size_t i = 0; i < all.indexed_fields_count; i++)
        fields[i] = all.indexed_fields[i];
    payload.data = self->record->schedule->state->paused ? BYTES("true") : BYTES("false");
    fields[all.indexed_fields_count++] = (struct common_SearchAttributes_IndexedFieldsEntry){
        .key = BYTES("TemporalSchedulePaused"), .value = pb_encode_arena(&pb_common_Payload, &payload, arena)
    };
    all.indexed_fields = fields;
    return pb_encode_arena(&pb_common_SearchAttributes, &all, arena);
}

static struct store_run *row_of(const struct deciding *self)
{
    const struct state_Schedule                    *record = self->record;
    const struct workflow_NewWorkflowExecutionInfo *action = record->schedule->action->start_workflow;
    struct arena                                   *arena = self->request->base.arena;
    struct store_run                               *run = ARENA_NEW(arena, struct store_run);
    bool                                            apart;
    *run = (struct store_run){ .number = record->number,
                               .namespace_number = self->request->base.namespace_number,
                               .run_id = run_id_make(record->number, 0),
                               .workflow_id = schedule_business_id(record->schedule_id, arena),
                               .workflow_type = action->workflow_type->name,
                               .task_queue = action->task_queue->name,
                               .status = enums_WORKFLOW_EXECUTION_STATUS_RUNNING,
                               .start_time = record->create_time,
                               .execution_time = record->create_time,
                               .memo = record->memo,
                               .search_attributes = record->search_attributes,
                               .kind = STORE_RUN_SCHEDULE };
    run->attributes = search_attributes_values(self->env->namespace, listed_attributes(self), arena, &apart);
    return run;
}

static struct schedule_counts counts_of(const struct state_Schedule *record)
{
    return (struct schedule_counts){ .missed = record->missed_catchup_window,
                                     .skipped = record->overlap_skipped,
                                     .dropped = record->buffer_dropped };
}

/* False: there is nothing to count. */
static bool counts_news(const struct deciding *self, struct news *ret_news)
{
    struct arena           *arena = self->request->base.arena;
    struct schedule_counts *counts = ARENA_NEW(arena, struct schedule_counts);
    *counts = counts_of(self->record);
    counts->namespace_number = self->request->base.namespace_number;
    counts->missed -= self->before.missed;
    counts->skipped -= self->before.skipped;
    counts->dropped -= self->before.dropped;
    *ret_news = (struct news){ .what = SCHEDULE_NEWS_COUNTS, .body = bytes_of(counts, sizeof *counts) };
    return counts->missed != 0 || counts->skipped != 0 || counts->dropped != 0;
}

static struct news orders_news(const struct deciding *self)
{
    struct arena *arena = self->request->base.arena;
    uint8_t      *body = arena_must(arena_alloc(arena, ROW_NUMBER_SIZE));
    row_put_number(body, self->request->base.namespace_number);
    return (struct news){ .subject = schedule_business_id(self->record->schedule_id, arena),
                          .what = SCHEDULE_NEWS_ORDERS,
                          .body = bytes_of(body, ROW_NUMBER_SIZE) };
}

static void write(struct deciding *self, bool creates)
{
    struct arena        *arena = self->request->base.arena;
    struct store_entity *row = ARENA_NEW(arena, struct store_entity);
    bool                 has_orders = act_has_orders(self->record);
    bool                 tells = has_orders && (self->act.orders || !self->told);
    struct bytes         business_id = schedule_business_id(self->record->schedule_id, arena);
    struct news         *news = ARENA_NEW_ARRAY(arena, struct news, 2);
    size_t               news_count = 0;
    if (tells)
        news[news_count++] = orders_news(self);
    news_count += counts_news(self, &news[news_count]);
    *row = (struct store_entity){ .kind = ENTITY_SCHEDULE,
                                  .key = entity_row_key(self->request->base.namespace_number, business_id,
                                                        arena),
                                  .state = pb_encode_arena(&pb_state_Schedule, self->record, arena) };
    struct transition transition = { .first_event_id = 1,
                                     .delta = row->state,
                                     .entities = row,
                                     .entity_count = 1,
                                     .run = row_of(self),
                                     .news = news,
                                     .news_count = news_count,
                                     .volatile_delta = bytes_of(told_mark,
                                                                has_orders ? sizeof told_mark : 0) };
    if (!creates) {
        self->decision->changes = true;
        self->decision->self = transition;
        return;
    }
    self->decision->creates = true;
    self->decision->created = transition;
    self->decision->created_identity = (struct entity_identity){
        .namespace_number = self->request->base.namespace_number,
        .namespace_id = self->env->namespace->id,
        .business_id = business_id,
        .number = self->record->number,
        .run_id = run_id_make(self->record->number, 0)
    };
}

static enum status act_begin(struct deciding *self, struct spec *spec)
{
    struct arena *arena = self->request->base.arena;
    if (spec == NULL) {
        enum status status = spec_open(self->record->schedule->spec, &self->spec, &self->request->base.error);
        if (status != ST_OK)
            return status;
        spec = self->spec;
    }
    struct bytes id = self->env->namespace == NULL ? BYTES_EMPTY : self->env->namespace->id;
    self->act = (struct act){ .record = self->record,
                              .spec = spec,
                              .seed = schedule_seed(id, self->record->schedule_id, arena),
                              .arena = arena,
                              .now = self->env->now };
    return ST_OK;
}

static void add_backfills(struct deciding *self, const struct schedule_SchedulePatch *patch)
{
    struct state_Schedule          *record = self->record;
    struct state_ScheduledBackfill *backfills = ARENA_NEW_ARRAY(self->request->base.arena,
                                                                struct state_ScheduledBackfill,
                                                                record->backfills_count +
                                                                    patch->backfill_request_count + 1);
    if (record->backfills_count != 0)
        memcpy(backfills, record->backfills, record->backfills_count * sizeof *backfills);
    for (size_t i = 0; i < patch->backfill_request_count; i++) {
        const struct schedule_BackfillRequest *request = &patch->backfill_request[i];
        if (record->backfills_count >= SCHEDULE_BACKFILLS_MAX) {
            record->buffer_dropped++;
            continue;
        }
        backfills[record->backfills_count++] = (struct state_ScheduledBackfill){
            .next_time = timestamp_ns(request->start_time),
            .end_time = timestamp_ns(request->end_time),
            .overlap_policy = request->overlap_policy
        };
    }
    record->backfills = backfills;
}

static void patch_apply(struct deciding *self)
{
    const struct schedule_SchedulePatch *patch = self->request->patch;
    struct schedule_ScheduleState       *state = self->record->schedule->state;
    if (patch == NULL)
        return;
    if (patch->pause.size != 0 || patch->unpause.size != 0) {
        if (patch->unpause.size != 0 && state->paused) /* what was due while it was paused is lost */
            self->record->processed = MAX(self->record->processed, self->env->now);
        state->paused = patch->pause.size != 0;
        state->notes = patch->pause.size != 0 ? patch->pause : patch->unpause;
    }
    if (patch->trigger_immediately != NULL) {
        const struct google_Timestamp *time = patch->trigger_immediately->scheduled_time;
        act_trigger(&self->act, time == NULL ? self->env->now : timestamp_ns(time),
                    patch->trigger_immediately->overlap_policy);
    }
    add_backfills(self, patch);
}

static void decide_create(struct deciding *self, const struct schedule *live)
{
    struct schedule_request *request = self->request;
    struct arena            *arena = request->base.arena;
    if (live != NULL) {
        struct errordetails_WorkflowExecutionAlreadyStartedFailure detail = {
            .start_request_id = live->record.request_id
        };
        if (bytes_equal(live->record.request_id, request->request_id)) /* the same call again */
            return;
        error_set(&request->base.error, ST_ALREADY_EXISTS, "schedule \"%.*s\" is already registered",
                  BYTES_FMT(request->schedule_id));
        request->base.error.detail_type = bytes_of_text(
            pb_message_name(&pb_errordetails_WorkflowExecutionAlreadyStartedFailure));
        request->base.error.detail = pb_encode_arena(&pb_errordetails_WorkflowExecutionAlreadyStartedFailure,
                                                     &detail, arena);
        return;
    }
    struct state_Schedule *record = ARENA_NEW(arena, struct state_Schedule);
    *record = (struct state_Schedule){ .number = env_number(self->env),
                                       .schedule_id = request->schedule_id,
                                       .schedule = ARENA_NEW(arena, struct schedule_Schedule),
                                       .memo = request->memo,
                                       .search_attributes = request->search_attributes,
                                       .request_id = request->request_id,
                                       .create_time = self->env->now,
                                       .processed = self->env->now,
                                       .conflict_token = 1 };
    *record->schedule = *request->schedule;
    record->schedule->state = ARENA_NEW(arena, struct schedule_ScheduleState);
    *record->schedule->state = *request->schedule->state;
    self->record = request->record = record;
    if (act_begin(self, NULL) != ST_OK)
        return;
    patch_apply(self);
    act_turn(&self->act);
    write(self, true);
}

static void decide_update(struct deciding *self)
{
    struct schedule_request *request = self->request;
    struct state_Schedule   *record = self->record;
    struct arena            *arena = request->base.arena;
    if (request->conflict_token.size != 0 &&
        !bytes_equal(request->conflict_token, schedule_token(record, arena))) {
        error_set(&request->base.error, ST_FAILED_PRECONDITION, "mismatched conflict token");
        return;
    }
    *record->schedule = *request->schedule;
    record->schedule->state = ARENA_NEW(arena, struct schedule_ScheduleState);
    *record->schedule->state = *request->schedule->state;
    if (request->has_search_attributes)
        record->search_attributes = request->search_attributes;
    record->update_time = self->env->now;
    record->processed = MAX(record->processed, self->env->now); /* the new times count from now on */
    record->conflict_token++;
    if (act_begin(self, NULL) != ST_OK)
        return;
    act_turn(&self->act);
    write(self, false);
}

static void decide_patch(struct deciding *self, struct spec *spec)
{
    if (act_begin(self, spec) != ST_OK)
        return;
    patch_apply(self);
    self->record->conflict_token++;
    self->record->idle_since = 0;
    act_turn(&self->act);
    write(self, false);
}

static void decide_gone(struct deciding *self)
{
    struct arena        *arena = self->request->base.arena;
    struct store_entity *row = ARENA_NEW(arena, struct store_entity);
    *row = (struct store_entity){
        .kind = ENTITY_SCHEDULE,
        .key = entity_row_key(self->request->base.namespace_number,
                              schedule_business_id(self->record->schedule_id, arena), arena)
    };
    self->decision->changes = true;
    self->decision->self = (struct transition){ .first_event_id = 1,
                                                .delta = pb_encode_arena(&pb_state_Schedule, self->record,
                                                                         arena),
                                                .entities = row,
                                                .entity_count = 1 };
    self->decision->deletes = true;
}

/* Time has come: for a time, for a backfill, for orders that nobody was told of, or it has been idle for long. */
static void decide_due(struct deciding *self, const struct schedule *live)
{
    struct state_Schedule *record = self->record;
    if (live->due <= self->env->now && record->idle_since != 0 &&
        time_add(record->idle_since, SCHEDULE_IDLE_NS) <= self->env->now) {
        decide_gone(self);
        return;
    }
    if (live->due <= self->env->now) {
        if (act_begin(self, live->spec) != ST_OK)
            return;
        act_turn(&self->act);
        write(self, false);
        return;
    }
    if (!live->told && act_has_orders(record)) {
        struct news *news = ARENA_NEW(self->request->base.arena, struct news);
        *news = orders_news(self);
        self->decision->changes = true;
        self->decision->self = (struct transition){ .first_event_id = 1,
                                                    .is_volatile = true,
                                                    .volatile_delta = bytes_of(told_mark, sizeof told_mark),
                                                    .news = news,
                                                    .news_count = 1 };
    }
}

static void decide_report(struct deciding *self, struct spec *spec)
{
    struct schedule_request *request = self->request;
    if (act_begin(self, spec) != ST_OK)
        return;
    if (request->base.command == SCHEDULE_STARTED) {
        act_started(&self->act, request);
    } else if (request->base.command == SCHEDULE_CLOSED) {
        if (!act_closed(&self->act, request))
            return;
    } else {
        for (size_t i = 0; i < self->record->running_count; i++) {
            if (self->record->running[i].start->id == request->id)
                self->record->running[i].end_wanted = 0;
        }
    }
    act_turn(&self->act);
    write(self, false);
}

static void decide(const void *state, struct request *base, struct env *env, struct decision *decision)
{
    const struct schedule *live = state;
    struct deciding        self = { .request = CONTAINER_OF(base, struct schedule_request, base),
                                    .env = env,
                                    .decision = decision };
    if (base->command == SCHEDULE_CREATE && live == NULL) {
        decide_create(&self, NULL);
        spec_close(self.spec);
        return;
    }
    if (live == NULL) {
        if (base->command != ENTITY_COMMAND_DUE)
            error_set(&base->error, ST_NOT_FOUND, "schedule not found");
        return;
    }
    self.told = live->told;
    self.before = counts_of(&live->record);
    self.record = ARENA_NEW(base->arena, struct state_Schedule);
    if (pb_decode(&pb_state_Schedule, arena_copy(base->arena, live->encoded), base->arena, self.record,
                  &base->error) != ST_OK) {
        error_set(&base->error, ST_INTERNAL, "the record of a schedule does not decode");
        return;
    }
    if (base->command != ENTITY_COMMAND_DUE)
        self.request->record = self.record;
    switch (base->command) {
    case ENTITY_COMMAND_DUE:
        decide_due(&self, live);
        break;
    case SCHEDULE_CREATE:
        decide_create(&self, live);
        break;
    case SCHEDULE_UPDATE:
        decide_update(&self);
        break;
    case SCHEDULE_PATCH:
        decide_patch(&self, live->spec);
        break;
    case SCHEDULE_DELETE:
        decide_gone(&self);
        break;
    case SCHEDULE_STARTED:
    case SCHEDULE_ENDED:
    case SCHEDULE_CLOSED:
        decide_report(&self, live->spec);
        break;
    default:
        break;
    }
    spec_close(self.spec);
}

static bool adds_work(const struct request *request)
{
    return request->command == SCHEDULE_CREATE || request->command == SCHEDULE_PATCH;
}

const struct entity_kind schedule_kind = {
    .id = ENTITY_SCHEDULE,
    .name = "schedule",
    .is_record = true,
    .number = number_of,
    .request_size = sizeof(struct schedule_request),
    .state_new = state_new,
    .state_free = state_free,
    .state_size = state_size,
    .decide = decide,
    .apply = apply,
    .snapshot = snapshot,
    .restore = state_set,
    .loaded = loaded,
    .next_due = next_due,
    .last_event_time = last_event_time,
    .is_open = is_open,
    .awaits_worker = awaits_worker,
    .adds_work = adds_work,
};
