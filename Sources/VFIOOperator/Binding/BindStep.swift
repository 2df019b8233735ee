import VFIOHost

/// A text for a file of sysfs.
public struct BindWrite: Sendable, Hashable {
    /// The file.
    public let path: String
    /// What is written, without the line feed at its end; nothing at all takes a restriction away.
    public let text: String

    /// Describes a write.
    public init(_ text: String, to path: String) {
        self.text = text
        self.path = path
    }

    /// The write as a shell does it: "echo vfio-pci > /sys/…".
    public var shell: String {
        (text.isEmpty ? "echo" : "echo " + ShellText.quoted(text)) + " > " + ShellText.quoted(path)
    }
}

/// One write on the way from a driver to another, and what takes it back.
public struct BindStep: Sendable, Equatable {
    /// What a write does.
    public enum Kind: String, Sendable {
        /// Says which driver alone may have the device (`driver_override`).
        case override
        /// Takes the device from its driver.
        case unbind
        /// Gives it to a driver.
        case bind
    }

    /// The device.
    public let device: DeviceID
    /// What the write does.
    public let kind: Kind
    /// The driver that is written to, or that alone may have the device; nil where that restriction is taken away.
    public let driver: String?
    /// The write.
    public let write: BindWrite
    /// What takes it back, in order.
    public let undo: [BindWrite]
}

/// One device's way from a driver to another.
public struct BindMove: Sendable, Equatable {
    /// The device.
    public let device: DeviceID
    /// How it is.
    public let from: DriverState
    /// How it is to be.
    public let to: DriverState
    /// The writes, in order; none for a device that is as it is to be.
    public let steps: [BindStep]

    /// Finds the writes that lead from one state to another.
    ///
    /// The restriction comes first: a driver that is loaded between two writes then can't take the device. For the same
    /// reason a driver is given the device by name, and none is asked to look for it: the kernel answers that with the
    /// driver's own error, where `drivers_probe` says nothing.
    public init(_ device: DeviceID, from: DriverState, to: DriverState, in roots: SystemRoots) {
        self.device = device
        self.from = from
        self.to = to
        let attribute = roots.folder(of: device) + "/driver_override"
        func control(_ driver: String, _ name: String) -> BindWrite {
            BindWrite(device.name, to: roots.folder(ofDriver: driver, on: device.bus) + "/" + name)
        }
        var steps: [BindStep] = []
        // No other driver could be given the device while this one alone may have it.
        var unrestrict: [BindWrite] = []
        if from.override != to.override {
            unrestrict = [BindWrite(from.override ?? "", to: attribute)]
            steps.append(
                BindStep(
                    device: device, kind: .override, driver: to.override,
                    write: BindWrite(to.override ?? "", to: attribute), undo: unrestrict))
        }
        if let old = from.driver, old != to.driver {
            steps.append(
                BindStep(
                    device: device, kind: .unbind, driver: old, write: control(old, "unbind"),
                    undo: unrestrict + [control(old, "bind")]))
        }
        if let new = to.driver, new != from.driver {
            steps.append(
                BindStep(
                    device: device, kind: .bind, driver: new, write: control(new, "bind"),
                    undo: [control(new, "unbind")]))
        }
        self.steps = steps
    }
}

/// Text for a shell.
enum ShellText {
    /// A word that a shell takes as it is.
    static func quoted(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
                    || "-_./:,+@%=".utf8.contains($0)
            }
        return isPlain
            ? text
            : "'"
                + text.split(separator: "'", omittingEmptySubsequences: false)
                .joined(separator: "'\\''") + "'"
    }
}
