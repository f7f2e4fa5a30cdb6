/* SPDX-License-Identifier: Apache-2.0 */
/* The one file that defines the functions of uffd_client.h, and compares the layout of what goes over the socket
 * with docs/protocol.md and the kernel's structs with the installed header. */
#define UFFD_CLIENT_IMPLEMENTATION
#include "uffd_client.h"

#include <linux/userfaultfd.h>

#define AT(type, field, offset) \
  _Static_assert(offsetof(struct type, field) == (offset), #type "." #field " is not at " #offset)
#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type " has not " #size " bytes")

SIZE(uffd_wire_header, 16);
AT(uffd_wire_header, length, 0);
AT(uffd_wire_header, kind, 4);
AT(uffd_wire_header, descriptors, 6);
AT(uffd_wire_header, id, 8);

SIZE(uffd_wire_hello, 24);
AT(uffd_wire_hello, size, 0);
AT(uffd_wire_hello, version_min, 4);
AT(uffd_wire_hello, version_max, 6);
AT(uffd_wire_hello, capabilities, 8);
AT(uffd_wire_hello, max_frame, 16);
AT(uffd_wire_hello, max_descriptors, 20);

SIZE(uffd_wire_regions, 24);
AT(uffd_wire_regions, size, 0);
AT(uffd_wire_regions, flags, 4);
AT(uffd_wire_regions, count, 8);
AT(uffd_wire_regions, stride, 12);
AT(uffd_wire_regions, backings, 16);
AT(uffd_wire_regions, reserved, 20);

SIZE(uffd_client_region, 48);
AT(uffd_client_region, start, 0);
AT(uffd_client_region, length, 8);
AT(uffd_client_region, offset, 16);
AT(uffd_client_region, page_size, 24);
AT(uffd_client_region, flags, 32);
AT(uffd_client_region, modes, 36);
AT(uffd_client_region, backing, 40);
AT(uffd_client_region, reserved, 44);

SIZE(uffd_wire_range, 24);
AT(uffd_wire_range, size, 0);
AT(uffd_wire_range, flags, 4);
AT(uffd_wire_range, start, 8);
AT(uffd_wire_range, length, 16);

SIZE(uffd_wire_plain, 8);
AT(uffd_wire_plain, size, 0);
AT(uffd_wire_plain, flags, 4);

SIZE(uffd_wire_done, 16);
AT(uffd_wire_done, size, 0);
AT(uffd_wire_done, session, 8);

SIZE(uffd_wire_text, 16);
AT(uffd_wire_text, size, 0);
AT(uffd_wire_text, code, 4);
AT(uffd_wire_text, length, 8);
AT(uffd_wire_text, reserved, 12);

SIZE(uffd_client_progress, 128);
AT(uffd_client_progress, size, 0);
AT(uffd_client_progress, phase, 4);
AT(uffd_client_progress, bytes, 8);
AT(uffd_client_progress, missing, 16);
AT(uffd_client_progress, resident, 24);
AT(uffd_client_progress, poisoned, 32);
AT(uffd_client_progress, discarded, 40);
AT(uffd_client_progress, regions, 48);
AT(uffd_client_progress, faults_missing, 56);
AT(uffd_client_progress, faults_minor, 64);
AT(uffd_client_progress, faults_wp, 72);
AT(uffd_client_progress, copied, 80);
AT(uffd_client_progress, zeroed, 88);
AT(uffd_client_progress, continued, 96);
AT(uffd_client_progress, poisoned_by_server, 104);
AT(uffd_client_progress, parked, 112);
AT(uffd_client_progress, given_up, 120);

/* The kernel's. */
_Static_assert(UFFD_CLIENT__IOC_NEW == 0xAA00, "USERFAULTFD_IOC_NEW");
_Static_assert(UFFD_CLIENT__IOC_API == UFFDIO_API, "UFFDIO_API");
_Static_assert(UFFD_CLIENT__IOC_REGISTER == UFFDIO_REGISTER, "UFFDIO_REGISTER");
_Static_assert(UFFD_CLIENT__IOC_UNREGISTER == UFFDIO_UNREGISTER, "UFFDIO_UNREGISTER");
_Static_assert(sizeof(struct uffd_client__api) == sizeof(struct uffdio_api), "uffdio_api");
_Static_assert(sizeof(struct uffd_client__register) == sizeof(struct uffdio_register), "uffdio_register");
_Static_assert(UFFD_CLIENT__CAN_COPY == 1ull << _UFFDIO_COPY, "_UFFDIO_COPY");
_Static_assert(UFFD_CLIENT__CAN_CONTINUE == 1ull << _UFFDIO_CONTINUE, "_UFFDIO_CONTINUE");
_Static_assert((int)UFFD_CLIENT_MISSING == (int)UFFDIO_REGISTER_MODE_MISSING, "MISSING");
_Static_assert((int)UFFD_CLIENT_MINOR == (int)UFFDIO_REGISTER_MODE_MINOR, "MINOR");
_Static_assert((uint64_t)UFFD_CLIENT_EVENT_FORK == UFFD_FEATURE_EVENT_FORK, "EVENT_FORK");
_Static_assert((uint64_t)UFFD_CLIENT_EVENT_REMAP == UFFD_FEATURE_EVENT_REMAP, "EVENT_REMAP");
_Static_assert((uint64_t)UFFD_CLIENT_EVENT_REMOVE == UFFD_FEATURE_EVENT_REMOVE, "EVENT_REMOVE");
_Static_assert((uint64_t)UFFD_CLIENT_EVENT_UNMAP == UFFD_FEATURE_EVENT_UNMAP, "EVENT_UNMAP");
