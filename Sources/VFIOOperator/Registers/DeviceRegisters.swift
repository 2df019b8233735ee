import LinuxSystem
import NVMe
import PCIDecoder
import VFIO
import VFIOABI
import VFIOHost

/// The registers of one device, to be read and written by place or name.
///
/// Most drivers of VFIO reset a device when it is opened, and again when it is closed; what was written is gone then.
/// Its configuration space is had without opening it where the machine shows that, to be read only.
///
/// Registers of a PCI function are reached through the host, never through a mapping: a device whose memory is disabled
/// then answers with an error, while touching what is mapped would end the process. Those of other devices are mapped
/// where they can be; some of their drivers know no other way. Not safe for use from several threads at once.
public final class DeviceRegisters {
    /// The device; nil if it wasn't opened, and its configuration space alone can be read.
    public let device: Device?
    /// Why it couldn't be opened, where that was tried.
    public let refusal: VFIOError?
    /// What its registers are called.
    public private(set) var map: RegisterMap
    /// What the device is called.
    public let deviceName: String
    /// Its configuration space as it was when the device was opened, kept up to date by what is read; empty where it
    /// has none.
    private var bytes: [UInt8]
    private var knowsStride = false

    /// The most bytes that one reading may have.
    public static let mostBytes = 1 << 20

    /// Opens a device, or looks at its configuration space where it can't be opened.
    /// - Parameters:
    ///   - isOpened: whether to open it.
    ///   - roots: where the machine's facts are, for the configuration space of a device that isn't open; nil if an
    ///     unopened one won't do.
    /// - Throws: why it can't be opened, where its configuration space can't be had either.
    public init(
        of id: DeviceID, on host: any Host, _ choice: RouteChoice = .automatic, opening isOpened: Bool = true,
        roots: SystemRoots?
    ) throws(VFIOError) {
        deviceName = id.name
        var report = DeviceReport(name: id.name, bus: id.bus.name, host: host.kind.word)
        var opened: Device?
        var refusal: VFIOError?
        if isOpened {
            do throws(VFIOError) {
                let device = try Device(opening: id, on: host, choice)
                report.readConfiguration(of: device)
                opened = device
            } catch {
                guard roots != nil else { throw error }
                refusal = error
            }
        }
        if opened == nil, let roots, id.bus == .pci { report.readConfiguration(id.name, in: roots) }
        guard opened != nil || report.configuration != nil else {
            throw refusal
                ?? VFIOError(
                    operation: "read its configuration space", object: id.name, code: .notSupported,
                    cause: report.missing.first?.reason ?? "the machine doesn't show it",
                    remedy: "open the device: leave --no-open away")
        }
        device = opened
        self.refusal = refusal
        bytes = report.configuration?.bytes ?? []
        map = bytes.isEmpty ? RegisterMap() : RegisterMap(DecodedConfiguration(decoding: bytes))
    }

    /// Whether it is a PCI function, whose regions have names.
    private var isPCI: Bool { device?.isPCIFunction ?? true }

    /// What places call a region: "bar0", "region3".
    public func name(of region: RegionIndex) -> String {
        let names = RegisterPlace.pciNames
        return isPCI && region.rawValue < UInt32(names.count)
            ? names[Int(region.rawValue)] : "region\(region.rawValue)"
    }

    // MARK: places

    /// Where a register is that can be read or written in one access.
    struct Target {
        var region: RegionIndex
        var offset: UInt64
        var width: Int
        var count: Int
        /// What begins there, where all of it is meant.
        var register: NamedRegister?
    }

    /// Finds a place.
    /// - Parameters:
    ///   - width: how many bytes an access has; nil for as many as the register there has.
    ///   - count: how many accesses; nil for one, or as many as the register needs.
    func target(
        _ place: RegisterPlace, width: Int?, count: Int?, _ operation: String
    ) throws(VFIOError) -> Target {
        guard isPCI || !place.isNamedByPCI else {
            throw VFIOError(
                operation: operation, object: deviceName, code: .notSupported,
                cause: "it isn't a PCI function: its regions have numbers and no names",
                remedy: "name the region as region0, region1, …; vfio inspect shows them")
        }
        var offset: UInt64
        var register: NamedRegister?
        switch place.spot {
        case .offset(let bytes):
            offset = bytes
            if place.region == .bar0 { try learnStride(reaching: offset) }
            // Who wants several words from an offset on means words, not that register.
            if count ?? 1 == 1 { register = map.register(at: offset, in: place.region) }
        case .name(let word, let distance):
            let named = try self.register(named: word, in: place.region, operation)
            let (sum, overflow) = named.offset.addingReportingOverflow(distance)
            offset = overflow ? .max : sum
            register = distance == 0 ? named : map.register(at: offset, in: place.region)
        }
        let byteCount = register?.byteCount
        let whole = width == nil ? byteCount : nil
        // What can't be read at once is read byte by byte.
        let isPlain = byteCount.map { [1, 2, 4, 8].contains($0) } ?? true
        let own = isPlain ? byteCount : 1
        let limit = place.region == .configuration && isPCI ? 4 : 8
        var used = width ?? own ?? Self.natural(offset)
        var accesses = count ?? 1
        if width == nil, used > limit {
            // A BAR of 64 bits in configuration space is two registers for the host.
            accesses = count ?? used / limit
            used = limit
        } else if whole != nil, !isPlain {
            accesses = count ?? whole ?? 1
        }
        guard [1, 2, 4, 8].contains(used), used <= limit else {
            throw VFIOError(
                operation: operation, object: deviceName, code: .notSupported,
                cause: limit == 4
                    ? "the configuration space is accessed by 1, 2 or 4 bytes"
                    : "an access has 1, 2, 4 or 8 bytes", remedy: "use --width 4")
        }
        let length = used.multipliedReportingOverflow(by: accesses)
        let covers = register.map { !length.overflow && length.partialValue == $0.byteCount } ?? false
        return Target(
            region: place.region, offset: offset, width: used, count: accesses,
            register: covers ? register : nil)
    }

