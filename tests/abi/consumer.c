/* consumer.c - the smallest program that uses an installed libllm. */
#include <llm/llm.h>

#include <stdio.h>

int main(void)
{
    llm_runtime *runtime;
    if (llm_version() < LLM_VERSION_NUMBER || llm_runtime_create(NULL, &runtime) != LLM_OK)
        return fprintf(stderr, "%s\n", llm_last_error()), 1;
    llm_runtime_destroy(runtime);
    printf("libllm %s\n", llm_version_string());
    return 0;
}
