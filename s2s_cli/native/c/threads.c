/* Parallel loops without an OpenMP runtime.
 *
 * Of `#pragma omp parallel for`, GCC makes calls of these three functions. PyTorch has loaded a runtime where a process
 * has imported it, and the dynamic linker, which looks there first, takes its functions: all loops of the process share
 * one pool of threads then. In any other process it takes those below, so that the library needs no runtime. They start
 * threads and wait for their end: nothing is kept that a fork could lose, and nothing waits in a loop.
 */

#include <pthread.h>

typedef struct {
    void (*work)(void *);
    void *data;
    int number, count;
} part;

static _Thread_local int number = 0, count = 1;

int omp_get_thread_num(void) { return number; }

int omp_get_num_threads(void) { return count; }

static void *perform(void *argument) {
    part *mine = argument;
    number = mine->number, count = mine->count;
    mine->work(mine->data);
    number = 0, count = 1;
    return 0;
}

/* What no thread can be started for is done by this one. */
void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags) {
    (void)flags;
    part parts[threads + 1];
    pthread_t started[threads + 1];
    int is_started[threads + 1];
    for (unsigned i = 0; i < threads; i++) {
        parts[i] = (part){work, data, i, threads};
        is_started[i] = i > 0 && pthread_create(started + i, 0, perform, parts + i) == 0;
    }
    for (unsigned i = 0; i < threads; i++)
        if (!is_started[i]) perform(parts + i);
    for (unsigned i = 0; i < threads; i++)
        if (is_started[i]) pthread_join(started[i], 0);
}
