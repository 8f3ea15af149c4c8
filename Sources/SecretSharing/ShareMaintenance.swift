import Diagnostics
import Kernels
public import Randomness
import Storage

extension ShareFiles {
    /// Makes a lost share from the other two, equal to the lost one to the byte, without forming the secret.
    ///
    /// The tags are needed: they are put into the share that is made, and a block that a holder changed would otherwise
    /// be carried into it.
    ///
    /// - Returns: which share was made.
    /// - Throws: `.data`, naming share and block, when one of the two is not as its owner made it.
    @discardableResult public static func repair(
        from first: String, _ second: String, tags: ShareTags, to output: String
    ) throws -> ShareIndex {
        let files = try [ShareFile(first, tags: tags), ShareFile(second, tags: tags)]
            .sorted { $0.header.index < $1.header.index }
        let x = files[0], y = files[1]
        try x.checkCompatible(with: y)
        guard let missing = ShareIndex.allCases.first(where: { $0 != x.header.index && $0 != y.header.index }) else {
            preconditionFailure("two of three shares leave one")
        }
        let file = try PartialFile(path: output)
        try withUnsafeTemporaryAllocation(byteCount: ShareHeader.size, alignment: 16) { header in
            tags.writeHeader(missing, into: header)
            try file.write(UnsafeRawBufferPointer(header))
        }
        let description = x.description
        let buffer = SecureBytes(count: min(description.blockSize, (description.length + 1) & ~1) + ShareTags.tagSize)
        for block in 0..<description.blockCount {
            try buffer.withUnsafeMutableBytes { buffer in
                let count = description.payloadBytes(block: block)
                let whole = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count + ShareTags.tagSize)])
                let payload = UnsafeMutableRawBufferPointer(rebasing: whole[..<count])
                try ShareFile.withBlocks(block, x, y) { first, second in
                    let x = UnsafeRawBufferPointer(first), y = UnsafeRawBufferPointer(second)
                    switch missing {
                    case .a: ShareBlock.repair(a: payload, b: x, c: y)
                    case .b: ShareBlock.repair(b: payload, a: x, c: y)
                    case .c: ShareBlock.repair(c: payload, a: x, b: y)
                    }
                }
                tags.sealBlock(missing, block, whole)
                try file.write(UnsafeRawBufferPointer(whole))
            }
        }
        try file.commit()
        return missing
    }

    /// Adds a sharing of zero to the three shares, so that the old and the new ones do not combine: what was stolen
    /// from one holder before is worth nothing with what is stolen from another afterwards.
    ///
    /// The outputs may replace the inputs: files are renamed one by one, and at every moment two shares of one set are
    /// there. Keep the old tag file until this returns; the new tags go to `output.tags`, which is durable first.
    ///
    /// - Parameter input: the three shares and the owner's tag file.
    /// - Throws: `.data`, naming share and block, when an input is not as its owner made it; `.usage` when the new tags
    ///   would replace the old.
    @discardableResult public static func refresh(
        _ input: SharePaths, to output: SharePaths, random: any RandomSource
    ) throws -> MadeShares {
        guard input.tags != output.tags else {
            throw Failure(
                .usage, at: output.tags, "the new tag file would replace the old one",
                remedy: "name another file and remove the old one afterwards")
        }
        let oldTags = try tags(input.tags)
        let shares = try ShareIndex.allCases.map { try ShareFile(input[$0], tags: oldTags) }
        for (index, share) in zip(ShareIndex.allCases, shares) where share.header.index != index {
            throw Failure(
                .data, at: share.path, "this is share \(share.header.index), not \(index)",
                remedy: "name the shares in order")
        }
        let old = oldTags.description
        guard
            let description = ShareSetDescription(
                set: try Identifier(from: random), object: old.object, length: old.length, blockSize: old.blockSize)
        else { preconditionFailure("a description that was read is valid") }
        let newTags = try ShareTags(for: description, from: random)
        let ahead = ReadAhead(random, bytes: description.payloadBytes)
        let files = try ShareIndex.allCases.map { try PartialFile(path: output[$0]) }
        for (index, file) in zip(ShareIndex.allCases, files) {
            try withUnsafeTemporaryAllocation(byteCount: ShareHeader.size, alignment: 16) { header in
                newTags.writeHeader(index, into: header)
                try file.write(UnsafeRawBufferPointer(header))
            }
        }
        let zero = SecureBytes(count: min(old.blockSize, (old.length + 1) & ~1))
        let tag = SecureBytes(count: ShareTags.tagSize)
        for block in 0..<description.blockCount {
            guard try isConsistent(block, shares) else {
                throw Failure(
                    .data, at: "\(input.a), \(input.b), \(input.c):block \(block)",
                    "the three shares contradict each other", remedy: "verify them with the owner's tags")
            }
            try zero.withUnsafeMutableBytes { zero in
                let zero = UnsafeMutableRawBufferPointer(rebasing: zero[..<description.payloadBytes(block: block)])
                try ahead.fill(zero)
                for (position, index) in ShareIndex.allCases.enumerated() {
                    try shares[position].withBlock(block) { share in
                        add(zero: UnsafeRawBufferPointer(zero), to: share, index)
                        try files[position].write(UnsafeRawBufferPointer(share))
                        try tag.withUnsafeMutableBytes { tag in
                            newTags.tagBlock(index, block, UnsafeRawBufferPointer(share), into: tag)
                            try files[position].write(UnsafeRawBufferPointer(tag))
                        }
                    }
                }
            }
        }
        try write(newTags, to: output.tags)
        for file in files { try file.commit() }
        return MadeShares(description: description, randomUse: ahead.use)
    }

    private static func add(zero: UnsafeRawBufferPointer, to share: UnsafeMutableRawBufferPointer, _ index: ShareIndex)
    {
        switch index {
        case .a: ShareBlock.refresh(a: share, zero: zero)
        case .b: ShareBlock.refresh(b: share, zero: zero)
        case .c: ShareBlock.refresh(c: share, zero: zero)
        }
    }
}
