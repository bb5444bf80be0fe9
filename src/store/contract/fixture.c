/* fixture.c: the lane of the contract's tests. */
#include "store/contract/fixture.h"

static void wake(void *context)
{
    sem_post(context);
}

static void lane_init(struct fixture *fixture)
{
    CHECK_EQ(sem_init(&fixture->wake, 0, 0), 0);
    mailbox_init(&fixture->mailbox, wake, &fixture->wake);
    arena_init(&fixture->arena, SIZE_MAX);
}

void fixture_lane(struct fixture *fixture, const struct fixture *of)
{
    *fixture = (struct fixture){ .subject = of->subject, .store = of->store };
    lane_init(fixture);
}

void fixture_lane_release(struct fixture *fixture)
{
    arena_release(&fixture->arena);
    sem_destroy(&fixture->wake);
}

void fixture_open(struct fixture *fixture, const struct store_contract_subject *subject)
{
    *fixture = (struct fixture){ .subject = subject };
    lane_init(fixture);
    fixture->store = subject->open(subject);
    assert_non_null(fixture->store);
}

void fixture_init(struct fixture *fixture, void **state)
{
    const struct store_contract_subject *subject = *state;
    if (subject->remove != NULL)
        subject->remove(subject);
    fixture_open(fixture, subject);
}

void fixture_release(struct fixture *fixture)
{
    store_close(fixture->store);
    if (fixture->subject->remove != NULL)
        fixture->subject->remove(fixture->subject);
    fixture_lane_release(fixture);
}

void fixture_reopen(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture->store = fixture->subject->open(fixture->subject);
    assert_non_null(fixture->store);
}

void fixture_wait(struct fixture *fixture, const bool *done)
{
    while (!*done) {
        struct message *message = mailbox_take(&fixture->mailbox);
        if (message == NULL) {
            if (fixture->subject->pump == NULL || !fixture->subject->pump(fixture->store))
                sem_wait(&fixture->wake);
            continue;
        }
        while (message != NULL) {
            struct message *next = message->next;
            message->run(message);
            message = next;
        }
    }
}

static void batch_done(struct message *message)
{
    struct operation *operation = CONTAINER_OF(message, struct operation, batch.message);
    operation->done = true;
    operation->place = operation->fixture->completions++;
}

void operation_init(struct operation *operation, struct fixture *fixture)
{
    *operation = (struct operation){ .fixture = fixture };
    store_batch_init(&operation->batch, &fixture->mailbox, batch_done);
}

void operation_submit(struct operation *operation)
{
    operation->done = false;
    store_submit(operation->fixture->store, &operation->batch);
}

enum store_outcome operation_commit(struct operation *operation)
{
    operation_submit(operation);
    fixture_wait(operation->fixture, &operation->done);
    return operation->batch.outcome;
}

void operation_must_commit(struct operation *operation)
{
    enum store_outcome outcome = operation_commit(operation);
    if (outcome != STORE_DURABLE)
        print_error("outcome %d: %s\n", (int)outcome, operation->batch.error.message);
    CHECK_EQ(outcome, STORE_DURABLE);
    store_batch_clear(&operation->batch);
}

/* A run whose fields all differ, from each other and from those of other numbers. */
static struct store_run make_run(struct arena *arena, store_number number, const char *workflow_id)
{
    struct store_run run = {
        .number = number,
        .namespace_number = NAMESPACE,
        .workflow_id = arena_copy(arena, bytes_of_text(workflow_id)),
        .workflow_type = arena_printf(arena, "type-%" PRId64, number % 3),
        .task_queue = arena_printf(arena, "queue-%" PRId64, number % 2),
        .status = STATUS_RUNNING,
        .start_time = number * 1000,
        .execution_time = number * 1000 + 1,
        .parent_workflow_id = BYTES("parent"),
        .root_workflow_id = BYTES("root"),
        .memo = arena_printf(arena, "memo-%" PRId64, number),
        .search_attributes = BYTES("\0attributes\xff"),
    };
    memset(run.run_id.byte, (int)(number % 250) + 1, sizeof run.run_id.byte);
    memset(run.parent_run_id.byte, 0xAA, sizeof run.parent_run_id.byte);
    memset(run.root_run_id.byte, 0xBB, sizeof run.root_run_id.byte);
    return run;
}

