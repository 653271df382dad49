/* find_fake - the fake of the module that a program of tests is given. */
#ifndef TEST_CUDA_HOST_FIND_FAKE_H
#define TEST_CUDA_HOST_FIND_FAKE_H

#include "fake.h"

extern fake_state *(*new_machine)(bool reset);
extern fake_state *cuda;

/* The setup of a group: opens the module in rig_modules. */
int find_fake(void **state);

#endif
