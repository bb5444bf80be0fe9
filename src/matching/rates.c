/* rates.c: how fast tasks come and go, how fast they may go, and whether a worker should poll more. */
#include "base/mutant.h"
#include "matching/matching_internal.h"

#define BURST_NS          NS_PER_S
#define SCALE_WAIT_NS     NS_PER_S
#define SCALE_AGE_NS      (200 * NS_PER_MS)
#define SCALE_RATIO       1.2
#define SCALE_INTERVAL_NS (100 * NS_PER_MS)

/* --- limits --- */

const double queue_rate_default = 100000.0;

static int64_t interval_of(double rate)
{
    double interval = (double)NS_PER_S / rate;
    return interval >= (double)(INT64_MAX / 4) ? INT64_MAX / 4 : (int64_t)interval;
}

int64_t bucket_ready(const struct bucket *bucket, double rate)
{
    if (!(rate > 0))
        return TIME_NEVER;
    int64_t interval = interval_of(rate);
    return bucket->next - MAX(BURST_NS - interval, INT64_C(0));
}

void bucket_take(struct bucket *bucket, double rate, int64_t now)
{
    if (rate > 0)
        bucket->next = time_add(MAX(bucket->next, now), interval_of(rate));
}

void bucket_return(struct bucket *bucket, double rate)
{
    if (rate > 0)
        bucket->next -= interval_of(rate);
}

double queue_rate(const struct matching_queue *queue, enum rate_source *ret_source)
{
    double rate = queue_rate_default;
    *ret_source = RATE_OF_SYSTEM;
    if (queue->config != NULL && queue->config->has_rate) {
        rate = queue->config->rate;
        *ret_source = RATE_OF_API;
    } else if (queue->has_worker_rate) {
        rate = queue->worker_rate;
        *ret_source = RATE_OF_WORKER;
    }
    if (rate >= queue_rate_default) {
        rate = queue_rate_default;
        *ret_source = RATE_OF_SYSTEM;
    }
    return rate;
}

bool queue_rate_ready(const struct matching_queue *queue, int64_t now, int64_t *ret_resume)
{
    enum rate_source source;
    double           rate = queue_rate(queue, &source);
    int64_t          ready = bucket_ready(&queue->bucket, rate);
    /* What the server can do is not held back: that number only says what there is to give. */
    if (source == RATE_OF_SYSTEM || ready <= now)
        return true;
    *ret_resume = MIN(*ret_resume, ready);
    return false;
}

void queue_rate_take(struct matching_queue *queue, int64_t now)
{
    enum rate_source source;
    double           rate = queue_rate(queue, &source);
    if (source != RATE_OF_SYSTEM && !MUTANT(rate_limit_ignored))
        bucket_take(&queue->bucket, rate, now);
}

void matching_refund(struct matching *matching, const struct queue_name *name)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    enum rate_source       source;
    if (queue == NULL)
        return;
    double rate = queue_rate(queue, &source);
    if (source != RATE_OF_SYSTEM)
        bucket_return(&queue->bucket, rate);
}

/* --- statistics --- */

static void rates_turn(struct rates *rates, int64_t now)
{
    int64_t slot = now / RATE_SLOT_NS;
    for (int64_t at = MAX(rates->slot + 1, slot - RATE_SLOTS + 1); at <= slot; at++) {
        for (size_t i = 0; i < MATCHING_PRIORITIES; i++)
            rates->added[i][at % RATE_SLOTS] = rates->dispatched[i][at % RATE_SLOTS] = 0;
    }
    rates->slot = MAX(rates->slot, slot);
}

void rates_add(struct matching_queue *queue, int32_t priority, bool dispatched)
{
    int64_t now = queue_now(queue);
    if (queue->rates == NULL) {
        queue->rates = xcalloc(1, sizeof *queue->rates);
        queue->rates->begun = now;
        queue->rates->slot = now / RATE_SLOT_NS;
    }
    rates_turn(queue->rates, now);
    uint32_t(*counts)[RATE_SLOTS] = dispatched ? queue->rates->dispatched : queue->rates->added;
    counts[priority_slot(priority)][queue->rates->slot % RATE_SLOTS]++;
}

static double per_second(const struct rates *rates, const uint32_t counts[RATE_SLOTS], int64_t now)
{
    int64_t  span = MIN(now - rates->begun, RATE_WINDOW_NS + now % RATE_SLOT_NS);
    uint64_t sum = 0;
    for (size_t i = 0; i < RATE_SLOTS; i++)
        sum += counts[i];
    return sum == 0 ? 0 : (double)sum * (double)NS_PER_S / (double)MAX(span, NS_PER_S);
}

void rates_describe(const struct matching_queue *queue, struct queue_description *description)
{
    if (queue->rates == NULL)
        return;
    struct rates rates = *queue->rates;
    int64_t      now = queue_now(queue);
    rates_turn(&rates, now);
    for (size_t i = 0; i < MATCHING_PRIORITIES; i++) {
        description->add_rate[i] = per_second(&rates, rates.added[i], now);
        description->dispatch_rate[i] = per_second(&rates, rates.dispatched[i], now);
    }
}

/* --- hints --- */

static bool has_old_task(const struct matching_queue *queue, int64_t now)
{
    for (size_t i = 0; i < queue->turns.count; i++) {
        const struct matching_stream *stream = CONTAINER_OF(queue->turns.members[i], struct matching_stream,
                                                            turn);
        if (now - stream_first(stream)->task.created_time > SCALE_AGE_NS)
            return true;
    }
    return false;
}

static bool grows(const struct matching_queue *queue)
{
    struct queue_description description = { 0 };
    double                   added = 0, dispatched = 0;
    rates_describe(queue, &description);
    for (size_t i = 0; i < MATCHING_PRIORITIES; i++) {
        added += description.add_rate[i];
        dispatched += description.dispatch_rate[i];
    }
    return added > dispatched * SCALE_RATIO;
}

int matching_scaling(struct matching *matching, const struct queue_name *name, int64_t since)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue == NULL)
        return 0;
    int64_t now = queue_now(queue);
    if (now - since >= SCALE_WAIT_NS)
        return -1;
    if (now < queue->scaling_next)
        return 0;
    queue->scaling_next = now + SCALE_INTERVAL_NS;
    return has_old_task(queue, now) || grows(queue) ? 1 : 0;
}
