/// A function's configuration space taken apart: header, capabilities, extended capabilities as named fields.
///
/// The bytes may come from anyone: lists that loop, leave the space or overlap end in ``problems``.
///
/// Names and bits are those of the PCI Local Bus, PCI Express Base, PCI-to-PCI Bridge and CXL specifications.
public struct DecodedConfiguration: Sendable, Equatable {
    /// How many bytes there were; without privileges Linux shows 64, then capabilities can't be told.
    public var byteCount: Int
    /// The registers of the header, in their order.
    public var header: [ConfigurationField]
    /// The capabilities of the first 256 bytes, in the list's order.
    public var capabilities: [DecodedCapability]
    /// The capabilities of the extended configuration space, in the list's order.
    public var extendedCapabilities: [DecodedCapability]
    /// What is wrong with the header and the lists; what is wrong with one capability stands there.
    public var problems: [ConfigurationProblem]
    /// Whether all bytes are ones: the device doesn't answer.
    public var isGone: Bool

    /// The header's layout: 0 for functions, 1 for bridges, 2 for CardBus bridges; nil for too few bytes.
    public var headerType: UInt8? { header.first { $0.offset == 0x0e }.map { UInt8($0.value & 0x7f) } }

    /// The register that begins at an offset and is named; a capability's too.
    public func register(at offset: Int) -> ConfigurationField? {
        let all = [header] + (capabilities + extendedCapabilities).map(\.registers)
        for registers in all {
            if let found = registers.first(where: { $0.offset == offset }) { return found }
        }
        return nil
    }

    /// The first capability with an ID.
    public func capability(_ id: UInt8) -> DecodedCapability? { capabilities.first { $0.id == Int(id) } }

    /// The first extended capability with an ID.
    public func extendedCapability(_ id: UInt16) -> DecodedCapability? {
        extendedCapabilities.first { $0.id == Int(id) }
    }
}

/// One capability.
public struct DecodedCapability: Sendable, Equatable {
    /// Where it begins in the configuration space, in bytes.
    public var offset: Int
    /// Its ID; the numbers of capabilities and of extended capabilities are different ones.
    public var id: Int
    /// Its version, for extended capabilities.
    public var version: Int?
    /// How many bytes of it are known: up to the last register that is named.
    public var byteCount: Int
    /// What it is.
    public var name: String
    /// What there is to say in a few words ("Root Port", "32 vectors"); nil for nothing.
    public var summary: String?
    /// Its registers, in their order.
    public var registers: [ConfigurationField]
    /// What is wrong with it.
    public var problems: [String]

    /// The register with a name.
    public subscript(name: String) -> ConfigurationField? { registers.first { $0.name == name } }
}

/// Something that is wrong with a configuration space.
public struct ConfigurationProblem: Sendable, Equatable {
    /// The byte where that is seen.
    public var offset: Int
    /// What is wrong.
    public var text: String
}

extension DecodedConfiguration {
    /// The most bytes that a configuration space has.
    public static let mostBytes = 4096

    /// Takes bytes apart.
    /// - Parameter bytes: the first ones of a configuration space, of any number: 64, 256 and 4096 are usual. What
    ///   is beyond 4096 isn't looked at.
    public init(decoding bytes: [UInt8]) {
        let bytes = bytes.count > Self.mostBytes ? Array(bytes[..<Self.mostBytes]) : bytes
        byteCount = bytes.count
        header = []
        capabilities = []
        extendedCapabilities = []
        problems = []
        isGone = bytes.count >= 4 && bytes.allSatisfy { $0 == 0xff }
        if isGone {
            problems.append(
                ConfigurationProblem(offset: 0, text: "every byte reads as ones: the device doesn't answer"))
            return
        }
        let space = ConfigurationBytes(bytes: bytes)
        decodeHeader(space)
        guard bytes.count > 64 else { return }
        var map = OccupiedBytes(count: bytes.count)
        decodeCapabilities(space, &map)
        if bytes.count >= 0x104 { decodeExtendedCapabilities(space, &map) }
    }

    private mutating func decodeHeader(_ space: ConfigurationBytes) {
        guard space.count >= 64 else {
            problems.append(
                ConfigurationProblem(
                    offset: space.count, text: "a header has 64 bytes, and only \(space.count) are there"))
            return
        }
        let type = UInt8(space.number(0x0e, 1) ?? 0) & 0x7f
        var body = CapabilityBody(space, at: 0, limit: 256, headerLength: 0, headerType: type)
        Header.decode(&body)
        header = body.registers
        problems += body.problems.map { ConfigurationProblem(offset: 0x0e, text: $0) }
    }

