/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine as the client: its memory is served by the host, and the guest adds it up and says the sum on a
 * port. The faults are the kernel's then, taken in the middle of KVM_RUN.
 */
#define _GNU_SOURCE
#include "client.h"

#if defined(__x86_64__)
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"

#define CODE_AT 0x1000
#define MEMORY_AT 0x10000000ull
#define PORT 0x10

/* One word of 32 bits in as many bytes: where guests are interpreted, more would take too long. */
#define STRIDE 64

/* esi: where, ecx: how many words, eax: the sum, which is rotated before each word is added. */
static const unsigned char guest_code[] = {
    0xd1, 0xc0,         /* again: rol eax, 1 */
    0x03, 0x06,         /*        add eax, [esi] */
    0x83, 0xc6, STRIDE, /*      add esi, STRIDE */
    0x49,               /*        dec ecx */
    0x75, 0xf6,         /*        jnz again */
    0xe7, PORT,         /*        out PORT, eax */
    0xf4,               /*        hlt */
};

struct machine {
  int vm, cpu;
  struct kvm_run *run;
};

static int made(int descriptor, const char *call) {
  if (descriptor < 0) fail_errno(call);
  return descriptor;
}

static void give_memory(const struct machine *machine, uint32_t slot, uint64_t at, void *memory, uint64_t length) {
  struct kvm_userspace_memory_region region = {
      .slot = slot, .guest_phys_addr = at, .memory_size = length, .userspace_addr = (uint64_t)memory};
  made(ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static struct machine make_machine(void) {
  struct machine machine;
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) skip("/dev/kvm: %s", strerrorname_np(errno));
  machine.vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (machine.vm < 0) skip("KVM_CREATE_VM: %s", strerrorname_np(errno));
  int size = made(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  machine.cpu = made(ioctl(machine.vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  machine.run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, machine.cpu, 0);
  if (machine.run == MAP_FAILED) fail_errno("mmap");
  return machine;
}

/* 32-bit protected mode, flat, without paging: a guest address is a physical one. */
static void set_up(const struct machine *machine, uint64_t address, uint64_t bytes) {
  struct kvm_sregs special;
  made(ioctl(machine->cpu, KVM_GET_SREGS, &special), "KVM_GET_SREGS");
  struct kvm_segment flat = {.limit = 0xffffffff, .selector = 8, .present = 1, .type = 11, .db = 1, .s = 1, .g = 1};
  special.cs = flat;
  flat.type = 3;
  flat.selector = 16;
  special.ds = special.es = special.fs = special.gs = special.ss = flat;
  special.cr0 |= 1;
  made(ioctl(machine->cpu, KVM_SET_SREGS, &special), "KVM_SET_SREGS");
  struct kvm_regs registers = {.rip = CODE_AT, .rsi = address, .rcx = bytes / STRIDE, .rflags = 2};
  made(ioctl(machine->cpu, KVM_SET_REGS, &registers), "KVM_SET_REGS");
}

static uint32_t guest_sum(const struct machine *machine, uint64_t bytes) {
  set_up(machine, MEMORY_AT, bytes);
  for (;;) {
    if (ioctl(machine->cpu, KVM_RUN, 0)) {
      if (errno == EINTR) continue;
      fail_errno("KVM_RUN");
    }
    if (machine->run->exit_reason != KVM_EXIT_IO || machine->run->io.port != PORT)
      fail("the guest stopped for the reason %u", machine->run->exit_reason);
    uint32_t sum;
    memcpy(&sum, (char *)machine->run + machine->run->io.data_offset, sizeof sum);
    return sum;
  }
}

/* What the guest must say; every `discarded`th page is zero (0: none). */
static uint32_t wanted_sum(const struct client *client, uint64_t discarded) {
  uint32_t sum = 0;
  uint64_t page = client->page, offset = client->regions[0].offset;
  for (uint64_t at = 0; at < client->regions[0].length; at += STRIDE) {
    uint64_t word = pattern_at(options->seed, options->object, offset + at);
    if (discarded && at / page % discarded == 0) word = 0;
    sum = (sum << 1 | sum >> 31) + (uint32_t)word;
  }
  return sum;
}

void scenario_kvm(void) {
  struct machine machine = make_machine();
  struct client *client = client_open(UFFD_FEATURE_EVENT_REMOVE);
  const struct region *region = &client->regions[0];
  char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) fail_errno("mmap");
  memcpy(code, guest_code, sizeof guest_code);
  give_memory(&machine, 0, CODE_AT, code, 4096);
  give_memory(&machine, 1, MEMORY_AT, region->start, region->length);
  step("running the guest");
  uint32_t sum = guest_sum(&machine, region->length), wanted = wanted_sum(client, 0);
  if (sum != wanted) fail("WRONG BYTES: the guest says %#x, not %#x", sum, wanted);
  step("running the guest after its balloon");
  int advice = is_shared(client->memory) ? MADV_REMOVE : MADV_DONTNEED;
  for (uint64_t i = 0; i < PAGES(client, 0); i += 5) {
    if (madvise(region->start + i * client->page, client->page, advice)) fail_errno("madvise");
    COUNT(discards, 1);
  }
  sum = guest_sum(&machine, region->length), wanted = wanted_sum(client, 5);
  if (sum != wanted) fail("WRONG BYTES: after the balloon the guest says %#x, not %#x", sum, wanted);
  step("verifying beside the guest");
  for (uint64_t i = 0; i < PAGES(client, 0); i++) {
    char *at = region->start + i * client->page;
    if (i % 5) expect_pattern(at, client->page, region->offset + i * client->page);
    else expect_zero(at, client->page);
  }
  COUNT(pages, PAGES(client, 0));
  check_settled(client);
}
#else
void scenario_kvm(void) { skip("KVM guests are tried on x86-64"); }
#endif
