// Normalisation, rotary embedding, activation, and the sums over logits: against double precision, and bit for bit
// between instruction sets.
#include <algorithm>
#include <limits>

#include "ops/math.h"
#include "ops/rope.h"
#include "simd/scalar.h"
#include "tests/check.h"

namespace candlewick::tests {

static const int odd_sizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 48, 63, 64, 65, 100, 128, 250, 576, 1000, 2048};

static void test_exp() {
    const auto exp_of = [](float x) { return exp<Scalar>(Scalar::set1(x)).lane[0]; };
    double worst = 0.0;
    for (double x = -87.33; x < 88.72; x += 1.7e-3) worst = std::max(worst, ulps(exp_of(float(x)), std::exp(double(float(x)))));
    for (double x = -1e-3; x < 1e-3; x += 1.1e-6) worst = std::max(worst, ulps(exp_of(float(x)), std::exp(double(float(x)))));
    check(worst < 1.0, "exp is off by " + std::to_string(worst) + " units of the last place");
    const float infinity = std::numeric_limits<float>::infinity();
    check(exp_of(0.0f) == 1.0f && exp_of(-0.0f) == 1.0f, "exp(0)");
    check(exp_of(infinity) == infinity && exp_of(88.73f) == infinity && exp_of(3e38f) == infinity, "exp overflows");
    check(std::isfinite(exp_of(88.72f)), "exp just before it overflows");
    check(exp_of(-infinity) == 0.0f && exp_of(-87.34f) == 0.0f && exp_of(-3e38f) == 0.0f, "exp underflows");
    check(exp_of(-87.33f) >= std::numeric_limits<float>::min(), "exp just before it underflows");
    check(std::isnan(exp_of(std::numeric_limits<float>::quiet_NaN())), "exp(NaN)");
}

static void test_rms_norm(const Kernels& kernels) {
    Random random(1);
    for (int group : odd_sizes) {
        const int columns = group * random.integer(1, 3);
        const auto x = random.normals(size_t(columns), 3.0f);
        const auto weight = random.normals(size_t(group));
        const float epsilon = 1e-5f;
        std::vector<float> out(x.size());
        std::vector<float> expected(x.size());
        kernels.rms_norm(x.data(), weight.data(), out.data(), columns, group, epsilon);
        specification().rms_norm(x.data(), weight.data(), expected.data(), columns, group, epsilon);
        const std::string where = std::string("rms_norm ") + kernels.name + " group " + std::to_string(group);
        check(same_bits(out, expected), where + " has the specification's bits");

        double worst = 0.0;
        for (int i = 0; i < columns; ++i) {
            double squares = 0.0;
            for (int j = 0; j < group; ++j) squares += std::pow(double(x[size_t(i / group * group + j)]), 2);
            const double exact =
                double(x[size_t(i)]) / std::sqrt(squares / group + double(epsilon)) * double(weight[size_t(i % group)]);
            worst = std::max(worst, std::fabs(double(out[size_t(i)]) - exact) / (std::fabs(exact) + 1e-9));
        }
        check(worst < 2e-6, where + " is off by " + std::to_string(worst));
        auto in_place = x;
        kernels.rms_norm(in_place.data(), weight.data(), in_place.data(), columns, group, epsilon);
        check(same_bits(in_place, out), where + " in place");
    }
}

static void test_rope(const Kernels& kernels) {
    Random random(2);
    for (int num_angles : {1, 3, 7, 8, 9, 16, 31, 32, 33, 48, 64, 96}) {
        for (bool interleaved : {false, true}) {
            const int heads = random.integer(1, 3);
            const int head_dim = 2 * num_angles + 2 * random.integer(0, 3);
            const auto x = random.normals(size_t(heads * head_dim));
            std::vector<double> frequencies(static_cast<size_t>(num_angles));
            for (int i = 0; i < num_angles; ++i) frequencies[size_t(i)] = std::pow(5e5, -double(i) / num_angles);
            const double position = random.integer(0, 100000);
            const double scale = 1.25;
            std::vector<float> cosine(static_cast<size_t>(num_angles));
            std::vector<float> sine(static_cast<size_t>(num_angles));
            rope_angles(position, frequencies.data(), num_angles, scale, cosine.data(), sine.data());

            auto out = x;
            auto specified = x;
            kernels.rope(out.data(), cosine.data(), sine.data(), heads, head_dim, num_angles, interleaved);
            specification().rope(specified.data(), cosine.data(), sine.data(), heads, head_dim, num_angles, interleaved);
            const std::string where = std::string("rope ") + kernels.name + (interleaved ? " interleaved " : " halves ") +
                                      std::to_string(num_angles);
            check(same_bits(out, specified), where + " has the specification's bits");

            double worst = 0.0;
            std::vector<double> exact(x.begin(), x.end());
            for (int head = 0; head < heads; ++head) {
                for (int i = 0; i < num_angles; ++i) {
                    const int base = head * head_dim;
                    const auto first = size_t(base + (interleaved ? 2 * i : i));
                    const auto second = size_t(base + (interleaved ? 2 * i + 1 : i + num_angles));
                    const double angle = position * frequencies[size_t(i)];
                    exact[first] = scale * (x[first] * std::cos(angle) - x[second] * std::sin(angle));
                    exact[second] = scale * (x[second] * std::cos(angle) + x[first] * std::sin(angle));
                }
            }
            for (size_t i = 0; i < exact.size(); ++i) worst = std::max(worst, std::fabs(exact[i] - double(out[i])));
            check(worst < 2e-6, where + " is off by " + std::to_string(worst));
        }
    }
}

