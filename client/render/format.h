// Numbers and times as people read them: those that pages have too.
#pragma once

#include "common/picture/numbers.h"
