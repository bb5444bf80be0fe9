/* link.c: messages between entities, each applied once.
 *
 * A link is a pair of ranges. The sender numbers its messages when their batch is sealed; each is an outbox row of the
 * transition that sent it, and leaves when that is durable. The receiver keeps one row per link (the highest number it took,
 * and a window of 64 bits below it) and writes it with the effect; so a message that comes again, also after a crash of
 * either side, over continue-as-new or deletion of its target, changes nothing and is answered all the same. The answer lets
 * the sender delete its row.
 *
 *   sender:   row durable ──> window ──> sent ──answer──> row deleted       no answer (the target cannot be loaded now): later
 *   receiver: fresh ──> decided with LINK_TAKE in one group ──durable──> answer      known ──durable──> answer
 *
 * At most 64 numbers of a link are on their way, so none can fall out of the receiver's window before it was answered. A
 * link waits for no single target: one that refuses has answered, one that cannot be loaded, or is busy, is sent again after
 * a second; so is one whose effect the store has refused, once its target is no longer quarantined. What a target has to answer goes as a message of its own: with its transition, or, where there is none, with the
 * row of the link.
 */
#include "base/mutant.h"
#include "shard/shard_internal.h"

#define LINK_WINDOW STORE_LINK_WINDOW
/* Messages of one link in memory: those on their way and as many behind them, for a body may be large. */
#define WINDOW_SIZE_MAX (2 * (size_t)LINK_WINDOW)
#define LINKS_PER_LANE  (SHARD_RANGE_COUNT * SHARD_RANGE_COUNT)
#define SCAN_ROWS       512
#define RESEND_NS       NS_PER_S

/* A message on its way to its target and back. Made by the sender's lane, worked on by the receiver's. */
struct transfer {
    struct list            link; /* in link_out.sending, by number */
    struct message         message;
    struct message_request request;
    struct arena           arena;
    struct link_out       *sender;
    int32_t                source, target;
    int64_t                number;
    bool                   decided; /* now or before, or it never can be */
    enum status            answer;
};
struct outgoing {
    struct window_link link;
    struct bytes       body; /* behind the structure */
};
struct link_out {
    struct list       active; /* in links.active, while there may be something to send */
    struct lane      *lane;
    int32_t           source, target;
    int64_t           next;
    struct window     window;
    struct list       sending;
    int64_t           resend_at;
    bool              reading;
    struct message    sealed;
    struct store_read read;
    struct arena      arena;
};
struct link_in {
    struct store_link now, durable;
    int64_t           last_batch;
};
struct links {
    struct link_out *out[LINKS_PER_LANE];
    struct link_in  *in[LINKS_PER_LANE];
    struct list      active;
    size_t           sending;
};
struct link_acknowledged {
    struct link_acknowledged *next;
    struct store_outbox       row;
};
struct link_received {
    struct link_received  *next;
    struct link_in        *link;
    struct chain          *chain;
    struct message_change *messages; /* answers that go without a transition */
    int64_t                taken;    /* the number of the message */
    uint32_t               group;
    bool                   refused;
};

static struct links *links_of(struct lane *lane)
{
    if (lane->links == NULL) {
        lane->links = xcalloc(1, sizeof(*lane->links));
        list_init(&lane->links->active);
    }
    return lane->links;
}

/* --- the sender's side --- */

static void outgoing_free(struct window_link *link)
{
    free(CONTAINER_OF(link, struct outgoing, link));
}

static struct window_link *outgoing_new(struct bytes body)
{
    struct outgoing *outgoing = xcalloc(1, sizeof(*outgoing) + body.size);
    memcpy(outgoing + 1, body.base, body.size);
    outgoing->body = bytes_of(outgoing + 1, body.size);
    return &outgoing->link;
}

