/* SPDX-License-Identifier: Apache-2.0 */
/* Another process that hands its memory over: started by a test, told when to begin, judged by its exit status. */
#ifndef TEST_HANDED_H
#define TEST_HANDED_H

#include <stdint.h>

enum handed_memory : int32_t { HANDED_ANON, HANDED_SHARED, HANDED_PRIVATE };

/*
 * What it does with its memory, which the test's provider fills, once it is told to begin. Each ends it with
 * status 0 if all was right, else with the line of this program that found what was wrong.
 */
enum handed_scenario : int32_t {
  HANDED_TOUCH,     /* reads all of it */
  HANDED_WAIT,      /* touches nothing until it is told a second time, then reads all of it */
  HANDED_SLEEP,     /* touches nothing and sleeps */
  HANDED_DISCARD,   /* gives pages back, before and after they were there; they read zero */
  HANDED_MOVE,      /* mremap of a middle part: content at the new place, the rest where it was */
  HANDED_DONTUNMAP, /* the same with MREMAP_DONTUNMAP: anonymous memory reads zero at the old place */
  HANDED_GROW,      /* mremap to twice the size; what grew reads zero */
  HANDED_UNMAP,     /* munmap under a thread that sleeps on a page nobody provides: SIGSEGV */
  HANDED_FORK,      /* three generations; each reads all, and a discard of one is not another's */
  HANDED_EXEC,      /* executes sleep(1) */
  HANDED_RACE,      /* gives pages back while a reader goes through its memory in order */
  HANDED_BALLOON,   /* maps fresh memory over a part, is told to go on, reads zero there and content around it */
  HANDED_SIGBUS,    /* reading page 1 is SIGBUS, its neighbours are right */
  HANDED_CROWD,     /* a thread for each second page reads it */
  HANDED_FAR,       /* mremap to far more than the object; many threads read zero side by side in the middle */
  HANDED_FAMILY,    /* forks twice, content there; a third fork reads SIGBUS, until there is room again */
};

struct handed {
  int32_t pid;
  int32_t pidfd;
  int32_t uffd;
  int32_t memfd; /* -1: none */
  uint64_t start, length;
  int32_t control;
};

/* The features are UFFD_FEATURE_*. 0, or a negative errno. */
int32_t handed_start(struct handed *handed, enum handed_memory memory, enum handed_scenario scenario,
                     uint64_t pages, uint64_t features, uint64_t seed);
/* Tells it to begin, or to go on. */
void handed_go(const struct handed *handed);
/* Waits until it says that it has done the first part. */
void handed_await_word(const struct handed *handed);
/* Waits: its exit status, 256 + the signal that ended it, or -1 after `seconds`. */
int32_t handed_wait(const struct handed *handed, uint32_t seconds);

#endif /* TEST_HANDED_H */
