/* log.h: one line per event on standard error, text or JSON. Thread-safe; only the edge (api, server) logs errors.
 *
 * Never payloads, never secrets. `format` is a printf-style list "key=%s key=%u ..."; what stands before the first key, or has
 * none, is the message. Where fields begin is known from the format alone, so that no value can forge one: it is quoted (text)
 * or escaped (JSON), and control characters do not get through.
 *
 * Limits:  LOG_EVENT_LINES_MAX lines of one event a second; the next one after that second says how many were left out
 *          (`left_out`), and perdure_log_left_out_total counts them at once. A line is at most LOG_LINE_SIZE_MAX bytes.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/base.h"
#include "base/buffer.h"

#define LOG_EVENT_LINES_MAX 20
#define LOG_LINE_SIZE_MAX   4096

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_form { LOG_TEXT, LOG_JSON };
void log_set_level(enum log_level level);
void log_set_form(enum log_form form);
bool log_level_parse(const char *text, enum log_level *ret_level) MUST_USE;
bool log_form_parse(const char *text, enum log_form *ret_form) MUST_USE;
/* `event` is static. */
void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The line as it would be written at this wall time, with its end; for tests. */
void log_print(struct buffer *to, enum log_form form, enum log_level level, const char *event,
               int64_t wall_ns, uint64_t left_out, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)
#endif