    /// 4 bytes, or as many as the offset is a multiple of.
    private static func natural(_ offset: UInt64) -> Int { offset & 3 == 0 ? 4 : offset & 1 == 0 ? 2 : 1 }

    private func register(
        named word: String, in region: RegionIndex, _ operation: String
    ) throws(VFIOError) -> NamedRegister {
        if region == .bar0, map.isNVMe { try learnStride(reaching: .max) }
        if let found = map.register(named: word, in: region) { return found }
        let title = name(of: region)
        let isCut = region == .configuration && bytes.count == 64
        throw VFIOError(
            operation: operation, object: deviceName, code: .notSupported,
            cause: isCut
                ? "only 64 bytes of the configuration space are shown, and no register \"\(word)\" is among them"
                : "no register of \(title) is called \"\(word)\"",
            remedy: isCut
                ? "run it as root"
                : "vfio read \(deviceName) --list prints the names; or use an offset: \(title):0x…")
    }

    /// Reads CAP of an NVMe controller before the first doorbell is named: where it is depends on that.
    private func learnStride(reaching offset: UInt64) throws(VFIOError) {
        guard map.isNVMe, !knowsStride, offset >= RegisterOffset.doorbells, let device else { return }
        let region = try device.region(.bar0, mapped: false)
        let low = try region.loadThroughHost(0, width: 4)
        let high = try region.loadThroughHost(4, width: 4)
        map.doorbellStride = ControllerCapabilities(rawValue: high << 32 | low).doorbellStride
        knowsStride = true
    }

    // MARK: reading

    /// Reads a register, or several words from a place on.
    /// - Parameters:
    ///   - width: 1, 2, 4 or 8 bytes; nil for as many as the register there has, or 4.
    ///   - count: how many words; nil for one, or for all of a register that is longer.
    /// - Throws: ``/VFIO/VFIOError/Code/outOfBounds`` beyond the region's end, with its size;
    ///   ``/VFIO/VFIOError/Code/misaligned``; ``/VFIO/VFIOError/Code/notSupported`` where there is no such region or name,
    ///   where the region can't be read, or not in this width; what the host says.
    public func read(
        _ place: RegisterPlace, width: Int? = nil, count: Int? = nil
    ) throws(VFIOError) -> RegisterReading {
        let target = try target(place, width: width, count: count, "read a register")
        return try read(target)
    }

    func read(_ target: Target) throws(VFIOError) -> RegisterReading {
        let words = target.count == 1 ? "" : "\(target.count) words of "
        let operation =
            "read \(words)\(target.width) byte\(target.width == 1 ? "" : "s") at 0x"
            + String(target.offset, radix: 16)
        let isShown = device == nil
        var values: [UInt64] = []
        if isShown {
            guard target.region == .configuration else {
                throw refusal
                    ?? VFIOError(
                        operation: operation, object: deviceName, code: .notSupported,
                        cause: "of a device that isn't open, only the configuration space is shown",
                        remedy: "open it: leave --no-open away")
            }
            let start = try check(target, byteCount: UInt64(bytes.count), operation)
            for index in 0..<target.count { values.append(shown(start + index * target.width, target.width)) }
        } else if let device {
            let region = try opened(target.region, of: device, operation)
            guard region.flags.contains(.read) else {
                throw VFIOError(
                    operation: operation, object: region.object, code: .notSupported,
                    cause: "the region can't be read",
                    remedy: "vfio inspect \(deviceName) says what regions allow")
            }
            let start = try check(target, byteCount: region.byteCount, operation)
            do throws(VFIOError) {
                for index in 0..<target.count {
                    values.append(
                        try load(region, start + index * target.width, target.width))
                }
            } catch {
                throw advised(error)
            }
            if target.region == .configuration, isPCI { keep(values, target.width, at: start) }
        }
        return RegisterReading(
            device: deviceName, region: name(of: target.region), offset: target.offset, width: target.width,
            values: values,
            source: isShown ? "sysfs" : "vfio", register: target.register,
            decoded: target.register.flatMap { decoded($0, values, target.width) },
            isCertainlyGone: values.allSatisfy { $0 == Self.ones(target.width) } && device?.answers() == false
        )
    }

