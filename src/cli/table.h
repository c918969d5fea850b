// SPDX-License-Identifier: GPL-3.0-or-later
// Rows in aligned columns: text to the left, numbers to the right, nothing behind the last column.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace ringmta::cli {

enum class Align : unsigned char { left, right };

struct Column {
  std::string title;
  Align align = Align::right;
};

class Table final {
 public:
  explicit Table(std::vector<Column> columns);

  void add(std::vector<std::string> row);
  bool empty() const { return rows_.empty(); }
  size_t rows() const { return rows_.size(); }
  // Prints what was added since the last time; the titles once. Columns never get narrower again.
  void print(std::ostream& out);

 private:
  void line(std::ostream& out, const std::vector<std::string>& cells) const;

  std::vector<Column> columns_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
  bool titled_ = false;
};

}  // namespace ringmta::cli
