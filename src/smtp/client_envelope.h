// SPDX-License-Identifier: GPL-3.0-or-later
// What an SMTP client says about a message: MAIL and RCPT lines with the parameters the peer
// understands. Private to the client session.
//
// Nothing that could end a line or begin another parameter can get through here: addresses are
// inspected before they are written, parameters that are not esmtp-values (RFC 5321 4.1.2) are left
// out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/smtp/client_session.h"
#include "ringmta/smtp/envelope.h"

namespace ringmta::smtp {

enum class AddressForm : uint8_t {
  plain,      // ASCII, may be written between < and >
  eight_bit,  // likewise, but needs SMTPUTF8
  invalid  // controls, blanks or angle brackets outside quotes, unbalanced quotes, too long: never
           // written
};
AddressForm inspect_address(std::string_view address);

struct MailParameters {
  bool size = false, eight_bit = false, utf8 = false, dsn = false;
  uint64_t size_octets = 0;
};

void append_number(std::string& into, uint64_t value);
void append_mail(std::string& into, const EnvelopeView& envelope, const MailParameters& parameters);
void append_recipient(std::string& into, const RecipientView& recipient, bool dsn, bool utf8);

// The lines of an EHLO reply behind the greeting (RFC 5321 4.1.1.1); unknown keywords are ignored.
Capabilities parse_capabilities(std::string_view reply_text);

}  // namespace ringmta::smtp
