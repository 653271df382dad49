/* status - the error codes and the one per-thread message.
 *
 * A failure sets its message once, where it arises: what, where, what to do. Callers pass the code
 * on with LM_TRY and do not touch the message. */
#ifndef LM_BASE_STATUS_H
#define LM_BASE_STATUS_H

#include <llm/llm_status.h>

#if defined(__GNUC__) || defined(__clang__)
#define LM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LM_UNUSED_RESULT     __attribute__((warn_unused_result))
#else
#define LM_PRINTF(fmt, args)
#define LM_UNUSED_RESULT
#endif

#define LM_MESSAGE_SIZE 512

/* Sets this thread's message and returns `code`. Never allocates; long messages are cut. */
int32_t lm_fail(int32_t code, const char *format, ...) LM_PRINTF(2, 3);

/* Puts "prefix: " before the message already set, and returns `code`. For the one caller that
 * knows the file or tensor that an inner function could not know. */
int32_t lm_fail_within(int32_t code, const char *format, ...) LM_PRINTF(2, 3);

/* Sets a message that was stored elsewhere (an asynchronous failure met again). */
int32_t lm_fail_again(int32_t code, const char *message);

const char *lm_message(void);

/* Control characters become '?': names and texts in messages may come from a file that means harm. */
void lm_one_line(char *text);

/* This thread's message, LM_MESSAGE_SIZE bytes. The library's own lies in message.c; in a module it
 * is the library's as well (backends/common/module.c), so that a message crosses over. */
char *lm_message_buffer(void);

#define LM_TRY(expr)                                                                               \
    do {                                                                                           \
        int32_t lm_try_status_ = (expr);                                                           \
        if (lm_try_status_ < 0)                                                                    \
            return lm_try_status_;                                                                 \
    } while (0)

/* For functions that own things: sets `rc` and leaves through `out`. */
#define LM_GO(expr)                                                                                \
    do {                                                                                           \
        rc = (expr);                                                                               \
        if (rc < 0)                                                                                \
            goto out;                                                                              \
    } while (0)

/* An inner inconsistency: answered with a status, never with death. For invariants of our own;
 * values that come from a file or from the host get a real check with a real message. */
#define lm_check(condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return lm_fail(LLM_E_INTERNAL, "inner inconsistency: %s (%s:%d); please report it",    \
                           #condition, __FILE__, __LINE__);                                        \
    } while (0)

#endif
