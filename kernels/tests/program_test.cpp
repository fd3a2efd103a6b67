// A small model through the executor: the bits depend neither on the number of threads, nor on how a prompt is cut into
// steps, nor on what is computed beside it, nor on the instruction set. Two programs run at once, since nothing is global.
#include <algorithm>
#include <numeric>
#include <thread>

#include "executor/program.h"
#include "tests/check.h"

namespace candlewick::tests {

namespace {

constexpr int hidden = 256, heads = 8, kv_heads = 2, head_dim = 32, feed_forward = 512, vocabulary = 70;
constexpr int most_tokens = 48, num_layers = 2;

std::shared_ptr<const PackedMatrix> random_matrix(Random& random, ThreadPool& threads, TensorType type, int rows,
                                                  int columns) {
    std::vector<uint8_t> source(gguf_row_bytes(type, columns) * size_t(rows));
    for (uint8_t& byte : source) byte = uint8_t(random.integer(0, 255));
    // Scales as fp16 of at most 2^-8 or so, wherever they are: no block overflows.
    for (size_t i = 1; i < source.size(); i += 2) source[i] = uint8_t(source[i] & 0x9f);
    return std::make_shared<PackedMatrix>(type, source.data(), source.size(), rows, columns, threads);
}

// A llama of two layers, whose matrices are of several types.
struct TinyModel {
    std::shared_ptr<ThreadPool> threads;
    std::shared_ptr<KvCache> cache;
    Program program;

    TinyModel(const Kernels& kernels, int num_threads)
        : threads(std::make_shared<ThreadPool>(num_threads)),
          cache(std::make_shared<KvCache>(num_layers, 32, kv_heads, head_dim, CacheType::f16)),
          program(kernels, threads, cache, most_tokens, most_tokens) {
        Random random(1);
        const std::vector<float> ones(hidden, 1.0f);
        const auto embedding = random_matrix(random, *threads, TensorType::q6_k, vocabulary, hidden);
        const int x = program.add_buffer(hidden, Rows::tokens), normed = program.add_buffer(hidden, Rows::tokens);
        const int input = program.add_activations(feed_forward, Rows::tokens);
        const int q = program.add_buffer(hidden, Rows::tokens), mixed = program.add_buffer(hidden, Rows::tokens);
        const int k = program.add_buffer(kv_heads * head_dim, Rows::tokens);
        const int v = program.add_buffer(kv_heads * head_dim, Rows::tokens);
        const int gate = program.add_buffer(feed_forward, Rows::tokens), up = program.add_buffer(feed_forward, Rows::tokens);
        std::vector<double> frequencies(head_dim / 2);
        for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] = std::pow(1e4, -2.0 * double(i) / head_dim);
        const int angles = program.add_angles(frequencies, 1.0);

        const auto product = [&](int from, TensorType type, int rows, int columns, int out) {
            const auto matrix = random_matrix(random, *threads, type, rows, columns);
            const ActivationKind kind = activation_kind(type);
            if (kind != ActivationKind::floats) program.quantize(from, input, Rows::tokens, columns, kind);
            program.linear(kind == ActivationKind::floats ? from : input, out, Rows::tokens, matrix, {});
        };
        program.embed(x, embedding);
        for (int layer = 0; layer < num_layers; ++layer) {
            program.rms_norm(x, normed, Rows::tokens, ones, hidden, 1e-6f);
            product(normed, TensorType::q4_k, hidden, hidden, q);
            product(normed, TensorType::q8_0, kv_heads * head_dim, hidden, k);
            product(normed, TensorType::q6_k, kv_heads * head_dim, hidden, v);
            program.rope(q, q, angles, heads, head_dim, false);
            program.rope(k, k, angles, kv_heads, head_dim, false);
            program.attention(q, k, v, mixed, layer, heads, 0.2f, layer == 1 ? 20 : 0);
            product(mixed, TensorType::q4_0, hidden, hidden, normed);
            program.add(x, normed, x, Rows::tokens, hidden);
            program.rms_norm(x, normed, Rows::tokens, ones, hidden, 1e-6f);
            product(normed, TensorType::q4_k, feed_forward, hidden, gate);
            product(normed, TensorType::f16, feed_forward, hidden, up);
            program.silu_multiply(gate, up, gate, Rows::tokens, feed_forward);
            product(gate, TensorType::q5_k, hidden, feed_forward, normed);
            program.add(x, normed, x, Rows::tokens, hidden);
        }
        const int chosen = program.add_buffer(hidden, Rows::logits);
        const int operand = program.add_activations(hidden, Rows::logits);
        const int logits = program.add_buffer(vocabulary, Rows::logits);
        program.select_rows(x, chosen, hidden);
        program.rms_norm(chosen, chosen, Rows::logits, ones, hidden, 1e-6f);
        program.quantize(chosen, operand, Rows::logits, hidden, activation_kind(TensorType::q6_k));
        program.linear(operand, logits, Rows::logits, embedding, {});
        program.finish(logits, vocabulary, chosen, hidden);
    }

