/* duration.h: durations as people write them: 1h30m, 1.5s, 250ms, 2d. */
#ifndef BASE_DURATION_H
#define BASE_DURATION_H
#include "base/bytes.h"

/* Units are ns, us (or with a micro sign), ms, s, m, h, d; digits that are finer than a nanosecond are dropped. A leading '-'
 * negates the whole. False: it is none, or 64 bits of nanoseconds do not hold it. */
bool duration_parse(struct bytes text, int64_t *ret_ns);
#endif
