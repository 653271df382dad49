/* test_misuse.c - breaks a rule of Vulkan on purpose, by closing a device with a queue left on it:
 * whoever runs the tests under the validation layer must hear of it. */
#include "backend/registry.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    static const lm_host host;
    lm_registry registry;
    const lm_backend *vulkan;
    lm_device *device;
    lm_queue *forgotten;
    if (argc != 2 || lm_registry_init(&registry, NULL, &host, argv[1]) < 0 ||
        lm_registry_find(&registry, "vulkan", &vulkan) < 0 || vulkan->open(&host, 0, &device) < 0 ||
        vulkan->queue_create(device, &forgotten) < 0) {
        fprintf(stderr, "%s\n", lm_message());
        return 1;
    }
    vulkan->close(device);
    lm_registry_finish(&registry);
    return 0;
}
