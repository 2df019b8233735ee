import LinuxSystem
import VFIOABI
import VFIOHost

private let ways: Routes = [.group, .compat, .cdev]
private let pixels: UInt32 = 0x3432_5258

/// G.8: the frame buffer of Linux's sample driver mdpy.
let frameBufferCases: [Case] = [
    Case("G.8", "a frame buffer is a BAR, and the same once more for the host", on: ways) { t in
        let bench = try t.mediated("mdpy-vga")
        let info = bench.meet().info
        t.expect(info.flags == .pci, "a PCI device")
        t.expect(info.regionCount, equals: 9, "regions")
        for index in UInt32(0)..<9 {
            let (answer, info) = bench.device.regionInfo(index)
            t.expect(answer, .success, "region \(index)")
            t.expect(info.size, equals: index == 0 ? 2 << 20 : index == 7 ? 255 : 0, "region \(index): size")
            let flags: RegionFlags = index == 0 ? [.read, .write, .mmap] : index == 7 ? [.read, .write] : []
            t.expect(info.flags == flags, "region \(index): what can be done with it")
            t.expect(info.offset == (index == 0 ? UInt64(pageSize) : 0), "region \(index): where")
        }
        let (answer, shown) = bench.device.regionInfo(16)
        t.expect(answer, .success, "region 16")
        t.expect(shown.size, equals: 2 << 20, "region 16: size")
        t.expect(shown.offset == UInt64(pageSize), "region 16: where BAR 0 is")
        for index in [UInt32(9), 15, 17] {
            t.expect(bench.device.regionInfo(index).answer, .errno(.invalid), "region \(index)")
        }
    },
    Case("G.8", "a frame buffer's configuration space tells its size", on: ways) { t in
        let bench = try t.mediated("mdpy-xga")
        func word(_ offset: UInt64) throws -> String {
            "0x" + String(try bench.device.load(UInt32.self, at: offset), radix: 16)
        }
        t.expect(try word(0), equals: "0xf1b36", "identity")
        t.expect(try word(4), equals: "0x100003", "command and status")
        t.expect(try word(8), equals: "0x3800001", "class")
        t.expect(try word(0x2c), equals: "0x11001af4", "subsystem")
        t.expect(try word(0x34), equals: "0x40", "first capability")
        t.expect(try word(0x40), equals: "0x100009", "vendor's own, 16 bytes")
        t.expect(try word(0x44), equals: "0x34325258", "format")
        t.expect(try word(0x48), equals: "0x400", "width")
        t.expect(try word(0x4c), equals: "0x300", "height")
        bench.device.store(UInt32.max, at: 0x10)
        t.expect(try word(0x10), equals: "0xffc00008", "BAR 0: four MiB")
        bench.device.store(UInt32(0xd000_0000), at: 0x10)
        t.expect(try word(0x10), equals: "0xd0000008", "BAR 0")
        bench.device.store(UInt32.max, at: 4)
        t.expect(try word(4), equals: "0x100003", "command and status")
    },
    Case("G.8", "a frame buffer's picture is a region", on: ways) { t in
        let bench = try t.mediated("mdpy-vga")
        t.expect(bench.plane([.probe, .region]).answer, .success, "probe for a region")
        t.expect(bench.plane([.probe, .dmabuf]).answer, .errno(.invalid), "probe for a dma-buf")
        t.expect(bench.plane([.probe]).answer, .errno(.invalid), "probe for nothing")
        t.expect(bench.plane(.dmabuf).answer, .errno(.invalid), "a dma-buf")
        t.expect(bench.plane([]).answer, .errno(.invalid), "nothing")
        t.expect(bench.plane(.region, argsz: 59).answer, .errno(.invalid), "argsz 59")
        t.expect(bench.device.request(.deviceQueryGFXPlane, 0), .errno(.badAddress), "no address")
        let answered = bench.plane(.region, argsz: 60)
        let plane = answered.info
        t.expect(answered.answer, .success, "a region")
        t.expect(plane.drmFormat == pixels, "XR24")
        t.expect("\(plane.width) \(plane.height) \(plane.stride)", equals: "640 480 2560", "its size")
        t.expect(plane.size, equals: 2 << 20, "all of the memory")
        t.expect(plane.regionIndex, equals: 16, "region 16")
        var id: UInt32 = 1
        t.expect(bench.device.request(.deviceGetGFXDMABuf, &id), .errno(.noSuchRequest), "GET_GFX_DMABUF")
    },
    Case("G.8", "what a frame buffer shows can be mapped, from its beginning only", on: ways) { t in
        let bench = try t.mediated("mdpy-vga")
        let offset = try bench.offset(16)
        let (answer, window) = bench.device.map(at: offset, byteCount: 2 << 20)
        t.expect(answer, .success, "all of it")
        guard let window else { return }
        defer { bench.device.unmap(window) }
        t.expect(Int(window.load8(479 * 2560)), equals: 479 * 255 / 480, "the gradient's last line")
        window.store32(0, 0x0012_3456)
        t.expect(try bench.device.load(UInt32.self, at: offset) == 0x0012_3456, "read what was stored")
        t.expect(bench.device.request(.deviceReset), .success, "RESET")
        t.expect(window.load32(0), equals: 0, "the gradient again")
        t.expect(
            bench.device.map(at: offset + UInt64(pageSize), byteCount: pageSize).answer, .errno(.invalid),
            "the second page")
        t.expect(
            bench.device.map(at: offset, byteCount: 4 << 20).answer, .errno(.invalid), "more than there is")
        t.expect(bench.device.map(at: 0, byteCount: pageSize).answer, .errno(.invalid), "configuration space")
        t.expect(
            bench.device.read(at: offset + 2 << 20, count: 4).answer, .errno(.badAddress), "beyond its end")
    },
    Case("G.8", "a frame buffer has no interrupts", on: ways) { t in
        let bench = try t.mediated("mdpy-vga")
        t.expect(bench.device.irqInfo(.intx).answer, .errno(.invalid), "GET_IRQ_INFO before GET_INFO")
        _ = bench.meet()
        for index in UInt32(0)..<5 {
            let (answer, info) = bench.device.irqInfo(PCIInterrupt(rawValue: index))
            t.expect(answer, .success, "index \(index)")
            t.expect(info.count, equals: 0, "index \(index): count")
        }
        t.expect(bench.device.irqInfo(PCIInterrupt(rawValue: 5)).answer, .errno(.invalid), "index 5")
        t.expect(bench.device.disable(.intx), .errno(.invalid), "SET_IRQS")
        t.expect(bench.device.request(.deviceSetIRQs, 0), .errno(.invalid), "SET_IRQS, not even looked at")
    },
]

