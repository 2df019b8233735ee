import JSONText
import VFIOHost

extension DeviceReport {
    /// The longest dump that is read, in bytes.
    public static let longestFile = 8 << 20

    /// Reads a dump, or a text of `lspci -x`, `-xxx` or `-xxxx`.
    /// - Parameters:
    ///   - file: all of the file's bytes, from anyone.
    ///   - name: which device, where the file has several.
    /// - Throws: what is wrong with the file.
    public init(file: [UInt8], device name: String? = nil) throws(DumpError) {
        guard file.count <= Self.longestFile else {
            throw DumpError("it is longer than \(Self.longestFile >> 20) MiB, which no dump is")
        }
        guard let first = file.first(where: { $0 != 0x20 && $0 != 0x0a && $0 != 0x0d && $0 != 0x09 }) else {
            throw DumpError("it is empty")
        }
        if first == UInt8(ascii: "{") {
            let json: JSON
            do throws(JSONError) {
                json = try JSON(file, maximumDepth: 16, maximumCount: 1 << 18)
            } catch {
                throw DumpError("it isn't JSON: \(error)")
            }
            try self.init(json: json)
            if let name, !name.utf8.elementsEqual(self.name.utf8) {
                throw DumpError("it is a dump of \(self.name), not of \(name)")
            }
        } else {
            try self.init(lspci: file, device: name)
        }
    }

    /// Reads a document that ``json`` wrote, of this version or a higher one.
    public init(json: JSON) throws(DumpError) {
        let reader = try ReportReader(json, "the dump")
        let version = try reader.required(try reader.number("version", Int.self), "version")
        guard version >= 2 else {
            throw DumpError(
                "it is of version \(version), which has no configuration space; dumps begin with 2")
        }
        self.init(
            name: try reader.required(try reader.text("address"), "address"),
            bus: try reader.text("bus") ?? "pci", host: try reader.text("host") ?? "unknown")
        facts = try Facts(reader)
        if try reader.flag("opened") == true { opened = try Opened(reader) }
        if let object = try reader.object("configuration") { configuration = try Configuration(object) }
        for object in try reader.objects("missing") ?? [] {
            missing.append(Missing(try object.text("part") ?? "", try object.text("reason") ?? ""))
        }
    }
}

extension DeviceReport.Configuration {
    fileprivate init(_ reader: ReportReader) throws(DumpError) {
        var bytes: [UInt8] = []
        for line in try reader.texts("bytes") {
            let digits = Array(line.utf8)
            guard digits.count % 2 == 0, digits.count / 2 <= 4096 - bytes.count else {
                throw DumpError("the bytes of \(reader.place) aren't pairs of digits, or are more than 4096")
            }
            for index in stride(from: 0, to: digits.count, by: 2) {
                guard let high = HexDigit.value(digits[index]), let low = HexDigit.value(digits[index + 1])
                else {
                    throw DumpError(
                        "the bytes of \(reader.place) aren't pairs of digits, or are more than 4096")
                }
                bytes.append(high << 4 | low)
            }
        }
        self.init(bytes: bytes, source: try reader.text("source") ?? "file")
    }
}

extension DeviceReport.Facts {
    fileprivate init(_ reader: ReportReader) throws(DumpError) {
        vendor = try reader.hexadecimal("vendor")
        device = try reader.hexadecimal("device")
        subsystemVendor = try reader.hexadecimal("subsystemVendor")
        subsystem = try reader.hexadecimal("subsystem")
        classCode = try reader.hexadecimal("classCode")
        revision = try reader.hexadecimal("revision")
        vendorName = try reader.text("vendorName")
        deviceName = try reader.text("deviceName")
        subsystemName = try reader.text("subsystemName")
        driver = try reader.text("driver")
        driverOverride = try reader.text("driverOverride")
        group = try reader.number("group")
        domainType = try reader.text("domainType")
        deviceNode = try reader.number("deviceNode")
        numaNode = try reader.number("numaNode")
        holders = try reader.texts("holders")
        resetMethods = try reader.texts("resetMethods")
        physicalFunction = try reader.text("physicalFunction")
        for object in try reader.objects("groupMembers") ?? [] {
            groupMembers.append(
                DeviceReport.Member(
                    name: try object.required(try object.text("name"), "name"),
                    driver: try object.text("driver"), blocks: try object.flag("blocks") ?? false))
        }
        for object in try reader.objects("reservedRegions") ?? [] {
            reservedRegions.append(
                ReservedRegion(
                    first: try object.required(try object.hexadecimal("first"), "first"),
                    last: try object.required(try object.hexadecimal("last"), "last"),
                    kind: try object.text("kind") ?? "reserved"))
        }
    }
}

