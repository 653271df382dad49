/* fake_vulkan - a loader between the library and the real one, for tests: it counts the calls that may
 * fail, fails the one it is told to, and pretends that the device is another. The library opens it as
 * libvulkan.so.1; the test opens it under the same name and finds `fake_vulkan`. */
#ifndef TEST_VULKAN_FAKE_VULKAN_H
#define TEST_VULKAN_FAKE_VULKAN_H

#include <stdint.h>

typedef struct fake_vulkan {
    uint64_t calls;       /* that may fail, so far */
    uint64_t fail_at;     /* counted from 1; 0: none */
    int32_t result;       /* what it answers */
    const char *failed;   /* the function that did */
    uint32_t devices;     /* how many there seem to be; 0: as many as there are */
    uint32_t hidden;      /* nonzero: memory of the device that the host does not see */
    uint64_t largest;     /* bytes of the largest allocation; 0: no limit */
    uint64_t memory;      /* bytes that may be allocated in all; 0: no limit */
    uint64_t allocated;   /* bytes now */
    uint32_t allocations; /* now */
    uint32_t objects;     /* of all other kinds, made and not destroyed */
    uint32_t fast_dot;    /* nonzero: dot products of integers seem to be fast */
    uint32_t submissions;
} fake_vulkan;

#endif
