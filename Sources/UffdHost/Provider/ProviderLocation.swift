// SPDX-License-Identifier: Apache-2.0
// Where a provider that is named and not pathed may lie.
import Glibc

extension Provider {
  /// The file for a path or a short name.
  ///
  /// Whatever contains a `/` or ends in `.so` is a path. A short name (`shmem`) is looked up as
  /// `libShmemProvider.so` and `libshmem.so` in the folders of `$UFFDHOST_PLUGIN_PATH` (separated by
  /// colons), beside the executable, and in `../lib/uffdhost` from there.
  public static func locate(_ pathOrName: String) throws(HostError) -> String {
    if pathOrName.isEmpty {
      throw HostError(.usage, "the provider's name is empty; give a path or a short name")
    }
    if pathOrName.contains("/") { return pathOrName }
    // dlopen would search the system's library path for a bare file name; a user means this folder.
    if pathOrName.hasSuffix(".so") { return "./" + pathOrName }
    let files = [
      "lib\(pathOrName.prefix(1).uppercased())\(pathOrName.dropFirst())Provider.so",
      "lib\(pathOrName).so",
    ]
    let folders = searchFolders()
    for folder in folders {
      for file in files {
        let path = folder + "/" + file
        if unsafe access(path, F_OK) == 0 { return path }
      }
    }
    throw HostError(
      .usage,
      "no provider '\(pathOrName)': \(files[0]) is in none of \(folders.joined(separator: ", ")); "
        + "give a path, or set UFFDHOST_PLUGIN_PATH")
  }

  private static func searchFolders() -> [String] {
    var folders: [String] = []
    if let list = unsafe getenv("UFFDHOST_PLUGIN_PATH") {
      unsafe folders += String(cString: list).split(separator: ":").map(String.init)
    }
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
    if length > 0 {
      let executable = String(
        decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let folder = executable.split(separator: "/").dropLast().joined(separator: "/")
      folders += ["/" + folder, "/" + folder + "/../lib/uffdhost"]
    }
    return folders
  }
}
