internal import Diagnostics

/// The first 128 bytes of a share file; `docs/FORMATS.md` has the layout byte by byte.
public struct ShareHeader: Sendable, Equatable {
    public static let size = 128
    /// Bytes that the header's own tag covers.
    static let taggedBytes = 112
    static let magic = Array("DSGDSHR1".utf8)
    static let version: UInt16 = 1
    /// The (2,3) scheme of Fujiwara et al. (2022).
    static let scheme: UInt8 = 1
    static let tagAlgorithm: UInt8 = 1

    public let description: ShareSetDescription
    public let index: ShareIndex

    public init(_ description: ShareSetDescription, index: ShareIndex) {
        self.description = description
        self.index = index
    }

    /// Reads a header from the first 128 bytes of a share. The tag is not looked at.
    ///
    /// - Parameter place: the file or peer, for the error.
    /// - Throws: `.data` for anything that is not a header of format 1, scheme 1.
    public init(reading bytes: UnsafeRawBufferPointer, place: String) throws {
        func wrong(_ problem: String, _ remedy: String = "fetch the share again or repair it from the other two")
            -> Failure
        {
            Failure(.data, at: "\(place):header", problem, remedy: remedy)
        }
        guard bytes.count >= Self.size else { throw wrong("the share ends inside its header") }
        guard bytes.prefix(8).elementsEqual(Self.magic) else {
            throw wrong("this is not a share file", "name a file that `dsgd share split` has written")
        }
        let version: UInt16 = bytes.little(at: 8)
        guard version == Self.version else {
            throw wrong(
                "share format \(version) is not known here", "use the version of dsgd that wrote it, or a later one")
        }
        guard bytes[10] == Self.scheme, bytes[11] == 2, bytes[12] == 3, bytes[14] == 0 else {
            throw wrong(
                "scheme \(bytes[10]) with k = \(bytes[11]), n = \(bytes[12]) is not known here",
                "use the version of dsgd that wrote it, or a later one")
        }
        guard let index = ShareIndex(rawValue: bytes[13]) else {
            throw wrong("share index \(bytes[13]) does not exist")
        }
        let headerSize: UInt32 = bytes.little(at: 60)
        guard bytes[15] == Self.tagAlgorithm, headerSize == Self.size, bytes[64..<112].allSatisfy({ $0 == 0 }) else {
            throw wrong("the header is damaged")
        }
        let length: UInt64 = bytes.little(at: 48), blockSize: UInt32 = bytes.little(at: 56)
        guard
            let length = Int(exactly: length),
            let description = ShareSetDescription(
                set: Identifier(high: bytes.big(at: 16), low: bytes.big(at: 24)),
                object: Identifier(high: bytes.big(at: 32), low: bytes.big(at: 40)),
                length: length, blockSize: Int(blockSize))
        else { throw wrong("the header gives an impossible length or block size") }
        self.init(description, index: index)
    }

    /// Writes the header without its tag.
    func write(to bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count == Self.size)
        _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
        bytes.copyBytes(from: Self.magic)
        bytes.storeLittle(Self.version, at: 8)
        bytes[10] = Self.scheme
        bytes[11] = 2
        bytes[12] = 3
        bytes[13] = index.rawValue
        bytes[15] = Self.tagAlgorithm
        bytes.storeBig(description.set.high, at: 16)
        bytes.storeBig(description.set.low, at: 24)
        bytes.storeBig(description.object.high, at: 32)
        bytes.storeBig(description.object.low, at: 40)
        bytes.storeLittle(UInt64(description.length), at: 48)
        bytes.storeLittle(UInt32(description.blockSize), at: 56)
        bytes.storeLittle(UInt32(Self.size), at: 60)
    }

    /// Refuses two shares that cannot be used together.
    static func checkCompatible(_ x: ShareHeader, _ xPlace: String, _ y: ShareHeader, _ yPlace: String) throws {
        func wrong(_ problem: String, _ remedy: String) -> Failure {
            Failure(.data, at: "\(xPlace) and \(yPlace)", problem, remedy: remedy)
        }
        guard x.description.object == y.description.object else {
            throw wrong("the shares are of different objects", "take shares of one object")
        }
        guard x.description.set == y.description.set else {
            throw wrong("the shares are of different share sets", "take shares of one split or refresh")
        }
        guard x.description == y.description else {
            throw wrong("the shares disagree about length or block size", "verify the shares with the owner's tags")
        }
        guard x.index != y.index else {
            throw wrong("both are share \(x.index)", "take two different shares")
        }
    }
}

extension UnsafeRawBufferPointer {
    func little<T: FixedWidthInteger>(at offset: Int) -> T {
        T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    func big<T: FixedWidthInteger>(at offset: Int) -> T {
        T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    func storeLittle<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
    func storeBig<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
    }
}
