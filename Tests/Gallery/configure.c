/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that goes wrong: -DCONFIGURE='...' is the end of configure, -DCOMPLETE='...' the end of
   config_complete, which may also spoil *traits. */
#include "gallery.h"

#ifndef CONFIGURE
#define CONFIGURE return UFFD_STATUS_OK
#endif
#ifndef COMPLETE
#define COMPLETE return UFFD_STATUS_OK
#endif

__attribute__((unused)) static void say(const uffd_host *host, const char *text) {
  host->report_error(host->instance, text, strlen(text));
}

static uffd_status configure(const uffd_host *host, const uffd_parameter *parameters, uint64_t count,
                             uffd_instance **instance) {
  gallery_configure(host, parameters, count, instance);
  CONFIGURE;
}

static uffd_status complete(uffd_instance *instance, uffd_traits *traits) {
  gallery_complete(instance, traits);
  COMPLETE;
}

/* close must follow a config_complete that failed, and must not follow a configure that failed. */
static void closed(uffd_instance *instance) {
  gallery_say(instance, "closed");
  gallery_close(instance);
}

#ifndef TABLE
#define TABLE .close = closed
#endif
GALLERY_PROVIDER(.configure = configure, .config_complete = complete, .close = closed, TABLE)
