// SPDX-License-Identifier: GPL-3.0-or-later
// Lies, one of a dozen at a time.
#include "liar.h"

#include <fmt/format.h>

namespace ringmta::simulation {

using dns::Asked;
using dns::Message;
using dns::RecordType;
using dns::ScriptedServer;

Liar::Liar(sim::World& world, uint64_t seed) : random_(seed) {
  world.drive(*elsewhere_.io, &elsewhere_,
              [](void* self) { static_cast<ScriptedServer*>(self)->turn(Monotonic::never()); });
}

void Liar::learn(const std::string& name, RecordType type, const std::string& data) {
  known_[{name, type}].push_back(data);
  const bool new_domain = type == RecordType::mx && (domains_.empty() || domains_.back() != name);
  if (new_domain) domains_.push_back(name);
}

// What leads to the trap.
Message Liar::forged(const Asked& question, uint16_t id) const {
  Asked as = question;
  as.id = id;
  Message message(id);
  message.question(as.name, as.type);
  if (as.type == RecordType::mx) {
    message.answer(fmt::format("{} 3600 IN MX 1 trap.sim.", as.name));
  } else if (as.type == RecordType::a) {
    message.answer(fmt::format("{} 3600 IN A {}", as.name, kTrap));
  }
  return message;
}

void Liar::answer_with_odd_ttl(ScriptedServer& asked, const Asked& question) {
  constexpr uint32_t kTtls[] = {0, 1, 0x7FFFFFFF, 0xFFFFFFFF};
  Message message = asked.answer_to(question);
  const auto found = known_.find({question.lower, question.type});
  for (const std::string& data : found->second) {
    message.answer(
        fmt::format("{} {} IN {}", question.name, kTtls[random_.below(std::size(kTtls))], data));
  }
  asked.reply(question, message);
}

// A domain has moved; it will be back.
bool Liar::answer_of_another(ScriptedServer& asked, const Asked& question) {
  if (question.type != RecordType::mx || domains_.empty()) return false;
  Message message = asked.answer_to(question);
  const auto& records = known_.at({domains_[random_.below(domains_.size())], RecordType::mx});
  for (const std::string& data : records) {
    message.answer(fmt::format("{} {} IN {}", question.name, random_.below(120), data));
  }
  asked.reply(question, message);
  return true;
}

bool Liar::lie(ScriptedServer& asked, const Asked& question) {
  const bool known = known_.contains({question.lower, question.type});
  // That somebody does not exist is believed, and who is told of it must exist.
  const bool of_senders = question.lower == "sender.sim." || question.lower.starts_with("mx0-");
  switch (random_.below(12)) {
    case 0: {  // somebody guesses ids, in the server's name
      for (uint64_t guesses = random_.below(8); guesses-- > 0;) {
        const auto id = static_cast<uint16_t>(question.id + 1 + random_.below(65'535));
        asked.reply(question, forged(question, id));
      }
      return false;
    }
    case 1:  // somebody has seen the question, but is not the one it was put to
      if (!question.tcp) {
        elsewhere_.send_from_here(question.from, forged(question, question.id).octets());
      }
      return false;
    case 2: {  // the answer to another question
      Asked other = question;
      other.name = "x" + question.name;
      asked.reply(question, forged(other, question.id));
      return false;
    }
    case 3: {  // octets
      std::string octets = asked.honest_answer(question);
      for (size_t at = 2; at < octets.size(); ++at) {
        if (random_.below(4) == 0) octets[at] = static_cast<char>(random_.below(256));
      }
      octets[2] = static_cast<char>(octets[2] & 0x7F);  // no answer, so not one to be believed
      asked.reply(question, octets);
      return random_.below(2) == 0;
    }
    case 4: {  // the beginning of the truth
      const std::string octets = asked.honest_answer(question);
      asked.reply(question, octets.substr(0, random_.below(octets.size())));
      return random_.below(2) == 0;
    }
    case 5:
      if (question.tcp) return false;
      asked.reply(question, asked.answer_to(question).truncated());
      return true;
    case 6: {  // the truth, and something nobody asked for
      if (!known) return false;
      Message message = asked.answer_to(question);
      for (const std::string& data : known_.at({question.lower, question.type})) {
        message.answer(fmt::format("{} 60 IN {}", question.name, data));
      }
      message.additional(fmt::format("x{} 3600 IN A {}", question.name, kTrap));
      message.authority(fmt::format("{} 3600 IN NS trap.sim.", question.name));
      message.answer(fmt::format("x{} 3600 IN A {}", question.name, kTrap));
      asked.reply(question, message);
      return true;
    }
    case 7: {  // a name for itself
      if (of_senders) return false;
      Message message = asked.answer_to(question);
      message.answer(fmt::format("{} 1 IN CNAME {}", question.name, question.name));
      asked.reply(question, message);
      return true;
    }
    case 8:
    case 9:
      if (!known) return false;
      answer_with_odd_ttl(asked, question);
      return true;
    case 10:
      return !of_senders && answer_of_another(asked, question);
    default: {  // nothing, and nobody to answer for it
      if (of_senders) return false;
      Message message = asked.answer_to(question);
      message.not_authoritative();
      asked.reply(question, message);
      return true;
    }
  }
}

}  // namespace ringmta::simulation
