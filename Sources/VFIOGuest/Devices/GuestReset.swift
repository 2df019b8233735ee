import VFIO
import VFIOHost

/// Something of a guest's device that a reset concerns: its interrupts, its regions, or the virtual machine's own view
/// of the device. ``GuestDevice/addResetParticipant(_:)``
public protocol GuestResetParticipant: AnyObject, Sendable {
    /// The device is about to be reset. When this returns, nothing of it is used any more: the device forgets its
    /// interrupts, and touching its mapped memory may end the process.
    func resetBegins() throws(VFIOGuestError)

    /// The reset is over. The device may do no DMA and answers at no BAR until the guest, or its firmware, sets it up.
    /// - Parameter succeeded: whether the device was reset; otherwise it is as it was, but as quiet.
    func resetEnds(succeeded: Bool) throws(VFIOGuestError)
}

/// How a device of a guest was reset.
public enum GuestResetMethod: Sendable, Equatable {
    /// By itself: `VFIO_DEVICE_RESET`.
    case alone
    /// With its bus, and nobody else of the guest: `VFIO_DEVICE_PCI_HOT_RESET`.
    case bus
    /// With its bus, and with further devices of the guest; the reset was asked of this device.
    case together(by: DeviceID)
}

/// What came of the reset of one device.
public struct GuestReset: Sendable, Equatable {
    /// The device's name on the host.
    public let id: DeviceID
    /// How it was reset; nil if it wasn't.
    public internal(set) var method: GuestResetMethod?
    /// What failed on the way, in its order: ways of resetting it that don't work, and what couldn't be made quiet
    /// before or set up again after. A device may have been reset all the same.
    public internal(set) var errors: [VFIOGuestError] = []

    init(of device: GuestDevice) { id = device.id }

    /// Whether the device was reset.
    public var succeeded: Bool { method != nil }

    mutating func note(_ step: () throws(VFIOGuestError) -> Void) {
        do throws(VFIOGuestError) {
            try step()
        } catch {
            errors.append(error)
        }
    }
}

/// What came of the reset of all devices of a guest.
public struct GuestResetReport: Sendable, Equatable {
    /// What came of each device.
    public let devices: [GuestReset]

    /// Those that couldn't be reset: they are quiet, but what the guest had in them still is.
    public var unreset: [DeviceID] { devices.filter { !$0.succeeded }.map(\.id) }

    /// Everything that failed.
    public var errors: [VFIOGuestError] { devices.flatMap(\.errors) }
}