extension DeviceReport.Opened {
    fileprivate init(_ reader: ReportReader) throws(DumpError) {
        self.init(
            route: try reader.text("route") ?? "unknown", routeReason: try reader.text("routeReason") ?? "")
        canReset = try reader.flag("canReset") ?? false
        for item in try reader.list("atomics") ?? [] {
            guard let bits = ReportReader.unsigned(item), bits <= 1024 else {
                throw DumpError("\"atomics\" isn't a list of bits")
            }
            atomics.append(Int(bits))
        }
        for object in try reader.objects("regions") ?? [] { regions.append(try DeviceReport.Region(object)) }
        for object in try reader.objects("interrupts") ?? [] {
            interrupts.append(
                DeviceReport.Interrupt(
                    index: try object.number("index") ?? interrupts.count,
                    name: try object.required(try object.text("name"), "name"),
                    count: try object.number("count") ?? 0, flags: try object.texts("flags")))
        }
        for object in try reader.objects("features") ?? [] {
            features.append(
                DeviceReport.Feature(
                    number: try object.required(try object.number("number"), "number"),
                    word: try object.required(try object.text("name"), "name"),
                    canGet: try object.flag("get") ?? false, canSet: try object.flag("set") ?? false))
        }
        if let object = try reader.object("migration") {
            migration = DeviceReport.Migration(
                flags: try object.texts("flags"), state: try object.text("state"))
        }
        hotResetRefusal = try reader.text("hotResetRefusal")
        if let functions = try reader.objects("hotReset") {
            hotReset = []
            for object in functions {
                var function = DeviceReport.ResetFunction(
                    address: try object.required(try object.text("address"), "address"),
                    owner: try object.text("owner") ?? "unknown", driver: try object.text("driver"))
                function.holders = try object.texts("holders")
                hotReset?.append(function)
            }
        }
        addresses = try DeviceReport.Addresses(reader)
    }
}

extension DeviceReport.Addresses {
    fileprivate init?(_ reader: ReportReader) throws(DumpError) {
        guard let objects = try reader.objects("usableAddresses") else { return nil }
        var ranges: [ClosedRange<UInt64>] = []
        for object in objects {
            let first: UInt64 = try object.required(try object.hexadecimal("first"), "first")
            let last: UInt64 = try object.required(try object.hexadecimal("last"), "last")
            guard first <= last else { throw DumpError("\(object.place) ends before it begins") }
            ranges.append(first...last)
        }
        self.init(
            ranges: ranges, pageSizes: try Self.bits("pageSizes", reader),
            mappingsLeft: try reader.number("mappingsLeft"),
            dirtyPageSizes: try Self.bits("dirtyPageSizes", reader))
    }

    private static func bits(_ name: String, _ reader: ReportReader) throws(DumpError) -> UInt64 {
        var bits: UInt64 = 0
        for item in try reader.list(name) ?? [] {
            guard let size = ReportReader.unsigned(item), size.nonzeroBitCount == 1 else {
                throw DumpError("\"\(name)\" isn't a list of powers of two")
            }
            bits |= size
        }
        return bits
    }
}

extension DeviceReport.Region {
    fileprivate init(_ reader: ReportReader) throws(DumpError) {
        self.init(
            index: try reader.required(try reader.number("index"), "index"),
            name: try reader.required(try reader.text("name"), "name"),
            byteCount: try reader.required(try reader.unsigned("byteCount"), "byteCount"))
        let access = try reader.text("access") ?? ""
        isReadable = access.utf8.contains(UInt8(ascii: "r"))
        isWritable = access.utf8.contains(UInt8(ascii: "w"))
        isMappable = access.utf8.contains(UInt8(ascii: "m"))
        mapped = try Self.areas("mapped", reader) ?? []
        sparseAreas = try Self.areas("sparse", reader)
        mappingProblem = try reader.text("mappingProblem")
        isMSIXMappable = try reader.flag("msixMappable") ?? false
        msixTable = try reader.object("msixTable").map { object throws(DumpError) in try Self.area(object) }
        if let object = try reader.object("type") {
            type = DeviceReport.RegionType(
                type: try object.required(try object.number("type"), "type"),
                subtype: try object.required(try object.number("subtype"), "subtype"))
        }
    }

    private static func areas(_ name: String, _ reader: ReportReader) throws(DumpError) -> [DeviceReport
        .Area]?
    {
        guard let objects = try reader.objects(name) else { return nil }
        var areas: [DeviceReport.Area] = []
        for object in objects { areas.append(try area(object)) }
        return areas
    }

    private static func area(_ reader: ReportReader) throws(DumpError) -> DeviceReport.Area {
        DeviceReport.Area(
            offset: try reader.required(try reader.unsigned("offset"), "offset"),
            byteCount: try reader.required(try reader.unsigned("byteCount"), "byteCount"))
    }
}
