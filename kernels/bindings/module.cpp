// The Python face of the kernels: validate everything, drop the GIL, call.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "bindings/bindings.h"
#include "executor/limits.h"
#include "executor/program.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace candlewick {
namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using IntTable = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using FloatRow = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using FloatTable = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NumpyTable = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

Rows rows_of(const std::string& kind) {
    require(kind == "tokens" || kind == "outputs" || kind == "logits",
            "rows must be 'tokens', 'outputs' or 'logits', got '" + kind + "'");
    return kind == "tokens" ? Rows::tokens : kind == "outputs" ? Rows::outputs : Rows::logits;
}

CacheType cache_type_of(const std::string& name) {
    require(name == "f16" || name == "f32" || name == "q8",
            "the cache type must be 'f16', 'f32' or 'q8', got '" + name + "'");
    return name == "f16" ? CacheType::f16 : name == "f32" ? CacheType::f32 : CacheType::q8;
}

void require_block(const KvCache& cache, int block) {
    require(block >= 0 && block < cache.num_blocks(),
            "block " + std::to_string(block) + " is not one of " + std::to_string(cache.num_blocks()));
}

nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>> read_block(const KvCache& cache, int block) {
    require_block(cache, block);
    auto* data = new uint8_t[cache.block_bytes()];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
    cache.read_block(block, reinterpret_cast<std::byte*>(data));
    return nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(data, {cache.block_bytes()}, owner);
}

void write_block(KvCache& cache, int block, Bytes data) {
    require_block(cache, block);
    require(data.size() == cache.block_bytes(), "a block has " + std::to_string(cache.block_bytes()) + " bytes, got " +
                                                    std::to_string(data.size()));
    cache.write_block(block, reinterpret_cast<const std::byte*>(data.data()));
}

const Kernels& kernels_of(const std::string& name) {
    const Kernels* kernels = find_kernels(name.c_str());
    if (kernels) return *kernels;
    std::string known;
    for (const Kernels* const* k = available_kernels(); *k; ++k) known += (known.empty() ? "" : ", ") + std::string((*k)->name);
    throw std::invalid_argument("this CPU can't run the instruction set '" + name + "'; it has: " + known);
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* const* k = available_kernels(); *k; ++k) names.emplace_back((*k)->name);
    return names;
}

NumpyTable new_table(size_t rows, size_t columns) {
    auto* data = new float[rows * columns];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<float*>(p); });
    return NumpyTable(data, {rows, columns}, owner);
}

std::vector<float> to_vector(const FloatRow& row) { return {row.data(), row.data() + row.size()}; }

NumpyTable dequantize(const PackedMatrix& matrix) {
    NumpyTable out = new_table(size_t(matrix.rows()), size_t(matrix.columns()));
    for (int row = 0; row < matrix.rows(); ++row)
        matrix.unpack_row(row, out.data() + size_t(row) * size_t(matrix.columns()));
    return out;
}

// x [M, columns] times the matrix, with the threads and the kernels that are named; for tests and measurements.
NumpyTable multiply(std::shared_ptr<PackedMatrix> matrix, FloatTable x, std::shared_ptr<ThreadPool> threads,
                    const std::string& isa) {
    require(int(x.shape(1)) == matrix->columns(),
            "x has " + std::to_string(x.shape(1)) + " columns, the matrix " + std::to_string(matrix->columns()));
    require(x.shape(0) > 0 && x.shape(0) < (1u << 24), "x must have at least one row");
    const int num_rows = int(x.shape(0));
    const size_t count = size_t(num_rows) * size_t(matrix->columns());
    NumpyTable out = new_table(size_t(num_rows), size_t(matrix->rows()));
    {
        nb::gil_scoped_release release;
        Program program(kernels_of(isa), std::move(threads), nullptr, num_rows, 1);
        const int in = program.add_buffer(matrix->columns(), Rows::tokens);
        const int result = program.add_buffer(matrix->rows(), Rows::tokens);
        std::copy(x.data(), x.data() + count, program.floats(in));
        const ActivationKind kind = activation_kind(matrix->type());
        int operand = in;
        if (kind != ActivationKind::floats) {
            operand = program.add_activations(matrix->columns(), Rows::tokens);
            program.quantize(in, operand, Rows::tokens, matrix->columns(), kind);
        }
        program.linear(operand, result, Rows::tokens, matrix, {});
        program.finish(result, matrix->rows(), in, matrix->columns());
        Step step{};
        step.num_tokens = num_rows;
        program.run(step);
        std::copy(program.logits(), program.logits() + out.size(), out.data());
    }
    return out;
}

