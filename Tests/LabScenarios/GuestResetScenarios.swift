import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestResets: [Scenario] = [
        Scenario("a guest's device that can't be reset is named, is quiet, and works when it is set up again")
        {
            lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: 2, at: 0)
            let target = low.window(at: pageSize, byteCount: pageSize)
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            let device = edu.device
            let base: UInt64 = 0xe000_0000
            let region = try GuestRegion(.bar0, of: device.device, in: guest.memory)
            try guest.system.add(region.memory, at: base)
            let trigger = try EventDescriptor()
            let line = try GuestLine(device.device, trigger: trigger.number, regions: [region])
            device.addResetParticipant(line)
            device.addResetParticipant(region)
            func load(_ register: Int) throws -> UInt32 {
                try guest.space.load(UInt32.self, at: GuestAddress(base + UInt64(register)))
            }
            for round in 1...2 {
                try expectEqual(
                    region.isMapped, lab.host.kind == .linux, "round \(round): whether it is mapped")
                let report = guest.devices.reset()
                try expectEqual(report.unreset, [DeviceID(lab.address)], "round \(round): what isn't reset")
                try expect(
                    report.errors.contains { "\($0)".contains("no bridge above") }, "\(report.errors)")
                try expect(!region.isMapped, "round \(round): registers are reached directly")
                // Touching them would end the process; so it is the host that is asked.
                try expectEqual(
                    try load(EduDevice.Register.identification), .max, "round \(round): a register, disabled")
                try expectError(.notSupported, ["no bridge above"], "the single reset") {
                    () throws(VFIOError) in
                    try device.reset()
                }
                try device.device.setMemoryEnabled(true)
                try device.device.setBusMaster(true)
                try expectEqual(
                    try load(EduDevice.Register.identification), 0x0100_00ed, "round \(round): identification"
                )
                try expectEqual(region.isMapped, lab.host.kind == .linux, "round \(round): mapped again")
                try edu.expectWrites(target, at: UInt64(pageSize), 70 + round, "RAM, round \(round)")
                // The end of the transfer isn't the only thing that raises the line.
                _ = try trigger.take()
                try edu.edu.registers.store32(EduDevice.Register.interruptRaise, 1)
                try expect(
                    try trigger.wait(milliseconds: lab.patience) != nil, "round \(round): the line is dead")
                line.raised()
                try guest.space.store(
                    UInt32(1), at: GuestAddress(base + UInt64(EduDevice.Register.interruptAcknowledge)))
                region.setMapped(true)
            }
            try line.disable()
        },
        Scenario("a guest's disk is reset by itself, forgets what it was told, and works again") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: DiskDevice.pageCount, at: 0)
            let attached = try guest.devices.attach(try lab.diskAddress(), to: guest.space)
            let messages = try GuestMessages(.msix, of: attached.device)
            attached.addResetParticipant(messages)
            let event = try EventDescriptor()
            for round in 1...2 {
                let disk = try DiskDevice(lab, attached.device)
                try messages.use(0, event.number)
                _ = try event.take()
                try disk.expectIdentifies(in: low, at: 0, "round \(round)")
                try expect(
                    try event.wait(milliseconds: lab.patience) != nil, "round \(round): no message came")
                try expect(try disk.isReady, "round \(round): the disk isn't ready")
                let result = try attached.reset()
                try expectEqual(result.method, .alone, "round \(round): how it is reset")
                try expectEqual(result.errors, [], "round \(round): what failed")
                try expectEqual(messages.enabledCount, 0, "round \(round): vectors in use")
                try attached.device.setMemoryEnabled(true)
                try expect(try !disk.isReady, "round \(round): the disk is as it was")
            }
            let report = guest.devices.reset()
            try expectEqual(report.devices.map(\.method), [.alone], "how it is reset with the machine")
        },
        Scenario("a guest's devices are reset with it: those that can be, and all of them are quiet then") {
            lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: DiskDevice.pageCount, at: 0)
            let high = try guest.addRAM("high", pages: DiskDevice.pageCount, at: 1 << 32)
            let edu = try guest.attachEdu(exchange: (low, IOVA(0)))
            let attached = try guest.devices.attach(try lab.diskAddress(), to: guest.space)
            let disk = try DiskDevice(lab, attached.device)
            try disk.expectIdentifies(in: high, at: 1 << 32, "RAM before the reset")

            let report = guest.devices.reset()
            try expectEqual(report.devices.count, 2, "devices in the report")
            for result in report.devices {
                let device = result.id.address == lab.address ? edu.device.device : attached.device
                // On the root bus there is no way but a device's own.
                try expectEqual(
                    result.succeeded, device.canReset, "whether \(result.id) was reset, \(result.errors)"
                )
                try expect(
                    try !device.configuration.command.contains(.busMaster),
                    "\(result.id) may start transactions after the reset")
            }
            try expectEqual(
                report.unreset, edu.device.device.canReset ? [] : [DeviceID(lab.address)], "what wasn't reset"
            )
            // Its memory is still the guest's, as soon as its driver sets it up again.
            try expectEqual(try guest.mappingCount(attached), 2, "mappings after the reset")
            let again = try DiskDevice(lab, attached.device)
            try again.expectIdentifies(in: high, at: 1 << 32, "RAM after the reset")
            let other = try GuestEdu(lab, edu.device, (low, IOVA(0)))
            try other.expectWrites(
                low.window(at: pageSize, byteCount: pageSize), at: UInt64(pageSize), 95, "RAM after the reset"
            )
        },
    ]
}
