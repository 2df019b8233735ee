import VFIO

/// A device tree as a guest's firmware or kernel gets it: a root node, ranges of memory that must be left alone, and
/// the form in which both lie in memory (Devicetree Specification 0.4, chapter 5).
public struct DeviceTree: Sendable, Equatable {
    /// A range of memory that the guest must leave alone.
    public struct Reservation: Sendable, Equatable {
        /// Where it begins.
        public var address: UInt64
        /// Its length in bytes.
        public var byteCount: UInt64

        /// A range.
        public init(address: UInt64, byteCount: UInt64) {
            self.address = address
            self.byteCount = byteCount
        }
    }

    /// The root.
    public var root: DeviceTreeNode
    /// What must be left alone.
    public var reservations: [Reservation] = []
    /// The number of the processor that starts the guest.
    public var bootProcessor: UInt32 = 0

    /// A tree with a root.
    public init(_ root: DeviceTreeNode = DeviceTreeNode("")) { self.root = root }

    /// The words of the format.
    enum Token {
        static let magic: UInt32 = 0xd00d_feed
        static let beginNode: UInt32 = 1
        static let endNode: UInt32 = 2
        static let property: UInt32 = 3
        static let end: UInt32 = 9
    }

    /// How deep nodes may lie in one another.
    private static let mostLevels = 64

    /// The tree as it lies in memory: a flattened device tree of version 17.
    /// - Throws: ``/VFIO/VFIOError/Code/notSupported`` for a name that can't be one, for nodes too deep in one
    ///   another, and for a tree of 4 GiB and more.
    public func flattened() throws(VFIOGuestError) -> [UInt8] {
        var writer = Writer()
        try writer.write(root, level: 0)
        writer.put(Token.end)
        let headerByteCount = 40
        let reservationsByteCount = 16 * (reservations.count + 1)
        let structure = headerByteCount + reservationsByteCount
        let strings = structure + writer.structure.count
        let total = strings + writer.strings.count
        guard let total = UInt32(exactly: total) else { throw Self.impossible("it is too large") }
        var blob = Writer()
        for word in [
            Token.magic, total, UInt32(structure), UInt32(strings), UInt32(headerByteCount), 17, 16,
            bootProcessor,
            UInt32(writer.strings.count), UInt32(writer.structure.count),
        ] { blob.put(word) }
        for range in reservations + [Reservation(address: 0, byteCount: 0)] {
            for word in [range.address >> 32, range.address, range.byteCount >> 32, range.byteCount] {
                blob.put(UInt32(truncatingIfNeeded: word))
            }
        }
        return blob.structure + writer.structure + writer.strings
    }

    private static func impossible(_ cause: String) -> VFIOGuestError {
        VFIOError(operation: "make a device tree", object: "the tree", code: .notSupported, cause: cause)
    }

    private struct Writer {
        var structure: [UInt8] = []
        var strings: [UInt8] = []
        private var places: [String: UInt32] = [:]

        mutating func put(_ word: UInt32) {
            for shift in [24, 16, 8, 0] as [UInt32] {
                structure.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }

        private mutating func align() {
            while structure.count % 4 != 0 { structure.append(0) }
        }

        mutating func write(_ node: DeviceTreeNode, level: Int) throws(VFIOGuestError) {
            guard level < DeviceTree.mostLevels else {
                throw DeviceTree.impossible("its nodes lie too deep in one another")
            }
            guard level == 0 ? node.name.isEmpty : Self.isName(node.name, of: 63, "@,._+-") else {
                throw DeviceTree.impossible("\"\(node.name)\" can't be the name of a node")
            }
            put(Token.beginNode)
            structure += Array(node.name.utf8) + [0]
            align()
            for property in node.properties {
                guard Self.isName(property.name, of: 31, ",._+?#-") else {
                    throw DeviceTree.impossible("\"\(property.name)\" can't be the name of a property")
                }
                guard let count = UInt32(exactly: property.value.count) else {
                    throw DeviceTree.impossible("\"\(property.name)\" is too long")
                }
                put(Token.property)
                put(count)
                put(place(of: property.name))
                structure += property.value
                align()
            }
            for child in node.children { try write(child, level: level + 1) }
            put(Token.endNode)
        }

        private mutating func place(of name: String) -> UInt32 {
            if let place = places[name] { return place }
            let place = UInt32(truncatingIfNeeded: strings.count)
            strings += Array(name.utf8) + [0]
            places[name] = place
            return place
        }

        private static func isName(_ name: String, of most: Int, _ others: String) -> Bool {
            let bytes = name.utf8
            guard (1...most).contains(bytes.count) else { return false }
            return bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    true
                default: others.utf8.contains(byte)
                }
            }
        }
    }
}
