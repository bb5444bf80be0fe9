/* load.c: runs that are not in memory: read from the store, folded page by page, given to the requests that wait. */
#include "base/mutant.h"
#include "shard/shard_internal.h"

#include "base/log.h"

struct load {
    struct cold       cold;
    struct list       link, in_chain; /* in lane->loads; in chain->loads */
    struct lane      *lane;
    struct chain     *chain;  /* NULL: forgotten meanwhile; dropped when the answer comes */
    store_number      number; /* 0: the current run */
    struct list       waiting;
    struct entity    *entity;      /* while further pages come; in no table yet */
    uint64_t          incarnation; /* of the chain, when the first page was asked for */
    struct arena      arena;
    struct store_read read;
};

/* --- turns at the store --- */

void cold_begin(struct lane *lane, struct cold *cold)
{
    list_init(&cold->link);
    if (lane->colds_running >= LOADS_MAX) {
        list_append(&lane->colds_queued, &cold->link);
        return;
    }
    lane->colds_running++;
    cold->start(cold);
}

void cold_end(struct lane *lane)
{
    struct list *next = list_take_first(&lane->colds_queued);
    if (next == NULL) {
        assert(lane->colds_running > 0);
        lane->colds_running--;
        return;
    }
    struct cold *cold = LIST_ENTRY(next, struct cold, link);
    cold->start(cold);
}

/* --- the fold --- */

static enum status entity_fold(struct entity *entity, const struct store_transition *row, struct arena *arena,
                               struct error *error)
{
    struct row_fold fold = { .kind = entity->kind,
                             .state = entity->state,
                             .row_number = entity->row_number,
                             .next_event_id = entity->next_event_id,
                             .end_event_id = INT64_MAX };
    enum status     status = fold_row(&fold, row, arena, error);
    entity->row_number = fold.row_number;
    entity->next_event_id = fold.next_event_id;
    entity->unsnapped += row->events.size + row->delta.size;
    return status;
}

static enum status restore(struct entity *entity, const struct store_run *run, struct error *error)
{
    struct bytes state;
    if (run->snapshot.size == 0)
        return ST_OK;
    enum status status = snapshot_open(run->snapshot, &state, &entity->next_event_id, error);
    if (status != ST_OK)
        return status;
    entity->row_number = run->snapshot_transition;
    entity->snapshot_size = state.size;
    return entity->kind->restore(entity->state, state, error);
}

static enum status fold_page(struct load *load, struct error *error)
{
    for (size_t i = 0; i < load->read.transition_count; i++) {
        const struct store_transition *row = &load->read.transitions[i];
        enum status                    status = entity_fold(load->entity, row, &load->arena, error);
        if (status != ST_OK)
            return status;
        /* What was just read is likely to be read again: a worker without a cache gets the whole history. */
        if (row->event_count != 0)
            tail_append(load->entity, row->first_event_id, (size_t)row->event_count, row->events);
    }
    load->entity->durable_event_id = load->entity->next_event_id - 1;
    entity_trim_tail(load->entity);
    return ST_OK;
}

/* --- loads --- */

static void load_free(struct load *load)
{
    if (load->chain != NULL) {
        list_remove(&load->in_chain);
        load->chain->pins--;
    }
    if (load->entity != NULL)
        entity_free(load->entity);
    list_remove(&load->link);
    arena_release(&load->arena);
    free(load);
}

static void load_answered(struct message *message);
static void read_run(struct load *load);

static void submit(struct load *load, struct store_read read)
{
    read.arena = &load->arena;
    read.size_limit = LOAD_PAGE_SIZE;
    read.home = &load->lane->mailbox;
    read.message = (struct message){ .run = load_answered };
    load->read = read;
    store_read(load->lane->runtime->options.store, &load->read);
}

static void read_run_again(struct message *message)
{
    struct load *load = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct load, read);
    if (load->chain != NULL) {
        read_run(load);
        return;
    }
    struct lane *lane = load->lane;
    load_free(load);
    cold_end(lane);
}

static void read_run(struct load *load)
{
    const struct chain *chain = load->chain;
    /* Rows of a run that was deleted in a batch that is not durable yet are still there. */
    if (load->chain->deleted_batch > load->lane->durable_batch) {
        load->read.message = (struct message){ .run = read_run_again };
        commit_after(load->lane, load->chain->deleted_batch, &load->read.message);
        return;
    }
    load->incarnation = chain->incarnation;
    if (runtime_kind(load->lane->runtime, chain->kind)->is_record) {
        submit(load,
               (struct store_read){
                   .kind = STORE_READ_ENTITIES,
                   .entity_kind = (int32_t)chain->kind,
                   .entity_key = entity_row_key(chain->namespace_number, chain->business_id, &load->arena),
               });
        return;
    }
    submit(load, (struct store_read){
                     .kind = load->number == 0 ? STORE_READ_CURRENT_RUN : STORE_READ_RUN,
                     .namespace_number = load->chain->namespace_number,
                     /* A copy: the chain may be forgotten while the store reads. */
                     .workflow_id = arena_copy(&load->arena, load->chain->business_id),
                     .number = load->number,
                     .with_history = true,
                 });
}

