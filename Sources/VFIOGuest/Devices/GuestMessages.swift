import LinuxSystem
import VFIO
import VFIOABI

/// A device's message-signalled interrupts as a guest has them: vectors are enabled when the guest uses them.
public final class GuestMessages: @unchecked Sendable {
    private let device: Device
    /// ``/VFIO/InterruptIndex/msi`` or ``/VFIO/InterruptIndex/msix``.
    public let index: InterruptIndex
    /// How many vectors the device has.
    public let limit: Int
    /// Whether the host can't add vectors one by one (`VFIO_IRQ_INFO_NORESIZE`): to have more, all are ended for a
    /// moment and enabled anew.
    public let isFixedSize: Bool
    private let lock = Lock()
    // Guarded by `lock`.
    private var descriptors: [Int32] = []

    /// Nothing is enabled yet.
    public init(_ index: InterruptIndex, of device: Device) throws(VFIOGuestError) {
        let info = try device.interruptInfo(index)
        self.device = device
        self.index = index
        limit = info.count
        isFixedSize = info.isFixedSize
    }

    deinit { if !descriptors.isEmpty { try? device.disableInterrupts(index) } }

    /// How many vectors are enabled on the host, used or not.
    public var enabledCount: Int { lock.withLock { descriptors.count } }

    /// Has an eventfd signalled for a vector, which is enabled if it isn't yet.
    /// - Throws: ``/VFIO/VFIOError/Code/tooFewVectors`` if the device or the host has fewer.
    ///   Vectors that were in use are in use still.
    public func use(_ vector: Int, _ descriptor: Int32) throws(VFIOGuestError) {
        let operation = "use vector \(vector) of \(index)"
        guard vector >= 0, vector < limit else {
            throw VFIOGuestError(
                operation: operation, object: "\(device.id)", code: .tooFewVectors,
                cause: "the device has \(limit)")
        }
        try lock.withLock { () throws(VFIOGuestError) in
            if vector < descriptors.count {
                try device.setSignalling(.trigger, index, vector, descriptor)
                descriptors[vector] = descriptor
                return
            }
            var wanted = descriptors + [Int32](repeating: -1, count: vector + 1 - descriptors.count)
            wanted[vector] = descriptor
            do throws(Errno) {
                if descriptors.isEmpty {
                    try enable(wanted, from: 0)
                } else if isFixedSize {
                    try enableAnew(wanted)
                } else {
                    try enable(Array(wanted[descriptors.count...]), from: descriptors.count)
                }
            } catch {
                var failure = device.interruptError("set up", "signalling", index, vector, error)
                if error == .noSpace { failure.code = .tooFewVectors }
                throw failure
            }
            descriptors = wanted
        }
    }

    private func enable(_ wanted: [Int32], from start: Int) throws(Errno) {
        // A positive answer: so many could be had, and none was enabled.
        if try device.setEvents(.trigger, index, from: start, wanted) > 0 { throw .noSpace }
    }

    /// Ends all vectors and enables more; if that fails, as many as before.
    private func enableAnew(_ wanted: [Int32]) throws(Errno) {
        _ = try device.setInterrupts([.dataNone, .actionTrigger], index, start: 0, count: 0)
        do throws(Errno) {
            try enable(wanted, from: 0)
        } catch {
            try? enable(descriptors, from: 0)
            throw error
        }
    }

    /// The guest no longer uses a vector. It stays enabled on the host, and signals nobody.
    public func release(_ vector: Int) throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            guard descriptors.indices.contains(vector), descriptors[vector] >= 0 else { return }
            try device.setSignalling(.trigger, index, vector, nil)
            descriptors[vector] = -1
        }
    }

    /// Ends all vectors.
    public func disable() throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            guard !descriptors.isEmpty else { return }
            try device.disableInterrupts(index)
            descriptors = []
        }
    }
}

/// A device that was reset has no vectors enabled: the guest's driver enables them anew.
extension GuestMessages: GuestResetParticipant {
    /// Ends all vectors.
    public func resetBegins() throws(VFIOGuestError) { try disable() }

    /// Nothing is enabled.
    public func resetEnds(succeeded: Bool) throws(VFIOGuestError) {}
}
