// Products with packed matrices of every type: bit for bit between instruction sets and between any grouping of the
// tokens, and against the unpacked weights in double precision.
#include <algorithm>

#include "executor/packed_matrix.h"
#include "tests/check.h"

namespace candlewick::tests {

static const TensorType types[] = {
    TensorType::f32,  TensorType::f16,  TensorType::bf16, TensorType::q4_0, TensorType::q4_1,   TensorType::q5_0,
    TensorType::q5_1, TensorType::q8_0, TensorType::q2_k, TensorType::q3_k, TensorType::q4_k,   TensorType::q5_k,
    TensorType::q6_k, TensorType::iq4_nl, TensorType::iq4_xs, TensorType::mxfp4};

// The inputs of some tokens as one instruction set prepares them.
struct Input {
    ActivationKind kind;
    int tokens;
    int columns;
    std::vector<uint8_t> bytes;

    Input(const Kernels& kernels, TensorType type, const std::vector<float>& x, int tokens, int columns)
        : kind(activation_kind(type)), tokens(tokens), columns(columns) {
        if (kind == ActivationKind::floats) {
            bytes.resize(x.size() * sizeof(float));
            std::memcpy(bytes.data(), x.data(), bytes.size());
            return;
        }
        const size_t stride = size_t(tokens) * activation_record_bytes;
        // Behind the last there is room for the tile that it stands in, as Program::add_activations leaves it.
        bytes.resize(size_t((columns + super_block - 1) / super_block) * stride +
                     most_tile_tokens * activation_record_bytes);
        for (int t = 0; t < tokens; ++t)
            kernels.quantize(x.data() + size_t(t) * size_t(columns), columns, kind,
                             bytes.data() + size_t(t) * activation_record_bytes, stride);
    }

    // What the product sees at column k.
    double value(int token, int k) const {
        if (kind == ActivationKind::floats) {
            float out;
            std::memcpy(&out, bytes.data() + (size_t(token) * size_t(columns) + size_t(k)) * sizeof(float), sizeof out);
            return double(out);
        }
        const uint8_t* record =
            bytes.data() + (size_t(k / super_block) * size_t(tokens) + size_t(token)) * activation_record_bytes;
        if (kind == ActivationKind::super) {
            const auto* super = reinterpret_cast<const SuperActivation*>(record);
            return double(super->q[k % super_block]) * double(super->scale);
        }
        const auto* block = reinterpret_cast<const BlockActivation*>(record);
        return double(block->q[k % super_block]) * double(block->scale[k % super_block / 32]);
    }
};

static std::vector<float> multiply(const Kernels& kernels, const PackedMatrix& matrix, const Input& input,
                                   int first_token, int num_tokens, const float* bias) {
    std::vector<float> out(size_t(input.tokens) * size_t(matrix.rows()), -1.0f);
    std::vector<float> scratch(linear_scratch_floats(num_tokens));
    LinearTask task{};
    task.type = matrix.type();
    task.panels = matrix.panels();
    task.panel_bytes = matrix.panel_bytes();
    task.rows = matrix.rows();
    task.columns = matrix.columns();
    task.num_panels = matrix.num_panels();
    task.input = input.bytes.data();
    task.input_tokens = input.tokens;
    task.first_token = first_token;
    task.num_tokens = num_tokens;
    task.bias = bias;
    task.out = out.data();
    task.out_stride = size_t(matrix.rows());
    task.scratch = scratch.data();
    kernels.linear(task);
    return out;
}

// Random bytes, but for scales that are NaN or infinite: as fp16 at any even place they are made finite.
static std::vector<uint8_t> random_blocks(Random& random, size_t bytes) {
    std::vector<uint8_t> out(bytes);
    for (uint8_t& byte : out) byte = uint8_t(random.integer(0, 255));
    for (size_t i = 1; i < bytes; i += 2)
        if ((out[i] & 0x7c) == 0x7c) out[i] &= 0xbb;
    return out;
}

static void test_products(TensorType type, int rows, int columns, int tokens) {
    Random random(uint32_t(type) * 1000u + uint32_t(tokens));
    ThreadPool threads(2);
    const auto source = random_blocks(random, gguf_row_bytes(type, columns) * size_t(rows));
    const PackedMatrix matrix(type, source.data(), source.size(), rows, columns, threads);
    const auto x = random.normals(size_t(tokens) * size_t(columns));
    const auto bias = random.normals(size_t(rows));
    const std::string where = "product of type " + std::to_string(int(type)) + " with " + std::to_string(tokens) +
                              " tokens, " + std::to_string(rows) + " x " + std::to_string(columns) + ", ";

    const Input expected_input(specification(), type, x, tokens, columns);
    const auto expected = multiply(specification(), matrix, expected_input, 0, tokens, bias.data());
    for (const Kernels* kernels : all_kernels()) {
        const Input input(*kernels, type, x, tokens, columns);
        check(input.bytes == expected_input.bytes, where + kernels->name + ": the quantised input");
        check(same_bits(multiply(*kernels, matrix, input, 0, tokens, bias.data()), expected), where + kernels->name);
        const int part = tokens / 2;    // some of the tokens by themselves
        auto alone = multiply(*kernels, matrix, input, part, tokens - part, bias.data());
        std::copy(expected.begin(), expected.begin() + ptrdiff_t(part) * rows, alone.begin());
        check(same_bits(alone, expected), where + kernels->name + ": a part of the tokens");
    }

    double worst = 0.0;
    std::vector<float> weights(static_cast<size_t>(columns));
    for (int row = 0; row < rows; ++row) {
        matrix.unpack_row(row, weights.data());
        for (int t = 0; t < tokens; ++t) {
            double sum = double(bias[size_t(row)]), magnitude = std::fabs(sum);
            for (int k = 0; k < columns; ++k) {
                const double term = double(weights[size_t(k)]) * expected_input.value(t, k);
                sum += term;
                magnitude += std::fabs(term);
            }
            const double found = double(expected[size_t(t) * size_t(rows) + size_t(row)]);
            if (magnitude < 1e37) worst = std::max(worst, std::fabs(found - sum) / magnitude);
        }
    }
    check(worst < 1e-5, where + "off by " + std::to_string(worst));
}

void test_linear() {
    for (TensorType type : types) {
        for (int tokens : {1, 2, 3, 5, 6, 7, 12, 17}) test_products(type, 37, 512, tokens);
        for (int tokens : {32, 33, 50, 64}) test_products(type, 16, 768, tokens);
        test_products(type, 1, 256, 4);
    }
    for (TensorType type : {TensorType::q4_0, TensorType::q8_0, TensorType::iq4_nl, TensorType::mxfp4})
        test_products(type, 20, 32 * 11, 3);    // columns that are no multiple of 256
}

}    // namespace candlewick::tests
