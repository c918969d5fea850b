// SPDX-License-Identifier: GPL-3.0-or-later
// The envelope of one transaction, kept: all its text in one piece of memory, which the next
// transaction uses again. The views are ready at any time; when the text has to move they are moved
// with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ringmta/smtp/envelope.h"

namespace ringmta::smtp {

class EnvelopeStore final {
 public:
  // Memory beyond this is given back with the transaction that needed it.
  static constexpr size_t kTextKept = 65'536;

  void clear();
  // `envelope.recipients` is not looked at.
  void begin(const EnvelopeView& envelope);
  void add(const RecipientView& recipient);
  size_t recipients() const { return recipients_.size(); }
  // Valid until the next call of begin(), add() or clear().
  EnvelopeView view() const;

 private:
  std::string_view keep(std::string_view piece);
  void grow(size_t needed);

  std::string text_;
  std::vector<RecipientView> recipients_;
  EnvelopeView head_{};
};

}  // namespace ringmta::smtp
