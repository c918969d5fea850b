// SPDX-License-Identifier: GPL-3.0-or-later
// The commands; each gives its exit status.
#pragma once

#include "arguments.h"

namespace ringmta::cli {

int serve_command(const ServeCommand& command, const Console& console, const Serve& serve,
                  const Prepare& prepare);
int check_command(const CheckCommand& command, const Console& console);
int status_command(const StatusCommand& command, const Console& console);
int top_command(const TopCommand& command, const Console& console);
int reload_command(const ReloadCommand& command, const Console& console);
int queue_command(const QueueCommand& command, const Console& console);
int password_command(const PasswordCommand& command, const Console& console);
int dkim_key_command(const DkimKeyCommand& command, const Console& console);
int dkim_check_command(const DkimCheckCommand& command, const Console& console);
int send_command(const SendCommand& command, const Console& console);

// "ringmta: what", and the status.
int complain(const Console& console, std::string_view what, ExitStatus status);

}  // namespace ringmta::cli
