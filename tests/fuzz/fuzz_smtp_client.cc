// SPDX-License-Identifier: GPL-3.0-or-later
// The client session against any next hop: what it says and what it tells its owner do not depend
// on how the replies are cut, each recipient gets exactly one verdict, and nothing that a server or
// an envelope holds can begin a line of its own in what is sent. The first octets choose options
// and mails, the rest is the peer: a line of it each, the sign of how the owner acts in front.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "../smtp/client_dialogue.h"
#include "input.h"
#include "ringmta/base/assert.h"

namespace ringmta::smtp {
namespace {

struct Play {
  ClientOptions options;
  ClientOpening opening;
  std::map<int, Mail> mails;
  std::string script;
};

Play play_of(fuzz::Input& input) {
  Play play;
  play.options = relay();
  const uint8_t flags = input.byte();
  play.options.lmtp = (flags & 1) != 0;
  play.options.pipelining = (flags & 2) == 0;
  play.options.chunking = (flags & 4) == 0;
  if ((flags & 8) != 0) play.options.chunking_size_max = 500;
  if ((flags & 16) != 0) {
    play.opening.starttls = (flags & 32) != 0 ? StartTls::always : StartTls::offered;
  }
  play.opening.authenticate = (flags & 64) != 0;
  const uint8_t content = input.byte();
  for (int number = 1; number <= 4; ++number) {
    Mail mail;
    for (int recipient = 1; recipient < 1 + (content & 3); ++recipient) {
      mail.to.push_back("r" + std::to_string(recipient) + "@two.example");
    }
    mail.dots = (content & 4) != 0;
    mail.eight_bit = (content & 8) != 0;
    if ((content & 16) != 0) mail.from = "\xC3\xBC@one.example";
    mail.utf8 = (content & 16) != 0;
    if ((content & 32) != 0) mail.envelope_id = "id+2B" + std::to_string(number);
    if ((content & 64) != 0) mail.notify = {Notify::kFailure, Notify::kDelay};
    play.mails[number] = mail;
  }
  int next = 1;
  while (!input.empty()) {
    const std::string line(input.until('\n'));
    if (line.empty()) continue;
    const std::string rest = line.substr(1);
    switch (line[0]) {
      case 'B':
        play.script += "begin " + std::to_string(next) + "\n";
        next = next % 4 + 1;
        break;
      case 'Q':
        play.script += "quit\n";
        break;
      case 'S':
        play.script += "secured\n";
        break;
      case 'A':
        play.script += "auth PLAIN AGEAYg==\n";
        break;
      case 'C':
        play.script += "cancel\n";
        break;
      case 'W':
        play.script += "answer YWJj\n";
        break;
      case '-':
        play.script += "--\n";
        break;
      case '|':
        play.script += "<| " + rest + "\n";
        break;
      default:
        play.script += "< " + line + "\n";
        break;
    }
  }
  play.script += "--\nabandon\n";
  return play;
}

// One run of the play; acts that the session's state forbids are left out.
struct Run {
  std::string said, told;
};

class Actor final {
 public:
  Actor(const Play& play, Cut cut) : play_(play), dialogue_(play.options, cut, 7, play.opening) {}

  Run run() {
    std::string_view script = play_.script;
    std::string server;
    while (!script.empty()) {
      const size_t end = std::min(script.find('\n'), script.size());
      const std::string line(script.substr(0, end));
      script.remove_prefix(std::min(end + 1, script.size()));
      if (line.starts_with("<")) {
        server += line + "\n";
        continue;
      }
      say(server);
      server.clear();
      if (permitted(line)) dialogue_.play(line + "\n", play_.mails);
    }
    return {dialogue_.said, dialogue_.told};
  }

 private:
  // Nothing is sent while these replies arrive: whether a reply came before its command was sent
  // must not depend on how they are cut.
  void say(const std::string& server) {
    // The handshake's octets are not the session's.
    if (told_last("start tls") && dialogue_.told.size() != acted_at_) return;
    if (!server.empty()) dialogue_.play("stuck\n" + server + "sent\n", play_.mails);
  }
  bool told_last(std::string_view act) const {
    const std::string& told = dialogue_.told;
    if (told.size() < 2) return false;
    const size_t begin = told.rfind('\n', told.size() - 2);
    return std::string_view(told)
        .substr(begin == std::string::npos ? 0 : begin + 1)
        .starts_with(act);
  }
  // Whose turn it is can be seen from what the session told.
  bool permitted(const std::string& line) {
    const bool owners = line == "secured" || line == "cancel" || line.starts_with("auth ") ||
                        line.starts_with("answer");
    if (owners) {
      const bool turn = line == "secured"           ? told_last("start tls")
                        : line.starts_with("auth ") ? told_last("authenticate")
                                                    : told_last("challenge");
      if (!turn || told_last("authenticated") || dialogue_.told.size() == acted_at_) return false;
      acted_at_ = dialogue_.told.size();  // one act for each turn
      return true;
    }
    if (line.starts_with("begin")) {
      if (!dialogue_.session().can_begin()) return false;
      // The session may carry each tag once at a time.
      return begun_.insert(line).second;
    }
    return true;
  }

  const Play& play_;
  Dialogue dialogue_;
  std::set<std::string> begun_;
  size_t acted_at_ = SIZE_MAX;  // length of `told` at the last act that was the owner's to do
};

void check(const Play& play, const Run& run) {
  // Each line said is one the session means to say, and nothing else.
  for (const char c : run.said) {
    RINGMTA_ASSERT(c == '\n' || static_cast<unsigned char>(c) >= ' ');
    RINGMTA_ASSERT(c != 0x7F);
  }
  for (const auto& [number, mail] : play.mails) {
    const std::string tag = std::to_string(number);
    size_t finished = 0;
    std::vector<size_t> verdicts(mail.to.size());
    size_t begin = 0;
    while (begin < run.told.size()) {
      const size_t end = run.told.find('\n', begin);
      const std::string line = run.told.substr(begin, end - begin);
      begin = end + 1;
      if (line == tag + " finished") ++finished;
      for (size_t i = 0; i < mail.to.size(); ++i) {
        if (line.starts_with(tag + "." + std::to_string(i) + " ")) {
          ++verdicts[i];
          RINGMTA_ASSERT(finished == 0);
        }
      }
    }
    RINGMTA_ASSERT(finished <= 1);
    for (const size_t one : verdicts) RINGMTA_ASSERT(one == finished);
  }
}

}  // namespace
}  // namespace ringmta::smtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::smtp;
  fuzz::Input input(data, size);
  const Play play = play_of(input);
  const Run whole = Actor(play, Cut::whole).run();
  check(play, whole);
  // Whether octets came together with the reply to STARTTLS or after it does make a difference.
  if (play.opening.starttls != StartTls::never) return 0;
  for (const Cut cut : {Cut::octets, Cut::random}) {
    const Run same = Actor(play, cut).run();
    RINGMTA_ASSERT(same.told == whole.told);
    RINGMTA_ASSERT(same.said == whole.said);
  }
  return 0;
}
