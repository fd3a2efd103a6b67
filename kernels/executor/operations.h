// The operations of a program: each shares its rows, panels or heads among the workers and calls the kernels.
#pragma once

#include <algorithm>
#include <cstring>

#include "executor/program.h"
#include "ops/rope.h"

namespace candlewick {

constexpr int columns_per_item = 2048;    // elementwise work is shared in pieces of about a microsecond

inline int pieces(int count, int size) { return (count + size - 1) / size; }

struct Embed final : Operation {
    int out;
    std::shared_ptr<const PackedMatrix> matrix;

    Embed(int out, std::shared_ptr<const PackedMatrix> matrix) : out(out), matrix(std::move(matrix)) {}
    void run(const Worker& w) const override {
        w.share(w.step.num_tokens, [&](int row) {
            matrix->unpack_row(w.step.token_ids[row], w.program.floats(out) + size_t(row) * size_t(matrix->columns()));
        });
    }
};

struct RmsNorm final : Operation {
    int x, out, columns;
    Rows rows;
    std::vector<float> weight;
    float epsilon;

    RmsNorm(int x, int out, Rows rows, std::vector<float> weight, int columns, float epsilon)
        : x(x), out(out), columns(columns), rows(rows), weight(std::move(weight)), epsilon(epsilon) {}
    void run(const Worker& w) const override {
        w.share(w.step.rows(rows), [&](int row) {
            const size_t at = size_t(row) * size_t(columns);
            w.program.kernels().rms_norm(w.program.floats(x) + at, weight.data(), w.program.floats(out) + at, columns,
                                         int(weight.size()), epsilon);
        });
    }
};

struct Quantize final : Operation {
    int x, out, columns;
    Rows rows;
    ActivationKind kind;

    Quantize(int x, int out, Rows rows, int columns, ActivationKind kind)
        : x(x), out(out), columns(columns), rows(rows), kind(kind) {}
    void run(const Worker& w) const override {
        const int num_rows = w.step.rows(rows);
        const int per_row = pieces(columns, columns_per_item);
        const size_t stride = size_t(num_rows) * activation_record_bytes;
        w.share(num_rows * per_row, [&](int item) {
            const int row = item / per_row;
            const int first = item % per_row * columns_per_item;
            const float* source = w.program.floats(x) + size_t(row) * size_t(columns) + first;
            uint8_t* target = w.program.bytes(out) + size_t(first / super_block) * stride +
                              size_t(row) * activation_record_bytes;
            w.program.kernels().quantize(source, std::min(columns_per_item, columns - first), kind, target, stride);
        });
    }
};

// Cuts a matrix into pieces that get shorter: long ones first, since the memory's prefetchers lose their way at every jump,
// short ones last, so that all workers end together (guided self-scheduling, Polychronopoulos and Kuck 1987).
struct ShorteningPieces {
    static constexpr size_t shortest_bytes = size_t(64) << 10;    // some microseconds of reading

    struct Piece {
        int first, count;    // panels
    };
    std::vector<int> ends;

    ShorteningPieces(int panels, size_t panel_bytes, int workers) {
        const int shortest = int(std::max(size_t(1), shortest_bytes / panel_bytes));
        for (int end = 0; end < panels;) {
            end += std::min(panels - end, std::max(shortest, (panels - end) / (2 * workers)));
            ends.push_back(end);
        }
    }
    int count() const { return int(ends.size()); }
    Piece piece(int item) const {
        const int first = item == 0 ? 0 : ends[size_t(item) - 1];
        return {first, ends[size_t(item)] - first};
    }
};

struct Linear final : Operation {
    static constexpr int max_group = 512;
    static constexpr int whole_tiles = most_tile_tokens;    // longer groups of tokens end on a multiple

    int in, out;
    Rows rows;
    std::shared_ptr<const PackedMatrix> matrix;
    std::vector<float> bias;
    int group_tokens;    // that meet the weights together
    int max_rows;
    ShorteningPieces pieces_of_one_pass;    // where the weights are read once

    // Activations of at most `group_bytes` meet the weights together; those of a float matrix, which every panel walks
    // through whole, no more than stay in a cache.
    Linear(int in, int out, Rows rows, std::shared_ptr<const PackedMatrix> matrix, std::vector<float> bias,
           size_t group_bytes, int max_rows, int workers)
        : in(in), out(out), rows(rows), matrix(std::move(matrix)), bias(std::move(bias)), max_rows(max_rows),
          pieces_of_one_pass(this->matrix->num_panels(), this->matrix->panel_bytes(), workers) {
        const size_t columns = size_t(this->matrix->columns());
        const bool is_float = activation_kind(this->matrix->type()) == ActivationKind::floats;
        const size_t token_bytes =
            is_float ? columns * sizeof(float) : (columns + super_block - 1) / super_block * activation_record_bytes;
        const size_t most = (is_float ? cached_group_bytes : group_bytes) / token_bytes;
        group_tokens = int(std::min(std::max(most, size_t(12)), size_t(max_group)));
        if (group_tokens > whole_tiles) group_tokens -= group_tokens % whole_tiles;
    }

