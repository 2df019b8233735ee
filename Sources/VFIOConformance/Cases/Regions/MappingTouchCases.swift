import LinuxSystem
import VFIOABI
import VFIOHost

/// D.5: when a mapping of a BAR can be touched.
let mappingTouchCases: [Case] = [
    Case("D.5", "a mapping can't be touched while memory is off, and shows the BAR again after it", on: .all)
    {
        t in
        let bar = try t.openBAR(.memory, "a device with memory that can be mapped")
        let (answer, window) = bar.device.map(at: bar.start, byteCount: pageSize)
        t.expect(answer, .success, "mapping it")
        guard let window else { return }
        window.store32(0, 16)
        window.store32(8, 0)
        t.expect(
            bar.device.request(.deviceGetIRQInfo, window.address.rawValue), .success,
            "a request that lies there")
        bar.setCommand(1)
        t.expect(
            bar.device.request(.deviceGetIRQInfo, window.address.rawValue), .errno(.badAddress),
            "the same with memory off")
        bar.setCommand(2)
        t.expect(
            bar.device.request(.deviceGetIRQInfo, window.address.rawValue), .success,
            "the same with memory on again")
        t.expect(window.load32(0), equals: 16, "what it holds")
        bar.device.unmap(window)
    },
    Case("D.5", "a BAR can be mapped while memory is off, for the time when it is on", on: .all) { t in
        let bar = try t.openBAR(.memory, "a device with memory that can be mapped")
        bar.setCommand(0)
        let (answer, window) = bar.device.map(at: bar.start, byteCount: pageSize)
        t.expect(answer, .success, "mapping it")
        guard let window else { return }
        t.expect(!bar.device.canTouch(window), "it can't be touched")
        bar.setCommand(2)
        t.expect(bar.device.canTouch(window), "it can with memory on")
        bar.device.unmap(window)
    },
    Case("D.5", "memory is turned off for all mappings of a device, and for no other's", on: .all) { t in
        let bar = try t.openBAR(.memory, "a device with memory that can be mapped")
        let windows = try [bar.start, bar.start, bar.start + UInt64(pageSize)].map { place in
            guard let window = bar.device.map(at: place, byteCount: pageSize).window else {
                throw Halt.broken("mapping \(place)")
            }
            return window
        }
        let memory = try t.buffer(16)
        memory.store(16 as UInt32)
        bar.setCommand(0)
        t.expect(windows.map(bar.device.canTouch), equals: [false, false, false], "with memory off")
        t.expect(
            bar.device.request(.deviceGetIRQInfo, memory), .success, "a request in memory of the process")
        bar.setCommand(2)
        windows[0].store32(0, 0x1234_5678)
        t.expect(windows[1].load32(0), equals: 0x1234_5678, "two mappings of one page, with memory on")
        t.expect(bar.device.canTouch(windows[2]), "the next page can be touched")
        for window in windows { bar.device.unmap(window) }
    },
    Case("D.5", "a mapping can't be touched in D3hot, and can afterwards", on: .all) { t in
        let bar = try t.openBAR(.mappable, "a device with power management and a BAR to map") {
            try $0.capability(1) != nil
        }
        let power = try t.capability(1, of: bar.device)
        guard let window = bar.device.map(at: bar.start, byteCount: pageSize).window else {
            throw Halt.broken("mapping BAR \(bar.index)")
        }
        t.expect(bar.device.canTouch(window), "in D0")
        bar.device.configure(power + 4, 3 as UInt16)
        t.expect(!bar.device.canTouch(window), "not in D3hot")
        bar.device.configure(power + 4, 0 as UInt16)
        // A device may have forgotten everything on its way back.
        bar.setCommand(3)
        t.expect(bar.device.canTouch(window), "in D0 again")
        bar.device.unmap(window)
    },
    Case("D.5", "a mapping can't be touched in low power, and can afterwards", on: .all) { t in
        let bar = try t.openBAR(.mappable, "a device with a BAR to map")
        guard let window = bar.device.map(at: bar.start, byteCount: pageSize).window else {
            throw Halt.broken("mapping BAR \(bar.index)")
        }
        try t.require(bar.device.feature(.lowPowerEntry, .set), "LOW_POWER_ENTRY")
        t.expect(!bar.device.canTouch(window), "not in low power")
        t.awaitSleep()
        t.expect(!bar.device.canTouch(window), "not later, though the request itself woke the device")
        bar.device.wakeUp()
        t.expect(bar.device.canTouch(window), "after it")
        bar.device.unmap(window)
    },
    Case("D.5", "a mapping lives through a reset of the device", on: .all) { t in
        let bar = try t.openBAR(.mappable, "a device with RESET and a BAR to map") {
            var info = DeviceInfo()
            return $0.request(.deviceGetInfo, &info) == .success && info.flags.contains(.reset)
        }
        guard let window = bar.device.map(at: bar.start, byteCount: pageSize).window else {
            throw Halt.broken("mapping BAR \(bar.index)")
        }
        try t.require(bar.device.request(.deviceReset), "RESET")
        t.expect(try bar.device.configuration(UInt16.self, 4) & 2, equals: 2, "memory is on")
        t.expect(bar.device.canTouch(window), "the mapping can be touched")
        bar.device.unmap(window)
    },
    Case("D.5", "what was mapped for reading only can't be written through", on: .all) { t in
        let bar = try t.openBAR(.memory, "a device with memory that can be mapped")
        bar.device.store(0 as UInt32, at: bar.start)
        bar.device.store(16 as UInt32, at: bar.start)
        bar.device.store(0 as UInt32, at: bar.start + 8)
        guard let window = bar.device.map(at: bar.start, byteCount: pageSize, [.read]).window else {
            throw Halt.broken("mapping BAR \(bar.index) for reading")
        }
        t.expect(window.load32(0), equals: 16, "reading")
        t.expect(!bar.device.canTouch(window), "a request whose answer would be written there is EFAULT")
        bar.device.unmap(window)
    },
]
