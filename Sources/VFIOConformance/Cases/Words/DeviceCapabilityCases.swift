import LinuxSystem
import VFIOABI
import VFIOHost

/// D.2 and D.14: what the machine around a device adds to what is told of it.
let deviceCapabilityCases: [Case] = [
    Case(
        "D.2", "the atomic operations that the way to memory completes are told by a capability", on: .all
    ) { t in
        let (device, capability) = try t.openDevice(
            with: .pciAtomicCompletion, "a device whose root port completes atomic operations")
        t.expect(capability.version, equals: 1, "version")
        let flags = device.atomics(at: capability.offset)
        t.expect(!flags.isEmpty, "some width")
        t.expect(
            flags.isSubset(of: [.completes32, .completes64, .completes128]), "no width that nobody knows")
    },
    Case(
        "D.2", "a device with capabilities says how much room they want, and shows none without it", on: .all
    ) {
        t in
        let setup = try t.openDevice("a device with capabilities") { !$0.deviceCapabilities().isEmpty }
        for argsz: UInt32 in [16, 20, 24] {
            let buffer = try t.buffer(64)
            buffer.fill(0xaa)
            buffer.store(argsz)
            t.expect(setup.device.request(.deviceGetInfo, buffer), .success, "argsz \(argsz)")
            t.expect(buffer.load(UInt32(0)) > 24, "argsz \(argsz): it became more")
            let flags = DeviceFlags(rawValue: buffer.load(UInt32(0), at: 4))
            t.expect(flags.contains(.caps), "argsz \(argsz): there are some")
            if argsz >= 20 {
                t.expect(buffer.load(UInt32(0), at: 16), equals: 0, "argsz \(argsz): cap_offset")
            }
            t.expect(
                buffer.bytes.dropFirst(Int(argsz)).allSatisfy { $0 == 0xaa },
                "argsz \(argsz): nothing behind it is written")
        }
    },
    Case("D.14", "an IBM Z tells of each function: itself, its group, and what else there is", on: .all) {
        t in
        let (device, base) = try t.openDevice(with: .zpciBase, "a PCI function of an IBM Z")
        let all = device.deviceCapabilities()
        t.expect(
            all.map { "\($0.id.rawValue)" }.prefix(2).joined(separator: " "), equals: "1 2",
            "the function and its group come first")
        t.expect(base.version, equals: 2, "version of the function")
        t.expect(all.count > 1 && all[1].version == 2, "version of the group")
        for capability in all.dropFirst(2) {
            t.expect(capability.version, equals: 1, "version of capability \(capability.id.rawValue)")
        }
        let function = device.capability(ZPCIBaseCapability(), at: base.offset)
        t.expect(function.startDMA < function.endDMA, "there are addresses for DMA")
        guard let group = all.first(where: { $0.id == .zpciGroup }) else { return }
        let known = device.capability(ZPCIGroupCapability(), at: group.offset)
        t.expect(known.flags.isSubset(of: .refresh), "no flag of the group that nobody knows")
        t.expect(known.reserved, equals: 0, "what is reserved")
        if let place = all.first(where: { $0.id == .zpciUtility })?.offset {
            let size = device.capability(ZPCIUtilityCapability(), at: place).size
            t.expect(size > 0 && place + 12 + size <= device.infoSize, "the string lies inside the answer")
        }
        if let place = all.first(where: { $0.id == .zpciPFIP })?.offset {
            let size = device.capability(ZPCIPFIPCapability(), at: place).size
            t.expect(size > 0 && place + 12 + size <= device.infoSize, "the path lies inside the answer")
        }
    },
]

/// A capability of a device, and where it is in the answer.
struct DeviceCapability {
    let id: DeviceCapabilityID
    let version: UInt16
    let offset: UInt32
}

/// As much of GET_INFO's answer as any device fills.
private struct LongDeviceInfo: BitwiseCopyable {
    var info = DeviceInfo(argsz: 536)
    var rest = InlineArray<64, UInt64>(repeating: 0)
}

extension File {
    /// How long GET_INFO's answer is, with all capabilities.
    fileprivate var infoSize: UInt32 {
        var info = DeviceInfo()
        _ = request(.deviceGetInfo, &info)
        return info.argsz
    }

    private func withLongInfo<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var long = LongDeviceInfo()
        _ = request(.deviceGetInfo, &long)
        // SAFETY: plain integers; the address is used during the call only.
        return unsafe withUnsafeBytes(of: &long) { unsafe body($0) }
    }

    /// The capabilities of the device, in the order of their chain.
    fileprivate func deviceCapabilities() -> [DeviceCapability] {
        unsafe withLongInfo { bytes in
            let info = unsafe bytes.loadUnaligned(as: DeviceInfo.self)
            var found: [DeviceCapability] = []
            var at = info.flags.contains(.caps) ? Int(info.capabilityOffset) : 0
            while at >= 24, at + 8 <= bytes.count, found.count < 64 {
                let header = unsafe bytes.loadUnaligned(fromByteOffset: at, as: CapabilityHeader.self)
                found.append(
                    DeviceCapability(
                        id: DeviceCapabilityID(rawValue: header.id), version: header.version,
                        offset: UInt32(at)))
                guard header.next > at else { break }
                at = Int(header.next)
            }
            return found
        }
    }

    /// The structure of a capability.
    fileprivate func capability<T: BitwiseCopyable>(_ initial: T, at offset: UInt32) -> T {
        unsafe withLongInfo { bytes in
            guard Int(offset) + MemoryLayout<T>.size <= bytes.count else { return initial }
            // SAFETY: the bounds are checked; any bits are a value of a uAPI structure.
            return unsafe bytes.loadUnaligned(fromByteOffset: Int(offset), as: T.self)
        }
    }

    /// The widths that `vfio_device_info_cap_pci_atomic_comp` tells.
    fileprivate func atomics(at offset: UInt32) -> PCIAtomicFlags {
        capability(PCIAtomicCompletionCapability(), at: offset).flags
    }
}

extension Trial {
    /// The first device with a capability.
    fileprivate func openDevice(
        with id: DeviceCapabilityID, _ what: String
    ) throws -> (device: File, capability: DeviceCapability) {
        let setup = try openDevice(what) { device in device.deviceCapabilities().contains { $0.id == id } }
        guard let found = setup.device.deviceCapabilities().first(where: { $0.id == id }) else {
            throw Halt.broken("the capability of \(setup.record.name) has gone")
        }
        return (setup.device, found)
    }
}
