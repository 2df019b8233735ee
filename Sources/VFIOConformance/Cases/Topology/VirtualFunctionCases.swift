import LinuxSystem
import VFIOABI
import VFIOHost

private let token = Token(from: 0x10)

/// D.13 and H: virtual functions come and go.
let virtualFunctionCases: [Case] = [
    Case("D.13", "vfio-pci makes virtual functions only if enable_sriov allows it") { t in
        let physical = try t.physicalFunction
        try t.allowVirtualFunctions(false, of: physical)
        t.expect(try t.setCount(1, of: physical), .errno(.noSuchEntry), "not allowed")
        t.expect(try t.setCount(0, of: physical), .success, "none, as before")
        try t.machine.setParameter("vfio_pci.enable_sriov", to: "Y")
        t.expect(try t.setCount(1, of: physical), .success, "allowed")
        try t.machine.setParameter("vfio_pci.enable_sriov", to: "N")
        t.expect(try t.setCount(1, of: physical), .success, "as many as before, not allowed any more")
        t.expect(try t.setCount(0, of: physical), .errno(.noSuchEntry), "taking them away")
    },
    Case("D.13", "sriov_numvfs takes 16 bits, and no more than there can be") { t in
        let physical = try t.physicalFunction
        try t.allowVirtualFunctions(true, of: physical)
        t.expect(try t.setCount(0xffff, of: physical), .errno(.outOfRange), "65535")
        t.expect(try t.setCount(0x10000, of: physical), .errno(.invalid), "65536")
        t.expect(try t.setCount(-1, of: physical), .errno(.invalid), "-1")
    },
    Case("D.13", "another number of virtual functions needs none in between") { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        t.expect(virtual.count, equals: 1, "there is one")
        t.expect(try t.setCount(1, of: physical), .success, "one, as before")
        t.expect(try t.setCount(2, of: physical), .errno(.busy), "two")
        t.expect(try t.setCount(0xffff, of: physical), .errno(.outOfRange), "more than there can be")
        t.expect(try t.setCount(0, of: physical), .success, "none")
        t.expect(try t.setCount(2, of: physical), .success, "two, after none")
        t.expect(try t.virtualFunctions(of: physical).count, equals: 2, "there are two")
    },
    Case("D.13", "a device without a driver makes no virtual functions") { t in
        let physical = try t.physicalFunction
        try t.allowVirtualFunctions(true, of: physical)
        let machine = try t.machine
        try machine.bind(physical.address, to: nil)
        t.atEnd { try? machine.bind(physical.address, to: "vfio-pci") }
        t.expect(try t.setCount(1, of: physical), .errno(.noSuchEntry), "one")
        t.expect(try t.setCount(0, of: physical), .success, "none, as before")
        t.expect(try t.setCount(0xffff, of: physical), .errno(.outOfRange), "more than there can be")
    },
    Case("D.13", "virtual functions of a device with vfio-pci get vfio-pci", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(2)
        t.expect(virtual.count, equals: 2, "how many there are")
        for record in virtual {
            t.expect(record.driver?.name ?? "none", equals: "vfio-pci", "the driver")
            t.expect(record.driverOverride ?? "none", equals: "vfio-pci", "driver_override")
            t.expect(record.vendor == physical.vendor, "the vendor is the physical function's")
            t.expect(record.group != physical.group, "the group isn't the physical function's")
        }
    },
    Case("D.13", "virtual functions are taken away when nobody uses them any more", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        t.expect(try t.door(to: physical).trying(token), .descriptor, "a token is chosen")
        let (answer, device) = try t.door(to: virtual[0]).open(token)
        t.expect(answer, .descriptor, "a virtual function")
        let machine = try t.machine
        let errand = try t.aside { () throws(Errno) in
            try machine.setVirtualFunctionCount(0, of: physical.address)
        }
        Clock.sleep(nanoseconds: 100_000_000)
        t.expect(errand.answer == nil, "it waits")
        t.expect(device?.feature(.lowPowerExit, .set) ?? .errno(.invalid), .success, "the device goes on")
        t.closeAll()
        t.expect(errand.wait() == .success, "it ends")
        t.expect(try t.virtualFunctions(of: physical).count, equals: 0, "how many are left")
    },
    Case("D.13", "a device takes its virtual functions with it when its driver goes", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(2)
        let machine = try t.machine
        try machine.bind(physical.address, to: nil)
        t.atEnd { try? machine.bind(physical.address, to: "vfio-pci") }
        t.expect(try t.virtualFunctions(of: physical).count, equals: 0, "how many are left")
        t.expect(t.opening(virtual[0].groupNode), .errno(.noSuchEntry), "the group of one")
    },
    Case("D.13", "virtual functions go on when the physical one is closed", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        let (_, owner) = try t.door(to: physical).open(token)
        let (answer, device) = try t.door(to: virtual[0]).open(token)
        t.expect(answer, .descriptor, "a virtual function")
        guard let owner, let device else { return }
        owner.close()
        let configuration = try t.region(.config, of: device).offset
        t.expect(try device.load(UInt16.self, at: configuration) == physical.vendor, "reading goes on")
        t.expect(try t.virtualFunctions(of: physical).count, equals: 1, "how many there are")
    },
    Case("D.6", "the capability of virtual functions tells of them, and can't be changed", on: .all) { t in
        let (physical, _) = try t.makeVirtualFunctions(1)
        guard let device = try t.door(to: physical).open(token).device else {
            throw Halt.broken("the physical function can't be opened")
        }
        var at: UInt64 = 0x100
        while try device.configuration(UInt32.self, at) & 0xffff != 0x10 {
            at = UInt64(try device.configuration(UInt32.self, at) >> 20)
            guard at >= 0x100 else { throw Halt.broken("the capability can't be found") }
        }
        t.expect(try device.configuration(UInt16.self, at + 0x10), equals: 1, "NumVFs")
        t.expect(try device.configuration(UInt16.self, at + 8) & 9, equals: 9, "VF Enable, VF MSE")
        var bar = try device.configuration(UInt64.self, at + 0x24)
        if bar & 6 != 4 { bar &= 0xffff_ffff }
        t.expect(bar & ~0xf != 0, "VF BAR 0 has an address")
        for (offset, name): (UInt64, String) in [(8, "Control"), (0x10, "NumVFs"), (0x26, "VF BAR 0")] {
            let old = try device.configuration(UInt16.self, at + offset)
            t.expect(device.configure(at + offset, ~old), .value(2), "writing \(name)")
            t.expect(try device.configuration(UInt16.self, at + offset) == old, "\(name) stays")
        }
    },
    Case(
        "D.6", "a virtual function has ids, no line, no addresses, and a Memory Space Enable of its own",
        on: .all
    ) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        t.expect(try t.door(to: physical).trying(token), .descriptor, "a token is chosen")
        guard let device = try t.door(to: virtual[0]).open(token).device else {
            throw Halt.broken("the virtual function can't be opened")
        }
        let at = try t.region(.config, of: device).offset
        t.expect(try device.load(UInt16.self, at: at) == physical.vendor, "Vendor ID")
        t.expect(try device.load(UInt16.self, at: at + 2) == virtual[0].device, "Device ID")
        t.expect(try device.load(UInt8.self, at: at + 0x3d), equals: 0, "Interrupt Pin")
        t.expect(try device.load(UInt16.self, at: at + 4) & 2, equals: 2, "Memory Space Enable at first")
        let (bars, info) = (at + 0x10, device.regionInfo(0).info)
        t.expect(info.size > 0, "BAR 0 is there")
        t.expect(try device.load(UInt32.self, at: bars) & ~0xf, equals: 0, "BAR 0's address at first")
        device.store(~0 as UInt32, at: bars)
        let size = UInt32(truncatingIfNeeded: info.size)
        t.expect(try device.load(UInt32.self, at: bars) & ~0xf == 0 &- size, "BAR 0's length, asked for")
        device.store(UInt16(0), at: at + 4)
        t.expect(try device.load(UInt16.self, at: at + 4) & 2, equals: 0, "Memory Space Enable, cleared")
        device.store(UInt16(2), at: at + 4)
        t.expect(try device.load(UInt16.self, at: at + 4) & 2, equals: 2, "Memory Space Enable, set")
        var line = IRQInfo(index: 0)
        t.expect(device.request(.deviceGetIRQInfo, &line), .success, "GET_IRQ_INFO")
        t.expect(line.count, equals: 0, "lines")
    },
]
