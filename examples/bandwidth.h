/* bandwidth.h - the best rate at which this machine's threads read memory together, for judging
 * decode speed: several streams per thread are tried, as one stream does not fill the memory's
 * queues. */
#ifndef EXAMPLES_BANDWIDTH_H
#define EXAMPLES_BANDWIDTH_H

/* Bytes per second with `threads` threads, measured for about half a second. 0: no memory for it.
 */
double bandwidth_measure(unsigned threads);

#endif
