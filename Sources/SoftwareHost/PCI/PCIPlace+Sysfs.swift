import DeviceModel
import LinuxSystem
import VFIOHost

extension PCIPlace {
    /// The addresses that the machine's firmware gave to the function; nil for one that is only there.
    var assigned: PCIAssignedAddresses? {
        guard let function = model?.function else { return nil }
        return PCIAssignedAddresses(
            function.bars, romByteCount: function.romByteCount, function.virtualFunctions, bus: address.bus,
            deviceFunction: address.deviceFunction)
    }

    /// What sysfs's `resource` says: the BARs, and the ROM behind them.
    var resources: [ResourceRecord] {
        guard let function = model?.function, let assigned else { return [] }
        var records = [ResourceRecord](repeating: ResourceRecord(first: 0, last: 0, flags: 0), count: 7)
        for index in 0..<6 {
            guard let bar = function.bars[index] else { continue }
            let first = assigned.bars[index]
            // The kernel's IORESOURCE_ flags, and the register's own low bits.
            let kind: UInt64 =
                switch bar.kind {
                case .io: 0x4_0101
                case .memory32: 0x4_0200
                case .memory64: 0x14_0204
                }
            let prefetchable: UInt64 = bar.isPrefetchable && bar.kind != .io ? 0x2008 : 0
            records[index] = ResourceRecord(
                first: first, last: first + bar.byteCount - 1, flags: kind | prefetchable)
        }
        if function.romByteCount > 0 {
            records[6] = ResourceRecord(
                first: assigned.rom, last: assigned.rom + function.romByteCount - 1, flags: 0x4_6200)
        }
        return records
    }

    /// What sysfs's `config` says before a driver has done anything: configuration space, 256 or 4096 bytes.
    var configuration: [UInt8] {
        guard let function = model?.function, let assigned else { return identityAlone }
        let hardware = function.configuration
        var bytes: [UInt8] = []
        for offset in stride(from: 0, to: hardware.byteCount, by: 4) {
            var value = hardware.value(at: offset, width: 4)
            let bar = PCIConfiguration.Register.bar0
            if offset >= bar && offset < bar + 24 {
                value = assigned.register((offset - bar) / 4, of: function)
            }
            for shift in stride(from: UInt32(0), to: 32, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        return bytes
    }

    /// The header of a function of which nothing but its identity is known.
    private var identityAlone: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 256)
        func put(_ value: UInt32, _ count: Int, at offset: Int) {
            for index in 0..<count { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
        }
        put(UInt32(identity.vendor), 2, at: 0)
        put(UInt32(identity.device), 2, at: 2)
        put(UInt32(identity.revision), 1, at: 8)
        put(identity.classCode, 3, at: 9)
        put(UInt32(identity.subsystemVendor), 2, at: 0x2c)
        put(UInt32(identity.subsystem), 2, at: 0x2e)
        return bytes
    }
}

extension SoftwareHost {
    /// What sysfs's `config` says of a PCI function before a driver has done anything with it: 256 or 4096 bytes.
    /// - Returns: nil for an address where nothing is.
    public func configuration(of address: PCIAddress) -> [UInt8]? {
        core.lock.withLock { core.devices.first { $0.pci?.address == address }?.pci }?.configuration
    }
}
