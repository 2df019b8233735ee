import LinuxSystem
import VFIOABI
import VFIOHost

/// A write to a register that the host does by itself whenever an eventfd is signalled: `VFIO_DEVICE_IOEVENTFD`.
/// When it goes, it is taken away.
///
/// It keeps its region open, and a copy of the eventfd isn't needed: the host has its own.
public final class EventWrite: Sendable {
    /// The region, a BAR.
    public let region: Region
    /// Where it is written, in bytes from the region's start.
    public let offset: Int
    /// What is written, in the low bits.
    public let value: UInt64
    /// How many bytes are written: 1, 2 or 4.
    public let width: Int
    private let request: DeviceIOEventFD

    fileprivate init(
        _ region: Region, _ offset: Int, _ value: UInt64, _ width: Int, _ request: DeviceIOEventFD
    ) {
        self.region = region
        self.offset = offset
        self.value = value
        self.width = width
        self.request = request
    }

    deinit {
        var removal = request
        removal.fd = -1
        // The device is open, so it can only be that the write is gone already.
        _ = try? region.device.handle.send(.deviceIOEventFD, &removal)
    }
}

extension Region {
    /// Has the host write a register whenever an eventfd is signalled, with no word from this process: a doorbell
    /// that a guest rings through KVM, for one.
    ///
    /// Signals that come faster than the host looks may be one write. Nothing is written while the device's memory
    /// is disabled. The same value is written to the same place at most once by one device; a device has at most a
    /// thousand of these.
    /// - Parameters:
    ///   - value: 8, 16 or 32 bits; hosts refuse 64 since Linux 7.2.
    ///   - offset: where, in bytes; need not be aligned.
    ///   - event: the eventfd.
    /// - Returns: what takes it away when it goes.
    /// - Throws: ``VFIOError/Code/outOfBounds``; ``VFIOError/Code/notSupported`` for a region that is no BAR, for
    ///   64 bits, and where the MSI-X table lies; `EEXIST` for a write that is there, `ENOSPC` for too many.
    public func store<Value: FixedWidthInteger & UnsignedInteger>(
        _ value: Value, at offset: Int, whenever event: borrowing EventDescriptor
    ) throws(VFIOError) -> EventWrite {
        let width = MemoryLayout<Value>.size
        let operation = "have \(counted(width, "byte")) written at \(hex(offset)) by an eventfd"
        guard contains(offset, width) else {
            throw VFIOError(
                operation: operation, object: object, code: .outOfBounds,
                cause: "the region is \(byteCount) bytes long")
        }
        let flags: DeviceIOEventFDFlags =
            switch width {
            case 1: .bits8
            case 2: .bits16
            case 4: .bits32
            default: .bits64
            }
        var request = DeviceIOEventFD(
            flags: flags, offset: place(offset), data: UInt64(truncatingIfNeeded: value), fd: event.number)
        do throws(Errno) {
            try device.handle.send(.deviceIOEventFD, &request)
        } catch {
            var failure = VFIOError(operation: operation, object: object, errno: error)
            switch error {
            case .exists: failure.cause = "another eventfd has the same written there already"
            case .noSpace: failure.cause = "the device has as many of these as it can have"
            case .noSuchRequest, .invalid:
                failure.code = .notSupported
                if index.rawValue >= PCIRegion.rom.rawValue {
                    failure.cause = "it is no BAR"
                } else if width == 8 {
                    failure.cause = "the host writes 1, 2 or 4 bytes"
                } else if touchesTable(offset, width) {
                    failure.cause = "the MSI-X table lies there, which only the host may write"
                }
            default: break
            }
            throw failure
        }
        return EventWrite(self, offset, UInt64(truncatingIfNeeded: value), width, request)
    }
}
