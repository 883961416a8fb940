/*
 * The thread pool. A job is one word {generation, end, next}: threads claim tasks by compare-and-swap on it,
 * so a thread that wakes late finds nothing left instead of holding the caller up, and nobody runs a task of a
 * job that has ended. Half of the threads take the first of the tasks that are left, half the last: neighboring
 * tasks mostly read the same memory, and so a core finds it in its cache. Workers spin for a moment between jobs (kernels follow each other within microseconds),
 * then sleep.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <stdatomic.h>
#include "rookery.h"
#include "threads.h"

#define MAX_THREADS 256
#define TASK_BITS 20
#define TASK_LIMIT ((1 << TASK_BITS) - 1)
#define SPINS_BEFORE_SLEEP 4000
/* Early: a worker that holds the last task may be waiting for the very core that the caller spins on. */
#define SPINS_BEFORE_YIELD 4000

typedef struct {
  _Alignas(64) _Atomic uint64_t job; /* generation << 40 | end << 20 | next */
  _Alignas(64) _Atomic int32_t done;
  _Alignas(64) _Atomic int32_t sleepers;
  _Atomic int32_t stop;
  rookery_task function;
  void *context;
  int32_t threads;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  struct worker { uintptr_t pool; int32_t index; pthread_t thread; } workers[MAX_THREADS];
} thread_pool;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int work_left(uint64_t job) { return (int32_t)(job & TASK_LIMIT) < (int32_t)(job >> TASK_BITS & TASK_LIMIT); }

static void run_tasks(thread_pool *pool, int32_t thread) {
  int takes_last = thread % 2;
  uint64_t job = atomic_load_explicit(&pool->job, memory_order_acquire);
  while (work_left(job)) {
    uint64_t claimed = takes_last ? job - (1 << TASK_BITS) : job + 1;
    if (!atomic_compare_exchange_weak_explicit(&pool->job, &job, claimed, memory_order_acq_rel, memory_order_acquire)) continue;
    pool->function(pool->context, (int32_t)(takes_last ? claimed >> TASK_BITS & TASK_LIMIT : job & TASK_LIMIT), thread);
    atomic_fetch_add_explicit(&pool->done, 1, memory_order_acq_rel);
    job = atomic_load_explicit(&pool->job, memory_order_acquire);
  }
}

static void *worker_main(void *argument) {
  struct worker *self = argument;
  thread_pool *pool = (thread_pool *)self->pool;
  for (;;) {
    int spins = 0;
    while (!work_left(atomic_load_explicit(&pool->job, memory_order_acquire)) && spins < SPINS_BEFORE_SLEEP) {
      if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return 0;
      relax(); spins++;
    }
    if (spins == SPINS_BEFORE_SLEEP) {
      pthread_mutex_lock(&pool->mutex);
      atomic_fetch_add(&pool->sleepers, 1);
      while (!work_left(atomic_load(&pool->job)) && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->wake, &pool->mutex);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->mutex);
      if (atomic_load(&pool->stop)) return 0;
    }
    run_tasks(pool, self->index);
  }
}

static void wake_all(thread_pool *pool) {
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
}

static void run_batch(thread_pool *pool, int32_t tasks, rookery_task function, void *context) {
  pool->function = function;
  pool->context = context;
  atomic_store(&pool->done, 0);
  uint64_t generation = (atomic_load(&pool->job) >> (2 * TASK_BITS)) + 1;
  atomic_store(&pool->job, generation << (2 * TASK_BITS) | (uint64_t)tasks << TASK_BITS);
  wake_all(pool);
  run_tasks(pool, 0);
  for (int spins = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < tasks; spins++) {
    if (spins < SPINS_BEFORE_YIELD) relax(); else sched_yield();
  }
}

typedef struct { rookery_task function; void *context; int32_t first; } shifted_task;
static void run_shifted(void *context, int32_t task, int32_t thread) {
  shifted_task *shifted = context;
  shifted->function(shifted->context, shifted->first + task, thread);
}

void rookery_parallel(uintptr_t handle, int32_t tasks, rookery_task function, void *context) {
  thread_pool *pool = (thread_pool *)handle;
  if (!pool || pool->threads == 1 || tasks <= 1) {
    for (int32_t task = 0; task < tasks; task++) function(context, task, 0);
    return;
  }
  if (tasks <= TASK_LIMIT) {
    run_batch(pool, tasks, function, context);
    return;
  }
  for (int32_t left = tasks; left > 0;) {
    int32_t count = left < TASK_LIMIT ? left : TASK_LIMIT;
    shifted_task shifted = {function, context, tasks - left};
    run_batch(pool, count, run_shifted, &shifted);
    left -= count;
  }
}

int32_t rookery_pool_threads(uintptr_t pool) { return pool ? ((thread_pool *)pool)->threads : 1; }

ROOKERY_API size_t rookery_pool_bytes(void) { return sizeof(thread_pool); }

ROOKERY_API int32_t rookery_pool_create(uintptr_t memory, int32_t threads) {
  if (!memory || memory % 64 || threads < 1 || threads > MAX_THREADS) return ROOKERY_BAD_ARGUMENT;
  thread_pool *pool = (thread_pool *)memory;
  memset(pool, 0, sizeof *pool);
  if (pthread_mutex_init(&pool->mutex, 0) || pthread_cond_init(&pool->wake, 0)) return ROOKERY_NO_THREADS;
  pool->threads = 1;
  for (int32_t i = 1; i < threads; i++) {
    pool->workers[i] = (struct worker){memory, i, 0};
    if (pthread_create(&pool->workers[i].thread, 0, worker_main, &pool->workers[i])) {
      rookery_pool_destroy(memory);
      return ROOKERY_NO_THREADS;
    }
    pool->threads = i + 1;
  }
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_pool_destroy(uintptr_t memory) {
  if (!memory) return ROOKERY_BAD_ARGUMENT;
  thread_pool *pool = (thread_pool *)memory;
  atomic_store(&pool->stop, 1);
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
  for (int32_t i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].thread, 0);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->mutex);
  return ROOKERY_OK;
}

ROOKERY_API int32_t rookery_abi_version(void) { return ROOKERY_ABI_VERSION; }

ROOKERY_API int32_t rookery_level(void) { return ROOKERY_LEVEL; }
