import Channel
import Diagnostics
import Foundation
import Kernels

/// The interface between a quantum link's driver and a trusted node: blocks of key over the node's `quantum.sock`.
///
/// A link's two directions have key of their own. Blocks are numbered; even numbers serve the direction from the end
/// whose name sorts first, odd numbers the other. Each direction's numbers ascend; a driver leaves out the numbers of a
/// direction whose store is full. All integers are big-endian.
///
/// Request: operation (1 byte: 1 state, 2 deliver, 3 discard), length of the link's name (1 byte), 2 zero bytes, length
/// of the key (4), number of its first block, or of the first block to keep (8), the name (`a|b`, sorted), the key: 1 to
/// 16 blocks of one direction, in order.
/// Answer: status (1 byte: 0 stored, 1 full, 2 refused), 7 zero bytes, then for each direction the lowest number that
/// the node accepts next (8 + 8) and the bytes that it has room for (8 + 8), 1 while the node's disk takes nothing.
package enum QuantumSocket {
    static let requestSize = 16
    static let answerSize = 40
    /// Bytes of a block.
    package static let block = 16 << 10
    /// Bytes of key in one request at most.
    package static let longestRun = 16 * block

    enum Operation: UInt8 { case state = 1, deliver = 2, discard = 3 }
    package enum Status: UInt8, Sendable { case stored = 0, full, refused }

    package struct State: Sendable {
        package var status = Status.stored
        /// By direction.
        package var next: (UInt64, UInt64) = (0, 1)
        package var room: (UInt64, UInt64) = (0, 0)

        /// The room of a node whose disk failed: it takes nothing for a while, and has lost nothing.
        static let blocked: UInt64 = 1
    }

    /// A driver's connection to a node.
    package final class Client {
        private let socket: Socket
        private let name: [UInt8]

        package init(path: String, link: String) throws {
            socket = try Sockets.connect(path: path, Deadline(in: 2))
            name = Array(link.utf8)
        }

        package func state() throws -> State { try call(.state, 0, UnsafeRawBufferPointer(start: nil, count: 0)) }

        /// Delivers blocks whose first has that number.
        package func deliver(_ number: UInt64, _ key: UnsafeRawBufferPointer) throws -> State {
            try call(.deliver, number, key)
        }

        /// Gives up the blocks of the number's direction below it, which the other end has lost.
        func discard(below number: UInt64) throws -> State {
            try call(.discard, number, UnsafeRawBufferPointer(start: nil, count: 0))
        }

        private func call(_ operation: Operation, _ number: UInt64, _ key: UnsafeRawBufferPointer) throws -> State {
            let deadline = Deadline(in: 10)
            try withUnsafeTemporaryAllocation(byteCount: requestSize + name.count, alignment: 8) { request in
                wipe(request)
                request[0] = operation.rawValue
                request[1] = UInt8(name.count)
                request.store(bigEndian: UInt32(key.count), at: 4)
                request.store(bigEndian: number, at: 8)
                request.slice(requestSize..<requestSize + name.count).copyBytes(from: name)
                try socket.write(UnsafeRawBufferPointer(request), deadline)
            }
            try socket.write(key, deadline)
            return try withUnsafeTemporaryAllocation(byteCount: answerSize, alignment: 8) { answer in
                try socket.readWhole(answer, deadline)
                let answer = UnsafeRawBufferPointer(answer)
                func field(_ index: Int) -> UInt64 { answer.load(bigEndian: UInt64.self, at: 8 + 8 * index) }
                return State(
                    status: Status(rawValue: answer[0]) ?? .refused, next: (field(0), field(1)),
                    room: (field(2), field(3)))
            }
        }
    }

    /// Serves one driver's connection until it ends.
    static func serve(_ socket: Socket, stores: [String: LinkKeyStore]) throws {
        let forever = Deadline(in: 1e9)
        let scratch = SecureBytes(count: longestRun)
        try withUnsafeTemporaryAllocation(byteCount: requestSize + 255, alignment: 8) { request in
            while try socket.read(request.slice(0..<requestSize), forever) {
                let header = UnsafeRawBufferPointer(request)
                let nameLength = Int(header[1])
                let length = Int(header.load(bigEndian: UInt32.self, at: 4))
                let number = header.load(bigEndian: UInt64.self, at: 8)
                let nameBytes = request.slice(requestSize..<requestSize + nameLength)
                try socket.readWhole(nameBytes, Deadline(in: 10))
                guard let operation = Operation(rawValue: header[0]), length <= longestRun, length % block == 0,
                    (length > 0) == (operation == .deliver),
                    let store = stores[String(decoding: nameBytes, as: UTF8.self)]
                else {
                    try answer(socket, State(status: .refused))
                    throw Failure(
                        .data, at: "quantum.sock",
                        "a driver sent an unknown link or operation, or key of \(length) bytes",
                        remedy: "deliver 1 to \(longestRun / block) blocks of \(block) bytes for a link of this node")
                }
                var status = Status.stored
                if operation == .deliver {
                    status = try scratch.withUnsafeMutableBytes { scratch in
                        let key = scratch.slice(0..<length)
                        defer { wipe(key) }
                        try socket.readWhole(key, Deadline(in: 10))
                        return try store.deliver(number, UnsafeRawBufferPointer(key))
                    }
                }
                if operation == .discard { store.discard(belowBlock: number) }
                var state = store.state()
                state.status = status
                try answer(socket, state)
            }
        }
    }

    private static func answer(_ socket: Socket, _ state: State) throws {
        try withUnsafeTemporaryAllocation(byteCount: answerSize, alignment: 8) { answer in
            wipe(answer)
            answer[0] = state.status.rawValue
            for (index, value) in [state.next.0, state.next.1, state.room.0, state.room.1].enumerated() {
                answer.store(bigEndian: value, at: 8 + 8 * index)
            }
            try socket.write(UnsafeRawBufferPointer(answer), Deadline(in: 10))
        }
    }
}