static void load_start(struct cold *cold)
{
    struct load *load = CONTAINER_OF(cold, struct load, cold);
    if (load->chain == NULL) {
        struct lane *lane = load->lane;
        load_free(load);
        cold_end(lane);
        return;
    }
    load->lane->statistics.loads++;
    read_run(load);
}

void load_wait(struct lane *lane, struct chain *chain, store_number number, struct request *request)
{
    if (lane->waiting >= LOAD_WAITERS_MAX) {
        lane_refuse_overloaded(lane, request);
        chain_free_if_idle(lane, chain);
        return;
    }
    lane->waiting++;
    LIST_FOR_EACH (other, &chain->loads, struct load, in_chain) {
        if (other->number == number) {
            list_append(&other->waiting, &request->link);
            return;
        }
    }
    struct load *load = xcalloc(1, sizeof(*load));
    load->lane = lane;
    load->chain = chain;
    load->number = number;
    load->cold.start = load_start;
    arena_init(&load->arena, SIZE_MAX);
    list_init(&load->waiting);
    list_append(&load->waiting, &request->link);
    list_append(&lane->loads, &load->link);
    list_append(&chain->loads, &load->in_chain);
    chain->pins++;
    cold_begin(lane, &load->cold);
}

/* The load is over: everybody who waited is asked again. `none`: by number, and there is no such run. */
static void load_over(struct load *load, bool none, const struct error *error)
{
    struct lane  *lane = load->lane;
    struct chain *chain = load->chain;
    struct list   waiting;
    list_init(&waiting);
    list_splice(&waiting, &load->waiting);
    chain->pins++; /* what follows may leave the chain without anything in memory */
    load_free(load);
    for (struct list *at; (at = list_take_first(&waiting)) != NULL;) {
        struct request *request = LIST_ENTRY(at, struct request, link);
        lane->waiting--;
        if (error != NULL)
            lane_fail(lane, request,
                      error->code == ST_DATA_LOSS || error->code == ST_RESOURCE_EXHAUSTED ? error->code
                                                                                          : ST_UNAVAILABLE,
                      "the execution could not be loaded: %s", error->message);
        else if (none && request->command == ENTITY_COMMAND_DUE)
            wakeup_decide(lane, chain, NULL, request);
        else if (none)
            request_decide(lane, chain, NULL, request);
        else
            request_process(lane, request);
    }
    chain->pins--;
    chain_free_if_idle(lane, chain);
    cold_end(lane);
}

static void load_failed(struct load *load, const struct error *reason)
{
    struct error error = *reason; /* it may be the load's own */
    if (error.code == ST_DATA_LOSS)
        chain_mark_quarantined(load->lane, load->chain, error.message);
    load_over(load, false, &error);
}

/* The whole history is folded: the entity is what the disk says. */
static void load_finished(struct load *load)
{
    struct entity *entity = load->entity;
    struct chain  *chain = load->chain;
    struct entity *resident = entity_find(load->lane, entity->number);
    if (resident != NULL) {
        /* Another way into memory was faster; it is ahead of what this read saw. */
        entity = resident;
    } else {
        load->entity = NULL;
        entity_publish(entity);
    }
    if ((load->number == 0 || entity->kind->is_record) && !chain->current_known) {
        chain->has_old_runs = entity->kind->is_superseded != NULL &&
                              entity->kind->is_superseded(entity->state);
        chain->current = chain->has_old_runs ? NULL : entity;
        chain->current_known = true;
    }
    load_over(load, false, NULL);
}

/* Volatile times start anew. They may have moved the stored wake-up on, too: it is at most what is due without them. */
static void start_anew(struct load *load)
{
    struct entity *entity = load->entity;
    entity->kind->loaded(entity->state, MUTANT(stored_wakeup_trusted) ? 0 : TIME_FAR);
    entity->wakeup = entity->kind->next_due(entity->state);
    entity->wakeup_guessed = true;
    entity->kind->loaded(entity->state, load->lane->now);
    entity_resize(entity);
}

/* There is no such entity; a request may make it. */
static void load_nothing(struct load *load)
{
    struct chain *chain = load->chain;
    if (load->number == 0 && !chain->current_known) {
        chain->current = NULL;
        chain->current_known = true;
        chain->has_old_runs = false;
    }
    load_over(load, load->number != 0, NULL);
}