// Every index that a kernel will follow is checked here, once a step.
void check_step(const Program& program, const Step& step) {
    const auto text = [](auto n) { return std::to_string(n); };
    const KvCache& cache = program.cache();
    require(step.num_tokens >= 1 && step.num_tokens <= program.max_tokens(),
            "a step takes 1 to " + text(program.max_tokens()) + " tokens, got " + text(step.num_tokens));
    require(step.num_logit_rows <= program.max_logit_rows(),
            "a step gives at most " + text(program.max_logit_rows()) + " rows of logits, got " +
                text(step.num_logit_rows));
    require(step.num_sequences >= 1 && step.query_starts[0] == 0 &&
                step.query_starts[step.num_sequences] == step.num_tokens,
            "query_starts must lead from 0 to the number of tokens");
    for (int i = 0; i < step.num_tokens; ++i)
        require(step.token_ids[i] >= 0 && step.token_ids[i] < program.vocab_size(),
                "token id " + text(step.token_ids[i]) + " is outside the vocabulary of " + text(program.vocab_size()));
    require(step.num_output_rows <= program.max_tokens(),
            "a step gives at most " + text(program.max_tokens()) + " rows of output, got " + text(step.num_output_rows));
    for (int i = 0; i < step.num_output_rows; ++i)
        require(step.output_rows[i] >= 0 && step.output_rows[i] < step.num_tokens,
                "output row " + text(step.output_rows[i]) + " is not one of the tokens");
    for (int s = 0; s < step.num_sequences; ++s) {
        const int begin = step.query_starts[s], end = step.query_starts[s + 1];
        require(begin < end && end <= step.num_tokens, "sequence " + text(s) + " has no tokens of the step");
        const int first = step.positions[begin];
        require(first >= 0 && int64_t(first) + (end - begin) <= int64_t(step.blocks_per_table) * block_size,
                "positions of sequence " + text(s) + " lie outside its block table");
        for (int i = begin; i < end; ++i)
            require(step.positions[i] == first + (i - begin), "positions of a sequence must be consecutive");
        for (int b = 0; b <= (first + end - begin - 1) / block_size; ++b)
            require(step.block_table(s)[b] >= 0 && step.block_table(s)[b] < cache.num_blocks(),
                    "block " + text(step.block_table(s)[b]) + " is not one of " + text(cache.num_blocks()));
    }
}

void run(Program& program, Ints token_ids, Ints positions, Ints query_starts, IntTable block_tables, Ints logit_rows,
         Ints hidden_rows) {
    require(positions.size() == token_ids.size(), "token_ids and positions must be of one length");
    require(query_starts.size() >= 2 && query_starts.size() == block_tables.shape(0) + 1,
            "query_starts must have one more entry than block_tables has rows");
    Step step{};
    step.num_tokens = int(token_ids.size());
    step.token_ids = token_ids.data();
    step.positions = positions.data();
    step.num_sequences = int(query_starts.size()) - 1;
    step.query_starts = query_starts.data();
    step.block_tables = block_tables.data();
    step.blocks_per_table = int(block_tables.shape(1));
    std::vector<int32_t> output_rows(logit_rows.data(), logit_rows.data() + logit_rows.size());
    output_rows.insert(output_rows.end(), hidden_rows.data(), hidden_rows.data() + hidden_rows.size());
    step.num_output_rows = int(output_rows.size());
    step.output_rows = output_rows.data();
    step.num_logit_rows = int(logit_rows.size());
    check_step(program, step);
    nb::gil_scoped_release release;
    program.run(step);
}

}    // namespace
}    // namespace candlewick

