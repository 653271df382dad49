/* os_common.c - what is the same on every system: files written as a whole, shared objects in a
 * build that loads none, memory nodes where they cannot be chosen. */
#include "base/os.h"

int32_t lm_os_file_replace(const char *path, const void *data, size_t size)
{
    lm_os_output output;
    LM_TRY(lm_os_output_open(path, &output));
    int32_t rc = lm_os_output_write(&output, data, size);
    if (rc == LLM_OK)
        return lm_os_output_commit(&output);
    lm_os_output_abandon(&output);
    return rc;
}

#if defined(LM_STATIC_ONLY)
int32_t lm_os_module_open(const char *folder, const char *name, void **out)
{
    (void)folder;
    return lm_os_library_open(name, out);
}

int32_t lm_os_library_open(const char *name, void **out)
{
    *out = NULL;
    return lm_fail(LLM_E_NOT_FOUND, "'%s' is not looked for: this build loads no modules", name);
}

void lm_os_library_close(void *library)
{
    (void)library;
}

void *lm_os_library_symbol(void *library, const char *name)
{
    (void)library;
    (void)name;
    return NULL;
}
#endif

#if !defined(__linux__)
bool lm_os_spread_on(void)
{
    return false;
}

void lm_os_spread_off(bool on)
{
    (void)on;
}
#endif
