/* peaks.h - how much this machine's threads can multiply and add at best, for judging prompts. */
#ifndef EXAMPLES_PEAKS_H
#define EXAMPLES_PEAKS_H

/* Operations per second (a multiply-add is two) of the widest instructions there are for each type
 * of number, all threads together; 0: unknown on this machine. */
typedef struct peaks {
    double f32, bf16, int8;
} peaks;

peaks peaks_measure(unsigned threads);

#endif
