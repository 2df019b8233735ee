import LinuxSystem
import VFIOABI
import VFIOHost

extension File {
    /// FEATURE with bytes behind the header.
    /// - Parameter argsz: the size that is declared; nil for the right one.
    func feature(
        _ feature: Feature, _ operation: FeatureFlags, payload: [UInt8] = [], argsz: UInt32? = nil
    ) -> Answer {
        let header = DeviceFeature(
            argsz: argsz ?? UInt32(8 + payload.count), flags: FeatureFlags(feature, operation))
        // SAFETY: a structure of plain integers without padding; the address is used during the call only.
        var bytes = unsafe withUnsafeBytes(of: header) { unsafe Array($0) }
        bytes += payload
        return unsafe bytes.span.withUnsafeBytes { buffer in
            request(.deviceFeature, UInt(bitPattern: buffer.baseAddress))
        }
    }

    /// LOW_POWER_ENTRY_WITH_WAKEUP
    func sleep(waking number: Int32, reserved: Int32 = 0) -> Answer {
        feature(.lowPowerEntryWithWakeup, .set, payload: bytes(of: [number, reserved]))
    }

    /// Lets the device out of low power, which never fails.
    func wakeUp() { _ = feature(.lowPowerExit, .set) }
}

extension Trial {
    /// Whether devices of this kernel really fall asleep: a kernel without power management only notes that they
    /// may.
    func reallySleeps(_ record: DeviceRecord) -> Bool {
        kernel.kind != .linux
            || FileSystem.exists("/sys/bus/pci/devices/\(record.address)/power/runtime_status")
    }

    /// Ends a case about devices that can't be migrated: a server's may be one that can.
    func requireUnmovable(_ device: File) throws {
        if kernel.kind == .vfioUser && device.feature(.migration, [.probe, .get]) == .success {
            throw skip("the server's device can be migrated")
        }
    }

    /// Gives a kernel the time to send a device to sleep.
    func awaitSleep() { if kernel.kind == .linux { Clock.sleep(nanoseconds: 600_000_000) } }
}