    private func load(_ region: Region, _ offset: Int, _ width: Int) throws(VFIOError) -> UInt64 {
        if isPCI { return try region.loadThroughHost(offset, width: width) }
        switch width {
        case 1: return UInt64(try region.load8(offset))
        case 2: return UInt64(try region.load16(offset))
        case 4: return UInt64(try region.load32(offset))
        default: return try region.load64(offset)
        }
    }

    /// Stores one word.
    func store(_ value: UInt64, _ region: Region, _ offset: Int, _ width: Int) throws(VFIOError) {
        if isPCI { return try region.storeThroughHost(offset, value, width: width) }
        switch width {
        case 1: try region.store8(offset, UInt8(truncatingIfNeeded: value))
        case 2: try region.store16(offset, UInt16(truncatingIfNeeded: value))
        case 4: try region.store32(offset, UInt32(truncatingIfNeeded: value))
        default: try region.store64(offset, value)
        }
    }

    /// All ones in so many bytes.
    static func ones(_ width: Int) -> UInt64 { width >= 8 ? .max : 1 << UInt64(8 * width) - 1 }

    /// The region, with words about what to do where there is none.
    func opened(
        _ index: RegionIndex, of device: Device, _ operation: String
    ) throws(VFIOError) -> Region {
        do throws(VFIOError) {
            return try device.region(index, mapped: !isPCI)
        } catch {
            var error = error
            if error.code == .notSupported {
                error.remedy = "vfio inspect \(deviceName) shows the regions that it has"
            }
            throw error
        }
    }

    /// Checks that all of the words are in a region, and aligned.
    /// - Returns: where they begin.
    func check(_ target: Target, byteCount: UInt64, _ operation: String) throws(VFIOError) -> Int {
        let title = name(of: target.region)
        let (length, overflow) = target.width.multipliedReportingOverflow(by: target.count)
        guard target.count > 0, !overflow, length <= Self.mostBytes else {
            throw VFIOError(
                operation: operation, object: deviceName, code: .outOfBounds,
                cause: "at least 1 word and at most \(Self.mostBytes) bytes are read at a time",
                remedy: "read \(title) in parts")
        }
        guard target.offset <= byteCount, UInt64(length) <= byteCount - target.offset,
            let offset = Int(exactly: target.offset)
        else {
            throw VFIOError(
                operation: operation, object: "\(title) of \(deviceName)", code: .outOfBounds,
                cause: "the region is \(byteCount) bytes (0x\(String(byteCount, radix: 16))) long",
                remedy: target.region == .configuration && byteCount == 64 && device == nil
                    ? "run it as root, which is shown more" : "use a smaller offset or --count")
        }
        guard offset % target.width == 0 else {
            throw VFIOError(
                operation: operation, object: "\(title) of \(deviceName)", code: .misaligned,
                cause: "the offset isn't a multiple of \(target.width)",
                remedy: "use --width \(Self.natural(target.offset)), or a multiple of \(target.width)")
        }
        return offset
    }

    /// Says what a person can do about a device that doesn't answer.
    func advised(_ error: VFIOError) -> VFIOError {
        guard error.errno == .inputOutput else { return error }
        var error = error
        error.remedy =
            "vfio read \(deviceName) config:COMMAND config:PM.PMCSR shows whether its memory is enabled and whether it sleeps"
        return error
    }

    // MARK: configuration space

    private func shown(_ offset: Int, _ width: Int) -> UInt64 {
        (0..<width).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }

    /// Takes notice of what was read just now.
    private func keep(_ values: [UInt64], _ width: Int, at start: Int) {
        for (index, value) in values.enumerated() {
            for byte in 0..<width where start + index * width + byte < bytes.count {
                bytes[start + index * width + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
            }
        }
    }

    /// A register's fields.
    private func decoded(_ register: NamedRegister, _ values: [UInt64], _ width: Int) -> ConfigurationField? {
        if register.region == .configuration, isPCI {
            return DecodedConfiguration(decoding: bytes).register(at: Int(register.offset))
        }
        guard values.count == 1 else { return nil }
        return NVMeRegisterLayouts.decoded(register, values[0])
    }
}

extension Device {
    /// Whether it is a PCI function.
    var isPCIFunction: Bool { info.flags.contains(.pci) }

    /// Whether a PCI function answers when its configuration space is read; true for other devices.
    ///
    /// Linux keeps vendor and device ID itself and gives them out for a device that is gone, too; revision and class
    /// come from the device.
    public func answers() -> Bool {
        guard isPCIFunction else { return true }
        guard let word = try? configuration.load32(8) else { return false }
        return word != .max
    }
}
