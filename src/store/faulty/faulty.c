/* faulty.c: what is to go wrong is decided when a request comes in; its answer is changed on the way back. */
#include "store/faulty.h"

#include <pthread.h>

#include "base/list.h"
#include "store/store_internal.h"

#define SCRIPT_MAX 64

struct faulty {
    struct store     store;
    struct store    *inside;
    pthread_mutex_t  lock; /* guards what follows; a leaf: nothing is posted or called while it is held */
    struct random    random;
    uint32_t         rates[STORE_FAULT_COUNT], delay_rate;
    uint64_t         struck[STORE_FAULT_COUNT];
    enum store_fault always;
    struct {
        enum store_fault fault;
        uint64_t         at; /* of the batches or reads counted below */
    } script[SCRIPT_MAX];
    size_t      script_count;
    uint64_t    batch_count, read_count;
    struct list delayed; /* strikes, oldest first */
    size_t      delayed_count;
    size_t      outstanding; /* strikes whose answers did not come yet: these may outlive the close */
    bool        closed;
};

/* What becomes of one request; as long as it is under way the request's private field leads here. */
struct strike {
    struct list         link;
    struct faulty      *faulty;
    enum store_fault    fault;
    bool                delay;
    struct store_batch *batch; /* or */
    struct store_read  *read;
    void (*run)(struct message *message); /* the lane's */
    struct store_write *writes;           /* the lane's, when the store inside gets others */
    size_t              write_count;
    bool               *refused;
};

static struct faulty *faulty_of(struct store *store)
{
    return CONTAINER_OF(store, struct faulty, store);
}

static bool is_of_reads(enum store_fault fault)
{
    return fault == STORE_FAULT_READ_FAILED || fault == STORE_FAULT_READ_DAMAGED;
}

/* --- Deciding --- */

static enum store_fault decide(struct faulty *faulty, bool read)
{
    uint64_t at = read ? faulty->read_count++ : faulty->batch_count++;
    for (size_t i = faulty->script_count; i-- > 0;) {
        enum store_fault fault = faulty->script[i].fault;
        if (is_of_reads(fault) == read && faulty->script[i].at == at) {
            faulty->script[i] = faulty->script[--faulty->script_count];
            return fault;
        }
    }
    if (faulty->always != STORE_FAULT_NONE && is_of_reads(faulty->always) == read)
        return faulty->always;
    for (enum store_fault fault = STORE_FAULT_NONE + 1; fault < STORE_FAULT_COUNT; fault++) {
        if (is_of_reads(fault) == read && faulty->rates[fault] > 0 &&
            random_below(&faulty->random, 1000) < faulty->rates[fault])
            return fault;
    }
    return STORE_FAULT_NONE;
}

static struct strike *strike_new(struct faulty *faulty, struct store_batch *batch, struct store_read *read)
{
    struct strike *strike = xcalloc(1, sizeof *strike);
    strike->faulty = faulty;
    strike->batch = batch;
    strike->read = read;
    pthread_mutex_lock(&faulty->lock);
    strike->fault = decide(faulty, read != NULL);
    strike->delay = faulty->delay_rate > 0 && random_below(&faulty->random, 1000) < faulty->delay_rate;
    faulty->struck[strike->fault]++;
    faulty->outstanding++;
    pthread_mutex_unlock(&faulty->lock);
    return strike;
}

/* Draws the groups to refuse and leaves the writes of the others. */
static void refuse_some(struct strike *strike)
{
    struct faulty      *faulty = strike->faulty;
    struct store_batch *batch = strike->batch;
    if (batch->group_count == 0)
        return;
    strike->refused = ARENA_NEW_ARRAY(&batch->arena, bool, batch->group_count);
    pthread_mutex_lock(&faulty->lock);
    for (uint32_t group = 0; group < batch->group_count; group++)
        strike->refused[group] = random_below(&faulty->random, 2) == 0;
    strike->refused[random_below(&faulty->random, batch->group_count)] = true;
    pthread_mutex_unlock(&faulty->lock);
    batch->writes = ARENA_NEW_ARRAY(&batch->arena, struct store_write, strike->write_count + 1);
    batch->write_count = 0;
    for (size_t i = 0; i < strike->write_count; i++) {
        if (!strike->refused[strike->writes[i].group])
            batch->writes[batch->write_count++] = strike->writes[i];
    }
}

/* --- Answering, on the home's thread --- */

static void forget(struct faulty *faulty)
{
    pthread_mutex_lock(&faulty->lock);
    bool last = --faulty->outstanding == 0 && faulty->closed;
    pthread_mutex_unlock(&faulty->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&faulty->lock);
    free(faulty);
}

