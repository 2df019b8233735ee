import VFIOHost

/// An open device that has ports and an expansion ROM.
struct Adapter {
    let device: File
    /// The BAR that is ports.
    let ports: UInt32
    /// Where the ports begin.
    var start: UInt64 { Place.region(UInt64(ports)) }
    /// For those who look at nothing else.
    var portsAlone: (device: File, start: UInt64) { (device, start) }
}

extension Trial {
    /// A network adapter of Intel's, or the software kernel's device with all kinds of regions; memory and ports
    /// are on.
    func openAdapter() throws -> Adapter {
        let record = try device("a device with ports and a ROM (8086:10d3)") { record in
            if record.vendor == 0x8086 { return record.device == 0x10d3 }
            return record.vendor == 0x1234 && record.device == 0x11ea && record.classCode == 0x00_ff00
                && record.physicalFunction == nil
        }
        let device = try setUp(record).device
        device.store(0x3 as UInt16, at: Place.command)
        return Adapter(device: device, ports: record.vendor == 0x8086 ? 2 : 1)
    }
}
