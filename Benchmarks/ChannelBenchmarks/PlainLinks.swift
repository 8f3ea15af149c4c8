internal import Channel
internal import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import OneTimePad

/// Records over TCP without pad, tag and proof of identity: what the channel is compared with. It exists here only.
final class PlainRecords {
    private let socket: Socket
    private let buffer: UnsafeMutableRawBufferPointer
    private var ahead = 0

    init(_ socket: Socket, recordBytes: Int) {
        self.socket = socket
        buffer = .allocate(byteCount: recordBytes + 2 * RecordHeader.size, alignment: 64)
        buffer.initializeMemory(as: UInt8.self, repeating: 7)
    }

    deinit { buffer.deallocate() }

    /// Sends a record whose payload lies in this object's buffer already, so that nothing is copied but by the kernel.
    func send(_ count: Int, sequence: UInt64, isLast: Bool) throws {
        let record = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<RecordHeader.size + count])
        RecordHeader(offset: 0, length: UInt32(count), flags: isLast ? RecordHeader.last : 0, sequence: sequence)
            .write(to: record)
        try socket.write(UnsafeRawBufferPointer(record), Deadline(in: 30))
    }

    /// Receives a record and returns its length; nil after the last one.
    func receive() throws -> Int? {
        let deadline = Deadline(in: 30)
        let front = UnsafeMutableRawBufferPointer(rebasing: buffer[ahead..<RecordHeader.size])
        guard try socket.read(front, deadline, isBegun: ahead > 0) else { return nil }
        let header = try RecordHeader(
            reading: UnsafeRawBufferPointer(rebasing: buffer[0..<RecordHeader.size]), longest: buffer.count)
        let end = RecordHeader.size + Int(header.length)
        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[RecordHeader.size..<end + RecordHeader.size])
        ahead = try socket.read(rest, atLeast: end - RecordHeader.size, deadline)
        memmove(buffer.baseAddress!, buffer.baseAddress! + end, ahead)
        return header.flags & RecordHeader.last != 0 ? nil : Int(header.length)
    }
}

/// Datagrams of the same size and in the same batches, without pad and tag. It exists here only.
final class PlainDatagrams: DatagramCarrier {
    let maximumPayload: Int
    let reach: Int
    private let socket: DatagramSocket
    private let sendBuffer: UnsafeMutableRawBufferPointer
    private let receiveBuffer: UnsafeMutableRawBufferPointer
    private let batches = UnsafeMutableBufferPointer<Datagrams.Batch>.allocate(capacity: 4)
    private var sequence: UInt64 = 0
    /// The bytes of a sealed datagram that are not payload, so that both have the same lengths.
    private static let overhead = DatagramChannel.recordOverhead + DatagramHead.size

    /// - Parameter reach: as the sealed datagrams have it.
    init(_ socket: DatagramSocket, maximumPayload: Int, reach: Int) {
        self.socket = socket
        self.maximumPayload = maximumPayload
        self.reach = reach
        sendBuffer = .allocate(byteCount: 65_536, alignment: 64)
        receiveBuffer = .allocate(byteCount: 4 * DatagramSocket.slotSize, alignment: 64)
        sendBuffer.initializeMemory(as: UInt8.self, repeating: 0)
        receiveBuffer.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        sendBuffer.deallocate()
        receiveBuffer.deallocate()
        batches.deallocate()
    }

    func send(_ datagrams: [OutgoingDatagram], timeout: Double) throws -> UInt64 {
        let first = sequence
        var start = 0
        while start < datagrams.count {
            let segment = datagrams[start].payload.count + Self.overhead
            let most = min(Datagrams.most, 65_000 / segment)
            var at = 0
            var number = 0
            while start < datagrams.count, number < most {
                let datagram = datagrams[start]
                let size = datagram.payload.count + Self.overhead
                if size > segment { break }
                let record = UnsafeMutableRawBufferPointer(rebasing: sendBuffer[at..<at + size])
                RecordHeader(offset: 0, length: UInt32(size), flags: 0, sequence: sequence).write(to: record)
                datagram.head.write(
                    to: UnsafeMutableRawBufferPointer(rebasing: record[RecordHeader.size..<RecordHeader.size + 16]))
                UnsafeMutableRawBufferPointer(
                    rebasing: record[RecordHeader.size + 16..<RecordHeader.size + 16 + datagram.payload.count]
                ).copyMemory(from: datagram.payload)
                sequence += 1
                start += 1
                number += 1
                at += size
                if size < segment { break }
            }
            try socket.send(UnsafeRawBufferPointer(rebasing: sendBuffer[0..<at]), segment: segment, timeout: timeout)
        }
        return first
    }

    func receive(timeout: Double, _ body: (IncomingDatagram) throws -> Void) throws -> Int {
        let count = try socket.receive(into: receiveBuffer, batches, timeout: timeout)
        var handed = 0
        for index in 0..<count {
            var at = index * DatagramSocket.slotSize
            let end = at + Int(batches[index].length)
            while at < end {
                let size = min(Int(batches[index].segment), end - at)
                let record = UnsafeRawBufferPointer(rebasing: receiveBuffer[at..<at + size])
                at += size
                guard size >= Self.overhead, let header = try? RecordHeader(reading: record, longest: 65_536) else {
                    continue
                }
                handed += 1
                let text = UnsafeRawBufferPointer(rebasing: record[RecordHeader.size..<size - 16])
                try body(
                    IncomingDatagram(
                        sequence: header.sequence, head: DatagramHead(reading: text),
                        payload: UnsafeRawBufferPointer(rebasing: text[DatagramHead.size...])))
            }
        }
        return handed
    }
}
