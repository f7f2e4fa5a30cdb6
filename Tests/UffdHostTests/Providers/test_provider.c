/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider of the core's tests. What it is follows from macros (TABLE_*) and parameters, what it does
 * from the knobs in `test_provider_state`, which also counts what the host did to it.
 */
#define _GNU_SOURCE
#include "test_provider.h"
#include "uffd_plugin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef TABLE_THREADS
#define TABLE_THREADS UFFD_THREADS_PARALLEL
#endif
#ifndef TABLE_BEHAVIOURS
#define TABLE_BEHAVIOURS 0
#endif

__attribute__((visibility("default"))) struct test_provider_state test_provider_state;
#define state test_provider_state
#define ADD(field, value) __atomic_fetch_add(&state.field, (value), __ATOMIC_ACQ_REL)
#define GET(field) __atomic_load_n(&state.field, __ATOMIC_ACQUIRE)

struct uffd_instance {
  const uffd_host *host;
  uint64_t size, granule, seed;
  uffd_memory_kind kind;
  uffd_backing backing;
  uffd_thread_model threads;
  uffd_file_role role;
  uffd_hole hole;
  uint32_t may_block;
  char *content; /* whole object, if lend=1 */
  uint64_t content_length;
  unsigned char *added; /* the filemap: one byte for each granule */
};

