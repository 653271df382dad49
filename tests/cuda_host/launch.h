/* launch.h - the fake's way into the emulation. */
#ifndef TEST_CUDA_HOST_LAUNCH_H
#define TEST_CUDA_HOST_LAUNCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs every block of a launch; NULL, or what went wrong (static until the next launch). */
const char *emu_launch(const void *function, const void *args, const uint32_t grid[3],
                       uint32_t threads, uint32_t shared_bytes);
/* Another order of blocks and lanes from now on. */
void emu_shuffle(uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
