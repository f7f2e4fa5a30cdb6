/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory out of an NBD export, by way of libnbd.
 *
 * No hook waits. alloc_folio lends from a bounded cache of windows: the questions about one window cost one
 * read. A window that is not there is queued, answered BUSY, and its tickets are kicked when it has come.
 * Each connection has a thread, which connects, reads several windows at a time, and tries again what failed.
 *
 * One mutex guards all but the bytes, and nobody holds it during I/O. The bytes of a window are written while
 * it is READING and read while it is READY, which it stays as long as it is lent. Times are milliseconds.
 */
#define _GNU_SOURCE
#include <libnbd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <uffd_plugin.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
enum { WINDOW = 64 << 10, CACHE = 64 << 20, CONNECTIONS = 16, DEPTH = 8, AHEAD = 8, WAITERS = 1024 };

enum state { FREE, QUEUED, READING, READY, FAILED };

struct slot { /* a place in the cache */
  uffd_instance *owner;
  unsigned char *bytes;
  enum state state;
  bool used, failed;
  uint32_t lent, pieces;
  uint64_t window, born, pause, due; /* due: QUEUED: not before; FAILED: answered until */
};

struct connection { /* its thread's own */
  uffd_instance *owner;
  pthread_t thread;
  struct nbd_handle *nbd;
};

struct waiter {
  uint64_t ticket, window; /* window UINT64_MAX: waits for any slot */
};

struct uffd_instance {
  const uffd_host *host;
  const char *uri;
  bool closing, gone;
  uffd_memory_kind memory;
  uint64_t size, granule, retry, connections, running;
  uint64_t exported, readable, window, most; /* most: the longest read that the server takes */
  uint64_t granules, windows, slot_count, hand, queued, waiting;
  uint64_t failing; /* since when nothing but failures came; 0: the last read was good */
  unsigned char *zero, *filemap, *cache; /* zero, filemap: a bit per granule */
  uint32_t *index;                        /* window -> its slot's number + 1 */
  struct slot *slots;
  struct waiter waiters[WAITERS]; /* who does not fit is asked again by the host's timer */
  struct connection connection[CONNECTIONS];
  pthread_mutex_t lock;
  pthread_cond_t news; /* something is queued, or closing */
  char reason[400];    /* of the last failure */
};

static uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool bit(const unsigned char *map, uint64_t i) { return map[i / 8] >> i % 8 & 1; }
static void set_bits(unsigned char *map, uint64_t i, uint64_t count, bool on) {
  for (uint64_t end = i + count; i < end; i++)
    map[i / 8] = (unsigned char)(on ? map[i / 8] | 1 << i % 8 : map[i / 8] & ~(1 << i % 8));
}

__attribute__((format(printf, 3, 4))) static uffd_status refuse(
    const uffd_host *host, uffd_status status, const char *format, ...) {
  char text[700];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  host->report_error(host->instance, text, MIN((uint64_t)length, sizeof text - 1));
  return status;
}

/* --- The cache: called with the lock held -------------------------------------------------------- */

/* Takes the waiters of a window, or one ticket, off the list; kicks them if asked to. */
static void remove_waiters(uffd_instance *p, const uint64_t *ticket, uint64_t window, bool kick) {
  for (uint64_t i = 0; i < p->waiting; i++) {
    struct waiter w = p->waiters[i];
    if (ticket ? w.ticket != *ticket : w.window != window) continue;
    if (kick) p->host->kick(p->host->instance, w.ticket);
    p->waiters[i--] = p->waiters[--p->waiting];
  }
}

static struct slot *find(uffd_instance *p, uint64_t window) {
  return p->index[window] ? &p->slots[p->index[window] - 1] : NULL;
}

/* The slot of a window, queued unless it is there or on its way. NULL: every slot is taken. The victim is
   the first that nobody uses and nobody has used since the hand came by last. */
