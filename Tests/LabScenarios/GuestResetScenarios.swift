import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestReset: [Scenario] = [
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
                let device = result.address == lab.address ? edu.device.device : attached.device
                // On the root bus there is no way but a device's own.
                try expectEqual(
                    result.succeeded, device.canReset, "whether \(result.address) was reset, \(result.errors)"
                )
                try expect(
                    try !device.configuration.command.contains(.busMaster),
                    "\(result.address) may start transactions after the reset")
            }
            try expectEqual(
                report.unreset, edu.device.device.canReset ? [] : [lab.address], "what wasn't reset")
            // Its memory is still the guest's, as soon as its driver sets it up again.
            try expectEqual(try guest.mappingCount(attached), 2, "mappings after the reset")
            let again = try DiskDevice(lab, attached.device)
            try again.expectIdentifies(in: high, at: 1 << 32, "RAM after the reset")
            let other = try GuestEdu(lab, edu.device, (low, IOVA(0)))
            try other.expectWrites(
                low.window(at: pageSize, byteCount: pageSize), at: UInt64(pageSize), 95, "RAM after the reset"
            )
        }
    ]
}
