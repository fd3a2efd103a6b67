// GGUF rows -> panels (panel_layout.h), and back to floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/panel_layout.h"

namespace candlewick {

bool is_supported(TensorType type);

// Elements a row must be a multiple of.
int block_elements(TensorType type);

// Bytes of one row of the type in a file.
size_t gguf_row_bytes(TensorType type, int columns);

// Bytes of one panel of 16 rows, a multiple of 64.
size_t panel_bytes(TensorType type, int columns);

// Pack `num_rows` (1 to 16) consecutive rows into one panel; missing rows are zero.
void pack_panel(TensorType type, const uint8_t* rows, int num_rows, int columns, uint8_t* panel);

// Row `row` (0 to 15) of a panel as floats, in GGML's own order of operations: the same bits as its dequantisation.
void unpack_row(TensorType type, const uint8_t* panel, int row, int columns, float* out);

}    // namespace candlewick
