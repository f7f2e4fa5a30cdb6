// SPDX-License-Identifier: Apache-2.0
// The clients' idea of pattern=SEED is that of the providers.
import Foundation
import TestSupport
import Testing
import UffdPattern

@Suite("Serve: the content oracle")
struct PatternTests {
  @Test("pattern.h and UffdPattern say the same bytes")
  func twins() async throws {
    let scratch = try Scratch()
    let source = try scratch.file(
      "pattern.c",
      """
      #include <stdio.h>
      #include <stdlib.h>
      #include "pattern.h"
      int main(int count, char **words) {
        uint64_t memory[64];
        if (count != 4) return 2;
        pattern_fill(memory, sizeof memory, strtoull(words[1], 0, 0), strtoull(words[2], 0, 0),
                     strtoull(words[3], 0, 0));
        return fwrite(memory, 1, sizeof memory, stdout) == sizeof memory ? 0 : 1;
      }

      """)
    let program = try await Programs.compile([source], to: "pattern")
    for seed: UInt64 in [0, 7, .max] {
      for place in Self.places {
        var options = Child.Options()
        options.output = "\(scratch.path)/bytes"
        let words = ["\(seed)", "\(place.size)", "\(place.start)"]
        let outcome = try await Child.run([program] + words, options)
        #expect(outcome.code == 0)
        let bytes = FileManager.default.contents(atPath: "\(scratch.path)/bytes") ?? Data()
        let pattern = Pattern(seed: seed)
        let wanted = (place.start..<place.start + 512).map { at -> UInt8 in
          at < place.size ? pattern.byte(at: at) : 0
        }
        #expect([UInt8](bytes) == wanted, "seed \(seed), size \(place.size), from \(place.start)")
      }
    }
  }

  struct Place {
    let size: UInt64
    let start: UInt64
  }

  /// The end of the object behind, inside, in the middle of a word, and before.
  static let places = [
    Place(size: 1 << 40, start: 0), Place(size: 1 << 40, start: (1 << 39) + 8),
    Place(size: 4296, start: 4096), Place(size: 4299, start: 4096), Place(size: 64, start: 4096),
  ]
}
