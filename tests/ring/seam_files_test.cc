// SPDX-License-Identifier: GPL-3.0-or-later
// Files as ring/io.h and ring/disk.h promise them, kernel and simulator alike.
#include <cerrno>
#include <cstdlib>
#include <string>

#include "ringmta/base/prng.h"
#include "seam.h"

namespace ringmta::ring {
namespace {

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};
using Page = std::unique_ptr<char, FreeMemory>;

Page pages(size_t octets, char fill) {
  Page memory(static_cast<char*>(std::aligned_alloc(4096, octets)));
  std::fill_n(memory.get(), octets, fill);
  return memory;
}

class Files : public Seam {
 protected:
  FileId open(const std::string& name, OpenMode mode) {
    Result<FileId> file = io->open_file(directory + "/" + name, mode);
    EXPECT_TRUE(file.has_value()) << file.error().message;
    return file.value_or(FileId{});
  }
  // Waits for the one operation in flight.
  int32_t result() {
    const size_t before = results_;
    EXPECT_TRUE(drive([&] { return files_done() > before; }));
    size_t number = 0;
    for (const Seen& event : seen) {
      if (event.kind != EventKind::file_done || number++ != before) continue;
      ++results_;
      EXPECT_EQ(event.token, kFile);
      return event.result;
    }
    return INT32_MIN;
  }
  size_t files_done() const {
    size_t found = 0;
    for (const Seen& event : seen) {
      if (event.kind == EventKind::file_done) ++found;
    }
    return found;
  }
  int32_t write(FileId file, std::string_view text, uint64_t offset,
                Durability durability = Durability::none) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    io->write_file(file, {&part, 1}, offset, durability, kFile);
    return result();
  }
  std::string read(FileId file, size_t octets, uint64_t offset) {
    std::string text(octets, '?');
    io->read_file(file, {reinterpret_cast<std::byte*>(text.data()), octets}, offset, kFile);
    const int32_t length = result();
    EXPECT_GE(length, 0);
    text.resize(length >= 0 ? static_cast<size_t>(length) : 0);
    return text;
  }
  std::string content(const std::string& name) {
    Result<std::vector<std::byte>> data = disk::read(directory + "/" + name, 0, UINT64_MAX);
    EXPECT_TRUE(data.has_value());
    return data ? std::string(as_text(*data)) : std::string();
  }

 private:
  size_t results_ = 0;
};

TEST_F(Files, GiveBackWhatWasWritten) {
  const FileId file = open("f", OpenMode::write);
  EXPECT_EQ(write(file, "hello world", 0), 11);
  EXPECT_EQ(read(file, 11, 0), "hello world");
  EXPECT_EQ(write(file, "W", 6), 1);
  EXPECT_EQ(read(file, 5, 6), "World");
  EXPECT_EQ(*io->file_size(file), 11U);
  io->close_file(file);
  EXPECT_EQ(content("f"), "hello World");
}

TEST_F(Files, AreReadShortAtTheirEnd) {
  const FileId file = open("f", OpenMode::write);
  write(file, "hello", 0);
  EXPECT_EQ(read(file, 100, 3), "lo");
  EXPECT_EQ(read(file, 100, 5), "");
  EXPECT_EQ(read(file, 100, 5000), "");
}

TEST_F(Files, HaveZerosWhereNothingWasWritten) {
  const FileId file = open("f", OpenMode::write);
  write(file, "x", 1000);
  EXPECT_EQ(*io->file_size(file), 1001U);
  EXPECT_EQ(read(file, 1001, 0), std::string(1000, '\0') + "x");
}

TEST_F(Files, AreWrittenFromSeveralParts) {
  const FileId file = open("f", OpenMode::write);
  std::string texts[3] = {"one ", "two ", "three"};
  const iovec parts[] = {{texts[0].data(), texts[0].size()},
                         {texts[1].data(), texts[1].size()},
                         {texts[2].data(), texts[2].size()}};
  io->write_file(file, parts, 0, Durability::durable, kFile);
  EXPECT_EQ(result(), 13);
  EXPECT_EQ(content("f"), "one two three");
}

TEST_F(Files, AreWrittenFromTheMostPartsAllowed) {
  const FileId file = open("f", OpenMode::write);
  std::string text(Io::kWritePartsMax, 'x');
  std::vector<iovec> parts;
  for (char& c : text) parts.push_back({&c, 1});
  io->write_file(file, parts, 0, Durability::none, kFile);
  EXPECT_EQ(result(), static_cast<int32_t>(text.size()));
  EXPECT_EQ(content("f"), text);
}

TEST_F(Files, AreWrittenDurably) {
  const FileId file = open("f", OpenMode::write);
  EXPECT_EQ(write(file, "safe", 0, Durability::durable), 4);
  EXPECT_EQ(content("f"), "safe");
}

