// SPDX-License-Identifier: GPL-3.0-or-later
// Delivery status notifications, put together (RFC 3461, 3464, 6522, 6533, 3834).
//
// Three parts: words for people, fields for machines, and what there is of the original. Never
// fails: what is missing is left out, what is odd is cleaned, what is too large is cut to its
// header.
//
// The insight: nobody tells a sender that his notification could not be delivered, so it must not
// need anything on its way. All of it is 7-bit (where the sender's address is): what is not, is
// quoted-printable. Only message/rfc822 may not be encoded (RFC 2046 5.2.1), so a message with
// 8-bit text goes back as its header, unless it came with SMTPUTF8: then it is message/global,
// which may be (RFC 6532 3.7). Costs a copy of what is returned; it is not on the path of ordinary
// mail.
#include "ringmta/queue/dsn.h"

#include "dsn_text.h"
#include "quoted_printable.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/octets.h"

namespace ringmta::queue {
namespace {

using smtp::Notify;

constexpr std::string_view kClosing = ".\r\n";
constexpr size_t kDiagnosticMax = 2000;  // octets of a peer's reply that are quoted

// The original, as much of it as goes back.
struct Returned {
  std::string text;    // wire form without the closing ".CRLF"
  std::string header;  // its header section
  bool full = false;
  bool too_large = false, eight_bit = false;  // RET=FULL was asked, but for that
};

void strip_closing(std::string& text) {
  if (text == kClosing) text.clear();
  if (text.ends_with("\r\n.\r\n")) text.resize(text.size() - kClosing.size());
}

Returned take_original(const DsnReport& report, bool some_failed) {
  Returned returned;
  uint64_t size = 0;
  for (const std::string_view piece : report.original) size += piece.size();
  // RET speaks of failures only (RFC 3461 4.3); all other notifications carry the header.
  const bool full_wanted = report.dsn_return == smtp::DsnReturn::full && some_failed;
  returned.full = full_wanted && size <= report.return_size_max;
  returned.too_large = full_wanted && !returned.full;
  std::string all;
  for (const std::string_view piece : report.original) {
    if (!returned.full && all.size() >= report.return_size_max) break;
    const uint64_t room = returned.full ? piece.size() : report.return_size_max - all.size();
    const size_t seen = all.size() < 3 ? 0 : all.size() - 3;
    all += piece.substr(0, room);
    if (!returned.full && all.find("\r\n\r\n", seen) != std::string::npos) break;
  }
  strip_closing(all);
  returned.eight_bit = returned.full && !report.utf8 && !is_ascii(all);
  if (returned.eight_bit) returned.full = false;
  const size_t blank = all.starts_with("\r\n") ? 0 : all.find("\r\n\r\n");
  if (blank == 0) {
    returned.header.clear();
  } else if (blank != std::string::npos) {
    returned.header = all.substr(0, blank + 2);
  } else {  // cut off, or no body: whole lines only
    const size_t last = all.rfind("\r\n");
    returned.header = last == std::string::npos ? std::string() : all.substr(0, last + 2);
  }
  returned.text = returned.full ? std::move(all) : returned.header;
  return returned;
}

smtp::EnhancedStatus told_status(const DsnRecipient& recipient) {
  const smtp::EnhancedStatus status = recipient.status;
  switch (recipient.action) {
    case DsnAction::failed:  // 4.x.x too: given up after a temporary failure (RFC 3464 2.3.4)
      return status.klass == 5 || status.klass == 4 ? status : smtp::EnhancedStatus{5, 0, 0};
    case DsnAction::delayed:
      return status.klass == 4 ? status : smtp::EnhancedStatus{4, 0, 0};
    default:
      return status.klass == 2 ? status : smtp::EnhancedStatus{2, 0, 0};
  }
}

// "mx.example.net:25" without the port; address literals and IPv6 stay whole.
std::string_view without_port(std::string_view host) {
  const size_t colon = host.find(':');
  if (colon == std::string_view::npos || host.find(':', colon + 1) != std::string_view::npos)
    return host;
  return host.substr(0, colon);
}

struct TypedAddress {
  std::string_view type;
  std::string address;
};

// ORCPT= as received: "rfc822;Bob+40x", "utf-8;b\x{FC}b@..." (RFC 3461 4.2, RFC 6533 3).
TypedAddress original_address(std::string_view value) {
  const size_t semicolon = value.find(';');
  if (semicolon == std::string_view::npos) return {"rfc822", decode_xtext(value)};
  const std::string_view type = value.substr(0, semicolon);
  const std::string_view address = value.substr(semicolon + 1);
  return {type, type == "utf-8" ? decode_utf8_address(address) : decode_xtext(address)};
}

class Builder final {
 public:
  explicit Builder(const DsnReport& report) : report_(report) {
    for (const DsnRecipient& recipient : report.recipients) {
      ++count_[static_cast<size_t>(recipient.action)];
      global_ = global_ || !is_ascii(recipient.address);
      if (!recipient.original_recipient.empty()) {
        global_ = global_ || !is_ascii(original_address(recipient.original_recipient).address);
      }
    }
    global_ = global_ || !is_ascii(report.reverse_path);
    original_ = take_original(report, has(DsnAction::failed));
    boundary_ = joined({"=_ringmta_", cleaned(report.id, false)});
    while (original_.text.find(boundary_) != std::string::npos) boundary_ += '_';
  }