struct store_run *operation_insert_run(struct operation *operation, uint32_t group, store_number number,
                                       const char *workflow_id)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_RUN_INSERT, group);
    write->run = ARENA_NEW(&operation->batch.arena, struct store_run);
    *write->run = make_run(&operation->batch.arena, number, workflow_id);
    operation->batch.size += 200;
    return write->run;
}

struct store_run *operation_update_run(struct operation *operation, uint32_t group,
                                       const struct store_run *run)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_RUN_UPDATE, group);
    write->run = ARENA_NEW(&operation->batch.arena, struct store_run);
    *write->run = *run;
    operation->batch.size += 200;
    return write->run;
}

void operation_insert_transition(struct operation *operation, uint32_t group, store_number branch,
                                 int64_t number, struct bytes events, const char *delta)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_TRANSITION_INSERT, group);
    write->transition = ARENA_NEW(&operation->batch.arena, struct store_transition);
    *write->transition = (struct store_transition){ .branch = branch,
                                                    .number = number,
                                                    .first_event_id = number * 3,
                                                    .event_count = events.size == 0 ? 0 : 2,
                                                    .checksum = 0xFFFFFFF0U + (uint32_t)number,
                                                    .events = events,
                                                    .delta = bytes_of_text(delta) };
    operation->batch.size += events.size + 50;
}

void operation_insert_ready(struct operation *operation, uint32_t group, store_number sequence,
                            const char *queue, int32_t priority)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_READY_INSERT, group);
    write->ready = ARENA_NEW(&operation->batch.arena, struct store_ready);
    *write->ready = (struct store_ready){ .sequence = sequence,
                                          .namespace_number = NAMESPACE,
                                          .queue = bytes_of_text(queue),
                                          .normal_queue = BYTES("normal"),
                                          .kind = STORE_TASK_ACTIVITY,
                                          .priority = priority,
                                          .fairness_key = BYTES("fair"),
                                          .version = BYTES("v1"),
                                          .run = sequence + 1,
                                          .workflow_id = BYTES("workflow"),
                                          .scheduled_event_id = sequence + 2,
                                          .stamp = sequence + 3,
                                          .created_time = sequence + 4 };
}

void operation_set_wakeup(struct operation *operation, uint32_t group, store_number entity, int64_t due)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_WAKEUP_SET, group);
    write->wakeup.entity = entity;
    write->wakeup.due = due;
    write->wakeup.namespace_number = NAMESPACE;
    write->wakeup.workflow_id = BYTES("sleeper");
    write->wakeup.kind = 1 + (int32_t)(entity % 2);
}

void operation_insert_outbox(struct operation *operation, uint32_t group, int32_t source, int32_t target,
                             int64_t number, const char *body)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_OUTBOX_INSERT, group);
    write->outbox = ARENA_NEW(&operation->batch.arena, struct store_outbox);
    *write->outbox = (struct store_outbox){ .source_range = source,
                                            .target_range = target,
                                            .number = number,
                                            .source_run = number + 100,
                                            .body = bytes_of_text(body) };
}

void operation_put_entity(struct operation *operation, uint32_t group, int32_t kind, const char *key,
                          const char *state)
{
    struct store_write *write = store_batch_add(&operation->batch, STORE_ENTITY_PUT, group);
    write->entity = (struct store_entity){ .kind = kind,
                                           .key = bytes_of_text(key),
                                           .state = bytes_of_text(state) };
}

struct read_operation {
    struct store_read *read;
    struct store_read  request;
    bool               done;
};

static void read_done(struct message *message)
{
    CONTAINER_OF(message, struct read_operation, request.message)->done = true;
}

