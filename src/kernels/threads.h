/* Inside the kernels: run `tasks` independent pieces of work on a pool's threads. */
#ifndef ROOKERY_THREADS_H
#define ROOKERY_THREADS_H

#include <stdint.h>

typedef void (*rookery_task)(void *context, int32_t task, int32_t thread);

/*
 * Calls function(context, i, thread) once for each i in [0, tasks), in any order, and returns when all are done.
 * A pool of 0 runs them here. Results may not depend on which thread runs a task: split the work by fixed
 * blocks, give each block its own place for the result, and sum partial results in the order of the blocks.
 * A pool runs one job at a time: not from two threads at once, and not from inside a task.
 */
void rookery_parallel(uintptr_t pool, int32_t tasks, rookery_task function, void *context);

/* Threads of a pool, the caller included; 1 for pool 0. */
int32_t rookery_pool_threads(uintptr_t pool);

#endif