TEST_F(Files, AreWrittenPastTheCache) {
  Result<FileId> file = io->open_file(directory + "/f", OpenMode::write_direct);
  if (!file && file.error().code == EINVAL) GTEST_SKIP() << "no O_DIRECT on this file system";
  ASSERT_TRUE(file.has_value());
  const Page memory = pages(8192, 'd');
  EXPECT_EQ(write(*file, {memory.get(), 8192}, 4096, Durability::durable), 8192);
  const Page back = pages(4096, '?');
  io->read_file(*file, {reinterpret_cast<std::byte*>(back.get()), 4096}, 8192, kFile);
  EXPECT_EQ(result(), 4096);
  EXPECT_EQ(std::string_view(back.get(), 4096), std::string(4096, 'd'));
}

TEST_F(Files, RefuseToGoPastTheCacheFromAnyMemory) {
  Result<FileId> file = io->open_file(directory + "/f", OpenMode::write_direct);
  if (!file && file.error().code == EINVAL) GTEST_SKIP() << "no O_DIRECT on this file system";
  ASSERT_TRUE(file.has_value());
  const Page memory = pages(8192, 'd');
  EXPECT_EQ(write(*file, {memory.get() + 1, 4096}, 0), -EINVAL);
  EXPECT_EQ(write(*file, {memory.get(), 100}, 0), -EINVAL);
  EXPECT_EQ(write(*file, {memory.get(), 4096}, 100), -EINVAL);
}

TEST_F(Files, AreAppendedAtTheirEndWhateverTheOffset) {
  FileId file = open("f", OpenMode::append);
  EXPECT_EQ(write(file, "one\n", 0), 4);
  EXPECT_EQ(write(file, "two\n", 0), 4);
  io->close_file(file);
  file = open("f", OpenMode::append);
  EXPECT_EQ(write(file, "three\n", 0), 6);
  EXPECT_EQ(content("f"), "one\ntwo\nthree\n");
}

