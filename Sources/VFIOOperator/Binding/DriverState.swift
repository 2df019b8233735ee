import LinuxSystem
import PCIDecoder
import VFIOHost

/// Who drives a device, and who may.
public struct DriverState: Sendable, Equatable {
    /// The driver that it is bound to; nil for none.
    public var driver: String?
    /// The only driver that may be bound to it (`driver_override`); nil where that isn't restricted.
    public var override: String?

    /// Describes a state.
    public init(driver: String?, override: String?) {
        self.driver = driver
        self.override = override
    }

    /// Reads how a device is now, from its folder in sysfs.
    /// - Throws: `ENOENT` for a device that isn't there, `EOPNOTSUPP` for one that has no `driver_override`, `EINVAL` for
    ///   names that no driver has, and that could therefore not be written back.
    public init(of device: DeviceID, in roots: SystemRoots) throws(Errno) {
        let folder = roots.folder(of: device)
        guard FileSystem.exists(folder) else { throw .noSuchEntry }
        do throws(Errno) {
            driver = PathText.last(try FileSystem.linkTarget(folder + "/driver"))
        } catch {
            if error != .noSuchEntry { throw error }
        }
        do throws(Errno) {
            let text = try FileSystem.text(of: folder + "/driver_override")
            override = text.isEmpty || text == "(null)" ? nil : text
        } catch {
            throw error == .noSuchEntry ? .notSupported : error
        }
        guard driver.map({ DriverName.isPossible($0) }) ?? true,
            override.map({ DriverName.isPossibleOverride($0) }) ?? true
        else { throw .invalid }
    }
}

extension DriverState: CustomStringConvertible {
    /// "nvme", "no driver"
    public var description: String { driver.map { PrintableText.of($0.utf8, limit: 1024) } ?? "no driver" }
}

extension SystemRoots {
    /// The folder of a device in sysfs.
    func folder(of device: DeviceID) -> String { "\(sysfs)/bus/\(device.bus.name)/devices/\(device.name)" }

    /// The folder of a driver in sysfs.
    func folder(ofDriver driver: String, on bus: DeviceID.Bus) -> String {
        "\(sysfs)/bus/\(bus.name)/drivers/\(driver)"
    }
}