static void go_on(struct strike *strike)
{
    struct message *message = strike->batch != NULL ? &strike->batch->message : &strike->read->message;
    message->run = strike->run;
    free(strike);
    message->run(message);
}

/* Whether the answer waits: by its own draw, or because an earlier batch of its home does. */
static bool hold(struct strike *strike)
{
    struct faulty *faulty = strike->faulty;
    pthread_mutex_lock(&faulty->lock);
    bool held = strike->delay;
    LIST_FOR_EACH (other, &faulty->delayed, struct strike, link) {
        if (strike->batch != NULL && other->batch != NULL && other->batch->home == strike->batch->home)
            held = true;
    }
    held = held && !faulty->closed;
    if (held) {
        list_append(&faulty->delayed, &strike->link);
        faulty->delayed_count++;
    }
    pthread_mutex_unlock(&faulty->lock);
    return held;
}

static void answer(struct strike *strike)
{
    struct faulty *faulty = strike->faulty;
    if (hold(strike))
        return;
    go_on(strike);
    forget(faulty);
}

static void merge_refusals(struct strike *strike)
{
    struct store_batch *batch = strike->batch;
    for (uint32_t group = 0; group < batch->group_count && strike->refused != NULL; group++)
        strike->refused[group] = strike->refused[group] ||
                                 (batch->outcome == STORE_REFUSED && batch->refused[group]);
    if (strike->refused == NULL)
        return;
    batch->refused = strike->refused;
    batch->outcome = STORE_REFUSED;
}

static void batch_answered(struct message *message)
{
    static const enum store_outcome outcomes[STORE_FAULT_COUNT] = {
        [STORE_FAULT_ABORTED] = STORE_ABORTED,       [STORE_FAULT_FULL] = STORE_FULL,
        [STORE_FAULT_LOST_FENCE] = STORE_LOST_FENCE, [STORE_FAULT_UNKNOWN] = STORE_UNKNOWN,
        [STORE_FAULT_UNKNOWN_DONE] = STORE_UNKNOWN,  [STORE_FAULT_ABORTED_DONE] = STORE_ABORTED,
    };
    struct store_batch *batch = CONTAINER_OF(message, struct store_batch, message);
    struct strike      *strike = batch->private;
    batch->private = NULL;
    batch->writes = strike->writes;
    batch->write_count = strike->write_count;
    bool went_well = batch->outcome == STORE_DURABLE || batch->outcome == STORE_REFUSED;
    if (went_well && strike->fault != STORE_FAULT_NONE) {
        (void)error_set(&batch->error, ST_UNAVAILABLE, "a fault of kind %d, as asked for",
                        (int)strike->fault);
        if (strike->fault == STORE_FAULT_REFUSED)
            merge_refusals(strike);
        else
            batch->outcome = outcomes[strike->fault];
    }
    answer(strike);
}

static void read_answered(struct message *message)
{
    struct store_read *read = CONTAINER_OF(message, struct store_read, message);
    struct strike     *strike = read->private;
    read->private = NULL;
    if (strike->fault != STORE_FAULT_NONE) {
        bool damaged = strike->fault == STORE_FAULT_READ_DAMAGED;
        store_read_start(read);
        read->status = error_set(&read->error, damaged ? ST_DATA_LOSS : ST_UNAVAILABLE,
                                 "a fault, as asked for");
    }
    answer(strike);
}

/* --- The store --- */

static void faulty_submit(struct store *store, struct store_batch *batch)
{
    struct faulty *faulty = faulty_of(store);
    struct strike *strike = strike_new(faulty, batch, NULL);
    strike->run = batch->message.run;
    strike->writes = batch->writes;
    strike->write_count = batch->write_count;
    batch->private = strike;
    batch->message.run = batch_answered;
    switch (strike->fault) {
    case STORE_FAULT_ABORTED:
    case STORE_FAULT_FULL:
    case STORE_FAULT_LOST_FENCE:
    case STORE_FAULT_UNKNOWN:
        batch->write_count = 0;
        break;
    case STORE_FAULT_REFUSED:
        refuse_some(strike);
        break;
    case STORE_FAULT_NONE:
    case STORE_FAULT_UNKNOWN_DONE:
    case STORE_FAULT_ABORTED_DONE:
    case STORE_FAULT_READ_FAILED:
    case STORE_FAULT_READ_DAMAGED:
    case STORE_FAULT_COUNT:
        break;
    }
    store_submit(faulty->inside, batch);
}

static void faulty_read(struct store *store, struct store_read *read)
{
    struct faulty *faulty = faulty_of(store);
    struct strike *strike = strike_new(faulty, NULL, read);
    strike->run = read->message.run;
    read->private = strike;
    read->message.run = read_answered;
    store_read(faulty->inside, read);
}

