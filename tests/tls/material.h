// SPDX-License-Identifier: GPL-3.0-or-later
// The certificates that make_certificates.py made.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "ringmta/tls/context.h"

namespace ringmta::tls {

inline std::string text_of(const std::string& file) {
  const char* directory = std::getenv("RINGMTA_CERTIFICATES");
  std::ifstream in(std::string(directory == nullptr ? "." : directory) + "/" + file);
  if (!in)
    throw std::runtime_error(file + " is not in RINGMTA_CERTIFICATES: run the tests by meson");
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline CertificateText certificate_text(const std::string& name) {
  return {name, text_of(name + ".pem"), text_of(name + ".key")};
}

}  // namespace ringmta::tls
