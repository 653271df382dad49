/* llm_version.h - which library this program runs against.
 *
 * The version is a question asked at run time: a program built with a newer header works with an
 * older library as long as it uses nothing new. */
#ifndef LLM_VERSION_H
#define LLM_VERSION_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version this header belongs to: major << 16 | minor << 8 | patch. */
#define LLM_VERSION_NUMBER 0x000100u

/* The version of the library that is loaded, in the same packing.
 * Thread-safety: any thread. */
LLM_API uint32_t llm_version(void);

/* The same as text, "0.1.0". Static storage.
 * Thread-safety: any thread. */
LLM_API const char *llm_version_string(void);

#ifdef __cplusplus
}
#endif
#endif