    size_t scratch_floats() const override { return linear_scratch_floats(std::min(group_tokens, max_rows)); }

    void run(const Worker& w) const override {
        const int tokens = w.step.rows(rows);
        if (tokens == 0) return;
        const int groups = pieces(tokens, group_tokens);
        const int panels = matrix->num_panels();
        const bool one_pass = tokens <= most_tile_tokens;
        // Enough blocks that a slow core can't hold up the others for long.
        const int block = std::clamp(panels / (8 * w.program.threads().num_threads()), 1, panels_per_block);
        const int chunks = one_pass ? pieces_of_one_pass.count() : pieces(panels, block);
        LinearTask task{};
        task.type = matrix->type();
        task.panels = matrix->panels();
        task.panel_bytes = matrix->panel_bytes();
        task.rows = matrix->rows();
        task.columns = matrix->columns();
        task.input = w.program.bytes(in);
        task.input_tokens = tokens;
        task.bias = bias.empty() ? nullptr : bias.data();
        task.out = w.program.floats(out);
        task.out_stride = size_t(matrix->rows());
        task.scratch = w.scratch;
        const int unit = group_tokens % whole_tiles == 0 ? whole_tiles : 1;
        const auto begin_of = [&](int group) {
            return std::min(tokens, int(int64_t(pieces(tokens, unit)) * group / groups) * unit);
        };
        const auto block_piece = [&](int chunk) {
            return ShorteningPieces::Piece{chunk * block, std::min(block, panels - chunk * block)};
        };
        w.share(groups * chunks, [&](int item) {
            const int group = item / chunks;
            task.first_token = begin_of(group);
            task.num_tokens = begin_of(group + 1) - task.first_token;
            const auto piece = one_pass ? pieces_of_one_pass.piece(item) : block_piece(item % chunks);
            task.first_panel = piece.first;
            task.num_panels = piece.count;
            w.program.kernels().linear(task);
        });
    }
};

// Angles lie as [tokens][2][frequencies]: cosines, then sines.
struct RopeAngles final : Operation {
    int out;
    std::vector<double> inverse_frequencies;
    double scale;

    RopeAngles(int out, std::vector<double> inverse_frequencies, double scale)
        : out(out), inverse_frequencies(std::move(inverse_frequencies)), scale(scale) {}
    void run(const Worker& w) const override {
        const int count = int(inverse_frequencies.size());
        w.share(w.step.num_tokens, [&](int row) {
            float* cosine = w.program.floats(out) + size_t(row) * 2 * size_t(count);
            rope_angles(w.step.positions[row], inverse_frequencies.data(), count, scale, cosine, cosine + count);
        });
    }
};

struct Rope final : Operation {
    int x, out, angles, num_angles, num_heads, head_dim;
    bool interleaved;

    Rope(int x, int out, int angles, int num_angles, int num_heads, int head_dim, bool interleaved)
        : x(x), out(out), angles(angles), num_angles(num_angles), num_heads(num_heads), head_dim(head_dim),
          interleaved(interleaved) {}
    void run(const Worker& w) const override {
        const size_t columns = size_t(num_heads) * size_t(head_dim);
        w.share(w.step.num_tokens, [&](int row) {
            float* target = w.program.floats(out) + size_t(row) * columns;
            if (out != x)
                std::memcpy(target, w.program.floats(x) + size_t(row) * columns, columns * sizeof(float));
            const float* cosine = w.program.floats(angles) + size_t(row) * 2 * size_t(num_angles);
            w.program.kernels().rope(target, cosine, cosine + num_angles, num_heads, head_dim, num_angles, interleaved);
        });
    }
};

// Cuts the new tokens of every sequence into pieces of at most `size` that end on multiples of it in position.
class SequencePieces {
  public:
    SequencePieces(const Step& step, int size) : step_(step), size_(size) {
        for (int s = 0; s < step.num_sequences; ++s) total_ += count(s);
    }
    int total() const { return total_; }

    int sequence = 0;
    int first_row = 0;
    int num_tokens = 0;

    // Fills the fields above; items must come in ascending order.
    void find(int item) {
        while (item - before_ >= count(sequence)) before_ += count(sequence++);
        const int begin = step_.query_starts[sequence];
        const int position = step_.positions[begin];
        const int index = item - before_;
        const int start = index == 0 ? position : (position / size_ + index) * size_;
        const int end = std::min((position / size_ + index + 1) * size_, position + length(sequence));
        first_row = begin + start - position;
        num_tokens = end - start;
    }

