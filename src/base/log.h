/* log.h: one line per event on standard error, JSON or text. Thread-safe; only the edge (api, server) logs errors.
 *
 * Never payloads, never secrets. `fields` is a printf-style list "key=%s ..." whose values are quoted where needed.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
void log_set_level(enum log_level level);
bool log_level_parse(const char *text, enum log_level *ret_level) MUST_USE;
void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)
#endif
