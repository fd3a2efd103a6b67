// A matrix [rows, columns] packed into panels, ready for products.
#pragma once

#include <cstdint>

#include "executor/memory.h"
#include "executor/thread_pool.h"
#include "formats/pack.h"

namespace candlewick {

class PackedMatrix {
  public:
    // `source` is the tensor's bytes in the file. Throws std::invalid_argument for a type or shape that can't be packed.
    PackedMatrix(TensorType type, const uint8_t* source, size_t source_bytes, int rows, int columns,
                 ThreadPool& threads);

    TensorType type() const { return type_; }
    int rows() const { return rows_; }
    int columns() const { return columns_; }
    int num_panels() const { return (rows_ + panel_rows - 1) / panel_rows; }
    size_t num_bytes() const { return size_t(num_panels()) * panel_bytes_; }
    size_t panel_bytes() const { return panel_bytes_; }
    const uint8_t* panels() const { return reinterpret_cast<const uint8_t*>(panels_.get()); }

    void unpack_row(int row, float* out) const;

  private:
    TensorType type_;
    int rows_;
    int columns_;
    size_t panel_bytes_;
    Memory panels_;
};

}    // namespace candlewick
