/* log.c - formats one line on the stack and hands it to the host. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void lm_log_write(const lm_log *log, uint32_t level, const char *format, ...)
{
    if (log == NULL || log->fn == NULL)
        return;
    char line[LM_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    lm_one_line(line);
    log->fn(log->user, level, line);
}