  DsnMessage build() {
    header();
    const std::string words = people_part();
    part(is_ascii(words) ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8",
         "Notification", words);
    std::string fields;
    machine_part(fields);
    part(global_ ? "message/global-delivery-status" : "message/delivery-status", "Delivery report",
         fields);
    if (!report_.original.empty()) {
      part(returned_type(), original_.full ? "Undelivered message" : "Message header",
           original_.text);
    }
    out_ += joined({"\r\n--", boundary_, "--\r\n"});
    DsnMessage message;
    message.has_eight_bit = !is_ascii(out_);
    message.has_dot_stuffing = out_.find("\r\n.") != std::string::npos;
    message.utf8 = !is_ascii(report_.reverse_path);
    out_ += kClosing;
    message.content = std::move(out_);
    return message;
  }

 private:
  bool has(DsnAction action) const { return count_[static_cast<size_t>(action)] > 0; }

  void field(std::string& into, std::string_view name, std::string_view value) const {
    append_folded(into, joined({name, ": "}), " ", cleaned(value, global_));
  }

  void part(std::string_view type, std::string_view description, const std::string& text) {
    out_ += joined({"\r\n--", boundary_, "\r\n"});
    field(out_, "Content-Description", description);
    field(out_, "Content-Type", type);
    const bool plain = is_ascii(text);
    if (!plain) field(out_, "Content-Transfer-Encoding", "quoted-printable");
    out_ += "\r\n";
    out_ += plain ? text : quoted_printable(text);
  }

  std::string_view returned_type() const {
    const bool global = report_.utf8 && !is_ascii(original_.text);
    if (original_.full) return global ? "message/global" : "message/rfc822";
    if (global) return "message/global-headers";
    const bool named = !is_ascii(original_.text) && is_utf8(original_.text);
    return named ? "text/rfc822-headers; charset=utf-8" : "text/rfc822-headers";
  }

  void header() {
    const std::string_view host = report_.reporting_mta;
    field(out_, "Date", date_text(report_.now));
    const std::string daemon = joined({"MAILER-DAEMON@", host});
    field(out_, "From",
          joined({"Mail Delivery System <",
                  report_.from.empty() ? std::string_view(daemon) : report_.from, ">"}));
    field(out_, "To", joined({"<", report_.reverse_path, ">"}));
    field(out_, "Subject", subject());
    field(out_, "Message-ID", joined({"<", report_.id, ".dsn@", host, ">"}));
    // So that mail programs show it with the message it speaks of (RFC 3834 3.1.5).
    const std::string original_id = header_field(original_.header, "Message-ID");
    if (original_id.size() > 2 && original_id.size() < 500 && original_id.front() == '<' &&
        original_id.find('>') == original_id.size() - 1 &&
        original_id.find(' ') == std::string::npos && is_ascii(original_id)) {
      field(out_, "In-Reply-To", original_id);
      field(out_, "References", original_id);
    }
    field(out_, "Auto-Submitted", "auto-replied");
    field(out_, "MIME-Version", "1.0");
    out_ += joined({"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"",
                    boundary_, "\"\r\n"});
    out_ += "\r\nThis is a delivery status notification in MIME format (RFC 3464).\r\n";
  }

