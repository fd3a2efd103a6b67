#include "executor/packed_matrix.h"

#include <atomic>
#include <stdexcept>
#include <string>

namespace candlewick {

PackedMatrix::PackedMatrix(TensorType type, const uint8_t* source, size_t source_bytes, int rows, int columns,
                           ThreadPool& threads)
    : type_(type), rows_(rows), columns_(columns) {
    const auto number = [](auto n) { return std::to_string(n); };
    if (!is_supported(type)) throw std::invalid_argument("tensor type " + number(int(type)) + " has no kernels");
    if (rows < 1 || columns < 1)
        throw std::invalid_argument("a matrix of shape [" + number(rows) + ", " + number(columns) + "] is empty");
    if (columns % block_elements(type) != 0)
        throw std::invalid_argument("rows of " + number(columns) + " elements are not a whole number of blocks of " +
                                    number(block_elements(type)));
    const size_t row_bytes = gguf_row_bytes(type, columns);
    if (source_bytes != row_bytes * size_t(rows))
        throw std::invalid_argument("expected " + number(row_bytes * size_t(rows)) + " bytes, got " +
                                    number(source_bytes));
    panel_bytes_ = candlewick::panel_bytes(type, columns);
    panels_ = allocate(num_bytes());

    std::atomic<int> next{0};
    auto pack_some = [&](int) {
        for (int panel = next.fetch_add(1); panel < num_panels(); panel = next.fetch_add(1)) {
            const int first = panel * panel_rows;
            const int count = rows_ - first < panel_rows ? rows_ - first : panel_rows;
            pack_panel(type_, source + size_t(first) * row_bytes, count, columns_,
                       reinterpret_cast<uint8_t*>(panels_.get()) + size_t(panel) * panel_bytes_);
        }
    };
    threads.run(pack_some);
}

void PackedMatrix::unpack_row(int row, float* out) const {
    const uint8_t* panel = panels() + size_t(row / panel_rows) * panel_bytes_;
    candlewick::unpack_row(type_, panel, row % panel_rows, columns_, out);
}

}    // namespace candlewick
