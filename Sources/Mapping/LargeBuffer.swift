import Diagnostics
import Foundation

/// Zeroed memory for tables that are hit at random: page aligned, on huge pages where the kernel grants them.
final class LargeBuffer<Element: BitwiseCopyable>: @unchecked Sendable {
    // Written by the builder before it is shared, read only afterwards.
    let pointer: UnsafeMutablePointer<Element>
    let count: Int
    private let mappedBytes: Int

    init(count: Int) {
        self.count = count
        mappedBytes = max(1, count) * MemoryLayout<Element>.stride
        let memory = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { outOfMemory(bytes: mappedBytes, for: "tables of the reference") }
        // MADV_HUGEPAGE. Advice only: a kernel without huge pages answers with an error that changes nothing.
        #if os(Linux)
            if mappedBytes >= 4 << 20 { _ = madvise(memory, mappedBytes, 14) }
        #endif
        pointer = memory.bindMemory(to: Element.self, capacity: max(1, count))
    }

    deinit { munmap(pointer, mappedBytes) }

    var byteCount: Int { count * MemoryLayout<Element>.stride }
}
