/* log.c: a line is formatted on the stack and written with one write(2), so lines of several threads never mix. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static _Atomic int       minimum = LOG_INFO;
static const char *const level_names[] = { "debug", "info", "warn", "error", "off" };

void log_set_level(enum log_level level)
{
    atomic_store(&minimum, (int)level);
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_COUNT(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&minimum, memory_order_relaxed) || level >= LOG_OFF)
        return;
    char            line[2048];
    struct timespec now;
    struct tm       parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
    size += (size_t)snprintf(line + size, sizeof line - size, ".%03ldZ %s %s ", now.tv_nsec / 1000000,
                             level_names[level], event);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + size, sizeof line - size - 1, format, arguments);
    va_end(arguments);
    size = MIN(size + (size_t)MAX(wanted, 0), sizeof line - 2);
    for (size_t i = 0; i < size; i++) { /* what came from outside must not forge lines */
        if ((uint8_t)line[i] < 0x20)
            line[i] = ' ';
    }
    line[size++] = '\n';
    if (write(STDERR_FILENO, line, size) < 0)
        return; /* nobody left to tell */
}
