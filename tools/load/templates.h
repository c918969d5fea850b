// SPDX-License-Identifier: GPL-3.0-or-later
// Composes the templates: plain text, UTF-8 as 8bit and as quoted-printable, text with HTML, text
// with attachments.
#pragma once

#include <cstdint>
#include <string>

#include "tools/load/mail.h"

namespace ringmta::tools {

// Width of the number fields in template heads.
inline constexpr size_t kIndexDigits = 12;
inline constexpr size_t kRecipientsDigits = 4;

// A template whose whole message is `size` octets, or the least that its kind needs when `size` is
// less. `recipient_length`: of the To address, which is filled in later.
MailTemplate compose_template(const MailOptions& options, uint64_t seed, uint32_t size,
                              size_t recipient_length);

// The X-Load lines alone, for files.
MailTemplate compose_stamp(const MailOptions& options);

}  // namespace ringmta::tools
