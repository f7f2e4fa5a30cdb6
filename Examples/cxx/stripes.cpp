// SPDX-License-Identifier: Apache-2.0
// Memory in stripes, in C++: page N is runs of `stripe` bytes, in turn N % 251 and its complement.
//
// The instance is an ordinary class that throws and owns what it holds. Between it and the host
// stand thunks that are noexcept: an exception that gets that far is turned into a status, because
// none may leave a hook.
#include <uffd_plugin.h>

#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

// Why a configuration is refused: what() goes to the user's terminal.
struct Refusal : std::runtime_error {
  Refusal(uffd_status status, const std::string& text) : std::runtime_error(text), status(status) {}
  uffd_status status;
};

struct BadValue : Refusal {
  explicit BadValue(const std::string& text) : Refusal(UFFD_STATUS_OUT_OF_RANGE, text) {}
};

class Stripes {
 public:
  Stripes(const uffd_parameter* parameters, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; i++) {
      const std::string_view key = parameters[i].key;
      // The host refuses undeclared keys; whoever else calls us deserves an answer too.
      if (key == "size") size_ = parse_size(parameters[i]);
      else if (key == "stripe") stripe_ = parse_size(parameters[i]);
      else throw Refusal(UFFD_STATUS_ABSENT, "there is no parameter " + std::string(key));
    }
    if (size_ > UINT64_C(1) << 62) throw BadValue("size= must be at most 4E, at least 1 byte");
    line_ = std::make_unique<unsigned char[]>(UFFD_GRANULE_4K);
    for (std::uint64_t i = 0; i < UFFD_GRANULE_4K; i++) line_[i] = i / stripe_ % 2 ? 0xff : 0x00;
  }

  std::uint64_t size() const noexcept { return size_; }

  bool holds(std::uint64_t page, std::uint64_t count) const noexcept {
    const std::uint64_t pages = (size_ - 1) / UFFD_GRANULE_4K + 1;
    return page < pages && count <= pages - page;
  }

  // Safe on any number of threads: nothing changes after the constructor.
  void fill(unsigned char* out, std::uint64_t page) const noexcept {
    const auto byte = static_cast<unsigned char>(page % 251);
    const std::uint64_t start = page * UFFD_GRANULE_4K;
    for (std::uint64_t i = 0; i < UFFD_GRANULE_4K; i++)
      out[i] = start + i < size_ ? byte ^ line_[i] : 0;
  }

 private:
  static std::uint64_t parse_size(const uffd_parameter& parameter) {
    std::size_t used = 0;
    const std::string text = parameter.value;
    std::uint64_t value = std::stoull(text, &used);
    if (used < text.size()) {
      const auto unit = std::string_view("KMGT").find(text[used]);
      if (unit == std::string_view::npos || used + 1 != text.size())
        throw BadValue(std::string(parameter.key) + "=" + text + " is not a size");
      value <<= 10 * (unit + 1);
    }
    if (value == 0) throw BadValue(std::string(parameter.key) + "= must be at least 1 byte");
    return value;
  }

  std::uint64_t size_ = 1 << 20;
  std::uint64_t stripe_ = 64;
  std::unique_ptr<unsigned char[]> line_;
};

Stripes* unwrap(uffd_instance* instance) { return reinterpret_cast<Stripes*>(instance); }

uffd_status configure(const uffd_host* host, const uffd_parameter* parameters,
                      std::uint64_t count, uffd_instance** out) noexcept {
  const auto report = [host](std::string_view text) {
    host->report_error(host->instance, text.data(), text.size());
  };
  try {
    auto made = std::make_unique<Stripes>(parameters, count);
    *out = reinterpret_cast<uffd_instance*>(made.release());
    return UFFD_STATUS_OK;
  } catch (const std::bad_alloc&) {
    return UFFD_STATUS_NO_MEMORY;
  } catch (const Refusal& refusal) {
    report(refusal.what());
    return refusal.status;
  } catch (const std::exception& error) {
    report(error.what());
    return UFFD_STATUS_OUT_OF_RANGE;
  } catch (...) {
    return UFFD_STATUS_GONE;
  }
}

uffd_status config_complete(uffd_instance* instance, uffd_traits* traits) noexcept {
  traits->object_size = unwrap(instance)->size();
  traits->granule = UFFD_GRANULE_4K;
  traits->memory_kind = UFFD_MEMORY_ANON;
  return UFFD_STATUS_OK;
}

uffd_status alloc_folio(uffd_instance* instance, const uffd_folio_request* request,
                        uffd_folio* folio) noexcept {
  if (request->pgoff > (unwrap(instance)->size() - 1) / UFFD_GRANULE_4K) return UFFD_STATUS_OUT_OF_RANGE;
  auto* out = static_cast<unsigned char*>(request->staging);
  if (!unwrap(instance)->holds(request->pgoff, request->count)) return UFFD_STATUS_OUT_OF_RANGE;
  for (std::uint64_t i = 0; i < request->count; i++)
    unwrap(instance)->fill(out + i * UFFD_GRANULE_4K, request->pgoff + i);
  folio->kind = UFFD_FOLIO_STAGED;
  folio->count = request->count;
  return UFFD_STATUS_OK;
}

void close_instance(uffd_instance* instance) noexcept {
  std::unique_ptr<Stripes> ends(unwrap(instance));
}

constexpr uffd_parameter_info parameters[] = {
    {"size", "bytes", "1M", UFFD_PARAMETER_SIZE, 0, {}},
    {"stripe", "bytes in a run", "64", UFFD_PARAMETER_SIZE, 0, {}},
};

// Built once, before dlopen returns. Assignments by name, so that the order of the fields is nobody's
// business and C++17 will do.
const uffd_provider table = [] {
  uffd_provider provider{};
  provider.size = sizeof provider;
  provider.abi = UFFD_ABI;
  provider.thread_model = UFFD_THREADS_PARALLEL;
  provider.operations = UFFD_OP_ALLOC;
  provider.modes = UFFD_MODE_MISSING;
  provider.memory_kinds = UFFD_KINDS_ANON;
  provider.granules = UFFD_GRANULE_4K;
  provider.name = "stripes-cxx";
  provider.version = "1.0";
  provider.summary = "stripes whose bytes tell the page they are on";
  provider.parameters = parameters;
  provider.parameter_count = std::size(parameters);
  provider.parameter_stride = sizeof parameters[0];
  provider.configure = configure;
  provider.config_complete = config_complete;
  provider.alloc_folio = alloc_folio;
  provider.close = close_instance;
  return provider;
}();

}  // namespace

UFFD_REGISTER_PROVIDER(table)