static struct link_out *out_get(struct lane *lane, int32_t source, int32_t target)
{
    struct links     *links = links_of(lane);
    struct link_out **slot = &links->out[source * SHARD_RANGE_COUNT + target];
    if (*slot == NULL) {
        struct link_out *link = xcalloc(1, sizeof(*link));
        link->lane = lane;
        link->source = source;
        link->target = target;
        link->next = 1;
        link->resend_at = TIME_NEVER;
        window_init(&link->window, MIN(lane->runtime->options.window_size, WINDOW_SIZE_MAX), outgoing_free);
        list_init(&link->sending);
        list_init(&link->active);
        arena_init(&link->arena, SIZE_MAX);
        *slot = link;
    }
    return *slot;
}

static void activate(struct link_out *link)
{
    if (!list_linked(&link->active))
        list_append(&link->lane->links->active, &link->active);
}

/* Notes messages of the open batch, behind those that `end` closes; returns the new end. */
static struct message_change **note(struct batch *batch, struct message_change **end,
                                    const struct entity_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct message_change *new = ARENA_NEW(&batch->arena, struct message_change);
        new->message = messages[i];
        *end = new;
        end = &new->next;
        batch->size += 64 + new->message.body.size;
    }
    return end;
}

void link_join(struct change *change, const struct transition *transition)
{
    change->messages_end = note(change->batch, change->messages_end, transition->messages,
                                transition->message_count);
}

static void seal_messages(struct batch *batch, struct message_change *messages, const struct chain *chain,
                          store_number source_run, uint32_t group)
{
    for (struct message_change *at = messages; at != NULL; at = at->next) {
        int32_t          source = runtime_range(chain->namespace_number, chain->business_id);
        int32_t          target = runtime_range(at->message.namespace_number, at->message.business_id);
        struct link_out *link = out_get(batch->lane, source, target);
        at->row = (struct store_outbox){ .source_range = source,
                                         .target_range = target,
                                         .number = link->next++,
                                         .source_run = source_run,
                                         .body = message_pack(&batch->store.arena, &at->message) };
        if (!MUTANT(outbox_row_lost))
            store_batch_add(&batch->store, STORE_OUTBOX_INSERT, group)->outbox = &at->row;
        batch->store.size += 48 + at->row.body.size;
    }
}

void link_seal_change(struct change *change, uint32_t group)
{
    seal_messages(change->batch, change->messages, change->entity->chain, change->entity->number, group);
}

static void messages_released(struct lane *lane, const struct message_change *messages)
{
    for (const struct message_change *at = messages; at != NULL; at = at->next) {
        struct link_out *link = out_get(lane, at->row.source_range, at->row.target_range);
        window_released(&link->window, outgoing_new(at->row.body), (struct window_key){ 0, at->row.number });
        activate(link);
    }
}

void link_released(struct change *change)
{
    messages_released(change->batch->lane, change->messages);
}

static void transfer_free(struct transfer *transfer)
{
    list_remove(&transfer->link);
    arena_release(&transfer->arena);
    free(transfer);
}

static void acknowledge(struct link_out *link, int64_t number)
{
    struct lane              *lane = link->lane;
    struct link_acknowledged *row = ARENA_NEW(&lane->open->arena, struct link_acknowledged);
    if (lane->open->acknowledged == NULL)
        commit_opened(lane);
    row->row = (struct store_outbox){ .source_range = link->source,
                                      .target_range = link->target,
                                      .number = number };
    row->next = lane->open->acknowledged;
    lane->open->acknowledged = row;
}

/* The target could not be asked: it is no answer, and the message comes again. */
static bool is_not_now(enum status answer)
{
    return (answer == ST_UNAVAILABLE && !MUTANT(refused_message_answered)) || answer == ST_RESOURCE_EXHAUSTED;
}

/* Back at the sender. */
static void transfer_answered(struct message *message)
{
    struct transfer *transfer = CONTAINER_OF(message, struct transfer, message);
    struct link_out *link = transfer->sender;
    link->lane->links->sending--;
    if (is_not_now(transfer->answer))
        link->resend_at = MIN(link->resend_at, time_add(link->lane->now, RESEND_NS));
    else
        acknowledge(link, transfer->number);
    activate(link);
    transfer_free(transfer);
}

