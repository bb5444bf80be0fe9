/* auth_rate.c: what each caller may still ask for. */
#include "base/hash.h"
#include "mcp/auth_internal.h"

struct rate {
    struct table_link link;
    struct list       by_use;
    int64_t           full_at_ns; /* when the whole burst is there again; a request moves it on */
    char              name[];
};

void rates_init(struct rates *rates, uint32_t rate, uint32_t burst)
{
    *rates = (struct rates){ .rate = rate, .burst = burst != 0 ? burst : MIN(rate, UINT32_MAX / 2) * 2 };
    table_init(&rates->table);
    list_init(&rates->by_use);
}

static void forget(struct rates *rates, struct rate *rate)
{
    table_remove(&rates->table, &rate->link);
    list_remove(&rate->by_use);
    free(rate);
}

void rates_release(struct rates *rates)
{
    LIST_FOR_EACH (rate, &rates->by_use, struct rate, by_use)
        forget(rates, rate);
    table_release(&rates->table);
}

static struct rate *find(struct rates *rates, const char *name, uint64_t hash)
{
    for (struct table_link *link = table_first(&rates->table, hash); link != NULL; link = table_next(link)) {
        struct rate *rate = CONTAINER_OF(link, struct rate, link);
        if (strcmp(rate->name, name) == 0)
            return rate;
    }
    return NULL;
}

static struct rate *get(struct rates *rates, const char *name)
{
    uint64_t     hash = hash_bytes(bytes_of_text(name));
    struct rate *rate = find(rates, name, hash);
    if (rate == NULL) {
        if (rates->table.count >= AUTH_CALLERS_MAX)
            forget(rates, CONTAINER_OF(rates->by_use.next, struct rate, by_use));
        rate = xcalloc(1, sizeof *rate + strlen(name) + 1);
        memcpy(rate->name, name, strlen(name) + 1);
        rate->full_at_ns = INT64_MIN;
        list_init(&rate->by_use);
        table_insert(&rates->table, &rate->link, hash);
    }
    list_remove(&rate->by_use);
    list_append(&rates->by_use, &rate->by_use);
    return rate;
}

bool rates_take(struct rates *rates, const char *name, int64_t now_ns, uint32_t *ret_wait_s)
{
    if (rates->rate == 0)
        return true;
    struct rate *rate = get(rates, name);
    int64_t      each = NS_PER_S / rates->rate, all = each * rates->burst;
    *ret_wait_s = 1;
    int64_t full_at = MAX(rate->full_at_ns, now_ns) + each;
    if (full_at - now_ns > all) {
        *ret_wait_s = (uint32_t)((full_at - now_ns - all + NS_PER_S - 1) / NS_PER_S);
        return false;
    }
    rate->full_at_ns = full_at;
    return true;
}
