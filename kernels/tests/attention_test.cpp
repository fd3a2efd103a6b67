// Attention against double precision for random shapes, block tables and positions; bit for bit between instruction
// sets, chunk sizes and whatever stale numbers stand in unused slots.
#include <algorithm>
#include <limits>

#include "ops/rope.h"
#include "simd/scalar.h"
#include "tests/check.h"

namespace candlewick::tests {

struct Shape {
    int head_dim;
    int num_kv_heads;
    int group;
    int num_tokens;
    int window;
    CacheType type;

    std::string text() const {
        return "head_dim " + std::to_string(head_dim) + " group " + std::to_string(group) + " tokens " +
               std::to_string(num_tokens) + " window " + std::to_string(window) +
               (type == CacheType::f16 ? " f16" : type == CacheType::f32 ? " f32" : " q8");
    }
};

// One sequence with its queries, keys and values, in a pool of blocks in random order.
struct Sequence {
    Shape shape;
    std::vector<float> queries, keys, values;    // [num_tokens][heads][head_dim]
    std::vector<int32_t> block_table;
    int num_blocks;
    float scale;

    Sequence(const Shape& wanted, uint32_t seed) : shape(wanted) {
        Random random(seed);
        const size_t row = size_t(shape.num_kv_heads) * size_t(shape.head_dim);
        queries = random.normals(size_t(shape.num_tokens) * row * size_t(shape.group), 1.5f);
        keys = random.normals(size_t(shape.num_tokens) * row);
        values = random.normals(size_t(shape.num_tokens) * row);
        const int used = (shape.num_tokens + block_size - 1) / block_size;
        num_blocks = used + 5;
        std::vector<int32_t> all(static_cast<size_t>(num_blocks));
        for (int i = 0; i < num_blocks; ++i) all[size_t(i)] = i;
        std::shuffle(all.begin(), all.end(), random.engine);
        block_table.assign(all.begin(), all.begin() + used);
        scale = 1.0f / std::sqrt(float(shape.head_dim));
    }

    size_t key_stride() const { return size_t(shape.num_kv_heads) * size_t(shape.head_dim); }
    size_t query_stride() const { return key_stride() * size_t(shape.group); }

    // The whole sequence in chunks of the given size; every slot not yet written holds `stale`.
    std::vector<float> run(const Kernels& kernels, int chunk, float stale) const {
        const Kernels::Attention& attention = kernels.attention[int(shape.type)];
        const size_t bytes =
            size_t(num_blocks) * size_t(shape.num_kv_heads) * kv_block_bytes(shape.type, shape.head_dim);
        std::vector<float> pools[2];
        for (auto& pool : pools) {
            pool.assign(bytes / sizeof(float), stale);
            if (shape.type == CacheType::f16) {
                auto* halves = reinterpret_cast<uint16_t*>(pool.data());
                std::fill(halves, halves + bytes / 2, Scalar::float_to_half(stale));
            }
        }
        KvCacheView view{pools[0].data(), pools[1].data(), shape.num_kv_heads, shape.head_dim};
        std::vector<float> scratch(attention_scratch_floats(shape.head_dim),
                                   std::numeric_limits<float>::quiet_NaN());
        std::vector<float> out(queries.size(), 99.0f);
        for (int first = 0; first < shape.num_tokens; first += chunk) {
            const int count = std::min(chunk, shape.num_tokens - first);
            attention.write({view, keys.data() + size_t(first) * key_stride(), values.data() + size_t(first) * key_stride(),
                             key_stride(), key_stride(), block_table.data(), first, count});
            for (int head = 0; head < shape.num_kv_heads; ++head) {
                const size_t offset = size_t(first) * query_stride() + size_t(head * shape.group * shape.head_dim);
                attention.attend({view, queries.data() + offset, out.data() + offset, query_stride(), query_stride(),
                                  block_table.data(), head, shape.group, first, count, scale, shape.window,
                                  scratch.data()});
            }
        }
        return out;
    }

    // What the cache keeps of keys or values.
    std::vector<double> stored(const std::vector<float>& numbers) const {
        std::vector<double> out;
        const auto dim = size_t(shape.head_dim);
        for (size_t row = 0; row < numbers.size(); row += dim) {
            float largest = 0.0f;
            for (size_t i = row; i < row + dim; ++i) largest = std::max(largest, std::fabs(numbers[i]));
            for (size_t i = row; i < row + dim; ++i) {
                const float x = numbers[i];
                if (shape.type == CacheType::f32) out.push_back(double(x));
                if (shape.type == CacheType::f16)
                    out.push_back(double(Scalar::half_to_float(Scalar::float_to_half(x))));
                if (shape.type == CacheType::q8)
                    out.push_back(double(std::nearbyintf(x * (127.0f / largest))) * double(largest / 127.0f));
            }
        }
        return out;
    }