static struct slot *want(uffd_instance *p, uint64_t window, uint64_t now) {
  struct slot *s = find(p, window);
  if (s && (s->state != FAILED || now < s->due)) return s;
  for (uint64_t n = 0; s == NULL && n < 2 * p->slot_count; n++) {
    struct slot *victim = &p->slots[p->hand++ % p->slot_count];
    if (victim->state == QUEUED || victim->state == READING || victim->lent > 0) continue;
    if (victim->state == FAILED && now < victim->due) continue;
    if (!victim->used) s = victim;
    victim->used = false;
  }
  if (s == NULL) return NULL;
  if (s->state != FREE) p->index[s->window] = 0;
  *s = (struct slot){.owner = p, .bytes = s->bytes, .state = QUEUED, .window = window, .born = now};
  p->index[window] = (uint32_t)(s - p->slots) + 1;
  p->queued++;
  pthread_cond_signal(&p->news);
  return s;
}

/* --- The threads of the connections -------------------------------------------------------------- */

static void note(uffd_instance *p, const char *text) {
  pthread_mutex_lock(&p->lock);
  snprintf(p->reason, sizeof p->reason, "%s", text ? text : "libnbd gives no reason");
  pthread_mutex_unlock(&p->lock);
}

static bool is_dead(struct nbd_handle *nbd) {
  return nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd);
}

/* One round of a connection's life; false: it is over, the time is up, or the instance is closing. */
static bool go_on(uffd_instance *p, struct nbd_handle *nbd, uint64_t limit) {
  if (is_dead(nbd)) return false;
  if (nbd_poll(nbd, 50) < 0) note(p, nbd_get_error());
  pthread_mutex_lock(&p->lock);
  bool is_closing = p->closing;
  pthread_mutex_unlock(&p->lock);
  if (now_ms() > limit) note(p, "the server does not answer");
  return !is_closing && now_ms() <= limit;
}

/* Says goodbye if there is somebody who listens. From here on nobody writes to what was not answered. */
static void hang_up(struct connection *c) {
  if (c->nbd && nbd_aio_is_ready(c->nbd)) nbd_aio_disconnect(c->nbd, 0);
  nbd_close(c->nbd);
  c->nbd = NULL;
}

static struct nbd_handle *dial(uffd_instance *p) {
  uint64_t limit = now_ms() + p->retry / 2;
  struct nbd_handle *nbd = nbd_create();
  if (nbd && nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 &&
      nbd_set_uri_allow_local_file(nbd, true) == 0 && nbd_aio_connect_uri(nbd, p->uri) == 0) {
    while (nbd_aio_is_connecting(nbd) && go_on(p, nbd, limit)) continue;
    if (!nbd_aio_is_connecting(nbd) && !is_dead(nbd)) return nbd;
  } else {
    note(p, nbd_get_error());
  }
  nbd_close(nbd);
  return NULL;
}

/* A window is read, or could not be: then it is queued again for as long as there is hope. */
static void settle(struct slot *s) {
  uffd_instance *p = s->owner;
  uint64_t now = now_ms(), tail = p->size - MIN(p->size, s->window * p->window);
  if (!s->failed && tail < p->window) memset(s->bytes + tail, 0, p->window - tail);
  pthread_mutex_lock(&p->lock);
  s->used = true;
  s->pause = MIN(MAX(2 * s->pause, 10), 500);
  s->state = s->failed ? QUEUED : READY;
  s->due = now + s->pause;
  p->queued += s->failed;
  if (!s->failed) p->failing = 0;
  else if (p->failing == 0) p->failing = now;
  if (s->failed && (p->gone || now > s->born + p->retry || now > p->failing + p->retry)) {
    s->state = FAILED;
    s->due = now + 1000;
    p->queued--;
  }
  if (s->state != QUEUED) {
    remove_waiters(p, NULL, s->window, true);
    remove_waiters(p, NULL, UINT64_MAX, true);
  }
  pthread_mutex_unlock(&p->lock);
}

