/* bandwidth.h - the best rate at which this machine's threads read memory together, for judging
 * decode speed. Several ways are tried: one stream per thread does not fill the memory's queues. */
#ifndef EXAMPLES_BANDWIDTH_H
#define EXAMPLES_BANDWIDTH_H

#include <stdint.h>

/* Bytes per second with `threads` threads over about `bytes` of memory: as much as is to be judged,
 * since large caches hold small models. Takes about a second. 0: no memory for it. */
double bandwidth_measure(unsigned threads, uint64_t bytes);

#endif