TEST_F(Files, AreAllocated) {
  const FileId file = open("f", OpenMode::write);
  io->allocate_file(file, 100'000, kFile);
  EXPECT_EQ(result(), 0);
  EXPECT_EQ(*io->file_size(file), 100'000U);
  EXPECT_EQ(read(file, 10, 99'990), std::string(10, '\0'));
}

TEST_F(Files, AreNeverShortenedByAllocation) {
  const FileId file = open("f", OpenMode::write);
  write(file, "hello", 0);
  io->allocate_file(file, 3, kFile);
  EXPECT_EQ(result(), 0);
  EXPECT_EQ(content("f"), "hello");
}

TEST_F(Files, AreSynced) {
  const FileId file = open("f", OpenMode::write);
  write(file, "hello", 0);
  io->sync_file(file, kFile);
  EXPECT_EQ(result(), 0);
}

TEST_F(Files, TellThatThereIsNoSuchFile) {
  const Result<FileId> file = io->open_file(directory + "/none", OpenMode::read);
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, ENOENT);
  EXPECT_NE(file.error().message.find(directory + "/none"), std::string::npos);
  EXPECT_EQ(io->open_file(directory + "/no/f", OpenMode::write).error().code, ENOENT);
}

TEST_F(Files, OpenedForReadingAreNotWritten) {
  io->close_file(open("f", OpenMode::write));
  const FileId file = open("f", OpenMode::read);
  EXPECT_EQ(write(file, "x", 0), -EBADF);
}

TEST_F(Files, TakeManyOperationsAtOnce) {
  const FileId file = open("f", OpenMode::write);
  constexpr size_t kCount = 100;
  std::vector<std::string> texts;
  for (size_t i = 0; i < kCount; ++i) texts.push_back(std::string(100, static_cast<char>(i)));
  for (size_t i = 0; i < kCount; ++i) {
    const iovec part{texts[i].data(), texts[i].size()};
    io->write_file(file, {&part, 1}, i * 100, Durability::none,
                   Token::make(4, static_cast<uint32_t>(i)));
  }
  ASSERT_TRUE(drive([&] { return files_done() == kCount; }));
  for (uint32_t i = 0; i < kCount; ++i) {
    ASSERT_NE(find(EventKind::file_done, Token::make(4, i)), nullptr);
    EXPECT_EQ(find(EventKind::file_done, Token::make(4, i))->result, 100);
  }
  std::string whole;
  for (const std::string& text : texts) whole += text;
  EXPECT_TRUE(content("f") == whole);
}

TEST_F(Files, GiveTheirNumbersToLaterOnes) {
  const FileId first = open("a", OpenMode::write);
  const FileId second = open("b", OpenMode::write);
  EXPECT_NE(first.index, second.index);
  io->close_file(first);
  const FileId third = open("c", OpenMode::write);
  write(third, "third", 0);
  write(second, "second", 0);
  EXPECT_EQ(content("c"), "third");
  EXPECT_EQ(content("b"), "second");
  EXPECT_EQ(content("a"), "");
}

class Disk : public Seam {
 protected:
  std::string at(const std::string& name) const { return directory + "/" + name; }
};

TEST_F(Disk, MakesDirectoriesWithTheirParents) {
  EXPECT_TRUE(disk::make_directory(at("a/b/c")));
  EXPECT_TRUE(disk::make_directory(at("a/b/c")));
  EXPECT_TRUE(disk::write(at("a/b/c/f"), as_bytes("x")));
  const Status over_file = disk::make_directory(at("a/b/c/f"));
  ASSERT_FALSE(over_file);
  EXPECT_EQ(over_file.error().code, ENOTDIR);
}

TEST_F(Disk, ListsNamesSorted) {
  for (const char* name : {"b", "a", "c"}) ASSERT_TRUE(disk::write(at(name), {}));
  ASSERT_TRUE(disk::make_directory(at("directory/within")));
  const Result<std::vector<std::string>> names = disk::list(directory);
  ASSERT_TRUE(names.has_value());
  EXPECT_EQ(*names, (std::vector<std::string>{"a", "b", "c", "directory"}));
  EXPECT_EQ(disk::list(at("none")).error().code, ENOENT);
}

TEST_F(Disk, ReplacesAFileWhole) {
  EXPECT_TRUE(disk::write(at("f"), as_bytes("a long first version")));
  EXPECT_TRUE(disk::write(at("f"), as_bytes("second")));
  EXPECT_EQ(*disk::size(at("f")), 6U);
  EXPECT_EQ(as_text(*disk::read(at("f"), 0, 100)), "second");
  EXPECT_EQ(disk::list(directory)->size(), 1U);
}

TEST_F(Disk, ReadsAPartAndStopsAtTheEnd) {
  ASSERT_TRUE(disk::write(at("f"), as_bytes("0123456789")));
  EXPECT_EQ(as_text(*disk::read(at("f"), 3, 4)), "3456");
  EXPECT_EQ(as_text(*disk::read(at("f"), 8, 100)), "89");
  EXPECT_EQ(disk::read(at("f"), 10, 1)->size(), 0U);
  EXPECT_EQ(disk::read(at("none"), 0, 1).error().code, ENOENT);
}

TEST_F(Disk, OverwritesInPlace) {
  ASSERT_TRUE(disk::write(at("f"), as_bytes("0123456789")));
  EXPECT_TRUE(disk::overwrite(at("f"), 2, as_bytes("xy")));
  EXPECT_EQ(as_text(*disk::read(at("f"), 0, 100)), "01xy456789");
  EXPECT_EQ(disk::overwrite(at("none"), 0, as_bytes("x")).error().code, ENOENT);
}

TEST_F(Disk, RenamesOverWhatIsThere) {
  ASSERT_TRUE(disk::write(at("old"), as_bytes("old")));
  ASSERT_TRUE(disk::write(at("new"), as_bytes("new")));
  EXPECT_TRUE(disk::rename(at("old"), at("new")));
  EXPECT_EQ(*disk::list(directory), std::vector<std::string>{"new"});
  EXPECT_EQ(as_text(*disk::read(at("new"), 0, 100)), "old");
  EXPECT_EQ(disk::rename(at("old"), at("other")).error().code, ENOENT);
}

TEST_F(Disk, Removes) {
  ASSERT_TRUE(disk::write(at("f"), as_bytes("x")));
  EXPECT_TRUE(disk::remove(at("f")));
  EXPECT_TRUE(disk::list(directory)->empty());
  EXPECT_EQ(disk::remove(at("f")).error().code, ENOENT);
  EXPECT_EQ(disk::size(at("f")).error().code, ENOENT);
}

TEST_F(Disk, KeepsARemovedFileThatIsOpen) {
  ASSERT_TRUE(disk::write(at("f"), as_bytes("x")));
  Result<FileId> file = io->open_file(at("f"), OpenMode::read);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(disk::remove(at("f")));
  EXPECT_EQ(*io->file_size(*file), 1U);
}

TEST_F(Disk, TellsItsFreeSpace) {
  EXPECT_GT(disk::free_bytes(directory).value_or(0), 0U);
  EXPECT_FALSE(disk::free_bytes(at("none")).has_value());
}

TEST_F(Disk, IsLockedOnce) {
  ASSERT_TRUE(disk::lock_directory(directory));
  const Status again = disk::lock_directory(directory);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, EWOULDBLOCK);
  EXPECT_NE(again.error().message.find(directory), std::string::npos);
}

}  // namespace
}  // namespace ringmta::ring
