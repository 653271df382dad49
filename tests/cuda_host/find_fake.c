/* find_fake.c - opens the emulated module by itself, as a host would not, for its fake. */
#include "find_fake.h"

#include "backend/rig.h"

#include "base/os.h"

#include <string.h>

fake_state *(*new_machine)(bool reset);
fake_state *cuda;

int find_fake(void **state)
{
    void *module;
    (void)state;
    assert_ok(lm_os_module_open(rig_modules, "cuda", &module));
    void *symbol = lm_os_library_symbol(module, "fake_cuda");
    assert_non_null(symbol);
    memcpy(&new_machine, &symbol, sizeof new_machine);
    cuda = new_machine(true);
    return 0;
}
