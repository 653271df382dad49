/* status.c - messages into this thread's buffer, and the table of names. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int32_t code;
    const char *name;
} names[] = {
    {LLM_OK, "LLM_OK"},
    {LLM_DONE, "LLM_DONE"},
    {LLM_AGAIN, "LLM_AGAIN"},
    {LLM_E_INVALID, "LLM_E_INVALID"},
    {LLM_E_MEMORY, "LLM_E_MEMORY"},
    {LLM_E_IO, "LLM_E_IO"},
    {LLM_E_FORMAT, "LLM_E_FORMAT"},
    {LLM_E_UNSUPPORTED, "LLM_E_UNSUPPORTED"},
    {LLM_E_NOT_FOUND, "LLM_E_NOT_FOUND"},
    {LLM_E_LIMIT, "LLM_E_LIMIT"},
    {LLM_E_BUDGET, "LLM_E_BUDGET"},
    {LLM_E_CONTEXT_FULL, "LLM_E_CONTEXT_FULL"},
    {LLM_E_BUSY, "LLM_E_BUSY"},
    {LLM_E_CANCELLED, "LLM_E_CANCELLED"},
    {LLM_E_DEVICE, "LLM_E_DEVICE"},
    {LLM_E_NUMERIC, "LLM_E_NUMERIC"},
    {LLM_E_STATE, "LLM_E_STATE"},
    {LLM_E_BUFFER, "LLM_E_BUFFER"},
    {LLM_E_MISMATCH, "LLM_E_MISMATCH"},
    {LLM_E_INTERNAL, "LLM_E_INTERNAL"},
};

void lm_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

int32_t lm_fail(int32_t code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(lm_message_buffer(), LM_MESSAGE_SIZE, format, args);
    va_end(args);
    lm_one_line(lm_message_buffer());
    return code;
}

int32_t lm_fail_within(int32_t code, const char *format, ...)
{
    char inner[LM_MESSAGE_SIZE], *message = lm_message_buffer();
    memcpy(inner, message, sizeof inner);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(message, LM_MESSAGE_SIZE, format, args);
    va_end(args);
    lm_one_line(message);
    if (used < 0 || (size_t)used + 3 >= LM_MESSAGE_SIZE)
        return code;
    size_t at = (size_t)used + 2, length = strlen(inner);
    if (length > LM_MESSAGE_SIZE - 1 - at)
        length = LM_MESSAGE_SIZE - 1 - at; /* the end of a long message is cut */
    memcpy(message + used, ": ", 2);
    memcpy(message + at, inner, length);
    message[at + length] = '\0';
    return code;
}

int32_t lm_fail_again(int32_t code, const char *text)
{
    return lm_fail(code, "%s", text);
}

const char *lm_message(void)
{
    return lm_message_buffer();
}

LLM_API const char *llm_last_error(void)
{
    return lm_message_buffer();
}

LLM_API const char *llm_status_name(int32_t status)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == status)
            return names[i].name;
    return "unknown status";
}
