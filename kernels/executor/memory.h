// Large, aligned, zeroed memory; where the system offers large pages, they are asked for.
#pragma once

#include <cstddef>
#include <memory>

namespace candlewick {

struct FreeMemory {
    void operator()(void* p) const;
};
using Memory = std::unique_ptr<std::byte[], FreeMemory>;

// Zeroed bytes, aligned to at least 64. Pages that are never touched cost nothing. Throws std::bad_alloc.
Memory allocate(size_t bytes);

}    // namespace candlewick