static int piece_answered(void *slot, int *error) {
  struct slot *s = slot;
  if (*error) note(s->owner, strerror(*error));
  s->failed = s->failed || *error;
  s->pieces--;
  return 1; /* libnbd may forget the command */
}

/* Makes sure that the connection stands and leads to the export that was configured. */
static void connect_again(uffd_instance *p, struct connection *c) {
  static const char lost[] = "a connection is lost; dialing again";
  if (c->nbd && is_dead(c->nbd)) {
    p->host->log(p->host->instance, UFFD_LOG_WARNING, lost, sizeof lost - 1);
    hang_up(c);
  }
  if (c->nbd || (c->nbd = dial(p)) == NULL || nbd_get_size(c->nbd) == (int64_t)p->exported) return;
  note(p, "the export has another size than before, so it is other content");
  pthread_mutex_lock(&p->lock);
  p->gone = true;
  pthread_mutex_unlock(&p->lock);
  hang_up(c);
}

/* Asks for a window, in as few pieces as the server allows. */
static void send_read(uffd_instance *p, struct nbd_handle *nbd, struct slot *s) {
  uint64_t start = s->window * p->window, length = MIN(p->window, p->readable - start), piece;
  nbd_completion_callback callback = {.callback = piece_answered, .user_data = s};
  s->pieces = 0;
  s->failed = nbd == NULL;
  for (uint64_t done = 0; done < length && !s->failed; done += piece) {
    piece = MIN(p->most, length - done);
    s->pieces++; /* before the call, which may answer at once */
    if (nbd_aio_pread(nbd, s->bytes + done, piece, start + done, callback, 0) >= 0) continue;
    s->pieces--;
    s->failed = true;
    note(p, nbd_get_error());
  }
}

static void read_windows(struct connection *c, struct slot **batch, int count) {
  uffd_instance *p = c->owner;
  connect_again(p, c);
  for (int i = 0; i < count; i++) send_read(p, c->nbd, batch[i]);
  for (uint64_t limit = now_ms() + p->retry / 2; count > 0;) {
    for (int i = 0; i < count; i++) {
      if (batch[i]->pieces > 0) continue;
      settle(batch[i]);
      batch[i--] = batch[--count];
    }
    if (count == 0 || go_on(p, c->nbd, limit)) continue;
    hang_up(c);
    for (int i = 0; i < count; i++) {
      batch[i]->failed = true;
      batch[i]->pieces = 0;
    }
  }
}

static void *run(void *connection) {
  struct connection *c = connection;
  uffd_instance *p = c->owner;
  struct slot *batch[DEPTH];
  pthread_mutex_lock(&p->lock);
  while (!p->closing) {
    uint64_t now = now_ms();
    int count = 0, most = (int)MIN(DEPTH, (p->queued + p->connections - 1) / p->connections);
    for (uint64_t n = 0; n < p->slot_count && count < most; n++) {
      struct slot *s = &p->slots[(p->hand + n) % p->slot_count]; /* about the oldest first */
      if (s->state != QUEUED || s->due > now) continue;
      s->state = READING;
      p->queued--;
      batch[count++] = s;
    }
    if (count == 0) {
      struct timespec t = {.tv_sec = (time_t)((now + 10) / 1000),
                           .tv_nsec = (long)((now + 10) % 1000 * 1000000)};
      if (p->queued == 0) pthread_cond_wait(&p->news, &p->lock);
      else pthread_cond_clockwait(&p->news, &p->lock, CLOCK_MONOTONIC, &t);
      continue;
    }
    pthread_mutex_unlock(&p->lock);
    read_windows(c, batch, count);
    pthread_mutex_lock(&p->lock);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* --- Configuration ------------------------------------------------------------------------------ */

enum { URI, SIZE, MEMORY, NUMBER, RETRY, KEYS };
#define KEY(k, name, value, text) [k] = {.key = name, .default_value = value, .help = text, .kind
static const uffd_parameter_info parameters[KEYS] = {
    KEY(URI, "uri", NULL, "the export: nbd://HOST/NAME, nbd+unix:///?socket=PATH ...") =
        UFFD_PARAMETER_STRING, .flags = UFFD_PARAMETER_REQUIRED},
    KEY(SIZE, "size", "all of it", "bytes of the export to use") = UFFD_PARAMETER_SIZE},
    KEY(MEMORY, "memory", "anon", "anon; or shmem, or hugetlb (2M): a backing that regions share") =
        UFFD_PARAMETER_STRING},
    KEY(NUMBER, "connections", "4", "1 to 16, where the server allows several") =
        UFFD_PARAMETER_NUMBER},
    KEY(RETRY, "retry", "8", "seconds for which what failed is tried again") =
        UFFD_PARAMETER_NUMBER},
};

