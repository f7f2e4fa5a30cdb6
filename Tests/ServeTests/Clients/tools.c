/* SPDX-License-Identifier: Apache-2.0 */
/* Chance, threads, time and children, as the scenarios need them. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "client.h"

uint64_t draw(struct chance *chance) {
  uint64_t z = chance->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

_Thread_local uint64_t thread_number;

struct start {
  void *(*body)(void *);
  void *argument;
  uint64_t number;
};

static void *begin(void *argument) {
  struct start start = *(struct start *)argument;
  thread_number = start.number;
  return start.body(start.argument);
}

void run_threads(uint64_t count, void *(*body)(void *), void *argument) {
  pthread_t threads[256];
  struct start starts[256];
  if (count > 256) fail("%lu threads are too many", count);
  for (uint64_t i = 0; i < count; i++) {
    starts[i] = (struct start){body, argument, i};
    if (pthread_create(&threads[i], NULL, begin, &starts[i])) fail("no thread can be made");
  }
  for (uint64_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void pause_ns(uint64_t nanoseconds) {
  struct timespec rest = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
  nanosleep(&rest, NULL);
}

void expect_success(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child) fail_errno("waitpid");
  if (WIFSIGNALED(status)) fail("the child %d was ended by signal %d", child, WTERMSIG(status));
  if (WEXITSTATUS(status) == 77) _exit(77);
  if (WEXITSTATUS(status) != 0) fail("the child %d exited with %d", child, WEXITSTATUS(status));
}

static int is_less(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

void count_latencies(uint64_t *samples, uint64_t count) {
  if (count == 0) return;
  qsort(samples, count, sizeof *samples, is_less);
  counts.p50 = samples[count / 2];
  counts.p99 = samples[count * 99 / 100];
  counts.worst = samples[count - 1];
}