static void transfer_arrived(struct message *message);

static bool is_sending(const struct link_out *link, int64_t number)
{
    LIST_FOR_EACH (transfer, &link->sending, struct transfer, link) {
        if (transfer->number == number)
            return true;
    }
    return false;
}

static void send(struct link_out *link, int64_t number, struct bytes body)
{
    struct transfer *transfer = xcalloc(1, sizeof(*transfer));
    arena_init(&transfer->arena, SIZE_MAX);
    transfer->sender = link;
    transfer->source = link->source;
    transfer->target = link->target;
    transfer->number = number;
    transfer->request.body = arena_copy(&transfer->arena, body);
    transfer->message.run = transfer_arrived;
    struct list *before = &link->sending;
    LIST_FOR_EACH (other, &link->sending, struct transfer, link) {
        if (before == &link->sending && other->number > number)
            before = &other->link;
    }
    list_insert_before(before, &transfer->link);
    link->lane->links->sending++;
    mailbox_post(&runtime_range_lane(link->lane->runtime, link->target)->mailbox, &transfer->message);
}

static void pump(struct link_out *link)
{
    if (link->resend_at <= link->lane->now) {
        link->resend_at = TIME_NEVER;
        window_mark_dirty(&link->window);
    }
    /* Rows that are to be sent again are the lowest: until they are read again nobody knows how far the window reaches. */
    while (link->resend_at == TIME_NEVER) {
        struct window_link *first = window_first(&link->window);
        if (first == NULL)
            break;
        int64_t number = first->key.minor;
        int64_t lowest = list_empty(&link->sending)
                             ? number
                             : LIST_ENTRY(link->sending.next, struct transfer, link)->number;
        if (number >= lowest + LINK_WINDOW)
            break;
        window_take(&link->window, first);
        if (!is_sending(link, number))
            send(link, number, CONTAINER_OF(first, struct outgoing, link)->body);
        outgoing_free(first);
    }
}

static void refill_answered(struct message *message)
{
    struct link_out *link = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct link_out,
                                         read);
    bool             end = !link->read.more;
    link->reading = false;
    activate(link);
    if (link->read.status != ST_OK) {
        window_refill_failed(&link->window);
        link->resend_at = MIN(link->resend_at, time_add(link->lane->now, RESEND_NS));
    } else {
        for (size_t i = 0; i < link->read.outbox_count; i++) {
            const struct store_outbox *row = &link->read.outbox[i];
            if (row->source_range != link->source || row->target_range != link->target) {
                end = true; /* the rows of the next link */
                break;
            }
            window_refill_row(&link->window, outgoing_new(row->body), (struct window_key){ 0, row->number });
        }
        window_refill_end(&link->window, end);
    }
    arena_reset(&link->arena);
}

static void refill_read(struct message *message)
{
    struct link_out *link = CONTAINER_OF(message, struct link_out, sealed);
    link->read = (struct store_read){
        .kind = STORE_READ_OUTBOX,
        .after_source_range = link->source,
        .after_target_range = link->target,
        .after = MAX(link->window.mark.minor, INT64_C(0)),
        .limit = link->window.capacity + 1,
        .arena = &link->arena,
        .home = &link->lane->mailbox,
        .message = { .run = refill_answered },
    };
    store_read(link->lane->runtime->options.store, &link->read);
}

void link_turn(struct lane *lane)
{
    if (lane->links == NULL || lane->settling || lane->read_only)
        return;
    LIST_FOR_EACH (link, &lane->links->active, struct link_out, active) {
        pump(link);
        if (!link->reading && link->resend_at == TIME_NEVER && window_wants_refill(&link->window)) {
            link->reading = true;
            link->sealed.run = refill_read;
            window_refill_begin(&link->window);
            lane_after_sealed(lane, &link->sealed);
        }
        if (link->resend_at == TIME_NEVER)
            list_remove(&link->active); /* what comes next activates it */
    }
}

