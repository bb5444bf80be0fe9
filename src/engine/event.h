/* event.h: history events: one table of their types, and small helpers to make and take apart encoded ones.
 *
 * Owns nothing: everything is made in the arena that is passed.
 */
#ifndef ENGINE_EVENT_H
#define ENGINE_EVENT_H
#include "base/arena.h"
#include "base/clock.h"
#include "base/random.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "pb/all.pb.h"

enum event_flags {
    EVENT_BUFFERED = 1,   /* waits while a worker has the workflow task */
    EVENT_END = 2,        /* of an activity, child or operation: goes to the back of a flush */
    EVENT_CLOSE = 4,      /* ends the run */
    EVENT_WAKES = 8,      /* asks for a workflow task */
    EVENT_IGNORABLE = 16, /* says so: SDKs that do not know it go on */
};
struct event_type {
    int32_t                  type;  /* enums_EventType */
    int32_t                  field; /* the member of the oneof */
    unsigned                 flags;
    const struct pb_message *attributes;
};
/* NULL for a number that is no event type. */
const struct event_type *event_type_find(int32_t type);
static inline bool       event_has(int32_t type, unsigned flag)
{
    const struct event_type *found = event_type_find(type);
    return found != NULL && (found->flags & flag) != 0;
}

/* The attributes of a decoded event, or NULL when they are absent or of another type than the event says. */
const void *event_attributes(const struct history_HistoryEvent *event);
/* An event of this type around attributes (a history_*EventAttributes that lives as long as the event). */
struct history_HistoryEvent event_make(int32_t type, const void *attributes);
struct bytes                event_encode(const struct history_HistoryEvent *event, struct arena *arena);
enum status event_decode(struct bytes encoded, struct arena *arena, struct history_HistoryEvent **ret_event,
                         struct error *error) MUST_USE;
/* The type of an encoded event, without decoding it; 0 for what is none. */
int32_t event_peek_type(struct bytes encoded);
/* The time of a decoded event in wall nanoseconds; 0 when it has none. */
int64_t event_time(const struct history_HistoryEvent *event);

/* --- times: the rest is in codec/pb_time.h --- */
struct google_Timestamp *timestamp_or_null(struct arena *arena, int64_t ns); /* NULL for 0 */

struct bytes uuid_text(struct arena *arena, const struct uuid *uuid);
#endif