/* Digits, then nothing or a unit. 0 is no good for any of our keys. */
static uint64_t number(const char *text) {
  static const char units[] = "KMGT";
  char *end;
  uint64_t value = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
  const char *unit = *end ? strchr(units, *end) : NULL;
  int shift = unit ? 10 * (int)(unit - units + 1) : 0;
  return (*end && !unit) || value > UINT64_MAX >> shift ? 0 : value << shift;
}

static uffd_memory_kind memory_kind(const char *name) {
  return strcmp(name, "anon") == 0      ? UFFD_MEMORY_ANON
         : strcmp(name, "shmem") == 0   ? UFFD_MEMORY_SHMEM
         : strcmp(name, "hugetlb") == 0 ? UFFD_MEMORY_HUGETLB
                                        : 0;
}

static uffd_status configure(const uffd_host *host, const uffd_parameter *given, uint64_t count,
                             uffd_instance **out) {
  const char *values[KEYS] = {NULL, NULL, "anon", "4", "8"};
  uint64_t seen = 0, k;
  for (uint64_t i = 0; i < count; i++) {
    for (k = 0; k < KEYS && strcmp(parameters[k].key, given[i].key) != 0; k++) continue;
    if (k == KEYS) return refuse(host, UFFD_STATUS_ABSENT, "there is no key '%s'", given[i].key);
    values[k] = given[i].value;
    bool is_text = k == URI || k == MEMORY, is_bad = !is_text && number(values[k]) == 0;
    if (k == MEMORY) is_bad = memory_kind(values[k]) == 0;
    if (k == NUMBER) is_bad = is_bad || number(values[k]) > CONNECTIONS;
    if (k == RETRY) is_bad = is_bad || number(values[k]) > 86400;
    if (is_bad || seen >> k & 1)
      return refuse(host, UFFD_STATUS_OUT_OF_RANGE, "%s=%s cannot be had or is given twice: %s",
                    given[i].key, values[k], parameters[k].help);
    seen |= 1u << k;
  }
  if (!values[URI]) return refuse(host, UFFD_STATUS_OUT_OF_RANGE, "uri= is missing");
  uffd_instance *p = calloc(1, sizeof *p);
  if (p == NULL) return UFFD_STATUS_NO_MEMORY;
  uffd_memory_kind memory = memory_kind(values[MEMORY]);
  *p = (uffd_instance){.host = host, .uri = values[URI], .memory = memory,
                       .size = values[SIZE] ? number(values[SIZE]) : 0,
                       .granule = memory == UFFD_MEMORY_HUGETLB ? UFFD_GRANULE_2M : UFFD_GRANULE_4K,
                       .connections = number(values[NUMBER]), .retry = number(values[RETRY]) * 1000};
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->news, NULL);
  *out = p;
  return UFFD_STATUS_OK;
}

/* What the server knows to be zero: bits of whole granules. */
static int note_extents(void *instance, const char *context, uint64_t offset, uint32_t *entries,
                        size_t count, int *error) {
  uffd_instance *p = instance;
  (void)context, (void)error;
  for (size_t i = 0; i + 1 < count; offset += entries[i], i += 2) {
    uint64_t end = MIN(offset + entries[i], p->size), first = (offset + p->granule - 1) / p->granule;
    uint64_t last = end == p->size ? p->granules : end / p->granule;
    if (entries[i + 1] & LIBNBD_STATE_ZERO && first < last)
      set_bits(p->zero, first, last - first, true);
  }
  p->hand = offset; /* how far the survey is; the hand has no other use yet */
  return 0;
}