    std::vector<double> exact() const {
        std::vector<double> out(queries.size());
        const auto dim = size_t(shape.head_dim);
        const auto stored_keys = stored(keys), stored_values = stored(values);
        for (int t = 0; t < shape.num_tokens; ++t) {
            const int begin = shape.window > 0 ? std::max(0, t + 1 - shape.window) : 0;
            for (int head = 0; head < shape.num_kv_heads * shape.group; ++head) {
                const size_t query = size_t(t) * query_stride() + size_t(head) * dim;
                const size_t column = size_t(head / shape.group) * dim;
                std::vector<double> scores;
                for (int k = begin; k <= t; ++k) {
                    double score = 0.0;
                    for (size_t d = 0; d < dim; ++d)
                        score += double(queries[query + d]) * stored_keys[size_t(k) * key_stride() + column + d];
                    scores.push_back(score * double(scale));
                }
                const double highest = *std::max_element(scores.begin(), scores.end());
                double sum = 0.0;
                for (double& score : scores) sum += score = std::exp(score - highest);
                for (int k = begin; k <= t; ++k)
                    for (size_t d = 0; d < dim; ++d)
                        out[query + d] += scores[size_t(k - begin)] / sum *
                                          stored_values[size_t(k) * key_stride() + column + d];
            }
        }
        return out;
    }
};

static double worst_difference(const std::vector<float>& found, const std::vector<double>& exact) {
    double worst = 0.0;
    for (size_t i = 0; i < exact.size(); ++i) {
        const double difference = std::fabs(double(found[i]) - exact[i]);
        if (!(difference <= worst)) worst = difference;    // also when it is NaN
    }
    return worst;
}

static void test_shape(const Shape& shape, uint32_t seed) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Sequence sequence(shape, seed);
    const std::vector<float> expected = sequence.run(specification(), shape.num_tokens, 0.0f);
    const double error = worst_difference(expected, sequence.exact());
    check(error < 5e-6, "attention " + shape.text() + " is off by " + std::to_string(error));
    for (const Kernels* kernels : all_kernels()) {
        const std::string where = std::string("attention ") + kernels->name + " " + shape.text();
        check(same_bits(sequence.run(*kernels, shape.num_tokens, nan), expected), where + ": bits, stale NaN");
        check(same_bits(sequence.run(*kernels, 1, nan), expected), where + ": token by token as all at once");
        const int chunk = 1 + int(seed % 37);
        check(same_bits(sequence.run(*kernels, chunk, 3e4f), expected), where + ": chunks of " + std::to_string(chunk));
    }
}

// A row must not feel what stands at positions behind it, or before its window.
static void test_isolation(const Kernels& kernels) {
    for (const CacheType type : {CacheType::f16, CacheType::f32, CacheType::q8}) {
        Sequence sequence({32, 1, 3, 90, 20, type}, 5);
        const auto expected = sequence.run(kernels, 90, 0.0f);
        for (int poisoned : {3, 70}) {
            Sequence other = sequence;
            for (int d = 0; d < 32; ++d) {
                other.keys[size_t(poisoned * 32 + d)] = std::numeric_limits<float>::quiet_NaN();
                other.values[size_t(poisoned * 32 + d)] = std::numeric_limits<float>::quiet_NaN();
            }
            auto found = other.run(kernels, 90, 0.0f);
            bool poisons_who_sees_it = true;
            for (int t = 0; t < 90; ++t) {
                const bool sees = t >= poisoned && t < poisoned + 20;
                for (size_t i = size_t(t) * 96; i < size_t(t + 1) * 96; ++i) {
                    if (!sees) continue;
                    poisons_who_sees_it = poisons_who_sees_it && std::isnan(found[i]);
                    found[i] = expected[i];
                }
            }
            check(poisons_who_sees_it, std::string("NaN is not hidden, ") + kernels.name);
            check(same_bits(found, expected), std::string("rows that do not see a NaN are untouched, ") + kernels.name);
        }
    }
}

static void test_write_clamps(const Kernels& kernels) {
    Sequence sequence({16, 1, 1, 1, 0, CacheType::f16}, 6);
    sequence.values[0] = 1e9f;
    sequence.values[1] = -std::numeric_limits<float>::infinity();
    const auto out = sequence.run(kernels, 1, 0.0f);
    check(out[0] == 65504.0f && out[1] == -65504.0f, std::string("halves are clamped, ") + kernels.name);

    Sequence bytes({16, 1, 1, 1, 0, CacheType::q8}, 6);
    bytes.values.assign(16, 1e-35f);
    for (float x : bytes.run(kernels, 1, 0.0f)) check(x == 0.0f, std::string("tiny rows become zero, ") + kernels.name);
    bytes.values[3] = std::numeric_limits<float>::infinity();
    check(std::fabs(bytes.run(kernels, 1, 0.0f)[3] / 1e30f - 1.0f) < 1e-6f,
          std::string("infinities become large numbers, ") + kernels.name);
}

void test_attention() {
    Random random(7);
    const int sizes[] = {2, 6, 14, 16, 18, 32, 48, 62, 64, 80, 96, 128, 130, 256};
    const int groups[] = {1, 2, 3, 4, 5, 7, 8, 12};
    const int lengths[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 100, 129, 150};
    const int windows[] = {0, 0, 1, 5, 16, 63, 64, 70};
    for (uint32_t seed = 0; seed < 90; ++seed) {
        const Shape shape{sizes[random.integer(0, 13)],  random.integer(1, 3),        groups[random.integer(0, 7)],
                          lengths[random.integer(0, 11)], windows[random.integer(0, 7)],
                          CacheType(random.integer(0, num_cache_types - 1))};
        test_shape(shape, seed);
    }
    test_shape({128, 1, 4, 200, 0, CacheType::f16}, 100);
    test_shape({64, 1, 4, 200, 0, CacheType::f32}, 101);
    test_shape({128, 2, 4, 200, 0, CacheType::q8}, 102);
    for (const Kernels* kernels : all_kernels()) {
        test_isolation(*kernels);
        test_write_clamps(*kernels);
    }
}

}    // namespace candlewick::tests