    struct Part {
        std::vector<int32_t> ids;
        int position;
        int first_block;
    };
    // One step with a part of every sequence; the logits of all tokens.
    std::vector<float> step(const std::vector<Part>& parts) {
        constexpr int blocks = 8;
        std::vector<int32_t> ids, positions, starts{0}, tables;
        for (const Part& part : parts) {
            ids.insert(ids.end(), part.ids.begin(), part.ids.end());
            for (size_t i = 0; i < part.ids.size(); ++i) positions.push_back(part.position + int(i));
            starts.push_back(int(ids.size()));
            for (int block = 0; block < blocks; ++block) tables.push_back(part.first_block + block);
        }
        std::vector<int32_t> rows(ids.size());
        std::iota(rows.begin(), rows.end(), 0);
        Step step{};
        step.num_tokens = step.num_output_rows = step.num_logit_rows = int(ids.size());
        step.token_ids = ids.data();
        step.positions = positions.data();
        step.num_sequences = int(parts.size());
        step.query_starts = starts.data();
        step.block_tables = tables.data();
        step.blocks_per_table = blocks;
        step.output_rows = rows.data();
        program.run(step);
        return {program.logits(), program.logits() + ids.size() * vocabulary};
    }
};

std::vector<int32_t> random_ids(uint32_t seed, int count) {
    Random random(seed);
    std::vector<int32_t> ids(static_cast<size_t>(count));
    for (int32_t& id : ids) id = random.integer(0, vocabulary - 1);
    return ids;
}

std::vector<int32_t> slice(const std::vector<int32_t>& ids, int first, int end) {
    return {ids.begin() + first, ids.begin() + end};
}

// The logits of a prompt, computed at once.
std::vector<float> whole(const Kernels& kernels, int num_threads, const std::vector<int32_t>& ids) {
    return TinyModel(kernels, num_threads).step({{ids, 0, 0}});
}

// The same in pieces, beside another sequence that goes its own way.
std::vector<float> in_pieces(const Kernels& kernels, int num_threads, const std::vector<int32_t>& ids) {
    TinyModel model(kernels, num_threads);
    const auto other = random_ids(7, 30);
    std::vector<float> out;
    int first = 0, first_other = 0;
    for (int size : {1, 7, 16, 3, 100}) {
        const int end = std::min(first + size, int(ids.size()));
        if (end == first) break;
        const int end_other = std::min(first_other + 5, int(other.size()));
        const auto logits =
            model.step({{slice(other, first_other, end_other), first_other, 8}, {slice(ids, first, end), first, 0}});
        out.insert(out.end(), logits.begin() + ptrdiff_t(end_other - first_other) * vocabulary, logits.end());
        first = end;
        first_other = end_other;
    }
    return out;
}

}    // namespace

void test_program() {
    const auto ids = random_ids(3, 40);
    const auto expected = whole(specification(), 1, ids);
    check(std::all_of(expected.begin(), expected.end(), [](float x) { return std::isfinite(x); }),
          "the small model's logits are finite");
    for (const Kernels* kernels : all_kernels())
        for (int num_threads : {1, 2, 3}) {
            const std::string where = std::string(kernels->name) + " with " + std::to_string(num_threads) + " threads";
            check(same_bits(whole(*kernels, num_threads, ids), expected), "a prompt at once, " + where);
            check(same_bits(in_pieces(*kernels, num_threads, ids), expected), "a prompt in pieces, " + where);
        }

    std::vector<float> at_once[2];
    std::vector<std::thread> callers;
    for (auto& out : at_once)
        callers.emplace_back([&out, &ids] { out = in_pieces(*all_kernels().front(), 2, ids); });
    for (std::thread& caller : callers) caller.join();
    for (const auto& out : at_once) check(same_bits(out, expected), "two programs at once");
}

}    // namespace candlewick::tests
