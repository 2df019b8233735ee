import IOVASpace
import LinuxSystem
import VFIO
import VFIOABI
import VFIOHost

extension Scenario {
    /// What is done with a device that can be moved to another host in every way there is: the kernel's sample
    /// serial port, or a device in software.
    public static let moving: [Scenario] = [
        Scenario("a device that can be moved says how, and how much there is to be carried") { lab in
            let device = try lab.open()
            try expectEqual(try device.migrationCapabilities(), [.stopCopy, .p2p, .preCopy], "capabilities")
            try expectEqual(try device.migrationState(), .running, "state")
            try expect(try device.has(.dmaLoggingStart, .set), "it keeps no log")
            let size = try device.migrationDataSize() ?? 0
            try expect(size > 0, "its state has no bytes")
        },
        Scenario("a device is stopped and copied, takes its state again, and works") { lab in
            let device = try lab.open()
            let state = try device.copyState()
            try expect(!state.isEmpty, "its state has no bytes")
            let into = try device.setMigrationState(.resuming)
            try into?.write(state)
            try device.setMigrationState(.running)
            try expectEqual(try device.migrationState(), .running, "state")
            try expectEqual(try device.copyState(), state, "its state afterwards")
            var refusal: Errno?
            do throws(VFIOError) { try into?.write([1]) } catch { refusal = error.errno }
            try expectEqual(refusal, .noDevice, "writing when it is over")
        },
        Scenario("what is known of a state goes out while the device works, the rest when it has stopped") {
            lab in
            let device = try lab.open()
            _ = try device.enablePrecopyFlags()
            guard let out = try device.setMigrationState(.preCopy) else { throw Unexpected("no data") }
            let info = try out.precopyInfo()
            let early = try out.readAll()
            try expectEqual(UInt64(early.count), info?.initialBytes, "what comes while it works")
            try expectEqual(try out.precopyInfo()?.initialBytes, 0, "what is left")
            try expect(try device.setMigrationState(.stopCopy) == nil, "the rest comes by another way")
            let late = try out.readAll()
            let into = try device.setMigrationState(.resuming)
            try into?.write(early)
            try into?.write(late)
            try device.setMigrationState(.running)
        },
        Scenario("what isn't a state of such a device is refused, and a reset lets it go on") { lab in
            let device = try lab.open()
            let state = try device.copyState()
            for bad in [[], Array(state.dropLast()), state.map { $0 ^ 0x5a }, state + state] {
                let into = try device.setMigrationState(.resuming)
                var refused = false
                do throws(VFIOError) {
                    try into?.write(bad)
                    try device.setMigrationState(.running)
                } catch {
                    refused = true
                }
                try expect(refused, "\(bad.count) bytes were taken")
                try expect(try device.migrationState() != .running, "it works")
                try device.resetOutOfMigration()
                try expectEqual(try device.migrationState(), .running, "state after a reset")
            }
            try expectEqual(try device.copyState().count, state.count, "the bytes of its state afterwards")
        },
        Scenario("who tells which pages were written is the device's own log") { lab in
            let device = try lab.open()
            guard let range = IOVARange(IOVA(0x10_0000), byteCount: 16 * UInt64(pageSize)) else { return }
            let space = device.addressSpace
            let tracking = try space.trackWrites(by: [device], in: [range])
            try expectEqual(tracking.source, .devices, "the source")
            try expectEqual(try tracking.takeWrittenPages(in: range).count, 0, "pages written")
            tracking.stop()
            withExtendedLifetime(device) {}
        },
    ]
}

extension Device {
    /// Its state; it is running before and afterwards.
    fileprivate func copyState() throws(VFIOError) -> [UInt8] {
        let out = try setMigrationState(.stopCopy)
        let state = try out?.readAll() ?? []
        try setMigrationState(.running)
        return state
    }
}