static void enter(void) {
  uint64_t now = ADD(running, 1) + 1, most = GET(most_running);
  while (now > most &&
         !__atomic_compare_exchange_n(&state.most_running, &most, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  uint64_t me = (uint64_t)gettid(), first = 0;
  if (!__atomic_compare_exchange_n(&state.first_thread, &first, me, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
      first != me)
    ADD(other_threads, 1);
}
static void leave(void) { ADD(running, ~0ull); }

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Takes one off `*left`; 0 if nothing is left. */
static inline int take(uint64_t *left) {
  uint64_t value = __atomic_load_n(left, __ATOMIC_ACQUIRE);
  while (value > 0)
    if (__atomic_compare_exchange_n(left, &value, value - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return 1;
  return 0;
}

static uint64_t bytes(const char *text) {
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  switch (*end) {
    case 'K': return value << 10;
    case 'M': return value << 20;
    case 'G': return value << 30;
    default: return value;
  }
}

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **out) {
  uffd_instance *self = calloc(1, sizeof *self);
  if (!self) return UFFD_STATUS_NO_MEMORY;
  enter();
  *self = (uffd_instance){.host = host, .size = 1 << 20, .granule = 4096, .seed = 1, .kind = UFFD_MEMORY_ANON};
  int lends = 0;
  for (uint64_t i = 0; i < count; i++) {
    const char *key = parameters[i].key, *value = parameters[i].value;
    if (!strcmp(key, "size")) self->size = bytes(value);
    if (!strcmp(key, "granule")) self->granule = bytes(value);
    if (!strcmp(key, "seed")) self->seed = bytes(value);
    if (!strcmp(key, "lend")) lends = 1;
    if (!strcmp(key, "blocks")) self->may_block = 1;
    if (!strcmp(key, "memory"))
      self->kind = !strcmp(value, "shmem") ? UFFD_MEMORY_SHMEM
                   : !strcmp(value, "hugetlb") ? UFFD_MEMORY_HUGETLB
                                               : UFFD_MEMORY_ANON;
    if (!strcmp(key, "threads")) self->threads = (uffd_thread_model)bytes(value);
    if (!strcmp(key, "file")) self->role = UFFD_FILE_CONTENT;
    if (!strcmp(key, "backing-file")) self->role = UFFD_FILE_BACKING;
    if (!strcmp(key, "hole")) self->hole = !strcmp(value, "zero") ? UFFD_HOLE_ZERO : UFFD_HOLE_REFUSE;
  }
  self->backing = self->role == UFFD_FILE_BACKING     ? UFFD_BACKING_FILE
                  : self->kind == UFFD_MEMORY_ANON ? UFFD_BACKING_NONE
                                                   : UFFD_BACKING_HOST;
  uint64_t granules = (self->size - 1) / self->granule + 1;
  self->added = calloc(1, granules);
  if (lends) {
    self->content_length = granules * self->granule;
    self->content = mmap(0, self->content_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    test_content_fill(self->content, 0, self->content_length, self->seed);
  }
  ADD(opens, 1);
  leave();
  *out = self;
  return UFFD_STATUS_OK;
}

static uffd_status config_complete(uffd_instance *self, uffd_traits *traits) {
  enter();
  traits->memory_kind = self->kind;
  traits->object_size = self->size;
  traits->granule = self->granule;
  traits->backing = self->backing;
  traits->thread_model = self->threads;
  traits->may_block = self->may_block;
  traits->file_role = self->role;
  if (self->role != UFFD_FILE_UNUSED) traits->file_key = self->role == UFFD_FILE_CONTENT ? "file" : "backing-file";
  traits->hole = self->hole;
  leave();
  return UFFD_STATUS_OK;
}

static void close_instance(uffd_instance *self) {
  enter();
  if (self->content) munmap(self->content, self->content_length);
  free(self->added);
  free(self);
  ADD(closes, 1);
  leave();
}

#ifndef TABLE_DECLARATIVE_ONLY
static uint32_t can_userfault(uffd_instance *self, const uffd_region_query *query, const char **reason) {
  (void)self;
  (void)query;
  enter();
  ADD(attaches, 1);
  leave();
  if (!GET(attach_no)) return 1;
  *reason = "the knob says no";
  return 0;
}

static int meets(uint64_t knob, const uffd_folio_request *request) {
  return knob == ~0ull || (knob > 0 && knob - 1 >= request->pgoff && knob - 1 < request->pgoff + request->count);
}

static uffd_status busy(uffd_instance *self, const uffd_folio_request *request) {
  uint64_t last = __atomic_exchange_n(&state.last_ticket, request->ticket, __ATOMIC_ACQ_REL);
  if (last != 0 && last != request->ticket) ADD(ticket_changes, 1);
  ADD(busies, 1);
  if (GET(kick_first)) self->host->kick(self->host->instance, request->ticket);
  return UFFD_STATUS_BUSY;
}

static uffd_status answer(uffd_instance *self, const uffd_folio_request *request, uffd_folio *folio) {
  uint64_t most = GET(most), holes = GET(holes), granule = self->granule;
  uint64_t count = most && most < request->count ? most : request->count;
  uint64_t offset = request->pgoff * granule;
  folio->count = count;
  uint64_t kind = GET(answer);
  if (holes) {
    /* A run ends where data and holes meet. */
    int is_hole = request->pgoff % holes == holes - 1;
    uint64_t same = 1;
    while (same < count && ((request->pgoff + same) % holes == holes - 1) == is_hole) same++;
    folio->count = count = same;
    if (is_hole) kind = TEST_ANSWER_ZERO;
  }
  switch (kind) {
    case TEST_ANSWER_LENT:
    case TEST_ANSWER_LENT_MAY_FAULT:
    case TEST_ANSWER_LENT_WILD:
      folio->kind = UFFD_FOLIO_LENT;
      folio->memory = kind == TEST_ANSWER_LENT_WILD ? (const void *)0x1000 : self->content + offset;
      folio->length = count * granule;
      folio->residence = kind == TEST_ANSWER_LENT_MAY_FAULT ? UFFD_RESIDENCE_MAY_FAULT : UFFD_RESIDENCE_RESIDENT;
      folio->cookie = request->pgoff ^ 0x5eed;
      ADD(lends, 1);
      break;
    case TEST_ANSWER_ZERO: folio->kind = UFFD_FOLIO_ZERO; break;
    case TEST_ANSWER_ARENA: {
      void *memory;
      if (self->host->staging_alloc(self->host->instance, count * granule, &memory) != UFFD_STATUS_OK)
        return UFFD_STATUS_NO_MEMORY;
      test_content_fill(memory, offset, count * granule, self->seed);
      folio->kind = UFFD_FOLIO_STAGED;
      folio->memory = memory;
      break;
    }
    default:
      test_content_fill(request->staging, offset, count * granule, self->seed);
      folio->kind = UFFD_FOLIO_STAGED;
  }
  ADD(answered, count);
  return UFFD_STATUS_OK;
}

static uffd_status alloc_folio(uffd_instance *self, const uffd_folio_request *request, uffd_folio *folio) {
  enter();
  ADD(allocs, 1);
  uffd_status status;
  if (meets(GET(gate_pgoff), request)) {
    ADD(gate_reached, 1);
    while (!GET(gate_open)) usleep(200);
  }
  if (GET(delay_us)) usleep((useconds_t)GET(delay_us));
  if (meets(GET(busy_pgoff), request) && take(&state.busy_times))
    status = busy(self, request);
  else if (meets(GET(fail_pgoff), request) && take(&state.fail_times))
    status = (uffd_status)GET(fail_status);
  else
    status = answer(self, request, folio);
  leave();
  return status;
}

static void put_folio(uffd_instance *self, const uffd_folio *folio, uint64_t pgoff) {
  (void)self;
  enter();
  ADD(puts, 1);
  if (folio->cookie != (pgoff ^ 0x5eed)) ADD(bad_puts, 1);
  leave();
}

static uffd_status get_folio_noalloc(uffd_instance *self, uint64_t pgoff, uint64_t ticket) {
  (void)ticket;
  enter();
  ADD(lookups, 1);
  uffd_status status = take(&state.lookup_busy) ? UFFD_STATUS_BUSY
                       : __atomic_load_n(&self->added[pgoff], __ATOMIC_ACQUIRE) ||
                               self->role == UFFD_FILE_BACKING
                           ? UFFD_STATUS_OK
                           : UFFD_STATUS_ABSENT;
  leave();
  return status;
}

static uffd_status filemap_add(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  static uint64_t first_refusal;
  enter();
  uint64_t refused = GET(refuse_pgoff);
  uffd_status status = UFFD_STATUS_OK;
  if (refused > 0 && refused - 1 >= pgoff && refused - 1 < pgoff + count) {
    uint64_t now = now_ns(), none = 0;
    __atomic_compare_exchange_n(&first_refusal, &none, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (now - __atomic_load_n(&first_refusal, __ATOMIC_ACQUIRE) < GET(refuse_ns)) status = UFFD_STATUS_NO_MEMORY;
  }
  if (status == UFFD_STATUS_OK) {
    for (uint64_t i = 0; i < count; i++)
      if (__atomic_exchange_n(&self->added[pgoff + i], 1, __ATOMIC_ACQ_REL)) ADD(bad_adds, 1);
    ADD(adds, count);
  } else {
    ADD(refusals, 1);
  }
  leave();
  return status;
}

static void filemap_remove(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  enter();
  for (uint64_t i = 0; i < count; i++)
    if (!__atomic_exchange_n(&self->added[pgoff + i], 0, __ATOMIC_ACQ_REL)) ADD(bad_removes, 1);
  ADD(removes, count);
  leave();
}

static void discard(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  enter();
  for (uint64_t i = 0; i < count; i++) __atomic_store_n(&self->added[pgoff + i], 0, __ATOMIC_RELEASE);
  ADD(discards, count);
  leave();
}

static void will_need(uffd_instance *self, uint64_t pgoff, uint64_t count) {
  enter();
  if (pgoff >= (self->size - 1) / self->granule + 1 || count == 0) ADD(bad_warms, 1);
  ADD(warms, count);
  leave();
}

static void cancel(uffd_instance *self, uint64_t ticket) {
  (void)self;
  (void)ticket;
  ADD(cancels, 1);
}
#endif

static const uffd_parameter_info parameters[] = {
    {.key = "size", .kind = UFFD_PARAMETER_SIZE},     {.key = "granule", .kind = UFFD_PARAMETER_SIZE},
    {.key = "seed", .kind = UFFD_PARAMETER_NUMBER},   {.key = "lend", .kind = UFFD_PARAMETER_NUMBER},
    {.key = "blocks", .kind = UFFD_PARAMETER_NUMBER}, {.key = "memory", .kind = UFFD_PARAMETER_STRING},
    {.key = "threads", .kind = UFFD_PARAMETER_NUMBER}, {.key = "file", .kind = UFFD_PARAMETER_FILE},
    {.key = "backing-file", .kind = UFFD_PARAMETER_FILE}, {.key = "hole", .kind = UFFD_PARAMETER_STRING},
};

static const uffd_provider table = {
    .size = sizeof(uffd_provider),
    .abi = UFFD_ABI,
    .thread_model = TABLE_THREADS,
#ifndef TABLE_DECLARATIVE_ONLY
    .operations = UFFD_OP_ALLOC | UFFD_OP_LEND | UFFD_OP_LOOKUP | UFFD_OP_FILEMAP | UFFD_OP_DISCARD |
                  UFFD_OP_WILL_NEED | UFFD_OP_CANCEL | UFFD_OP_PREDICATE,
#endif
    .modes = UFFD_MODE_MISSING | UFFD_MODE_MINOR,
    .memory_kinds = UFFD_KINDS_ANON | UFFD_KINDS_SHMEM | UFFD_KINDS_HUGETLB,
    .granules = UFFD_GRANULE_4K | UFFD_GRANULE_2M,
    .behaviours = TABLE_BEHAVIOURS,
    .name = "test",
    .version = "1",
    .summary = "does what a test tells it",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .parameter_stride = sizeof *parameters,
    .configure = configure,
    .config_complete = config_complete,
#ifndef TABLE_DECLARATIVE_ONLY
    .can_userfault = can_userfault,
    .alloc_folio = alloc_folio,
    .put_folio = put_folio,
    .get_folio_noalloc = get_folio_noalloc,
    .filemap_add = filemap_add,
    .filemap_remove = filemap_remove,
    .discard = discard,
    .will_need = will_need,
    .cancel = cancel,
#endif
    .close = close_instance,
};

UFFD_REGISTER_PROVIDER(table)
