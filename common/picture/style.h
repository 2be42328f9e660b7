// The style sheet that reports and pages share: light and dark by what the reader's system prefers, wide and narrow.
#pragma once

namespace espalier {

const char* PictureStyle();

}  // namespace espalier
