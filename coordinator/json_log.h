// Log lines as JSON objects.
#pragma once

namespace espalier {

// Every line of the default logger becomes {"time": ..., "level": ..., "message": ...}.
void UseJsonLines();

}  // namespace espalier