/* For two seconds or so: what is not known to be zero is read. */
static void survey_zeroes(uffd_instance *p, struct nbd_handle *nbd) {
  uint64_t limit = now_ms() + 2000, before = 0;
  nbd_extent_callback callback = {.callback = note_extents, .user_data = p};
  if (nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1)
    while (before < p->size && now_ms() < limit &&
           nbd_block_status(nbd, MIN(p->readable - before, 1u << 30), before, callback, 0) == 0 &&
           p->hand > before)
      before = p->hand;
  p->hand = 0;
}

static uffd_status start(uffd_instance *p) {
  p->slot_count = MAX(CACHE / p->window, 16);
  p->cache = mmap(NULL, p->slot_count * p->window, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p->cache == MAP_FAILED) p->cache = NULL;
  p->slots = calloc(p->slot_count, sizeof *p->slots);
  p->index = calloc(p->windows, sizeof *p->index);
  p->filemap = calloc(p->granules / 8 + 1, 1);
  p->zero = calloc(p->granules / 8 + 1, 1);
  if (!p->cache || !p->slots || !p->index || !p->zero || !p->filemap)
    return refuse(p->host, UFFD_STATUS_NO_MEMORY, "there is no memory for the cache of %s", p->uri);
  for (uint64_t i = 0; i < p->slot_count; i++) p->slots[i].bytes = p->cache + i * p->window;
  survey_zeroes(p, p->connection[0].nbd);
  sigset_t all, before; /* signals are for the threads of the host */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (; p->running < p->connections; p->running++) {
    struct connection *c = &p->connection[p->running];
    c->owner = p;
    if (pthread_create(&c->thread, NULL, run, c) != 0) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return p->running ? UFFD_STATUS_OK
                    : refuse(p->host, UFFD_STATUS_NO_MEMORY, "no thread can be started");
}

static uffd_status config_complete(uffd_instance *p, uffd_traits *traits) {
  struct nbd_handle *nbd = p->connection[0].nbd = dial(p);
  if (nbd == NULL)
    return refuse(p->host, UFFD_STATUS_IO_ERROR, "%s cannot be had: %s", p->uri, p->reason);
  int64_t size = nbd_get_size(nbd), least = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
  int64_t most = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);
  uint64_t unit = least > 0 ? (uint64_t)least : 1;
  p->exported = size > 0 ? (uint64_t)size : 0;
  p->readable = p->exported / unit * unit;
  p->most = MAX(MIN(most > 0 ? (uint64_t)most : 32 << 20, 32 << 20) / unit * unit, unit);
  p->window = MAX(MAX(WINDOW, p->granule), unit);
  p->size = p->size ? p->size : p->exported;
  if (p->size == 0 || p->size > p->readable)
    return refuse(p->host, UFFD_STATUS_OUT_OF_RANGE, "%s has %llu bytes in whole blocks, not %llu",
                  p->uri, (unsigned long long)p->readable, (unsigned long long)p->size);
  if (nbd_can_multi_conn(nbd) != 1) p->connections = 1;
  p->granules = (p->size - 1) / p->granule + 1;
  p->windows = (p->size - 1) / p->window + 1;
  traits->object_size = p->size;
  traits->granule = p->granule;
  traits->memory_kind = p->memory;
  traits->backing = p->memory == UFFD_MEMORY_ANON ? UFFD_BACKING_NONE : UFFD_BACKING_HOST;
  return start(p);
}

