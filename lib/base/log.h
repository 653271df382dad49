/* log - lines for the host's log callback. Nothing is ever printed by the library itself. */
#ifndef LM_BASE_LOG_H
#define LM_BASE_LOG_H

#include "base/status.h"

typedef struct lm_log {
    llm_log_fn fn; /* NULL: silent */
    void *user;
} lm_log;

void lm_log_write(const lm_log *log, uint32_t level, const char *format, ...) LM_PRINTF(3, 4);

#endif
