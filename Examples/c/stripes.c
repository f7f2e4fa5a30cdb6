/* SPDX-License-Identifier: Apache-2.0 */
/* Memory in stripes: page N holds runs of `stripe` bytes, in turn N % 251 and its complement. */
#include <stdlib.h>
#include <string.h>
#include <uffd_plugin.h>

/* What configure makes and every hook is given. The host never looks inside. */
struct uffd_instance {
  uint64_t size, stripe;
};

/* The host has checked the value against the kind SIZE: digits, then nothing, K, M, G or T. */
static uint64_t parse_size(const char *text) {
  static const char units[] = "KMGT";
  char *end;
  uint64_t value = strtoull(text, &end, 10);
  const char *unit = *end ? strchr(units, *end) : NULL;
  return *end == '\0' ? value : unit ? value << (10 * (unit - units + 1)) : 0;
}

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters,
                             uint64_t count, uffd_instance **out) {
  uffd_instance read = {.size = 1 << 20, .stripe = 64};
  for (uint64_t i = 0; i < count; i++) {
    int is_size = strcmp(parameters[i].key, "size") == 0; /* the host lets no other key through */
    *(is_size ? &read.size : &read.stripe) = parse_size(parameters[i].value);
  }
  if (read.size == 0 || read.stripe == 0) {
    static const char why[] = "size= and stripe= must be at least 1 byte";
    host->report_error(host->instance, why, sizeof why - 1);
    return UFFD_STATUS_OUT_OF_RANGE;
  }
  uffd_instance *self = malloc(sizeof *self);
  if (self == NULL) return UFFD_STATUS_NO_MEMORY;
  *self = read;
  *out = self;
  return UFFD_STATUS_OK;
}

/* What is not set here is zero, which means: no backing, no file, threads as in the table. */
static uffd_status config_complete(uffd_instance *self, uffd_traits *traits) {
  traits->object_size = self->size;
  traits->granule = UFFD_GRANULE_4K;
  traits->memory_kind = UFFD_MEMORY_ANON;
  return UFFD_STATUS_OK;
}

/* A client thread sleeps until this returns. The bytes beyond the object's end must be zero. */
static uffd_status alloc_folio(uffd_instance *self, const uffd_folio_request *request,
                               uffd_folio *folio) {
  unsigned char *out = request->staging;
  uint64_t start = request->pgoff * request->granule, length = request->count * request->granule;
  if (start >= self->size) return UFFD_STATUS_OUT_OF_RANGE;
  for (uint64_t i = 0; i < length; i++) {
    unsigned char byte = (request->pgoff + i / request->granule) % 251;
    int is_odd = i % request->granule / self->stripe % 2;
    out[i] = start + i >= self->size ? 0 : is_odd ? ~byte : byte;
  }
  folio->kind = UFFD_FOLIO_STAGED;
  folio->count = request->count;
  return UFFD_STATUS_OK;
}

static void close_instance(uffd_instance *self) { free(self); }

static const uffd_parameter_info parameters[] = {
    {.key = "size", .kind = UFFD_PARAMETER_SIZE, .help = "bytes", .default_value = "1M"},
    {.key = "stripe", .kind = UFFD_PARAMETER_SIZE, .help = "bytes in a run", .default_value = "64"},
};

/* PARALLEL is safe: after configure nothing ever writes to an instance. */
static const uffd_provider table = {
    .size = sizeof table, .abi = UFFD_ABI, .thread_model = UFFD_THREADS_PARALLEL,
    .operations = UFFD_OP_ALLOC, .modes = UFFD_MODE_MISSING, .memory_kinds = UFFD_KINDS_ANON,
    .granules = UFFD_GRANULE_4K, .name = "stripes", .version = "1.0",
    .summary = "stripes whose bytes tell the page they are on",
    .parameters = parameters, .parameter_count = 2, .parameter_stride = sizeof parameters[0],
    .configure = configure, .config_complete = config_complete,
    .alloc_folio = alloc_folio, .close = close_instance,
};
UFFD_REGISTER_PROVIDER(table)
