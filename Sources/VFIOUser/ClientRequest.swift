import LinuxSystem
import VFIOABI

/// A command of a client, its fixed part decoded and its lengths checked: what follows the fixed part is in the
/// message's body from ``payloadOffset`` on.
public enum ClientRequest: Equatable, Sendable {
    /// The first message: the version, followed by JSON.
    case version(UserVersion)
    /// Memory for the device's DMA; a descriptor may have come along.
    case dmaMap(UserDMAMap)
    /// Memory that the device may not reach any more.
    case dmaUnmap(UserDMAUnmap)
    /// What kind of device it is.
    case deviceInfo(UserDeviceInfo)
    /// What a region is.
    case regionInfo(RegionInfo)
    /// Which parts of a region have eventfds.
    case regionIOFDs(UserRegionIOFDs)
    /// What an interrupt index is.
    case irqInfo(IRQInfo)
    /// What becomes of interrupts; followed by a byte for each with `IRQSetFlags.dataBool`.
    case setIRQs(IRQSet)
    /// A read.
    case regionRead(UserRegionAccess)
    /// A write, followed by exactly `count` bytes.
    case regionWrite(UserRegionAccess)
    /// Several writes, followed by exactly that many `UserRegionWrite` records.
    case regionWriteMulti(UserRegionWriteMulti)
    /// Back to the state after power-on.
    case deviceReset
    /// A feature, followed by its data.
    case deviceFeature(DeviceFeature)
    /// The device's state goes out.
    case migrationDataRead(UserMigrationData)
    /// The device's state comes in, followed by at least `size` bytes.
    case migrationDataWrite(UserMigrationData)

    /// Why a command isn't well-formed.
    public enum Problem: Error, Equatable, Sendable {
        /// No command that a client may send.
        case unknownCommand
        /// The body is shorter than the command's fixed part, or not as long as that says.
        case bodySize
        /// `argsz` is less than the fixed part.
        case argumentSize
        /// More data than one message may carry.
        case transferSize

        /// What the client is told.
        public var errno: Errno {
            switch self {
            case .unknownCommand: .notSupported
            case .bodySize, .argumentSize, .transferSize: .invalid
            }
        }
    }

    /// Decodes a command.
    /// - Parameters:
    ///   - command: the header's command.
    ///   - body: all that follows the header.
    ///   - limits: what this side takes at most.
    @inline(__always)
    public init(_ command: UserCommand, _ body: RawSpan, _ limits: Limits) throws(Problem) {
        switch command {
        case .regionRead:
            guard let access = UserRegionAccess(body) else { throw .bodySize }
            guard access.count <= limits.transferByteCount else { throw .transferSize }
            self = .regionRead(access)
        case .regionWrite:
            guard let access = UserRegionAccess(body) else { throw .bodySize }
            guard access.count <= limits.transferByteCount else { throw .transferSize }
            guard body.byteCount - UserRegionAccess.byteCount == Int(access.count) else { throw .bodySize }
            self = .regionWrite(access)
        default: self = try ClientRequest(rare: command, body)
        }
    }

    private init(rare command: UserCommand, _ body: RawSpan) throws(Problem) {
        switch command {
        case .version: self = .version(try Self.load(body))
        case .dmaMap: self = .dmaMap(try Self.sized(body))
        case .dmaUnmap: self = .dmaUnmap(try Self.sized(body))
        case .deviceGetInfo: self = .deviceInfo(try Self.sized(body))
        case .deviceGetRegionInfo: self = .regionInfo(try Self.sized(body))
        case .deviceGetRegionIOFDs: self = .regionIOFDs(try Self.sized(body))
        case .deviceGetIRQInfo: self = .irqInfo(try Self.sized(body))
        case .deviceSetIRQs:
            let request: IRQSet = try Self.sized(body)
            if request.flags.dataElementSize == 1 {
                guard body.byteCount - IRQSet.byteCount >= Int(request.count) else { throw .bodySize }
            }
            self = .setIRQs(request)
        case .regionWriteMulti:
            let request: UserRegionWriteMulti = try Self.load(body)
            let rest = body.byteCount - UserRegionWriteMulti.byteCount
            guard rest % UserRegionWrite.byteCount == 0,
                request.writeCount == UInt64(rest / UserRegionWrite.byteCount)
            else { throw .bodySize }
            self = .regionWriteMulti(request)
        case .deviceReset: self = .deviceReset
        case .deviceFeature: self = .deviceFeature(try Self.sized(body))
        case .migrationDataRead: self = .migrationDataRead(try Self.sized(body))
        case .migrationDataWrite:
            let request: UserMigrationData = try Self.sized(body)
            guard body.byteCount - UserMigrationData.byteCount >= Int(request.size) else { throw .bodySize }
            self = .migrationDataWrite(request)
        default: throw .unknownCommand
        }
    }

    private static func load<T: ABIValue>(_ body: RawSpan) throws(Problem) -> T {
        guard let value = T(body) else { throw .bodySize }
        return value
    }

    /// A structure whose first field says how much the client has room for.
    private static func sized<T: SizePrefixed>(_ body: RawSpan) throws(Problem) -> T {
        let value: T = try load(body)
        guard let size = UInt32(body), Int(size) >= T.minimumSize else { throw .argumentSize }
        return value
    }

    /// Where in the body the data behind the fixed part begins, in bytes.
    public var payloadOffset: Int {
        switch self {
        case .version: UserVersion.byteCount
        case .dmaMap: UserDMAMap.byteCount
        case .dmaUnmap: UserDMAUnmap.byteCount
        case .deviceInfo: UserDeviceInfo.byteCount
        case .regionInfo: RegionInfo.byteCount
        case .regionIOFDs: UserRegionIOFDs.byteCount
        case .irqInfo: IRQInfo.byteCount
        case .setIRQs: IRQSet.byteCount
        case .regionRead, .regionWrite: UserRegionAccess.byteCount
        case .regionWriteMulti: UserRegionWriteMulti.byteCount
        case .deviceReset: 0
        case .deviceFeature: DeviceFeature.byteCount
        case .migrationDataRead, .migrationDataWrite: UserMigrationData.byteCount
        }
    }
}