  private:
    int length(int s) const { return step_.query_starts[s + 1] - step_.query_starts[s]; }
    int count(int s) const {
        const int position = step_.positions[step_.query_starts[s]];
        return (position + length(s) - 1) / size_ - position / size_ + 1;
    }

    const Step& step_;
    int size_;
    int total_ = 0;
    int before_ = 0;    // pieces of earlier sequences
};

struct WriteCache final : Operation {
    static constexpr int tokens_per_item = 2 * block_size;    // whole blocks: no two workers write one cache line

    int k, v, layer;

    WriteCache(int k, int v, int layer) : k(k), v(v), layer(layer) {}
    void run(const Worker& w) const override {
        const KvCache& cache = w.program.cache();
        const size_t columns = size_t(cache.num_kv_heads()) * size_t(cache.head_dim());
        SequencePieces pieces(w.step, tokens_per_item);
        w.share(pieces.total(), [&](int item) {
            pieces.find(item);
            KvWriteTask task{};
            task.cache = cache.view(layer);
            task.keys = w.program.floats(k) + size_t(pieces.first_row) * columns;
            task.values = w.program.floats(v) + size_t(pieces.first_row) * columns;
            task.key_stride = columns;
            task.value_stride = columns;
            task.block_table = w.step.block_table(pieces.sequence);
            task.first_position = w.step.positions[pieces.first_row];
            task.num_tokens = pieces.num_tokens;
            w.program.kernels().attention[int(cache.type())].write(task);
        });
    }
};

struct Attend final : Operation {
    static constexpr int tokens_per_item = 16;    // long prompts are shared in pieces of this many

    int q, out, layer, num_heads;
    float scale;
    int window;
    size_t scratch;

    Attend(int q, int out, int layer, int num_heads, float scale, int window, size_t scratch)
        : q(q), out(out), layer(layer), num_heads(num_heads), scale(scale), window(window), scratch(scratch) {}
    size_t scratch_floats() const override { return scratch; }

    void run(const Worker& w) const override {
        const KvCache& cache = w.program.cache();
        const int kv_heads = cache.num_kv_heads();
        const int group = num_heads / kv_heads;
        const size_t columns = size_t(num_heads) * size_t(cache.head_dim());
        SequencePieces pieces(w.step, tokens_per_item);
        w.share(pieces.total() * kv_heads, [&](int item) {
            pieces.find(item / kv_heads);
            const int kv_head = item % kv_heads;
            const size_t at =
                size_t(pieces.first_row) * columns + size_t(kv_head) * size_t(group) * size_t(cache.head_dim());
            AttentionTask task{};
            task.cache = cache.view(layer);
            task.queries = w.program.floats(q) + at;
            task.out = w.program.floats(out) + at;
            task.query_stride = columns;
            task.out_stride = columns;
            task.block_table = w.step.block_table(pieces.sequence);
            task.kv_head = kv_head;
            task.group = group;
            task.first_position = w.step.positions[pieces.first_row];
            task.num_tokens = pieces.num_tokens;
            task.scale = scale;
            task.window = window;
            task.scratch = w.scratch;
            w.program.kernels().attention[int(cache.type())].attend(task);
        });
    }
};

// out = function(x, y) element by element.
struct Elementwise final : Operation {
    using Function = void (*)(const float*, const float*, float*, int);
    int x, y, out, columns;
    Rows rows;
    Function function;

    Elementwise(int x, int y, int out, Rows rows, int columns, Function function)
        : x(x), y(y), out(out), columns(columns), rows(rows), function(function) {}
    void run(const Worker& w) const override {
        const int64_t count = int64_t(w.step.rows(rows)) * columns;
        w.share(int((count + columns_per_item - 1) / columns_per_item), [&](int item) {
            const int64_t first = int64_t(item) * columns_per_item;
            function(w.program.floats(x) + first, w.program.floats(y) + first, w.program.floats(out) + first,
                     int(std::min<int64_t>(columns_per_item, count - first)));
        });
    }
};

struct SelectRows final : Operation {
    int x, out, columns;

    SelectRows(int x, int out, int columns) : x(x), out(out), columns(columns) {}
    void run(const Worker& w) const override {
        w.share(w.step.num_output_rows, [&](int row) {
            std::memcpy(w.program.floats(out) + size_t(row) * size_t(columns),
                        w.program.floats(x) + size_t(w.step.output_rows[row]) * size_t(columns),
                        size_t(columns) * sizeof(float));
        });
    }
};

}    // namespace candlewick