int64_t link_next_due(const struct lane *lane)
{
    int64_t due = TIME_NEVER;
    if (lane->links == NULL || lane->settling || lane->read_only)
        return due;
    LIST_FOR_EACH (link, &lane->links->active, struct link_out, active)
        due = MIN(due, link->resend_at == TIME_NEVER ? lane->now : link->resend_at);
    return due;
}

bool link_idle(const struct lane *lane)
{
    if (lane->links == NULL)
        return true;
    for (size_t i = 0; i < LINKS_PER_LANE; i++) {
        if (lane->links->out[i] != NULL && lane->links->out[i]->reading)
            return false;
    }
    return lane->links->sending == 0;
}

/* --- the receiver's side --- */

static struct link_in *in_get(struct lane *lane, int32_t source, int32_t target)
{
    struct link_in **slot = &links_of(lane)->in[source * SHARD_RANGE_COUNT + target];
    if (*slot == NULL) {
        *slot = xcalloc(1, sizeof(**slot));
        (*slot)->now = (*slot)->durable = (struct store_link){ source, target, 0, 0 };
    }
    return *slot;
}

static struct transfer *transfer_of(struct request *request)
{
    assert(request->command == ENTITY_COMMAND_MESSAGE);
    return CONTAINER_OF(CONTAINER_OF(request, struct message_request, base), struct transfer, request);
}

static void transfer_done(struct request *request)
{
    struct transfer *transfer = transfer_of(request);
    /* What nobody has decided (a damaged row, a read that failed) is no answer, whatever it is called. */
    transfer->answer = transfer->decided ? request->error.code : ST_UNAVAILABLE;
    transfer->message.run = transfer_answered;
    mailbox_post(&transfer->sender->lane->mailbox, &transfer->message);
}

static void transfer_arrived(struct message *message)
{
    struct transfer      *transfer = CONTAINER_OF(message, struct transfer, message);
    struct lane          *lane = runtime_range_lane(transfer->sender->lane->runtime, transfer->target);
    struct entity_message body;
    struct request       *request = &transfer->request.base;
    request->arena = &transfer->arena;
    request->done = transfer_done;
    request->command = ENTITY_COMMAND_MESSAGE;
    if (!message_unpack(transfer->request.body, &body) || runtime_kind(lane->runtime, body.kind) == NULL) {
        transfer->decided = true;
        request_prepare(lane, request);
        lane_fail(lane, request, ST_DATA_LOSS, "a message that cannot be read");
        return;
    }
    request->kind = body.kind;
    request->namespace_number = body.namespace_number;
    request->business_id = body.business_id;
    request->has_run_id = body.has_run_id;
    request->run_id = body.run_id;
    transfer->request.body = body.body;
    request_prepare(lane, request);
    lane_enqueue(lane, request);
}

bool link_is_received(struct lane *lane, struct request *request, int64_t *ret_batch)
{
    struct transfer      *transfer = transfer_of(request);
    const struct link_in *link = in_get(lane, transfer->source, transfer->target);
    int64_t               behind = link->now.number - transfer->number;
    if (MUTANT(message_applied_twice) || behind < 0 ||
        (behind > 0 && behind <= LINK_WINDOW && (link->now.window >> (behind - 1) & 1) == 0))
        return false;
    transfer->decided = true;
    *ret_batch = link->last_batch;
    return true;
}

