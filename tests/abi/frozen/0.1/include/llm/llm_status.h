/* llm_status.h - what went wrong, as a pinned number and as a sentence.
 *
 * Every function that can fail returns int32_t: LLM_OK, one of the positive states that are not
 * failures, or one of the negative codes. A code never changes its meaning and is never reused. */
#ifndef LLM_STATUS_H
#define LLM_STATUS_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLM_OK    0
#define LLM_DONE  1 /* the generation has ended; the piece says why */
#define LLM_AGAIN 2 /* nothing to give yet; call again */

#define LLM_E_INVALID      (-1)  /* an argument is wrong */
#define LLM_E_MEMORY       (-2)  /* the allocator answered NULL */
#define LLM_E_IO           (-3)  /* the operating system refused to read, write or map */
#define LLM_E_FORMAT       (-4)  /* the file is malformed or lies about itself */
#define LLM_E_UNSUPPORTED  (-5)  /* well formed, but this library does not know it */
#define LLM_E_NOT_FOUND    (-6)  /* no such file, key, device, sampler, ... */
#define LLM_E_LIMIT        (-7)  /* over one of the limits the host set */
#define LLM_E_BUDGET       (-8)  /* would need more memory than the hard budget */
#define LLM_E_CONTEXT_FULL (-9)  /* the session's context has no room for more tokens */
#define LLM_E_BUSY         (-10) /* two threads on an object that serves one at a time */
#define LLM_E_CANCELLED    (-11) /* cancelled by the host */
#define LLM_E_DEVICE       (-12) /* the device refused or failed; its sessions are poisoned */
#define LLM_E_NUMERIC      (-13) /* NaN, or no finite logit left to choose from */
#define LLM_E_STATE        (-14) /* the object is poisoned or not in a state to do this */
#define LLM_E_BUFFER       (-15) /* the caller's buffer is too small; the needed size is written */
#define LLM_E_MISMATCH     (-16) /* saved state or adapter belongs to another model or setting */
#define LLM_E_INTERNAL     (-17) /* an inner inconsistency was found; please report it */

/* The message of the last failure on this thread: what, where, and what to do. Never NULL; empty
 * when nothing failed yet. It tells about a call that just failed, and stands until the next call into
 * the library on this thread.
 * Thread-safety: any thread, each has its own. */
LLM_API const char *llm_last_error(void);

/* The name of a status, "LLM_E_FORMAT"; "unknown status" for numbers that are none. Static storage.
 * Thread-safety: any thread. */
LLM_API const char *llm_status_name(int32_t status);

#ifdef __cplusplus
}
#endif
#endif
