import LinuxSystem
import VFIOABI
import VFIOHost

/// D.5: mapping regions.
let regionMapCases: [Case] = [
    Case("D.5", "only BARs can be mapped", on: .all) { t in
        let device = try t.openEdu().device
        for (index, name) in [(6, "ROM"), (7, "configuration space"), (8, "VGA"), (9, "region 9")] {
            t.expect(
                device.map(at: Place.region(UInt64(index)), byteCount: pageSize).answer, .errno(.invalid),
                name)
        }
    },
    Case("D.5", "a BAR that isn't there can't be mapped", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.map(at: Place.region(1), byteCount: pageSize).answer, .errno(.invalid), "BAR 1")
    },
    Case("D.5", "a mapping may not reach beyond its BAR", on: .all) { t in
        let device = try t.openEdu().device
        let size = 1 << 20
        t.expect(
            device.map(at: UInt64(size), byteCount: pageSize).answer, .errno(.invalid), "behind the end")
        t.expect(
            device.map(at: UInt64(size - pageSize), byteCount: 2 * pageSize).answer, .errno(.invalid),
            "a page too much")
        t.expect(device.map(at: 0, byteCount: size + pageSize).answer, .errno(.invalid), "all and a page")
    },
    Case("D.5", "a mapped register is the one that is read and written", on: .all) { t in
        let device = try t.openEdu().device
        let (answer, window) = device.map(at: 0, byteCount: pageSize)
        t.expect(
            answer, .success, "BAR 0",
            .software(
                .errno(.invalid), "registers with effects can't be mapped in the process that has them"),
            .remote(
                .errno(.invalid), "a server shares plain memory only: registers are reached by messages"))
        guard let window else { return }
        device.store(0x0f0f as UInt32, at: 4)
        t.expect(window.load32(4) == ~0x0f0f, "the mapping shows what was written")
        window.store32(4, 0xf0f0)
        t.expect(try device.load(UInt32.self, at: 4) == ~0xf0f0, "what is stored there can be read")
        device.unmap(window)
    },
]