NB_MODULE(_kernels, m) {
    using namespace candlewick;
    m.doc() = "Candlewick's native kernels: packed matrices, programs, sampling.";
    m.def("instruction_sets", &instruction_sets, "What this CPU can run, best first.");
    m.def("is_supported", [](int type) { return is_supported(TensorType(type)); }, "type"_a,
          "Whether matrices of this GGML type can be packed.");

    nb::class_<ThreadPool>(m, "ThreadPool")
        .def(
            "__init__",
            [](ThreadPool* self, int num_threads) {
                require(num_threads >= 1 && num_threads <= 1024,
                        "num_threads must be 1 to 1024, got " + std::to_string(num_threads));
                new (self) ThreadPool(num_threads);
            },
            "num_threads"_a)
        .def_prop_ro("num_threads", &ThreadPool::num_threads);

    nb::class_<PackedMatrix>(m, "PackedMatrix")
        .def_static(
            "pack",
            [](int type, Bytes data, int rows, int columns, ThreadPool& threads) {
                nb::gil_scoped_release release;
                return std::make_shared<PackedMatrix>(TensorType(type), data.data(), data.size(), rows, columns,
                                                      threads);
            },
            "type"_a, "data"_a, "rows"_a, "columns"_a, "threads"_a)
        .def_prop_ro("type", [](const PackedMatrix& self) { return int(self.type()); })
        .def_prop_ro("rows", &PackedMatrix::rows)
        .def_prop_ro("columns", &PackedMatrix::columns)
        .def_prop_ro("num_bytes", &PackedMatrix::num_bytes)
        .def_prop_ro("activation_kind", [](const PackedMatrix& self) { return int(activation_kind(self.type())); })
        .def("dequantize", &dequantize)
        .def("multiply", &multiply, "x"_a, "threads"_a, "isa"_a = "");

    nb::class_<KvCache>(m, "KvCache")
        .def(
            "__init__",
            [](KvCache* self, int num_layers, int num_blocks, int num_kv_heads, int head_dim, const std::string& type) {
                new (self) KvCache(num_layers, num_blocks, num_kv_heads, head_dim, cache_type_of(type));
            },
            "num_layers"_a, "num_blocks"_a, "num_kv_heads"_a, "head_dim"_a, "type"_a)
        .def_prop_ro("num_blocks", &KvCache::num_blocks)
        .def_prop_ro("num_bytes", &KvCache::num_bytes)
        .def_prop_ro("block_bytes", &KvCache::block_bytes)
        .def("read_block", &read_block, "block"_a, "The keys and values of one block, uint8 [block_bytes].")
        .def("write_block", &write_block, "block"_a, "data"_a, "Store what read_block gave.");

    nb::class_<Program>(m, "Program")
        .def(
            "__init__",
            [](Program* self, std::shared_ptr<ThreadPool> threads, std::shared_ptr<KvCache> cache, int max_tokens,
               int max_logit_rows, const std::string& isa) {
                new (self) Program(kernels_of(isa), std::move(threads), std::move(cache), max_tokens, max_logit_rows);
            },
            "threads"_a, "cache"_a, "max_tokens"_a, "max_logit_rows"_a, "isa"_a = "")
        .def_prop_ro("isa", [](const Program& self) { return self.kernels().name; })
        .def_prop_ro("buffer_bytes", &Program::buffer_bytes)
        .def("add_buffer", [](Program& self, int columns, const std::string& rows) {
            return self.add_buffer(columns, rows_of(rows));
        }, "columns"_a, "rows"_a)
        .def("add_activations", [](Program& self, int columns, const std::string& rows) {
            return self.add_activations(columns, rows_of(rows));
        }, "columns"_a, "rows"_a)
        .def("add_angles", &Program::add_angles, "inverse_frequencies"_a, "scale"_a)
        .def("embed", [](Program& self, int out, std::shared_ptr<PackedMatrix> matrix) { self.embed(out, matrix); },
             "out"_a, "matrix"_a)
        .def("rms_norm",
             [](Program& self, int x, int out, const std::string& rows, FloatRow weight, int columns, float epsilon) {
                 require(weight.size() > 0 && columns % int(weight.size()) == 0, "weight does not divide the columns");
                 self.rms_norm(x, out, rows_of(rows), to_vector(weight), columns, epsilon);
             },
             "x"_a, "out"_a, "rows"_a, "weight"_a, "columns"_a, "epsilon"_a)
        .def("quantize",
             [](Program& self, int x, int out, const std::string& rows, int columns, int kind) {
                 self.quantize(x, out, rows_of(rows), columns, ActivationKind(kind));
             },
             "x"_a, "out"_a, "rows"_a, "columns"_a, "kind"_a)
        .def("linear",
             [](Program& self, int in, int out, const std::string& rows, std::shared_ptr<PackedMatrix> matrix,
                FloatRow bias) {
                 require(bias.size() == 0 || int(bias.size()) == matrix->rows(), "bias does not fit the matrix");
                 self.linear(in, out, rows_of(rows), matrix, to_vector(bias));
             },
             "operand"_a, "out"_a, "rows"_a, "matrix"_a, "bias"_a)
        .def("rope", &Program::rope, "x"_a, "out"_a, "angles"_a, "num_heads"_a, "head_dim"_a, "interleaved"_a)
        .def("attention", &Program::attention, "q"_a, "k"_a, "v"_a, "out"_a, "layer"_a, "num_heads"_a, "scale"_a,
             "window"_a)
        .def("silu_multiply", [](Program& self, int gate, int up, int out, const std::string& rows, int columns) {
            self.silu_multiply(gate, up, out, rows_of(rows), columns);
        }, "gate"_a, "up"_a, "out"_a, "rows"_a, "columns"_a)
        .def("add", [](Program& self, int x, int y, int out, const std::string& rows, int columns) {
            self.add(x, y, out, rows_of(rows), columns);
        }, "x"_a, "y"_a, "out"_a, "rows"_a, "columns"_a)
        .def("select_rows", &Program::select_rows, "x"_a, "out"_a, "columns"_a)
        .def("finish", &Program::finish, "logits"_a, "vocab_size"_a, "hidden"_a, "hidden_size"_a)
        .def("run", &run, "token_ids"_a, "positions"_a, "query_starts"_a, "block_tables"_a, "logit_rows"_a,
             "hidden_rows"_a)
        .def("hidden_states",
             [](Program& self, int first, int rows) {
                 require(first >= 0 && rows >= 0 && int64_t(first) + rows <= self.max_tokens(), "no such rows of output");
                 return NumpyTable(self.hidden() + size_t(first) * size_t(self.hidden_size()),
                                   {size_t(rows), size_t(self.hidden_size())}, nb::find(self));
             },
             "first"_a, "rows"_a,
             "Last hidden states [rows, hidden] of the last step, of its output rows from the first on (logit rows, then "
             "hidden rows): a view that the next step overwrites.")
        .def("logits",
             [](Program& self, int rows) {
                 require(rows >= 0 && rows <= self.max_logit_rows(), "no such rows of logits");
                 return NumpyTable(self.logits(), {size_t(rows), size_t(self.vocab_size())}, nb::find(self));
             },
             "rows"_a, "The last step's logits [rows, vocabulary]: a view that the next step overwrites.");

    m.def(
        "measure_products",
        [](std::shared_ptr<ThreadPool> threads, const std::string& isa) {
            const Kernels& kernels = kernels_of(isa);
            nb::gil_scoped_release release;
            return measure_products(kernels, *threads);
        },
        "threads"_a, "isa"_a = "",
        "Integer multiplications with addition a second that the threads do together in registers, now.");
    m.def(
        "measure_reads",
        [](std::shared_ptr<ThreadPool> threads, Bytes data, const std::string& isa) {
            const Kernels& kernels = kernels_of(isa);
            require(data.size() >= 64, "there must be at least one line of 64 bytes to read");
            nb::gil_scoped_release release;
            return measure_reads(kernels, *threads, data.data(), data.size());
        },
        "threads"_a, "data"_a, "isa"_a = "", "Bytes a second that the threads read together from this array, now.");

    bind_sampling(m);
}