static void close_instance(uffd_instance *p) {
  pthread_mutex_lock(&p->lock);
  p->closing = true;
  pthread_cond_broadcast(&p->news);
  pthread_mutex_unlock(&p->lock);
  for (uint64_t i = 0; i < p->running; i++) pthread_join(p->connection[i].thread, NULL);
  for (uint64_t i = 0; i < CONNECTIONS; i++) hang_up(&p->connection[i]);
  if (p->cache) munmap(p->cache, p->slot_count * p->window);
  free(p->slots), free(p->index), free(p->filemap), free(p->zero);
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->news);
  free(p);
}

/* --- Hooks of the fault path: none of them waits ------------------------------------------------- */

static uint32_t can_userfault(uffd_instance *p, const uffd_region_query *query,
                              const char **reason) {
  bool is_ours = !(query->flags & UFFD_REGION_FOREIGN);
  bool is_shared = is_ours && p->memory != UFFD_MEMORY_ANON;
  *reason = query->granule != p->granule ? "its granule is not that of memory="
            : is_ours && query->memory_kind != p->memory ? "its memory is not of the kind of memory="
            : query->modes & UFFD_MODE_MINOR && !is_shared ? "anon memory has no minor faults"
                                                           : NULL;
  return *reason == NULL;
}

static uffd_status alloc_folio(uffd_instance *p, const uffd_folio_request *request,
                               uffd_folio *folio) {
  uint64_t now = now_ms(), g = request->pgoff, offset = g * p->granule, window = offset / p->window;
  if (g >= p->granules) return UFFD_STATUS_OUT_OF_RANGE;
  if (bit(p->zero, g)) {
    folio->kind = UFFD_FOLIO_ZERO;
    for (folio->count = 1; folio->count < request->count && bit(p->zero, g + folio->count);)
      folio->count++;
    return UFFD_STATUS_OK;
  }
  char reason[sizeof p->reason] = "";
  uffd_status status = UFFD_STATUS_OK;
  pthread_mutex_lock(&p->lock);
  struct slot *s = find(p, window);
  remove_waiters(p, &request->ticket, 0, false);
  if (p->gone || (s && s->state == FAILED && now < s->due)) {
    status = p->gone ? UFFD_STATUS_GONE : UFFD_STATUS_IO_ERROR;
    memcpy(reason, p->reason, sizeof reason);
  } else if (s && s->state == READY) {
    uint64_t room = p->window - offset % p->window;
    *folio = (uffd_folio){.size = folio->size, .kind = UFFD_FOLIO_LENT, .length = room,
                          .memory = s->bytes + offset % p->window,
                          .count = MIN(request->count, room / p->granule),
                          .residence = UFFD_RESIDENCE_RESIDENT, .cookie = (uint64_t)(s - p->slots)};
    s->used = true;
    s->lent++;
  } else {
    status = UFFD_STATUS_BUSY;
    s = want(p, window, now);
    if (p->waiting < WAITERS)
      p->waiters[p->waiting++] = (struct waiter){request->ticket, s ? window : UINT64_MAX};
  }
  /* Who comes from the window before will go on; who has used half of the way needs more. */
  if (!p->gone && window > 0 && find(p, window - 1) && offset % (p->window / 2) == 0)
    for (uint64_t w = window + 1; w <= MIN(window + AHEAD, p->windows - 1); w++)
      if (!bit(p->zero, w * p->window / p->granule)) want(p, w, now);
  pthread_mutex_unlock(&p->lock);
  if (*reason) refuse(p->host, status, "%s: %s", p->uri, reason);
  return status;
}

static void put_folio(uffd_instance *p, const uffd_folio *folio, uint64_t pgoff) {
  (void)pgoff;
  pthread_mutex_lock(&p->lock);
  if (--p->slots[folio->cookie].lent == 0) remove_waiters(p, NULL, UINT64_MAX, true);
  pthread_mutex_unlock(&p->lock);
}