void link_receive(struct lane *lane, struct request *request, struct chain *chain,
                  const struct decision *decision)
{
    struct transfer *transfer = transfer_of(request);
    struct link_in  *link = in_get(lane, transfer->source, transfer->target);
    if (is_not_now(request->error.code)) { /* it comes again */
        assert(!decision->changes && !decision->creates && decision->message_count == 0);
        return;
    }
    transfer->decided = true;
    struct batch         *batch = lane->open;
    struct link_received *received = ARENA_NEW(&batch->arena, struct link_received);
    commit_opened(lane);
    store_link_take(&link->now, transfer->number);
    link->last_batch = batch->id;
    commit_rests_on(batch, chain); /* also when nothing changes: it was decided on what the chain was */
    chain
        ->pins++; /* until the batch is done with: it may be one without a run, or whose last run goes with the batch */
    /* The answer rests on the link's row also when the target refused and wrote nothing. */
    chain->last_batch = batch->id;
    received->link = link;
    received->taken = transfer->number;
    received->chain = chain;
    note(batch, &received->messages, decision->messages, decision->message_count);
    received->next = batch->received;
    batch->received = received;
}

void link_seal(struct batch *batch)
{
    for (struct link_acknowledged *at = batch->acknowledged; at != NULL; at = at->next)
        if (!MUTANT(outbox_row_kept))
            store_batch_add(&batch->store, STORE_OUTBOX_DELETE, batch->store.group_count++)->outbox =
                &at->row;
    for (struct link_received *at = batch->received; at != NULL; at = at->next) {
        /* With the effect or not at all: each group adds its own number to the row, so that what the store refuses of one
         * message says nothing of the others. */
        at->group = at->chain->group_batch == batch->id ? at->chain->group : batch->store.group_count++;
        seal_messages(batch, at->messages, at->chain, 0, at->group);
        if (!MUTANT(link_row_lost))
            store_batch_add(&batch->store, STORE_LINK_TAKE, at->group)->link = (struct store_link){
                .source_range = at->link->now.source_range,
                .target_range = at->link->now.target_range,
                .number = at->taken,
            };
        batch->store.size += 32;
    }
}

/* What the link is without those that were refused: what is durable, and what is on its way. */
static void recount(struct lane *lane, struct link_in *link)
{
    link->now = link->durable;
    for (size_t i = 0; i < ARRAY_COUNT(lane->batches); i++)
        for (const struct link_received *at = lane->batches[i].received; at != NULL; at = at->next)
            if (at->link == link && !at->refused)
                store_link_take(&link->now, at->taken);
}

static void received_done(const struct batch *batch, const struct link_received *received)
{
    assert(received->chain->pins != 0);
    received->chain->pins--;
    chain_free_if_idle(batch->lane, received->chain);
}

void link_batch_released(struct batch *batch)
{
    for (struct link_received *at = batch->received; at != NULL; at = at->next) {
        received_done(batch, at);
        if (at->refused)
            continue;
        store_link_take(&at->link->durable, at->taken);
        messages_released(batch->lane, at->messages);
    }
}

static void forget_received(struct batch *batch, struct link_received *received)
{
    received->refused = true;
    recount(batch->lane, received->link);
    LIST_FOR_EACH (request, &batch->outputs, struct request, link) {
        if (request->command != ENTITY_COMMAND_MESSAGE || request->chain != received->chain)
            continue;
        list_remove(&request->link);
        lane_fail(batch->lane, request, ST_UNAVAILABLE, "the store refused what the message does");
    }
}

/* Rows that were to go may still be there: they are sent again, and answered again. */
static void acknowledged_again(struct batch *batch)
{
    for (struct link_acknowledged *at = batch->acknowledged; at != NULL; at = at->next) {
        struct link_out *link = out_get(batch->lane, at->row.source_range, at->row.target_range);
        link->resend_at = MIN(link->resend_at, time_add(batch->lane->now, RESEND_NS));
        activate(link);
    }
}

void link_batch_refused(struct batch *batch)
{
    for (struct link_received *at = batch->received; at != NULL; at = at->next)
        if (batch->store.refused[at->group])
            forget_received(batch, at);
    acknowledged_again(batch);
}

