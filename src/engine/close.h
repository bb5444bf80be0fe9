/* close.h: what follows from the end of a run, whoever ends it. */
#ifndef ENGINE_CLOSE_H
#define ENGINE_CLOSE_H
#include "engine/draft.h"

/* Called once per run, right before its closing event is written: what is pending is still in the draft's state, and
 * `event` has its attributes. Everything that others have to hear of the end is sent from here. */
void close_effects(struct draft *draft, const struct history_HistoryEvent *event);
/* Whether a next run of the chain follows (continue-as-new, retry, cron): then the chain has not ended. */
bool close_continues(const struct history_HistoryEvent *event);
#endif
