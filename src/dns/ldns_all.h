// SPDX-License-Identifier: GPL-3.0-or-later
// ldns' headers, which define `true` and `false` as numbers where <stdbool.h> was not seen before.
#pragma once

#include <stdbool.h>
//
#include <ldns/ldns.h>
