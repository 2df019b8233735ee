import LinuxSystem
import VFIOABI
import VFIOHost

/// D.2 to D.4: a display, with the windows that every machine's firmware starts with.
let displayCases: [Case] = [
    Case(
        "D.3", "the windows of a display are region 8, as long as the PC's first megabyte without its ROMs",
        on: .all
    ) {
        t in
        let device = try t.openDisplay()
        let (answer, info) = device.regionInfo(8)
        t.expect(answer, .success, "GET_REGION_INFO", kernelLeavesOutVGA(answer, t))
        guard answer == .success else {
            t.expect(device.read(at: Place.region(8) + 0xa0000, count: 4).answer, .errno(.invalid), "reading")
            return
        }
        t.expect(info.size, equals: 0xc0000, "size")
        t.expect(info.flags.rawValue, equals: 3, "flags")
        t.expect(device.map(at: Place.region(8), byteCount: pageSize).answer, .errno(.invalid), "mapping")
        for position: UInt64 in [0, 0x3af, 0x3bc, 0x3e0, 0x9ffff, 0xc0000] {
            t.expect(
                device.read(at: Place.region(8) + position, count: 1).answer, .errno(.invalid), "\(position)")
        }
        t.expect(
            device.read(at: Place.region(8) + 0xbfffc, count: 64).answer, .value(4), "the last four bytes")
        t.expect(device.read(at: Place.region(8) + 0x3c0, count: 64).answer, .value(32), "from 3C0 on")
    },
    Case("D.2", "a display without messages and lines still has its request interrupt", on: .all) { t in
        let device = try t.openDisplay()
        for (index, name, count): (UInt32, String, UInt32) in [(3, "error", 0), (4, "request", 1)] {
            guard index != 3 || (try? device.capability(0x10)) == nil else { continue }
            var info = IRQInfo(index: index)
            let answer = device.request(.deviceGetIRQInfo, &info)
            t.expect(answer, count == 0 ? .errno(.invalid) : .success, name)
            if answer == .success { t.expect(info.count, equals: count, "\(name): count") }
        }
    },
]

/// Debian's kernels for clouds, and the lab's own, are built without CONFIG_VFIO_PCI_VGA.
private func kernelLeavesOutVGA(_ answer: Answer, _ t: Trial) -> Exception {
    .when(
        t.kernel.kind == .linux && answer != .success, .errno(.invalid),
        "kernels may be built without CONFIG_VFIO_PCI_VGA")
}

extension Trial {
    /// A display, with memory on.
    fileprivate func openDisplay() throws -> File {
        let record = try device("a VGA display") { $0.classCode == 0x03_0000 }
        let device = try setUp(record).device
        device.store(0x2 as UInt16, at: Place.command)
        return device
    }
}