    private mutating func decodeCapabilities(_ space: ConfigurationBytes, _ map: inout OccupiedBytes) {
        // Status bit 4: there is a list.
        guard let status = space.number(6, 2), status & 0x10 != 0 else { return }
        let type = headerType ?? 0
        var link = type == 2 ? 0x14 : 0x34
        var offset = Int(space.number(link, 1) ?? 0) & 0xfc
        var seen: Set<Int> = []
        while offset != 0 {
            guard seen.insert(offset).inserted else {
                problems.append(
                    ConfigurationProblem(
                        offset: link, text: "the list of capabilities loops back to 0x\(hex(offset))"))
                return
            }
            guard offset >= 0x40, offset < 256, let head = space.number(offset, 2) else {
                problems.append(
                    ConfigurationProblem(
                        offset: link,
                        text: "the list of capabilities leads to 0x\(hex(offset)), where none can be"))
                return
            }
            if head == 0xffff {
                problems.append(
                    ConfigurationProblem(
                        offset: offset, text: "the capability at 0x\(hex(offset)) reads as ones"))
                return
            }
            let id = UInt8(head & 0xff)
            var body = CapabilityBody(space, at: offset, limit: 256, headerLength: 2, headerType: type)
            Capabilities.decode(id, &body)
            capabilities.append(
                Self.finished(body, id: Int(id), version: nil, name: CapabilityName.of(id), &map))
            link = offset + 1
            offset = Int(head >> 8) & 0xfc
        }
    }

    private mutating func decodeExtendedCapabilities(_ space: ConfigurationBytes, _ map: inout OccupiedBytes)
    {
        var link = 0x100
        var offset = 0x100
        var seen: Set<Int> = []
        let express = ExpressFacts(capability(0x10))
        while true {
            guard seen.insert(offset).inserted else {
                problems.append(
                    ConfigurationProblem(
                        offset: link, text: "the list of extended capabilities loops back to 0x\(hex(offset))"
                    ))
                return
            }
            guard offset >= 0x100, let head = space.number(offset, 4) else {
                problems.append(
                    ConfigurationProblem(
                        offset: link,
                        text: "the list of extended capabilities leads to 0x\(hex(offset)), where none can be"
                    ))
                return
            }
            // The space of a function without extended capabilities begins with zeros, or isn't there.
            if head == 0 { return }
            if head == 0xffff_ffff {
                if offset != 0x100 {
                    problems.append(
                        ConfigurationProblem(
                            offset: offset, text: "the extended capability at 0x\(hex(offset)) reads as ones")
                    )
                }
                return
            }
            let id = UInt16(head & 0xffff)
            // ID 0 stands for one that a host hides at the list's head.
            if id != 0 {
                var body = CapabilityBody(
                    space, at: offset, limit: Self.mostBytes, headerLength: 4, headerType: headerType ?? 0)
                ExtendedCapabilities.decode(id, version: Int(head >> 16 & 0xf), express, &body)
                extendedCapabilities.append(
                    Self.finished(
                        body, id: Int(id), version: Int(head >> 16 & 0xf),
                        name: CapabilityName.ofExtended(id),
                        &map))
            }
            link = offset
            offset = Int(head >> 20) & 0xffc
            if offset == 0 { return }
        }
    }

    private static func finished(
        _ body: CapabilityBody, id: Int, version: Int?, name: String, _ map: inout OccupiedBytes
    ) -> DecodedCapability {
        var problems = body.problems
        if let other = map.occupy(body.base..<body.base + body.end, by: body.base) {
            problems.append("it overlaps the capability at 0x\(hex(other))")
        }
        return DecodedCapability(
            offset: body.base, id: id, version: version, byteCount: body.end, name: name,
            summary: body.summary, registers: body.registers, problems: problems)
    }
}

/// Which capability has which bytes.
private struct OccupiedBytes {
    /// By 4 bytes: where the capability begins that has them; 0 for none.
    private var owners: [UInt16]

    init(count: Int) { owners = [UInt16](repeating: 0, count: (count + 3) / 4) }

    /// Takes bytes for a capability.
    /// - Returns: another one that has some of them.
    mutating func occupy(_ range: Range<Int>, by offset: Int) -> Int? {
        var other: Int?
        for word in range.lowerBound / 4..<min(owners.count, (range.upperBound + 3) / 4) {
            if owners[word] != 0, other == nil { other = Int(owners[word]) }
            owners[word] = UInt16(offset)
        }
        return other
    }
}