  std::string_view subject() const {
    if (has(DsnAction::failed)) return "Undelivered mail: your message could not be delivered";
    if (has(DsnAction::delayed)) return "Delayed mail: your message is still being tried";
    return "Delivered mail: your message has arrived or was passed on";
  }

  // The words for people.
  std::string people_part() const {
    std::string text;
    const auto paragraph = [&](std::string_view words) {
      append_folded(text, "", "", words);
      text += "\r\n";
    };
    paragraph(
        joined({"This is the mail system at ", cleaned(report_.reporting_mta, global_), "."}));
    original_facts(text);
    section(
        text, DsnAction::failed,
        "Your message could not be delivered to the recipients below. It will not be tried again.");
    section(text, DsnAction::delayed,
            "You need not send your message again. It could not be delivered yet to the recipients "
            "below; it is kept "
            "and tried further, and you will be told if that fails for good.");
    section(text, DsnAction::delivered, "Your message was delivered to:");
    section(text, DsnAction::relayed,
            "Your message was passed on towards the recipients below, to a mail system that does "
            "not confirm "
            "deliveries. You may hear nothing further:");
    section(text, DsnAction::expanded,
            "Your message was delivered to the mailing lists below, which sent it on to their "
            "members:");
    if (original_.too_large) {
      paragraph("Your message is too large to be returned in full; its header is attached.");
    } else if (original_.eight_bit) {
      paragraph(
          "Your message has 8-bit text, which not every mail system on the way back to you may be "
          "able to carry, so it is not returned in full; its header is attached.");
    } else if (original_.full) {
      paragraph("Your message is attached.");
    } else if (!original_.text.empty()) {
      paragraph("The header of your message is attached.");
    }
    text.resize(text.size() - 2);  // the blank line behind the last paragraph
    return text;
  }

  void original_facts(std::string& text) const {
    const size_t before = text.size();
    for (const std::string_view name : {"Subject", "Date", "Message-ID"}) {
      const std::string value = header_field(original_.header, name);
      // Encoded words say nothing to people; the attached header has them.
      if (value.empty() || value.size() > 300 || value.find("=?") != std::string::npos ||
          !is_ascii(value))
        continue;
      append_folded(text, joined({"    ", name, ": "}), "        ", cleaned(value, false));
    }
    if (report_.arrival.ms != 0)
      append_folded(text, "    Accepted here: ", "        ", date_text(report_.arrival));
    if (text.size() > before) text += "\r\n";
  }

  void section(std::string& text, DsnAction action, std::string_view words) const {
    if (!has(action)) return;
    append_folded(text, "", "", words);
    text += "\r\n";
    for (const DsnRecipient& recipient : report_.recipients) {
      if (recipient.action == action) recipient_words(text, recipient);
    }
  }

  void recipient_words(std::string& text, const DsnRecipient& recipient) const {
    constexpr std::string_view kIndent = "    ";
    append_folded(text, "", kIndent, joined({"<", cleaned(recipient.address, global_), ">"}));
    const std::string peer = cleaned(without_port(recipient.remote_mta), global_);
    const bool bad =
        recipient.action == DsnAction::failed || recipient.action == DsnAction::delayed;
    if (!recipient.diagnostic.empty()) {
      const std::string who = peer.empty() ? "The mail system there" : peer;
      const std::string reply = cleaned(recipient.diagnostic.substr(0, kDiagnosticMax), global_);
      append_folded(text, kIndent, kIndent,
                    joined({who,
                            !bad                      ? " answered: "
                            : recipient.to_connection ? " refused the connection: "
                                                      : " refused it: ",
                            reply}));
    }
    if (!recipient.reason.empty()) {
      std::string reason = cleaned(recipient.reason.substr(0, kDiagnosticMax), global_);
      if (recipient.kept_back && !peer.empty())
        reason = joined({"this relay could not pass it on to ", peer, ": ", reason});
      if (reason.front() >= 'a' && reason.front() <= 'z')
        reason.front() = static_cast<char>(reason.front() - 32);
      append_folded(text, kIndent, kIndent, reason);
    }
    const std::string_view help = advice(told_status(recipient), recipient.action);
    if (!help.empty()) append_folded(text, kIndent, kIndent, help);
    if (recipient.action == DsnAction::delayed && recipient.retry_until.ms != 0) {
      append_folded(text, kIndent, kIndent,
                    joined({"It will be tried until ", date_text(recipient.retry_until), "."}));
    }
    text += "\r\n";
  }

