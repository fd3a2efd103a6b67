#include "executor/memory.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace candlewick {

namespace {
constexpr size_t alignment = 64;
constexpr size_t large_page = size_t(2) << 20;
}    // namespace

// The address that calloc gave stands in front of the aligned block.
Memory allocate(size_t bytes) {
    const size_t room = bytes >= large_page ? large_page : alignment;
    if (bytes > SIZE_MAX - 2 * room) throw std::bad_alloc();
    void* raw = std::calloc(bytes + room + sizeof(void*), 1);
    if (raw == nullptr) throw std::bad_alloc();
    const uintptr_t first = reinterpret_cast<uintptr_t>(raw) + sizeof(void*);
    auto* aligned = reinterpret_cast<std::byte*>((first + room - 1) / room * room);
    reinterpret_cast<void**>(aligned)[-1] = raw;
#if defined(__linux__)
    if (room == large_page) madvise(aligned, bytes / large_page * large_page, MADV_HUGEPAGE);
#endif
    return Memory(aligned);
}

void FreeMemory::operator()(void* p) const { std::free(static_cast<void**>(p)[-1]); }

}    // namespace candlewick
