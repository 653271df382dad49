/* message.c - the one message each thread has. Apart from status.c because modules bring another
 * definition. */
#include "base/status.h"

char *lm_message_buffer(void)
{
    static _Thread_local char message[LM_MESSAGE_SIZE];
    return message;
}