static void test_activation(const Kernels& kernels) {
    Random random(3);
    for (int columns : odd_sizes) {
        const auto gate = random.normals(size_t(columns), 8.0f);
        const auto up = random.normals(size_t(columns));
        std::vector<float> out(gate.size(), 77.0f);
        std::vector<float> expected(gate.size());
        kernels.silu_multiply(gate.data(), up.data(), out.data(), columns);
        specification().silu_multiply(gate.data(), up.data(), expected.data(), columns);
        const std::string where = std::string(kernels.name) + " of " + std::to_string(columns);
        check(same_bits(out, expected), "silu_multiply " + where + " has the specification's bits");
        double worst = 0.0;
        for (size_t i = 0; i < out.size(); ++i) {
            const double exact = double(gate[i]) / (1.0 + std::exp(-double(gate[i]))) * double(up[i]);
            worst = std::max(worst, std::fabs(double(out[i]) - exact) / (std::fabs(exact) + 1e-12));
        }
        check(worst < 5e-7, "silu_multiply " + where + " is off by " + std::to_string(worst));
        auto in_place = gate;
        kernels.silu_multiply(in_place.data(), up.data(), in_place.data(), columns);
        check(same_bits(in_place, out), "silu_multiply " + where + " in place");

        in_place = gate;
        kernels.add(in_place.data(), up.data(), in_place.data(), columns);
        bool exact = true;
        for (size_t i = 0; i < out.size(); ++i) exact = exact && in_place[i] == gate[i] + up[i];
        check(exact, "add " + where);
    }
    // The whole range of exp, its ends and what is no number.
    std::vector<float> sweep{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN(), 3e38f, -3e38f, 1e-40f};
    for (float x = -130.0f; x < 130.0f; x += 0.0371f) sweep.push_back(x);
    const std::vector<float> once(sweep.size(), 1.0f);
    std::vector<float> found(sweep.size());
    std::vector<float> specified(sweep.size());
    kernels.silu_multiply(sweep.data(), once.data(), found.data(), int(sweep.size()));
    specification().silu_multiply(sweep.data(), once.data(), specified.data(), int(sweep.size()));
    check(same_bits(found, specified), std::string("silu over its range, ") + kernels.name);
    const float extreme[] = {-100.0f, 100.0f, 0.0f, -0.0f};
    const float ones[] = {1.0f, 1.0f, 1.0f, 1.0f};
    float out[4];
    kernels.silu_multiply(extreme, ones, out, 4);
    check(out[0] == 0.0f && out[1] == 100.0f && out[2] == 0.0f && out[3] == 0.0f, "silu at its ends");
}

static void test_logits(const Kernels& kernels) {
    Random random(4);
    const float infinity = std::numeric_limits<float>::infinity();
    for (int count : {1, 5, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4099, 32003}) {
        auto logits = random.normals(size_t(count), 5.0f);
        if (count > 60) {
            logits[7] = -infinity;
            logits[3] = std::numeric_limits<float>::quiet_NaN();
            logits[size_t(count - 2)] = std::numeric_limits<float>::quiet_NaN();
        }
        const std::string where = std::string(kernels.name) + " of " + std::to_string(count);
        float highest = -infinity;
        for (float logit : logits)
            if (logit > highest) highest = logit;
        check(kernels.logits.maximum(logits.data(), count) == highest, "maximum " + where);

        const float factor = 1.0f / 0.7f;
        const double sum = kernels.logits.sum_exp(logits.data(), count, highest, factor);
        check(sum == specification().logits.sum_exp(logits.data(), count, highest, factor),
              "sum_exp " + where + " has the specification's bits");
        double exact = 0.0;
        for (float logit : logits)
            if (!std::isnan(logit)) exact += std::exp((double(logit) - double(highest)) * double(factor));
        check(std::fabs(sum / exact - 1.0) < 5e-7, "sum_exp " + where + " is off by " + std::to_string(sum / exact - 1));

        const float threshold = logits[0];
        std::vector<int32_t> expected;
        for (int i = 0; i < count; ++i)
            if (logits[size_t(i)] >= threshold) expected.push_back(i);
        std::vector<int32_t> found(size_t(count) + 1, -1);
        const int many = kernels.logits.at_least(logits.data(), count, threshold, found.data(), count);
        found.resize(size_t(many));
        check(found == expected, "at_least " + where);
        int32_t few[3] = {-1, -1, -1};
        check(kernels.logits.at_least(logits.data(), count, threshold, few, 2) == many && few[2] == -1 &&
                  few[0] == expected[0],
              "at_least " + where + " writes no more than its capacity");
    }
}

void test_rows() {
    test_exp();
    for (const Kernels* kernels : all_kernels()) {
        test_rms_norm(*kernels);
        test_rope(*kernels);
        test_activation(*kernels);
        test_logits(*kernels);
    }
}

}    // namespace candlewick::tests