void link_chain_refused(struct batch *open, const struct chain *chain)
{
    for (struct link_received **at = &open->received; *at != NULL;) {
        struct link_received *received = *at;
        if (received->chain != chain) {
            at = &received->next;
            continue;
        }
        forget_received(open, received);
        *at = received->next;
        received->chain->pins--; /* its caller still works on it */
    }
}

/* What was received in it was not: the sender will send it again. Rows that were to go are still there. */
void link_batch_lost(struct batch *batch)
{
    for (struct link_received *at = batch->received; at != NULL; at = at->next) {
        at->link->now = at->link->durable;
        at->link->last_batch = 0;
        received_done(batch, at);
    }
    acknowledged_again(batch);
}

/* --- life --- */

/* The next number of a link is above whatever was received and whatever waits in the outbox. */
static enum status load_outbox(struct runtime *runtime, struct error *error)
{
    struct store_read read = { .kind = STORE_READ_OUTBOX, .after = -1, .limit = SCAN_ROWS };
    enum status       status = ST_OK;
    struct arena      arena;
    arena_init(&arena, SIZE_MAX);
    for (bool more = true; more && status == ST_OK; arena_reset(&arena)) {
        read.arena = &arena;
        runtime_read_blocking(runtime, &read);
        status = read.status;
        if (status != ST_OK)
            *error = read.error;
        for (size_t i = 0; status == ST_OK && i < read.outbox_count; i++) {
            const struct store_outbox *row = &read.outbox[i];
            struct link_out *link = out_get(runtime_range_lane(runtime, row->source_range), row->source_range,
                                            row->target_range);
            link->next = MAX(link->next, row->number + !MUTANT(link_numbers_given_again));
            activate(link);
        }
        more = status == ST_OK && read.more;
        if (more) {
            const struct store_outbox *last = &read.outbox[read.outbox_count - 1];
            read = (struct store_read){ .kind = STORE_READ_OUTBOX,
                                        .after_source_range = last->source_range,
                                        .after_target_range = last->target_range,
                                        .after = last->number,
                                        .limit = SCAN_ROWS };
        }
    }
    arena_release(&arena);
    return status;
}

static bool is_range(int32_t range)
{
    return range >= 0 && range < SHARD_RANGE_COUNT;
}

enum status links_load(struct runtime *runtime, struct error *error)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct store_read read = { .kind = STORE_READ_LINKS, .arena = &arena };
    runtime_read_blocking(runtime, &read);
    enum status status = read.status;
    if (status != ST_OK)
        *error = read.error;
    for (size_t i = 0; status == ST_OK && i < read.link_count; i++) {
        const struct store_link *row = &read.links[i];
        if (!is_range(row->source_range) || !is_range(row->target_range)) {
            status = error_set(error, ST_DATA_LOSS, "the row of link %d, %d is damaged", row->source_range,
                               row->target_range);
            break;
        }
        struct link_in *in = in_get(runtime_range_lane(runtime, row->target_range), row->source_range,
                                    row->target_range);
        in->now = in->durable = *row;
        struct link_out *out = out_get(runtime_range_lane(runtime, row->source_range), row->source_range,
                                       row->target_range);
        out->next = row->number + 1;
    }
    arena_release(&arena);
    return status == ST_OK ? load_outbox(runtime, error) : status;
}

static void out_free(struct link_out *link)
{
    while (!list_empty(&link->sending))
        transfer_free(LIST_ENTRY(link->sending.next, struct transfer, link));
    list_remove(&link->active);
    window_release(&link->window);
    arena_release(&link->arena);
    free(link);
}

void links_free(struct lane *lane)
{
    if (lane->links == NULL)
        return;
    for (size_t i = 0; i < LINKS_PER_LANE; i++) {
        if (lane->links->out[i] != NULL)
            out_free(lane->links->out[i]);
        free(lane->links->in[i]);
    }
    free(lane->links);
}
