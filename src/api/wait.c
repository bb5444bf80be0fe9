/* wait.c: long polls of a run's history, in a table of their owner lane. They pin nothing: a waiter holds a run's number and
 * an event id, and asks again when that event is durable or the run closed. */
#include "api/api_internal.h"
#include "base/hash.h"
#include "base/mutant.h"

enum status wait_add(struct rpc *rpc, struct rpc_wait *wait, store_number run, int64_t event_id,
                     struct error *error)
{
    struct api_lane *lane = rpc_at(rpc);
    assert(!wait->linked);
    if (lane->wait_count >= WAITERS_MAX)
        return error_exhausted(error, &rpc->arena, enums_RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
                               "too many long polls of history on this server");
    wait->run = run;
    wait->event_id = event_id;
    wait->linked = true;
    table_insert(&lane->waits, &wait->link, hash_u64((uint64_t)run));
    list_init(&wait->all);
    list_append(&lane->all_waits, &wait->all);
    lane->wait_count++;
    return ST_OK;
}

void wait_remove(struct rpc *rpc, struct rpc_wait *wait)
{
    struct api_lane *lane = rpc_at(rpc);
    if (!wait->linked)
        return;
    table_remove(&lane->waits, &wait->link);
    list_remove(&wait->all);
    wait->linked = false;
    lane->wait_count--;
}

void wait_released(struct api_lane *lane, store_number run, int64_t last_event_id, bool open)
{
    uint64_t           hash = hash_u64((uint64_t)run);
    struct table_link *next;
    if (lane->wait_count == 0)
        return;
    for (struct table_link *at = table_first(&lane->waits, hash); at != NULL; at = next) {
        struct rpc_wait *wait = CONTAINER_OF(at, struct rpc_wait, link);
        next = table_next(at);
        if (wait->run == run && (!open || (last_event_id >= wait->event_id && !MUTANT(waiter_not_woken))))
            history_woken(wait);
    }
}

void wait_forgotten(struct api_lane *lane)
{
    LIST_FOR_EACH (wait, &lane->all_waits, struct rpc_wait, all)
        history_forgotten(wait);
}
