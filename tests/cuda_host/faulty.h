/* faulty - kernels with one mistake each, and the text with which the emulation stops them. */
#ifndef TEST_CUDA_HOST_FAULTY_H
#define TEST_CUDA_HOST_FAULTY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct faulty_kernel {
    const char *name;
    void (*body)(const void *args); /* args: one pointer, to 1024 bytes */
    const char *found;              /* NULL: there is no mistake */
} faulty_kernel;

extern const faulty_kernel faulty_kernels[];
extern const uint32_t faulty_count;

#ifdef __cplusplus
}
#endif
#endif