static enum status faulty_probe(struct store *store, struct error *error)
{
    struct faulty *faulty = faulty_of(store);
    pthread_mutex_lock(&faulty->lock);
    bool full = faulty->always == STORE_FAULT_FULL;
    pthread_mutex_unlock(&faulty->lock);
    if (full)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "full, as asked for");
    return store_probe(faulty->inside, error);
}

static void faulty_statistics(struct store *store, struct store_statistics *ret_statistics)
{
    store_statistics(faulty_of(store)->inside, ret_statistics);
}

/* Answers that are held back go first; those that are still under way find their way without the store. */
static void faulty_close(struct store *store)
{
    struct faulty *faulty = faulty_of(store);
    while (store_faulty_let_go(store))
        ;
    store_close(faulty->inside);
    pthread_mutex_lock(&faulty->lock);
    faulty->closed = true;
    faulty->outstanding++;
    pthread_mutex_unlock(&faulty->lock);
    forget(faulty);
}

struct store *store_faulty_open(struct store *inside, uint64_t seed)
{
    static const struct store_operations operations = {
        .name = "faulty",
        .submit = faulty_submit,
        .read = faulty_read,
        .probe = faulty_probe,
        .statistics = faulty_statistics,
        .close = faulty_close,
    };
    struct faulty *faulty = xcalloc(1, sizeof *faulty);
    faulty->store.operations = &operations;
    faulty->inside = inside;
    pthread_mutex_init(&faulty->lock, NULL);
    random_seed(&faulty->random, seed);
    list_init(&faulty->delayed);
    return &faulty->store;
}

struct store *store_faulty_inside(struct store *store)
{
    return faulty_of(store)->inside;
}

void store_faulty_set_rate(struct store *store, enum store_fault fault, uint32_t thousandths)
{
    struct faulty *faulty = faulty_of(store);
    assert(fault > STORE_FAULT_NONE && fault < STORE_FAULT_COUNT);
    pthread_mutex_lock(&faulty->lock);
    faulty->rates[fault] = thousandths;
    pthread_mutex_unlock(&faulty->lock);
}

void store_faulty_script(struct store *store, enum store_fault fault, uint64_t count)
{
    struct faulty *faulty = faulty_of(store);
    assert(fault > STORE_FAULT_NONE && fault < STORE_FAULT_COUNT);
    pthread_mutex_lock(&faulty->lock);
    assert(faulty->script_count < SCRIPT_MAX);
    faulty->script[faulty->script_count].fault = fault;
    faulty->script[faulty->script_count++].at = (is_of_reads(fault) ? faulty->read_count
                                                                    : faulty->batch_count) +
                                                count;
    pthread_mutex_unlock(&faulty->lock);
}

void store_faulty_set_always(struct store *store, enum store_fault fault)
{
    struct faulty *faulty = faulty_of(store);
    pthread_mutex_lock(&faulty->lock);
    faulty->always = fault;
    pthread_mutex_unlock(&faulty->lock);
}

uint64_t store_faulty_struck(struct store *store, enum store_fault fault)
{
    struct faulty *faulty = faulty_of(store);
    assert(fault < STORE_FAULT_COUNT);
    pthread_mutex_lock(&faulty->lock);
    uint64_t struck = faulty->struck[fault];
    pthread_mutex_unlock(&faulty->lock);
    return struck;
}

void store_faulty_set_delay(struct store *store, uint32_t thousandths)
{
    struct faulty *faulty = faulty_of(store);
    pthread_mutex_lock(&faulty->lock);
    faulty->delay_rate = thousandths;
    pthread_mutex_unlock(&faulty->lock);
}

size_t store_faulty_delayed(struct store *store)
{
    struct faulty *faulty = faulty_of(store);
    pthread_mutex_lock(&faulty->lock);
    size_t count = faulty->delayed_count;
    pthread_mutex_unlock(&faulty->lock);
    return count;
}

bool store_faulty_let_go(struct store *store)
{
    struct faulty *faulty = faulty_of(store);
    pthread_mutex_lock(&faulty->lock);
    struct list *link = list_take_first(&faulty->delayed);
    faulty->delayed_count -= link != NULL;
    pthread_mutex_unlock(&faulty->lock);
    if (link == NULL)
        return false;
    struct strike  *strike = LIST_ENTRY(link, struct strike, link);
    struct message *message = strike->batch != NULL ? &strike->batch->message : &strike->read->message;
    struct mailbox *home = strike->batch != NULL ? strike->batch->home : strike->read->home;
    message->run = strike->run;
    free(strike);
    mailbox_post(home, message); /* the caller may be on any thread */
    forget(faulty);
    return true;
}
