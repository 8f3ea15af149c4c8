/// A reference genome in memory: contigs in file order, one ``BaseCode`` per base.
public struct ReferenceGenome: Sendable {
    public struct Contig: Sendable {
        public let name: String
        public let bases: [UInt8]
        public init(name: String, bases: [UInt8]) {
            self.name = name
            self.bases = bases
        }
        public var length: Int { bases.count }
    }

    public let contigs: [Contig]

    public init(contigs: [Contig]) { self.contigs = contigs }

    public func index(ofContig name: String) -> Int? { contigs.firstIndex { $0.name == name } }
}
