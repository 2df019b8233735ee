import VFIO
import VFIOABI

/// How a register is to be written.
public struct RegisterWriting: Sendable {
    /// How many bytes: 1, 2, 4 or 8; nil for as many as the register has, or 4.
    public var width: Int?
    /// The bits that are changed: the others keep what is read; nil for all.
    public var mask: UInt64?
    /// Whether registers are read that have no meaning when read, such as doorbells.
    public var readsAll = false
    /// Whether everything is done but the writing.
    public var isPretended = false

    /// All bits of a register in its own width.
    public init(width: Int? = nil, mask: UInt64? = nil, readsAll: Bool = false, isPretended: Bool = false) {
        self.width = width
        self.mask = mask
        self.readsAll = readsAll
        self.isPretended = isPretended
    }
}

extension DeviceRegisters {
    /// Writes one register, and reads it before and afterwards.
    /// - Throws: as ``read(_:width:count:)``; ``/VFIO/VFIOError/Code/outOfBounds`` where the value or the mask has more
    ///   bits than the register; why the device isn't open.
    public func write(
        _ value: UInt64, to place: RegisterPlace, _ writing: RegisterWriting = RegisterWriting()
    ) throws(VFIOError) -> RegisterChange {
        let (target, region, offset) = try writable(value, writing.mask, place, writing.width)
        let title = "\(name(of: target.region)) of \(deviceName)"
        let operation = "write \(target.width) bytes at 0x\(String(target.offset, radix: 16))"
        var unread: String?
        if !region.flags.contains(.read) {
            unread = "the region can't be read"
        } else if register(of: target)?.isWriteOnly == true, !writing.readsAll {
            unread = "what is read there has no meaning: it can be written only"
        }
        guard unread == nil || writing.mask == nil else {
            throw VFIOError(
                operation: operation, object: title, code: .notSupported,
                cause: "a mask needs what was there before, and \(unread ?? "")",
                remedy: "write all of its bits")
        }
        let before = unread == nil ? try read(target) : nil
        var written = value
        if let mask = writing.mask, let old = before?.values.first { written = old & ~mask | value & mask }
        if !writing.isPretended { try carryOut(written, region, offset, target.width) }
        let after = unread == nil && !writing.isPretended ? try read(target) : nil
        return RegisterChange(
            before: before, after: after, region: name(of: target.region), offset: target.offset,
            width: target.width, written: written, register: register(of: target), unread: unread,
            isDone: !writing.isPretended)
    }

    /// Writes one register, and reads nothing: some registers do something when they are read.
    /// - Throws: as ``write(_:to:_:)``.
    public func store(_ value: UInt64, to place: RegisterPlace, width: Int? = nil) throws(VFIOError) {
        let (target, region, offset) = try writable(value, nil, place, width)
        try carryOut(value, region, offset, target.width)
    }

    private func carryOut(
        _ value: UInt64, _ region: Region, _ offset: Int, _ width: Int
    ) throws(VFIOError) {
        do throws(VFIOError) {
            try store(value, region, offset, width)
        } catch {
            throw advised(error, isStore: true)
        }
    }

    /// Where a place is, checked for a value.
    private func writable(
        _ value: UInt64, _ mask: UInt64?, _ place: RegisterPlace, _ width: Int?
    ) throws(VFIOError) -> (Target, Region, offset: Int) {
        let target = try target(place, width: width, count: 1, "write a register")
        let title = "\(name(of: target.region)) of \(deviceName)"
        let operation = "write \(target.width) bytes at 0x\(String(target.offset, radix: 16))"
        guard let device else {
            throw refusal
                ?? VFIOError(
                    operation: operation, object: title, code: .notSupported,
                    cause: "registers of an open device only can be written")
        }
        let most = Self.ones(target.width)
        guard value <= most, mask ?? 0 <= most else {
            throw VFIOError(
                operation: operation, object: title, code: .outOfBounds,
                cause: "the \(value <= most ? "mask" : "value") has more than \(8 * target.width) bits",
                remedy: "give a larger --width, if the register has it")
        }
        let region = try opened(target.region, of: device, operation)
        guard region.flags.contains(.write) else {
            throw VFIOError(
                operation: operation, object: title, code: .notSupported,
                cause: "the region can't be written",
                remedy: "vfio inspect \(deviceName) says what regions allow")
        }
        return (target, region, try check(target, byteCount: region.byteCount, operation))
    }

    /// The register that begins there, whether or not all of it is meant.
    private func register(of target: Target) -> NamedRegister? {
        target.register ?? map.register(at: target.offset, in: target.region)
    }

    private func advised(_ error: VFIOError, isStore: Bool) -> VFIOError {
        var error = advised(error)
        // What a program would do; a person can have the host do it.
        if error.code == .notSupported, error.remedy != nil {
            error.remedy = "vfio irq watch \(deviceName) has the host program it"
        }
        return error
    }
}
