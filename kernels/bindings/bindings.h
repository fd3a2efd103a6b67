// Each part of the module registers itself.
#pragma once

#include <nanobind/nanobind.h>

namespace candlewick {

void bind_sampling(nanobind::module_& m);

}    // namespace candlewick
