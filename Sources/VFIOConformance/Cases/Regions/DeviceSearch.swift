import LinuxSystem
import VFIOABI
import VFIOHost

/// A BAR of a device that is open.
struct OpenBAR {
    let setup: Setup
    /// Its number: 0 to 5.
    let index: UInt32
    /// How many bytes it has.
    let byteCount: UInt64
    var device: File { setup.device }
    /// Where it begins in the device's file.
    var start: UInt64 { Place.region(UInt64(index)) }

    /// Writes COMMAND.
    func setCommand(_ value: UInt16) { device.store(value, at: Place.command) }
}

/// What a BAR is, by its register.
enum BARKind {
    /// Prefetchable memory: reading it changes nothing, so it is memory indeed.
    case memory
    /// Anything that can be mapped as a whole, from its first page on.
    case mappable

    func matches(_ register: UInt32, _ info: RegionInfo) -> Bool {
        guard info.size > 0 else { return false }
        switch self {
        case .memory: return register & 9 == 8 && info.flags.contains(.mmap)
        case .mappable:
            // Without capabilities, which tell of parts that can't be mapped.
            return register & 1 == 0 && info.flags.contains(.mmap) && info.argsz <= 32
        }
    }
}

extension Trial {
    /// Opens the first device that is as a case needs it. Those that aren't are closed again.
    /// - Parameter what: e.g. "a device with messages", for the reason if there is none.
    func openDevice(_ what: String, where condition: (File) throws -> Bool) throws -> Setup {
        for record in try devices where route != .cdev || record.deviceNode != nil {
            let setup = try setUp(record)
            if try condition(setup.device) { return setup }
            setup.device.close()
            setup.group?.close()
            setup.container?.close()
            setup.iommufd?.close()
        }
        throw skip("it needs \(what), bound to vfio-pci")
    }

    /// Opens the first device that has a BAR of a kind and a condition's liking, and lets it answer.
    func openBAR(
        _ kind: BARKind, _ what: String, where condition: (File) throws -> Bool = { _ in true }
    ) throws -> OpenBAR {
        var found: (index: UInt32, byteCount: UInt64)?
        let setup = try openDevice(what) { device in
            guard try condition(device) else { return false }
            for index in 0..<6 as Range<UInt32> {
                let register = try device.configuration(UInt32.self, 0x10 + 4 * UInt64(index))
                let info = device.regionInfo(index).info
                guard kind.matches(register, info) else { continue }
                found = (index, info.size)
                return true
            }
            return false
        }
        guard let found else { throw Halt.broken("the BAR of \(setup.record.name)") }
        let bar = OpenBAR(setup: setup, index: found.index, byteCount: found.byteCount)
        bar.setCommand(3)
        return bar
    }
}

extension File {
    /// Where an extended capability begins in configuration space; nil if there is none.
    func extendedCapability(_ id: UInt16) throws -> UInt64? {
        guard regionInfo(PCIRegion.config.rawValue).info.size > 256 else { return nil }
        var at: UInt64 = 0x100
        for _ in 0..<48 where at >= 0x100 {
            let header = try configuration(UInt32.self, at)
            if UInt16(truncatingIfNeeded: header) == id { return at }
            at = UInt64(header >> 20) & 0xffc
        }
        return nil
    }

    /// Where each capability begins in the first 256 bytes, in the order of their chain.
    func capabilities() throws -> [UInt64] {
        var places: [UInt64] = []
        var at = UInt64(try configuration(UInt8.self, 0x34) & 0xfc)
        while at >= 0x40 && places.count < 48 {
            places.append(at)
            at = UInt64(try configuration(UInt8.self, at + 1) & 0xfc)
        }
        return places
    }

    /// Whether a mapped part of a BAR can be touched. The one who touches it is the kernel, which tells with
    /// EFAULT what would be a signal otherwise: the pages hold the structure of a request.
    func canTouch(_ window: MemoryWindow) -> Bool {
        request(.deviceGetIRQInfo, window.address.rawValue) != .errno(.badAddress)
    }
}
