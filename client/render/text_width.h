// How many columns of a terminal a text takes, and texts that fit into some. UTF-8; characters of two columns (Chinese,
// Japanese, Korean, most emoji) and of none (combining marks) are counted as what they are.
#pragma once

#include <string>

namespace espalier {

int DisplayWidth(const std::string& text);

// At most `width` columns: cut between characters, with an ellipsis at the end when something was cut.
std::string FitText(const std::string& text, int width);

// Text of others as one safe line: control characters (an escape sequence in a job's name would paint the reader's
// terminal) and bytes that are no UTF-8 become '?', line breaks and tabs become blanks.
std::string Printable(const std::string& text);

}  // namespace espalier
