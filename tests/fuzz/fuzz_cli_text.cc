// SPDX-License-Identifier: GPL-3.0-or-later
// What `ringmta send` makes of a file and of words on its command line: proper lines, dots stuffed,
// closed once, and a header in which no argument can begin a field of its own.
#include <string>

#include "input.h"
#include "message.h"
#include "ringmta/base/assert.h"

namespace ringmta::cli {
namespace {

void check_wire(std::string_view text) {
  const WireForm wire = wire_form(text);
  RINGMTA_ASSERT(wire.octets.ends_with(".\r\n"));
  const std::string framed = "\r\n" + wire.octets;
  RINGMTA_ASSERT(framed.find("\r\n.\r\n") == framed.size() - 5);
  for (size_t i = 0; i < framed.size(); ++i) {
    if (framed[i] == '\n') RINGMTA_ASSERT(framed[i - 1] == '\r');
  }
}

// Words with a control character are refused before they get here.
std::string without_controls(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) c = '?';
  }
  return result;
}

void check_header(fuzz::Input input) {
  Header header;
  header.from = without_controls(input.until('\x1F'));
  header.to = {without_controls(input.until('\x1F')), without_controls(input.until('\x1F'))};
  header.host = "host.example";
  header.subject = without_controls(input.rest());
  std::string text = header_text(header, true);
  RINGMTA_ASSERT(text.ends_with("\r\n\r\n") && text.find("\r\n\r\n") == text.size() - 4);
  size_t begin = 0;
  while (begin + 2 < text.size()) {
    const size_t end = text.find("\r\n", begin);
    const std::string line = text.substr(begin, end - begin);
    RINGMTA_ASSERT(line.size() <= 998 || header.subject.size() + header.from.size() > 500 ||
                   header.to[0].size() + header.to[1].size() > 400);
    for (const char c : line) RINGMTA_ASSERT(c != '\r' && c != '\n' && c != '\0');
    if (!line.starts_with(' ') && !line.starts_with('\t')) {
      const std::string name = line.substr(0, line.find(':'));
      RINGMTA_ASSERT(name == "From" || name == "To" || name == "Subject" || name == "Date" ||
                     name == "Message-ID" || name == "MIME-Version" || name == "Content-Type" ||
                     name == "Content-Transfer-Encoding");
    }
    begin = end + 2;
  }
}

}  // namespace
}  // namespace ringmta::cli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  if (input.byte() % 2 == 0) {
    cli::check_wire(input.rest());
  } else {
    cli::check_header(input);
  }
  return 0;
}
