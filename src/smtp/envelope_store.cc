// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/smtp/envelope_store.h"

#include <algorithm>

namespace ringmta::smtp {

namespace {
constexpr size_t kTextMin = 512;  // octets; a handful of recipients
}

void EnvelopeStore::clear() {
  head_ = {};
  text_.clear();
  recipients_.clear();
  if (text_.capacity() <= kTextKept) return;
  std::string().swap(text_);
  std::vector<RecipientView>().swap(recipients_);
}

void EnvelopeStore::begin(const EnvelopeView& envelope) {
  clear();
  head_ = envelope;
  head_.reverse_path = head_.envelope_id = {};
  head_.reverse_path = keep(envelope.reverse_path);
  head_.envelope_id = keep(envelope.envelope_id);
}

void EnvelopeStore::add(const RecipientView& recipient) {
  RecipientView kept{{}, {}, recipient.notify};
  // Room for both first: a view that is not in recipients_ yet would not be moved.
  const size_t needed =
      text_.size() + recipient.address.size() + recipient.original_recipient.size();
  if (needed > text_.capacity()) grow(needed);
  kept.address = keep(recipient.address);
  kept.original_recipient = keep(recipient.original_recipient);
  recipients_.push_back(kept);
}

EnvelopeView EnvelopeStore::view() const {
  EnvelopeView whole = head_;
  whole.recipients = recipients_;
  return whole;
}

std::string_view EnvelopeStore::keep(std::string_view piece) {
  if (piece.empty()) return {};
  if (text_.size() + piece.size() > text_.capacity()) grow(text_.size() + piece.size());
  const size_t begin = text_.size();
  text_.append(piece);
  return std::string_view(text_).substr(begin);
}

void EnvelopeStore::grow(size_t needed) {
  std::string larger;
  larger.reserve(std::max({kTextMin, needed, 2 * text_.capacity()}));
  larger.append(text_);
  const auto move = [&](std::string_view& view) {
    if (!view.empty()) view = {larger.data() + (view.data() - text_.data()), view.size()};
  };
  move(head_.reverse_path);
  move(head_.envelope_id);
  for (RecipientView& recipient : recipients_) {
    move(recipient.address);
    move(recipient.original_recipient);
  }
  text_.swap(larger);
}

}  // namespace ringmta::smtp