/* A record's row is all of it. Its number is of this process only, unless it has one. False: over already. */
static bool record_begin(struct load *load, struct error *error)
{
    struct lane           *lane = load->lane;
    struct chain          *chain = load->chain;
    struct entity_identity identity = { .namespace_number = chain->namespace_number,
                                        .business_id = chain->business_id };
    if (load->read.entity_count == 0 || chain->current_known) {
        load_nothing(load);
        return false;
    }
    const struct namespace_config *namespace = lane_namespace_by_number(lane, chain->namespace_number);
    identity.namespace_id = namespace == NULL ? BYTES_EMPTY : namespace->id;
    identity.number = number_next(&lane->numbers, lane->now);
    load->entity = entity_new(lane, chain, runtime_kind(lane->runtime, chain->kind), &identity);
    const struct entity_kind *kind = load->entity->kind;
    if (kind->restore(load->entity->state, load->read.entities[0].state, error) != ST_OK)
        return false;
    if (kind->number != NULL)
        load->entity->number = kind->number(load->entity->state);
    return true;
}

static bool is_the_run(const struct load *load, const struct store_run *run)
{
    return run->namespace_number == load->chain->namespace_number && store_run_is_workflow(run) &&
           bytes_equal(run->workflow_id, load->chain->business_id) &&
           (load->number == 0 || run->number == load->number);
}

/* The first page: the row, and the state it starts from. False: over already. */
static bool load_begin(struct load *load, struct error *error)
{
    struct lane  *lane = load->lane;
    struct chain *chain = load->chain;
    if (runtime_kind(lane->runtime, chain->kind)->is_record)
        return record_begin(load, error);
    const struct store_run *run = load->read.run_count == 0 ? NULL : &load->read.runs[0];
    if (!load->read.found || run == NULL || !is_the_run(load, run)) {
        load_nothing(load);
        return false;
    }
    if (load->number == 0 && chain->current_known) { /* a run was made meanwhile */
        load_over(load, false, NULL);
        return false;
    }
    const struct namespace_config *namespace = lane_namespace_by_number(lane, run->namespace_number);
    struct entity_identity identity = {
        .namespace_number = run->namespace_number,
        .namespace_id = namespace == NULL ? BYTES_EMPTY : namespace->id,
        .business_id = run->workflow_id,
        .number = run->number,
        .run_id = run->run_id,
    };
    load->entity = entity_new(lane, chain, runtime_kind(lane->runtime, chain->kind), &identity);
    return restore(load->entity, run, error) == ST_OK;
}

static void load_answered(struct message *message)
{
    struct load *load = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct load, read);
    struct lane *lane = load->lane;
    struct error error = { 0 };
    if (load->chain == NULL) {
        load_free(load);
        cold_end(lane);
        return;
    }
    if (load->read.status != ST_OK) {
        load_failed(load, &load->read.error);
        return;
    }
    if (load->incarnation != load->chain->incarnation && !MUTANT(old_read_believed)) {
        /* Runs of this chain were forgotten: what this read saw may be older than what they had made durable. */
        if (load->entity != NULL)
            entity_free(TAKE_PTR(load->entity));
        arena_reset(&load->arena);
        read_run(load);
        return;
    }
    if (load->entity == NULL && !load_begin(load, &error)) {
        if (error.code != ST_OK)
            load_failed(load, &error);
        return;
    }
    if (fold_page(load, &error) != ST_OK) {
        load_failed(load, &error);
        return;
    }
    if (load->read.more) {
        store_number branch = load->entity->number;
        int64_t      from = load->entity->row_number + 1;
        arena_reset(&load->arena);
        submit(load, (struct store_read){
                         .kind = STORE_READ_HISTORY, .number = branch, .from = from, .to = INT64_MAX });
        return;
    }
    start_anew(load);
    load_finished(load);
}

void load_forget_all(struct lane *lane, struct list *ret_waiters)
{
    LIST_FOR_EACH (load, &lane->loads, struct load, link) {
        for (struct list *at; (at = list_take_first(&load->waiting)) != NULL;) {
            lane->waiting--;
            list_append(ret_waiters, at);
        }
        if (load->chain == NULL)
            continue;
        list_remove(&load->in_chain);
        load->chain->pins--;
        load->chain = NULL;
        if (load->entity != NULL)
            entity_free(TAKE_PTR(load->entity));
    }
}

void load_free_all(struct lane *lane)
{
    while (!list_empty(&lane->loads)) {
        struct load *load = LIST_ENTRY(lane->loads.next, struct load, link);
        load_free(load);
    }
}
