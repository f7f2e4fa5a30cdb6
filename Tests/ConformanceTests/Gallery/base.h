/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider that keeps every rule, from which each provider of the gallery departs in one. It has all
 * hooks: content in memory that is staged, lent or zero by turns, a filemap with a limit, write-back, and with
 * delay= answers that come later.
 */
#ifndef BASE_H
#define BASE_H

#define _GNU_SOURCE
#include <uffd_plugin.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { granule_size = 4096, pending_most = 64 };

struct pending {
  uint64_t ticket; /* 0: free */
  uint64_t due;
  int kicked;
};

struct uffd_instance {
  const uffd_host *host;
  uint64_t size, seed, limit, delay, granules;
  unsigned char *data;
  pthread_mutex_t lock; /* held for a copy at most, and never by the worker while it kicks */
  _Atomic uint64_t *map;
  _Atomic uint64_t used;
  struct pending pending[pending_most];
  pthread_t worker;
  int has_worker, ends;
  void *more;
};

static inline uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void say(const uffd_host *host, const char *text) {
  host->report_error(host->instance, text, strlen(text));
}

static inline uint64_t number(const char *text, int *ok) {
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  if (*end == 'K') value <<= 10, end++;
  if (*end == 'M') value <<= 20, end++;
  *ok = end != text && !*end;
  return value;
}

static inline uffd_status base_configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                                  uffd_instance **instance) {
  struct uffd_instance made = {.host = host, .size = 200000, .seed = 1, .limit = UINT64_MAX};
  for (uint64_t i = 0; i < count; i++) {
    int ok = 1;
    if (!strcmp(parameters[i].key, "size")) made.size = number(parameters[i].value, &ok);
    else if (!strcmp(parameters[i].key, "seed")) made.seed = number(parameters[i].value, &ok);
    else if (!strcmp(parameters[i].key, "limit")) made.limit = number(parameters[i].value, &ok);
    else if (!strcmp(parameters[i].key, "delay")) made.delay = number(parameters[i].value, &ok) * 1000;
    else if (!strcmp(parameters[i].key, "label")) ok = 1;
    else {
      say(host, "there is no such key");
      return UFFD_STATUS_ABSENT;
    }
    if (!ok || !made.size || made.size > 64u << 20) {
      say(host, "a value is out of range");
      return UFFD_STATUS_OUT_OF_RANGE;
    }
  }
  made.granules = (made.size - 1) / granule_size + 1;
  uffd_instance *own = malloc(sizeof *own);
  if (!own) return UFFD_STATUS_NO_MEMORY;
  *own = made;
  own->data = calloc(own->granules, granule_size);
  own->map = calloc(own->granules / 64 + 1, 8);
  pthread_mutex_init(&own->lock, NULL);
  uint64_t state = own->seed;
  for (uint64_t i = 0; i < own->size; i++) {
    if (i % 8 == 0) state = state * 6364136223846793005u + 1442695040888963407u;
    /* Every eighth granule is zero. */
    if (i / granule_size % 8 != 3) own->data[i] = (unsigned char)(state >> (i % 8 * 8));
  }
  *instance = own;
  return UFFD_STATUS_OK;
}

static inline void *base_work(void *argument) {
  uffd_instance *own = argument;
  pthread_mutex_lock(&own->lock);
  while (!own->ends) {
    uint64_t ready[pending_most];
    int count = 0;
    for (int i = 0; i < pending_most; i++) {
      struct pending *p = &own->pending[i];
      if (!p->ticket || p->kicked || p->due > now()) continue;
      p->kicked = 1;
      ready[count++] = p->ticket;
    }
    pthread_mutex_unlock(&own->lock);
    for (int i = 0; i < count; i++) own->host->kick(own->host->instance, ready[i]);
    usleep(500);
    pthread_mutex_lock(&own->lock);
  }
  pthread_mutex_unlock(&own->lock);
  return NULL;
}

static inline uffd_status base_complete(uffd_instance *own, uffd_traits *traits) {
  traits->memory_kind = UFFD_MEMORY_SHMEM;
  traits->object_size = own->size;
  traits->granule = granule_size;
  traits->backing = UFFD_BACKING_HOST;
  if (own->delay) own->has_worker = pthread_create(&own->worker, NULL, base_work, own) == 0;
  return UFFD_STATUS_OK;
}

