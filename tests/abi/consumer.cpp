// consumer.cpp - the same from C++.
#include <llm/llm.h>

#include <iostream>

int main()
{
    llm_runtime *runtime = nullptr;
    if (llm_version() < LLM_VERSION_NUMBER || llm_runtime_create(nullptr, &runtime) != LLM_OK) {
        std::cerr << llm_last_error() << "\n";
        return 1;
    }
    llm_runtime_destroy(runtime);
    std::cout << "libllm " << llm_version_string() << "\n";
    return 0;
}
