// Early returns for absl::Status and absl::StatusOr. Our macros carry the project's prefix because LibTorch owns CHECK and LOG.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define ESPALIER_RETURN_IF_ERROR(expression)                          \
  do {                                                                \
    if (absl::Status espalier_status = (expression); !espalier_status.ok()) return espalier_status; \
  } while (false)

#define ESPALIER_CONCAT_INNER(a, b) a##b
#define ESPALIER_CONCAT(a, b) ESPALIER_CONCAT_INNER(a, b)
#define ESPALIER_ASSIGN_OR_RETURN(left, expression) \
  ESPALIER_ASSIGN_OR_RETURN_IMPL(ESPALIER_CONCAT(espalier_status_or_, __LINE__), left, expression)
#define ESPALIER_ASSIGN_OR_RETURN_IMPL(result, left, expression) \
  auto result = (expression);                                    \
  if (!result.ok()) return std::move(result).status();           \
  left = *std::move(result)