static inline void base_close(uffd_instance *own) {
  pthread_mutex_lock(&own->lock);
  own->ends = 1;
  pthread_mutex_unlock(&own->lock);
  if (own->has_worker) pthread_join(own->worker, NULL);
  free(own->data);
  free(own->map);
  free(own);
}

static inline uint32_t base_predicate(uffd_instance *own, const uffd_region_query *query, const char **reason) {
  (void)own;
  if (query->granule == granule_size && query->memory_kind != UFFD_MEMORY_HUGETLB) return 1;
  *reason = "granules are 4096 bytes of shmem or anonymous memory";
  return 0;
}

/* Is the answer still on its way? With the lock held. */
static inline int base_is_late(uffd_instance *own, uint64_t ticket) {
  struct pending *place = NULL;
  if (!own->delay) return 0;
  for (int i = 0; i < pending_most; i++) {
    struct pending *p = &own->pending[i];
    if (p->ticket == ticket) {
      if (p->due > now()) return 1;
      p->ticket = 0;
      return 0;
    }
    /* A free place, or else that of the oldest question: it will be asked again. */
    if (!place || (place->ticket && (!p->ticket || p->due < place->due))) place = p;
  }
  *place = (struct pending){ticket, now() + own->delay, 0};
  return 1;
}

static inline uffd_status base_alloc(uffd_instance *own, const uffd_folio_request *request, uffd_folio *folio) {
  if (request->pgoff >= own->granules || request->granule != granule_size) return UFFD_STATUS_OUT_OF_RANGE;
  pthread_mutex_lock(&own->lock);
  if (base_is_late(own, request->ticket)) {
    pthread_mutex_unlock(&own->lock);
    return UFFD_STATUS_BUSY;
  }
  const unsigned char *source = own->data + request->pgoff * granule_size;
  uint64_t room = own->granules - request->pgoff;
  uint64_t zeroes = 0;
  while (zeroes < granule_size && !source[zeroes]) zeroes++;
  uffd_status status = UFFD_STATUS_OK;
  folio->count = 1;
  if (zeroes == granule_size) {
    folio->kind = UFFD_FOLIO_ZERO;
  } else if (request->pgoff % 8 == 5) {
    void *copy = malloc(granule_size);
    memcpy(copy, source, granule_size);
    folio->kind = UFFD_FOLIO_LENT;
    folio->memory = copy;
    folio->length = granule_size;
    folio->residence = UFFD_RESIDENCE_RESIDENT;
    folio->cookie = (uint64_t)(uintptr_t)copy;
  } else if (request->pgoff % 8 == 6) {
    void *memory;
    status = own->host->staging_alloc(own->host->instance, granule_size, &memory);
    if (status == UFFD_STATUS_OK) {
      memcpy(memory, source, granule_size);
      folio->kind = UFFD_FOLIO_STAGED;
      folio->memory = memory;
    }
  } else {
    /* Up to three granules of 0, 1, 2 at once. */
    uint64_t most = request->pgoff % 8 < 3 ? 3 - request->pgoff % 8 : 1;
    if (most > room) most = room;
    folio->count = most < request->count ? most : request->count;
    folio->kind = UFFD_FOLIO_STAGED;
    memcpy(request->staging, source, folio->count * granule_size);
  }
  pthread_mutex_unlock(&own->lock);
  return status;
}

static inline void base_put(uffd_instance *own, const uffd_folio *folio, uint64_t pgoff) {
  (void)own, (void)pgoff;
  free((void *)(uintptr_t)folio->cookie);
}

static inline uffd_status base_lookup(uffd_instance *own, uint64_t pgoff, uint64_t ticket) {
  (void)ticket;
  if (pgoff >= own->granules) return UFFD_STATUS_OUT_OF_RANGE;
  return own->map[pgoff / 64] >> (pgoff % 64) & 1 ? UFFD_STATUS_OK : UFFD_STATUS_ABSENT;
}

static inline uffd_status base_add(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  if (pgoff >= own->granules || count > own->granules - pgoff) return UFFD_STATUS_OUT_OF_RANGE;
  if (atomic_fetch_add(&own->used, count) + count > own->limit) {
    atomic_fetch_sub(&own->used, count);
    return UFFD_STATUS_NO_MEMORY;
  }
  for (uint64_t i = pgoff; i < pgoff + count; i++) atomic_fetch_or(&own->map[i / 64], 1ull << i % 64);
  return UFFD_STATUS_OK;
}

