import IOVASpace
import LinuxSystem
import VFIO
import VFIOHost

extension EduDevice {
    /// The registers, with nobody else keeping the device.
    static func onlyRegisters(_ lab: Lab) throws -> Region { try EduDevice(lab).registers }

    /// Memory, with the device closed again.
    static func onlyMemory(_ lab: Lab, in space: AddressSpace) throws -> DMAMemory {
        let device = try Device(opening: lab.address, in: space)
        return try device.addressSpace.allocate(byteCount: 4096, below: addressLimit)
    }
}

extension Scenario {
    /// Those that leave nothing behind and take no time: run twice to see whether descriptors are lost.
    public static var quick: [Scenario] { eduInterrupts + eduMapping + eduLifeCycle }

    static let eduLifeCycle: [Scenario] = [
        Scenario("the device can be opened again and again, quiet each time") { lab in
            for round in 1...3 {
                let device = try lab.open()
                try expect(
                    try !device.configuration.command.contains(.busMaster),
                    "round \(round): it may start transactions before anybody allowed it")
                let edu = try EduDevice(lab, device)
                let interrupts = try device.enableInterrupts(.msi, count: 1)
                _ = try edu.memory()
                try edu.registers.store32(EduDevice.Register.liveness, UInt32(round))
                try expectEqual(
                    try edu.registers.load32(EduDevice.Register.liveness), ~UInt32(round), "round \(round)")
                // All of it is dropped here, whatever the order.
                _ = consume interrupts
            }
        },
        Scenario("a device that is held can't be opened a second time") { lab in
            let held = try lab.open()
            let texts = lab.choice == .cdev ? ["\(lab.address)"] : ["is open already", "/dev/vfio/"]
            try expectError(.busy, texts, "the second opening") { () throws(VFIOError) in
                _ = try lab.open()
            }
            // The refused attempt hasn't disturbed the first.
            try expectEqual(try held.configuration.vendor, 0x1234, "the vendor, through the first")
        },
        Scenario("a region keeps its device open, and gives it back") { lab in
            do {
                let region = try EduDevice.onlyRegisters(lab)
                try expectEqual(
                    try region.load32(EduDevice.Register.identification), 0x0100_00ed, "identification")
                try expectError(.busy, [], "opening meanwhile") { () throws(VFIOError) in
                    _ = try lab.open()
                }
                try expectEqual(
                    try region.load32(EduDevice.Register.identification), 0x0100_00ed, "identification again")
            }
            _ = try lab.open()
        },
        Scenario("memory outlives its device, and the device can be opened in its space again") { lab in
            let space = try AddressSpace(on: lab.host, lab.choice)
            try expectError(.noDeviceYet, ["open a device first"], "memory before a device") {
                () throws(VFIOError) in
                _ = try space.allocate(byteCount: 4096)
            }
            let memory = try EduDevice.onlyMemory(lab, in: space)
            Pattern.fill(memory.window, 20)
            let edu = try EduDevice(lab, try Device(opening: lab.address, in: space))
            let target = try edu.memory()
            try edu.transfer(.fromMemory, memory.iova, 256)
            try edu.transfer(.toMemory, target.iova, 256)
            try Pattern.expect(
                target.window.window(at: 0, byteCount: 256), 20, "the device doesn't see the memory")
        },
        Scenario("a root bus can't be reset, and says so") { lab in
            let device = try lab.open()
            try expectError(.notSupported, ["no bridge above"], "the question") { () throws(VFIOError) in
                _ = try device.hotResetScope()
            }
            try expectError(.notSupported, ["no bridge above"], "the reset") { () throws(VFIOError) in
                try device.hotReset()
            }
        },
        Scenario("a device that isn't there is refused by name") { lab in
            let address = PCIAddress(bus: 0xfe, device: 0x1f, function: 7)
            try expectError(.noSuchDevice, ["0000:fe:1f.7"], "the opening") { () throws(VFIOError) in
                _ = try Device(opening: address, on: lab.host, lab.choice)
            }
        },
        Scenario("resetting a device that can't be reset is refused") { lab in
            let device = try lab.open()
            if device.canReset { throw Skipped("\(lab.address) can be reset here") }
            try expectError(.notSupported, ["no way of being reset"], "the reset") { () throws(VFIOError) in
                try device.reset()
            }
        },
    ]

    /// What a process hears that may not lock as much memory as it wants.
    /// - Parameters:
    ///   - limit: how much it may lock, in bytes.
    ///   - restrict: puts the limit into force, once the device is open.
    public static func lockedMemoryLimit(
        _ limit: UInt64, restrict: @escaping @Sendable () throws -> Void
    ) -> Scenario {
        Scenario("too low a limit of locked memory is told with the bytes needed and the limit") { lab in
            let edu = try EduDevice(lab)
            try restrict()
            let count = Int(limit) * 4
            try expectError(
                .memlockLimit,
                ["RLIMIT_MEMLOCK", "is \(limit) bytes", "\(count) bytes", "ulimit -l \(count / 1024)"],
                "four times the limit"
            ) { () throws(VFIOError) in
                _ = try edu.space.allocate(byteCount: count)
            }
            try expectEqual(edu.space.mappedByteCount, 0, "what is mapped")
            let memory = try edu.memory(4096)
            try expectEqual(memory.byteCount, 4096, "what fits")
            try edu.checkGoodTransfer(21, "below the limit")
        }
    }
}