  // The fields for machines (RFC 3464 2.2 and 2.3).
  void machine_part(std::string& into) const {
    field(into, "Reporting-MTA", joined({"dns; ", report_.reporting_mta}));
    if (!report_.envelope_id.empty())
      field(into, "Original-Envelope-Id", decode_xtext(report_.envelope_id));
    if (report_.arrival.ms != 0) field(into, "Arrival-Date", date_text(report_.arrival));
    for (const DsnRecipient& recipient : report_.recipients) {
      into += "\r\n";
      if (!recipient.original_recipient.empty()) {
        const TypedAddress original = original_address(recipient.original_recipient);
        field(into, "Original-Recipient", joined({original.type, "; ", original.address}));
      }
      field(into, "Final-Recipient",
            joined({is_ascii(recipient.address) ? "rfc822; " : "utf-8; ", recipient.address}));
      field(into, "Action", to_text(recipient.action));
      field(into, "Status", told_status(recipient).text());
      // Who was not asked has reported nothing (RFC 3464 2.3.5).
      if (!recipient.remote_mta.empty() && !recipient.kept_back) {
        field(into, "Remote-MTA", joined({"dns; ", without_port(recipient.remote_mta)}));
      }
      if (!recipient.diagnostic.empty()) {
        field(into, "Diagnostic-Code",
              joined({"smtp; ", recipient.diagnostic.substr(0, kDiagnosticMax)}));
      } else if (!recipient.reason.empty()) {
        field(into, "Diagnostic-Code",
              joined({"x-ringmta; ", recipient.reason.substr(0, kDiagnosticMax)}));
      }
      if (recipient.last_attempt.ms != 0)
        field(into, "Last-Attempt-Date", date_text(recipient.last_attempt));
      if (recipient.action == DsnAction::delayed && recipient.retry_until.ms != 0) {
        field(into, "Will-Retry-Until", date_text(recipient.retry_until));
      }
    }
  }

  const DsnReport& report_;
  size_t count_[5] = {};  // recipients by action
  bool global_ = false;   // some address is not ASCII: the forms of RFC 6533
  Returned original_;
  std::string boundary_;
  std::string out_;
};

}  // namespace

std::string_view to_text(DsnAction action) {
  switch (action) {
    case DsnAction::failed:
      return "failed";
    case DsnAction::delayed:
      return "delayed";
    case DsnAction::delivered:
      return "delivered";
    case DsnAction::relayed:
      return "relayed";
    case DsnAction::expanded:
      return "expanded";
  }
  return "failed";
}

bool dsn_wanted(uint8_t notify, DsnAction action, bool reverse_path_empty) {
  if (reverse_path_empty || (notify & Notify::kNever) != 0) return false;
  switch (action) {
    case DsnAction::failed:
      return notify == 0 || (notify & Notify::kFailure) != 0;
    case DsnAction::delayed:
      return notify == 0 || (notify & Notify::kDelay) != 0;
    case DsnAction::delivered:
    case DsnAction::relayed:
    case DsnAction::expanded:
      return (notify & Notify::kSuccess) != 0;
  }
  return false;
}

DsnMessage build_dsn(const DsnReport& report) {
  RINGMTA_ASSERT(!report.reverse_path.empty());
  RINGMTA_ASSERT(!report.recipients.empty());
  return Builder(report).build();
}

}  // namespace ringmta::queue