static inline void base_remove(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  for (uint64_t i = pgoff; i < pgoff + count && i < own->granules; i++)
    if (atomic_fetch_and(&own->map[i / 64], ~(1ull << i % 64)) >> i % 64 & 1) atomic_fetch_sub(&own->used, 1);
}

static inline uffd_status base_extents(uffd_instance *own, uint64_t pgoff, uint64_t count, uffd_extent *extents,
                                uint64_t capacity, uint64_t stride, uint64_t *filled) {
  *filled = 0;
  pthread_mutex_lock(&own->lock);
  for (uint64_t i = pgoff; i < pgoff + count && i < own->granules; i++) {
    const unsigned char *source = own->data + i * granule_size;
    uint64_t zeroes = 0;
    while (zeroes < granule_size && !source[zeroes]) zeroes++;
    uint32_t is_zero = zeroes == granule_size;
    uffd_extent *last = (uffd_extent *)((char *)extents + (*filled - 1) * stride);
    if (*filled && last->is_zero == is_zero) {
      last->count++;
      continue;
    }
    if (*filled == capacity) break;
    last = (uffd_extent *)((char *)extents + (*filled)++ * stride);
    *last = (uffd_extent){i, 1, is_zero, 0};
  }
  pthread_mutex_unlock(&own->lock);
  return UFFD_STATUS_OK;
}

static inline void base_will_need(uffd_instance *own, uint64_t pgoff, uint64_t count) {
  (void)own, (void)pgoff, (void)count;
}

static inline uffd_status base_writeback(uffd_instance *own, uint64_t pgoff, uint64_t count, const void *bytes,
                                  uint64_t length) {
  (void)count;
  pthread_mutex_lock(&own->lock);
  memcpy(own->data + pgoff * granule_size, bytes, length);
  pthread_mutex_unlock(&own->lock);
  return UFFD_STATUS_OK;
}

static inline uffd_status base_flush(uffd_instance *own) {
  (void)own;
  return UFFD_STATUS_OK;
}

static inline void base_cancel(uffd_instance *own, uint64_t ticket) {
  pthread_mutex_lock(&own->lock);
  for (int i = 0; i < pending_most; i++)
    if (own->pending[i].ticket == ticket && ticket) own->pending[i].ticket = 0;
  pthread_mutex_unlock(&own->lock);
}

static const uffd_parameter_info base_parameters[] = {
    {"size", "bytes of the object", "200000", UFFD_PARAMETER_SIZE, 0, 0},
    {"seed", "which content", "1", UFFD_PARAMETER_NUMBER, 0, 0},
    {"limit", "granules that the backing may hold", NULL, UFFD_PARAMETER_NUMBER, 0, 0},
    {"delay", "microseconds until an answer", "0", UFFD_PARAMETER_NUMBER, 0, 0},
    {"label", "nothing", NULL, UFFD_PARAMETER_STRING, 0, 0},
};

enum { base_operations = 2047 };

/* All fields; a later initialiser of the same field replaces it. */
#define BASE_TABLE \
  .size = sizeof(uffd_provider), .abi = UFFD_ABI, .thread_model = UFFD_THREADS_PARALLEL, \
  .operations = base_operations, .modes = UFFD_MODE_MISSING | UFFD_MODE_MINOR, \
  .memory_kinds = UFFD_KINDS_SHMEM | UFFD_KINDS_ANON, .granules = UFFD_GRANULE_4K, .name = "specimen", \
  .version = "1", .summary = "a specimen of the gallery", .parameters = base_parameters, \
  .parameter_count = sizeof base_parameters / sizeof *base_parameters, \
  .parameter_stride = sizeof(uffd_parameter_info), .configure = base_configure, .config_complete = base_complete, \
  .can_userfault = base_predicate, .alloc_folio = base_alloc, .put_folio = base_put, \
  .get_folio_noalloc = base_lookup, .filemap_add = base_add, .filemap_remove = base_remove, \
  .discard = base_remove, .extents = base_extents, .will_need = base_will_need, .writeback = base_writeback, \
  .flush = base_flush, .cancel = base_cancel, .close = base_close

#define TABLE(...) \
  static const uffd_provider table = {BASE_TABLE, ##__VA_ARGS__}; \
  UFFD_REGISTER_PROVIDER(table)

#endif