/* A window that nobody waits for any more, and nobody reads yet, need not be read. */
static void cancel(uffd_instance *p, uint64_t ticket) {
  uint64_t window = UINT64_MAX, others = 0;
  pthread_mutex_lock(&p->lock);
  for (uint64_t i = 0; i < p->waiting; i++)
    if (p->waiters[i].ticket == ticket) window = p->waiters[i].window;
  remove_waiters(p, &ticket, 0, false);
  for (uint64_t i = 0; i < p->waiting; i++) others += p->waiters[i].window == window;
  struct slot *s = window == UINT64_MAX || others > 0 ? NULL : find(p, window);
  if (s && s->state == QUEUED) {
    s->state = FREE;
    p->index[window] = 0;
    p->queued--;
  }
  pthread_mutex_unlock(&p->lock);
}

static uffd_status extents(uffd_instance *p, uint64_t pgoff, uint64_t count, uffd_extent *out,
                           uint64_t capacity, uint64_t stride, uint64_t *filled) {
  if (pgoff >= p->granules || count > p->granules - pgoff) return UFFD_STATUS_OUT_OF_RANGE;
  uint64_t end = pgoff + count;
  for (*filled = 0; *filled < capacity && pgoff < end; ++*filled) {
    uffd_extent run = {.pgoff = pgoff, .count = 1, .is_zero = bit(p->zero, pgoff)};
    while (++pgoff < end && bit(p->zero, pgoff) == run.is_zero) run.count++;
    memcpy((char *)out + *filled * stride, &run, sizeof run);
  }
  return UFFD_STATUS_OK;
}

static uffd_status get_folio_noalloc(uffd_instance *p, uint64_t pgoff, uint64_t ticket) {
  (void)ticket;
  if (pgoff >= p->granules) return UFFD_STATUS_OUT_OF_RANGE;
  pthread_mutex_lock(&p->lock);
  bool is_there = bit(p->filemap, pgoff);
  pthread_mutex_unlock(&p->lock);
  return is_there ? UFFD_STATUS_OK : UFFD_STATUS_ABSENT;
}

static uffd_status account(uffd_instance *p, uint64_t pgoff, uint64_t count, bool is_there) {
  if (pgoff >= p->granules || count > p->granules - pgoff) return UFFD_STATUS_OUT_OF_RANGE;
  pthread_mutex_lock(&p->lock);
  set_bits(p->filemap, pgoff, count, is_there);
  pthread_mutex_unlock(&p->lock);
  return UFFD_STATUS_OK;
}
static uffd_status filemap_add(uffd_instance *p, uint64_t pgoff, uint64_t count) {
  return account(p, pgoff, count, true);
}
static void filemap_remove(uffd_instance *p, uint64_t pgoff, uint64_t count) {
  account(p, pgoff, count, false);
}

static const uffd_provider table = {
    .size = sizeof table, .abi = UFFD_ABI, .thread_model = UFFD_THREADS_PARALLEL,
    .operations = UFFD_OP_ALLOC | UFFD_OP_LEND | UFFD_OP_LOOKUP | UFFD_OP_FILEMAP |
                  UFFD_OP_DISCARD | UFFD_OP_EXTENTS | UFFD_OP_CANCEL | UFFD_OP_PREDICATE,
    .modes = UFFD_MODE_MISSING | UFFD_MODE_MINOR,
    .memory_kinds = UFFD_KINDS_ANON | UFFD_KINDS_SHMEM | UFFD_KINDS_HUGETLB,
    .granules = UFFD_GRANULE_4K | UFFD_GRANULE_2M,
    .name = "nbd", .version = "1.0", .summary = "an export of an NBD server, read when it is touched",
    .parameters = parameters, .parameter_count = KEYS, .parameter_stride = sizeof parameters[0],
    .configure = configure, .config_complete = config_complete, .can_userfault = can_userfault,
    .alloc_folio = alloc_folio, .put_folio = put_folio, .get_folio_noalloc = get_folio_noalloc,
    .filemap_add = filemap_add, .filemap_remove = filemap_remove, .discard = filemap_remove,
    .extents = extents, .cancel = cancel, .close = close_instance,
};

UFFD_REGISTER_PROVIDER(table)