void fixture_read(struct fixture *fixture, struct store_read *read)
{
    struct read_operation operation = { .read = read, .request = *read };
    operation.request.arena = &fixture->arena;
    operation.request.home = &fixture->mailbox;
    operation.request.message.run = read_done;
    store_read(fixture->store, &operation.request);
    fixture_wait(fixture, &operation.done);
    *read = operation.request;
}

struct store_read fixture_load(struct fixture *fixture, store_number number)
{
    struct store_read read = { .kind = STORE_READ_RUN, .number = number, .with_history = true };
    fixture_read(fixture, &read);
    CHECK_EQ(read.status, ST_OK);
    return read;
}

struct store_read fixture_current(struct fixture *fixture, const char *workflow_id)
{
    struct store_read read = { .kind = STORE_READ_CURRENT_RUN,
                               .namespace_number = NAMESPACE,
                               .workflow_id = bytes_of_text(workflow_id) };
    fixture_read(fixture, &read);
    CHECK_EQ(read.status, ST_OK);
    return read;
}

void check_run(const struct store_run *a, const struct store_run *b)
{
    CHECK_INT(a->number, b->number);
    CHECK_INT(a->namespace_number, b->namespace_number);
    CHECK_EQ(memcmp(&a->run_id, &b->run_id, sizeof a->run_id), 0);
    CHECK_BYTES(a->workflow_id, b->workflow_id);
    CHECK_BYTES(a->workflow_type, b->workflow_type);
    CHECK_BYTES(a->task_queue, b->task_queue);
    CHECK_INT(a->status, b->status);
    CHECK_INT(a->start_time, b->start_time);
    CHECK_INT(a->execution_time, b->execution_time);
    CHECK_INT(a->close_time, b->close_time);
    CHECK_INT(a->history_length, b->history_length);
    CHECK_INT(a->history_size, b->history_size);
    CHECK_INT(a->state_transitions, b->state_transitions);
    CHECK_INT(a->kind, b->kind);
    CHECK_BYTES(a->parent_workflow_id, b->parent_workflow_id);
    CHECK_EQ(memcmp(&a->parent_run_id, &b->parent_run_id, sizeof a->parent_run_id), 0);
    CHECK_BYTES(a->root_workflow_id, b->root_workflow_id);
    CHECK_EQ(memcmp(&a->root_run_id, &b->root_run_id, sizeof a->root_run_id), 0);
    CHECK_BYTES(a->memo, b->memo);
    CHECK_BYTES(a->search_attributes, b->search_attributes);
    CHECK_BYTES(a->snapshot, b->snapshot);
    CHECK_INT(a->snapshot_transition, b->snapshot_transition);
}

void check_transition(const struct store_transition *row, store_number branch, int64_t number,
                      struct bytes events, const char *delta)
{
    CHECK_INT(row->branch, branch);
    CHECK_INT(row->number, number);
    CHECK_INT(row->first_event_id, number * 3);
    CHECK_INT(row->event_count, events.size == 0 ? 0 : 2);
    CHECK_INT(row->checksum, 0xFFFFFFF0U + (uint32_t)number);
    CHECK_BYTES(row->events, events);
    CHECK_BYTES(row->delta, bytes_of_text(delta));
}

static void add_tests(const struct store_contract_subject *subject, const struct CMUnitTest *from,
                      size_t from_count, struct CMUnitTest *tests, size_t *count, size_t capacity)
{
    for (size_t i = 0; i < from_count; i++) {
        assert(*count < capacity);
        tests[*count] = from[i];
        tests[*count].initial_state = (void *)(uintptr_t)subject;
        *count += 1;
    }
}

void store_contract_add(const struct store_contract_subject *subject, struct CMUnitTest *tests, size_t *count,
                        size_t capacity)
{
    add_tests(subject, store_contract_writes, store_contract_writes_count, tests, count, capacity);
    add_tests(subject, store_contract_reads, store_contract_reads_count, tests, count, capacity);
    add_tests(subject, store_contract_lists, store_contract_lists_count, tests, count, capacity);
    if (subject->durable)
        add_tests(subject, store_contract_durable, store_contract_durable_count, tests, count, capacity);
}