/// G.9: the display of Linux's sample driver mbochs.
let bochsDisplayCases: [Case] = [
    Case("G.9", "a Bochs display has memory, registers and an EDID region", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        t.expect(bench.meet().info.regionCount, equals: 10, "regions")
        let page = UInt64(pageSize)
        let wanted: [UInt32: (size: UInt64, offset: UInt64, flags: RegionFlags)] = [
            0: (4 << 20, 3 * page, [.read, .write, .mmap]), 2: (page, page, [.read, .write]),
            7: (255, 0, [.read, .write]), 9: (page, 2 * page, [.read, .write, .caps]),
        ]
        for index in UInt32(0)..<10 {
            let (answer, info) = bench.device.regionInfo(index)
            let (size, offset, flags) = wanted[index] ?? (0, 0, [])
            t.expect(answer, .success, "region \(index)")
            t.expect(info.size, equals: size, "region \(index): size")
            t.expect(info.offset == offset, "region \(index): where")
            t.expect(info.flags == flags, "region \(index): what can be done with it")
        }
        let kind = bench.device.regionKind(9)
        t.expect(kind?.type == .graphics && kind?.subtype == .graphicsEDID, "region 9: type and subtype")
        t.expect(bench.device.regionInfo(10).answer, .errno(.invalid), "region 10")
    },
    Case("G.9", "a Bochs display's mode is set by registers of 16 bits", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        let registers = try bench.offset(2)
        func read(_ index: UInt64) throws -> String {
            "0x" + String(try bench.device.load(UInt16.self, at: registers + 0x500 + 2 * index), radix: 16)
        }
        t.expect(try read(0), equals: "0xb0c5", "identification")
        t.expect(try read(10), equals: "0x40", "4 MiB")
        bench.device.store(UInt16(640), at: registers + 0x502)
        t.expect(try read(1), equals: "0x280", "width")
        bench.device.store(UInt32.max, at: registers + 0x504)
        t.expect(try read(2), equals: "0x0", "height: not by 32 bits")
        t.expect(try bench.device.load(UInt32.self, at: registers + 0x504), equals: 0, "32 bits are 0")
        t.expect(try bench.device.load(UInt16.self, at: registers + 0x400), equals: 0, "what VGA had")
        t.expect(try bench.device.load(UInt16.self, at: registers + 0x600), equals: 0, "what QEMU has")
        t.expect(bench.device.request(.deviceReset), .success, "RESET")
        t.expect(try read(1), equals: "0x0", "width")
        t.expect(try read(0), equals: "0xb0c5", "identification")
    },
    Case("G.9", "the EDID region tells the guest of a monitor", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        let device = bench.device
        let edid = try bench.offset(9)
        let registers = try bench.offset(2)
        func word(_ offset: UInt64) throws -> UInt32 { try device.load(UInt32.self, at: edid + offset) }
        t.expect(try word(0) == UInt32(pageSize / 2), "where the block begins")
        t.expect(try word(4), equals: 1024, "its greatest size")
        t.expect("\(try word(12)) \(try word(16))", equals: "800 600", "the greatest picture")
        let block = edid + UInt64(pageSize / 2)
        t.expect(device.write(at: block, [0, 255, 255, 255]), .value(4), "write a block")
        device.store(UInt32(128), at: edid + 8)
        t.expect(try device.load(UInt32.self, at: registers), equals: 0, "nothing is plugged in")
        device.store(GFXLinkState.up.rawValue, at: edid + 20)
        t.expect(try device.load(UInt32.self, at: registers), equals: 0xffff_ff00, "plugged in")
        t.expect(try device.load(UInt32.self, at: registers + 128), equals: 0, "behind the block")
        device.store(GFXLinkState.down.rawValue, at: edid + 20)
        t.expect(try device.load(UInt32.self, at: registers), equals: 0, "pulled out")
        device.store(UInt32(7), at: edid)
        device.store(UInt32(7), at: edid + 12)
        device.store(UInt16(7), at: edid + 8)
        t.expect(try word(0) == UInt32(pageSize / 2), "read only")
        t.expect(try word(12), equals: 800, "read only")
        t.expect(try word(8), equals: 128, "not by 16 bits")
    },
    Case("G.9", "a Bochs display shows what its mode says, if that can be", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        let mode = try BochsMode(bench)
        t.expect(bench.plane([.probe, .dmabuf]).answer, .success, "probe for a dma-buf")
        t.expect(bench.plane([.probe, .region]).answer, .errno(.invalid), "probe for a region")
        t.expect(bench.plane(.region).answer, .errno(.invalid), "a region")
        let nothing = bench.plane(.dmabuf)
        t.expect(nothing.answer, .success, "no mode")
        t.expect(nothing.text, equals: "0 by 0, number 0", "nothing")
        mode.show(width: 640, height: 480)
        t.expect(
            bench.plane(.dmabuf).answer, .errno(.noMemory), "a mode, for the first time",
            .software(.success, "Linux forgets to use the buffer that it has just made"))
        let plane = bench.plane(.dmabuf)
        t.expect(plane.answer, .success, "a mode")
        t.expect(plane.text, equals: "640 by 480, number 1", "its size")
        t.expect("\(plane.info.stride) \(plane.info.size)", equals: "2560 1228800", "bytes")
        t.expect(plane.info.drmFormat == pixels, "XR24")
        t.expect(bench.plane(.dmabuf, type: 2).text, equals: "0 by 0, number 0", "no cursor")
        mode.set(8, 1)
        _ = bench.plane(.dmabuf)
        t.expect(bench.plane(.dmabuf).text, equals: "640 by 480, number 2", "one pixel to the left")
        for (register, value, what) in [
            (1, 63, "63 pixels"), (2, 63, "63 lines"), (2, 4000, "more than there is memory for"),
            (3, 16, "16 bits a pixel"), (4, 0, "not enabled"),
        ] as [(UInt64, UInt16, String)] {
            mode.show(width: 640, height: 480)
            mode.set(register, value)
            t.expect(bench.plane(.dmabuf).text, equals: "0 by 0, number 0", what)
        }
    },
    Case("G.9", "the memory of a picture is asked for by its number", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        let mode = try BochsMode(bench)
        mode.show(width: 640, height: 480)
        _ = bench.plane(.dmabuf)
        var id = bench.plane(.dmabuf).info.dmabufID
        t.expect(bench.device.request(.deviceGetGFXDMABuf, 0), .errno(.badAddress), "no address")
        let got = bench.device.request(.deviceGetGFXDMABuf, &id)
        guard case .value(let number) = got else { throw Halt.broken("GET_GFX_DMABUF: \(got)") }
        _ = t.adopt(number)
        id = 77
        t.expect(bench.device.request(.deviceGetGFXDMABuf, &id), .errno(.noSuchEntry), "an unknown number")
        mode.set(8, 1)
        _ = bench.plane(.dmabuf)
        id = bench.plane(.dmabuf).info.dmabufID
        t.expect(
            bench.device.request(.deviceGetGFXDMABuf, &id), .errno(.invalid), "not at a page's beginning")
    },
    Case("G.9", "a picture's memory is that of the display", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        let mode = try BochsMode(bench)
        mode.show(width: 640, height: 480)
        // The picture begins with the ninth line.
        mode.set(9, 8)
        _ = bench.plane(.dmabuf)
        var id = bench.plane(.dmabuf).info.dmabufID
        let got = bench.device.request(.deviceGetGFXDMABuf, &id)
        guard case .value(let number) = got else { throw Halt.broken("GET_GFX_DMABUF: \(got)") }
        let buffer = t.adopt(number)
        let memory = try bench.offset(0)
        let (mapped, window) = bench.device.map(at: memory, byteCount: 4 << 20)
        t.expect(mapped, .success, "map BAR 0")
        guard let window else { return }
        defer { bench.device.unmap(window) }
        t.expect(
            buffer.map(at: 0, byteCount: 640 * 480 * 4).answer, .errno(.accessDenied), "map it for writing")
        let (shown, picture) = buffer.map(at: 0, byteCount: 640 * 480 * 4, .read)
        t.expect(
            shown, .errno(.invalid), "map the picture",
            .software(
                .success,
                "what Linux's sample gives out is read only, hence not really shared, and so it refuses it"))
        guard let picture else { return }
        defer { buffer.unmap(picture) }
        window.store32(8 * 2560, 0x00ab_cdef)
        t.expect(picture.load32(0) == 0x00ab_cdef, "they are one")
    },
    Case("G.9", "a Bochs display has no interrupts", on: ways) { t in
        let bench = try t.mediated("mbochs-small")
        let (answer, info) = bench.device.irqInfo(.intx)
        t.expect(answer, .success, "GET_IRQ_INFO, before GET_INFO")
        t.expect(info.count, equals: 0, "count")
        t.expect(bench.device.irqInfo(PCIInterrupt(rawValue: 5)).answer, .errno(.invalid), "index 5")
        t.expect(bench.device.disable(.intx), .errno(.invalid), "SET_IRQS")
    },
]

/// The registers of a Bochs display's mode.
private struct BochsMode {
    private let device: File
    private let registers: UInt64

    init(_ bench: MediatedBench) throws {
        device = bench.device
        registers = try bench.offset(2) + 0x500
    }

    /// Writes a register, by its number.
    func set(_ index: UInt64, _ value: UInt16) { device.store(value, at: registers + 2 * index) }

    /// Sets a mode, from the memory's beginning.
    func show(width: UInt16, height: UInt16) {
        for (index, value) in [(1, width), (2, height), (3, 32), (8, 0), (9, 0), (4, 0x41)]
            as [(UInt64, UInt16)]
        {
            set(index, value)
        }
    }
}
