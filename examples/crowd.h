/* crowd.h - one function on several threads at once, for measuring what the machine can do. */
#ifndef EXAMPLES_CROWD_H
#define EXAMPLES_CROWD_H

#define CROWD_MOST 64u

typedef void (*crowd_fn)(void *arg, unsigned thread);

/* Seconds until all of fn(arg, 0..threads-1) are done; `threads` is at most CROWD_MOST. */
double crowd_run(unsigned threads, crowd_fn fn, void *arg);

#endif
