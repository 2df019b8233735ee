import LinuxSystem
import VFIOABI

/// A connection to a device behind a socket that speaks vfio-user.
///
/// Each method is one command (or as many as the server's limits ask for) and returns when it is answered. May be
/// used from any thread; commands follow one another.
///
/// What the server reads and writes by messages, `map(_:_:)` allowed it to. The server is not trusted: answers are
/// checked, and no message of its ends the process.
public final class Client: Sendable {
    /// What the server says about itself.
    public let server: Capabilities
    /// The version that both sides speak.
    public let version: UserVersion
    let mappings: ClientMappings
    let channel: ClientChannel
    private let service: ClientService

    /// The highest version spoken here.
    public static let latestVersion = UserVersion(major: 0, minor: 1)

    /// How long an answer may take unless said otherwise, in milliseconds. A device may work on a request for long.
    public static let usualPatience = 30_000

    /// Connects to a server's path.
    /// - Parameters:
    ///   - limits: what this side takes at most.
    ///   - milliseconds: how long to wait for an answer.
    /// - Throws: ``ClientFailure/lost(_:)`` with the errno of connect(2): `ENOENT` where there is no socket,
    ///   `ECONNREFUSED` where nobody listens.
    public convenience init(
        connecting path: String, limits: Limits = Limits(), milliseconds: Int = usualPatience
    ) throws(ClientFailure) {
        let socket: UnixSocket
        do throws(Errno) { socket = try UnixSocket(connecting: path) } catch { throw .unreachable(error) }
        try self.init(socket, limits: limits, milliseconds: milliseconds)
    }

    /// Takes over a connected socket and agrees on a version.
    /// - Throws: ``ClientFailure``.
    public convenience init(
        _ socket: consuming UnixSocket, limits: Limits = Limits(), milliseconds: Int = usualPatience
    ) throws(ClientFailure) {
        try self.init(socket, ClientMappings(), limits, milliseconds: milliseconds)
    }

    /// - Parameters:
    ///   - mappings: what the server may reach by messages; outlives the connection.
    ///   - notice: is told when the connection is lost, once ``watch()`` was called.
    init(
        _ socket: consuming UnixSocket, _ mappings: ClientMappings, _ limits: Limits,
        notice: LossNotice? = nil, milliseconds: Int
    ) throws(ClientFailure) {
        let channel: ClientChannel
        do throws(Errno) {
            channel = ClientChannel(
                try ClientConnection(socket, mappings, limits, milliseconds: milliseconds),
                transferByteCount: limits.transferByteCount)
        } catch {
            throw .lost(error)
        }
        var agreement = try Self.negotiate(channel, limits)
        let service: ClientService
        do throws(Errno) {
            var twin: TwinSocket?
            if let descriptor = agreement.twin.take() {
                twin = try TwinSocket(
                    UnixSocket(owning: descriptor), mappings, limits, milliseconds: milliseconds)
            }
            service = try ClientService(channel, twin, notice)
        } catch {
            throw .lost(error)
        }
        version = agreement.version
        server = agreement.server
        self.mappings = mappings
        self.channel = channel
        self.service = service
    }

    deinit {
        channel.shutDown()
        service.end()
    }

    /// Whether the connection has ended: every command fails from then on.
    public var isLost: Bool { channel.isLost }

    /// Notices when the server has gone, also while no command is under way.
    func watch() { service.watch() }

    /// Ends the connection now; commands under way fail.
    public func close() { channel.shutDown() }

    /// What both sides have agreed on.
    private struct Agreement: ~Copyable {
        let version: UserVersion
        let server: Capabilities
        /// A socket for the server's commands alone.
        var twin: Descriptor?
    }

    private static func negotiate(
        _ channel: ClientChannel, _ limits: Limits
    ) throws(ClientFailure) -> Agreement {
        var own = Capabilities()
        own.descriptorsPerMessage = limits.descriptorsPerMessage
        own.transferByteCount = limits.transferByteCount
        own.supportsTwinSocket = limits.takesTwinSocket
        let text = own.text
        return try channel.request(.version) { writer in
            writer.append(latestVersion)
            // SAFETY: a UInt8 has no padding.
            writer.append(unsafe text.span.bytes)
        } _: { (body, passed) throws(ClientFailure) in
            guard let version = UserVersion(body) else { throw .malformed(.version) }
            guard version.major == latestVersion.major, version.minor <= latestVersion.minor else {
                throw .version(version)
            }
            guard body.byteCount <= limits.textByteCount else { throw .malformed(.version) }
            var text: [UInt8] = []
            for index in UserVersion.byteCount..<body.byteCount { text.append(body.loadByte(index)) }
            let server: Capabilities
            do throws(Capabilities.Problem) {
                server = try Capabilities(text: text)
            } catch {
                throw .malformed(.version)
            }
            var twin: Descriptor?
            if limits.takesTwinSocket, server.supportsTwinSocket, let index = server.twinSocketIndex {
                guard index < passed.count else { throw .malformed(.version) }
                for _ in 0...index { twin = passed.takeFirst() }
            }
            return Agreement(version: version, server: server, twin: twin)
        }
    }

    /// A command whose answer is a structure.
    func ask<T: ABIValue, R: ABIValue>(_ command: UserCommand, _ value: T) throws(ClientFailure) -> R {
        try channel.request(command) { writer in
            writer.append(value)
        } _: { (body, _) throws(ClientFailure) in
            guard let answer = R(body) else { throw .malformed(command) }
            return answer
        }
    }

    // MARK: what there is

    /// What kind of device it is: `VFIO_USER_DEVICE_GET_INFO`.
    public func deviceInfo() throws(ClientFailure) -> UserDeviceInfo {
        try ask(.deviceGetInfo, UserDeviceInfo())
    }

    /// A region: what the server tells of it, and its memory's descriptor if it can be mapped.
    public struct RegionAnswer: ~Copyable, Sendable {
        /// The structure. Its offset is that of the descriptor's file.
        public let info: RegionInfo
        /// The parts that can be mapped: the offset in the region, and the length.
        public let areas: [SparseMmapArea]
        /// What is mapped; nil for a region that is reached by messages only.
        public let descriptor: Descriptor?
    }

    /// What a region is: `VFIO_USER_DEVICE_GET_REGION_INFO`.
    /// - Throws: ``ClientFailure``; `EINVAL` for an index that the device doesn't have.
    public func region(_ index: UInt32) throws(ClientFailure) -> RegionAnswer {
        // Room for as many areas as anybody has; the question itself is short.
        let asked = RegionInfo(argsz: 16_384, index: index)
        return try channel.request(.deviceGetRegionInfo) { writer in
            writer.append(asked)
        } _: { (body, passed) throws(ClientFailure) in
            guard let info = RegionInfo(body), info.index == index else {
                throw .malformed(.deviceGetRegionInfo)
            }
            var areas: [SparseMmapArea] = []
            var isWhole = true
            do throws(CapabilityChainError) {
                var chain = CapabilityChain(of: info, in: body)
                while let capability = try chain.next() {
                    guard capability.id == RegionCapabilityID.sparseMmap.rawValue else { continue }
                    isWhole = false
                    let listed = try capability.sparseMmapAreas()
                    for position in 0..<listed.count { areas.append(listed[position]) }
                }
            } catch {
                throw .malformed(.deviceGetRegionInfo)
            }
            if isWhole { areas = [SparseMmapArea(offset: 0, size: info.size)] }
            for area in areas where area.size > info.size || area.offset > info.size - area.size {
                throw .malformed(.deviceGetRegionInfo)
            }
            let descriptor = info.flags.contains(.mmap) ? passed.takeFirst() : nil
            if descriptor == nil { areas = [] }
            return RegionAnswer(info: info, areas: areas, descriptor: descriptor)
        }
    }

    /// What an interrupt index is: `VFIO_USER_DEVICE_GET_IRQ_INFO`.
    public func interrupt(_ index: UInt32) throws(ClientFailure) -> IRQInfo {
        let info: IRQInfo = try ask(.deviceGetIRQInfo, IRQInfo(index: index))
        guard info.index == index else { throw .malformed(.deviceGetIRQInfo) }
        return info
    }

    // MARK: doing

    /// How many bytes of data go with one command to the server.
    var transferByteCount: Int {
        min(server.transferByteCount, ClientConnection.longestCommand - 16 - UserRegionAccess.byteCount)
    }

    /// Reads from a region: `VFIO_USER_REGION_READ`, as often as it takes.
    /// - Throws: ``ClientFailure``; what came until then is in `bytes`.
    public func read(
        region: UInt32, at offset: UInt64, into bytes: inout MutableRawSpan
    ) throws(ClientFailure) {
        var done = 0
        let most = min(server.transferByteCount, 1 << 20)
        while done < bytes.byteCount {
            let count = min(bytes.byteCount - done, most)
            let access = UserRegionAccess(
                offset: offset &+ UInt64(done), region: region, count: UInt32(count))
            try channel.request(.regionRead) { writer in
                writer.append(access)
            } _: { (body, _) throws(ClientFailure) in
                guard let answer = UserRegionAccess(body), answer == access,
                    body.byteCount == UserRegionAccess.byteCount + count
                else { throw .malformed(.regionRead) }
                bytes.copy(body.extracting(UserRegionAccess.byteCount..<body.byteCount), to: done)
            }
            done += count
        }
    }

    /// Writes to a region: `VFIO_USER_REGION_WRITE`, as often as it takes.
    /// - Throws: ``ClientFailure``; a part may have been written.
    public func write(region: UInt32, at offset: UInt64, _ bytes: RawSpan) throws(ClientFailure) {
        var done = 0
        while done < bytes.byteCount {
            let count = min(bytes.byteCount - done, transferByteCount)
            let access = UserRegionAccess(
                offset: offset &+ UInt64(done), region: region, count: UInt32(count))
            try channel.request(.regionWrite) { writer in
                writer.append(access)
                writer.append(bytes.extracting(done..<done + count))
            } _: { (body, _) throws(ClientFailure) in
                guard let answer = UserRegionAccess(body), answer == access else {
                    throw .malformed(.regionWrite)
                }
            }
            done += count
        }
    }

    /// Resets the device: `VFIO_USER_DEVICE_RESET`.
    public func reset() throws(ClientFailure) {
        try channel.request(.deviceReset) { _ in
        } _: { (_, _) throws(ClientFailure) in
        }
    }

    /// What becomes of interrupts: `VFIO_USER_DEVICE_SET_IRQS`, one command.
    /// - Parameters:
    ///   - request: without its `argsz`, which is filled in.
    ///   - booleans: a byte for each interrupt with `dataBool`, else none.
    ///   - descriptors: an eventfd for each interrupt with `dataEventFD`, or none: they lose theirs.
    /// - Throws: ``ClientFailure/tooMuch`` for more descriptors than the server takes at a time.
    public func setInterrupts(
        _ request: IRQSet, booleans: [UInt8] = [], descriptors: [Int32] = []
    ) throws(ClientFailure) {
        guard descriptors.count <= mostDescriptors, booleans.count <= 4096 else { throw .tooMuch }
        var request = request
        request.argsz = UInt32(IRQSet.byteCount + booleans.count)
        try channel.request(.deviceSetIRQs, passing: descriptors) { writer in
            writer.append(request)
            // SAFETY: a UInt8 has no padding.
            writer.append(unsafe booleans.span.bytes)
        } _: { (_, _) throws(ClientFailure) in
        }
    }

    /// How many descriptors go with one command to the server.
    public var mostDescriptors: Int {
        min(max(server.descriptorsPerMessage, 1), UnixSocket.mostDescriptors)
    }

    /// A feature of the device: `VFIO_USER_DEVICE_FEATURE`.
    /// - Parameters:
    ///   - request: with the operation and the room that there is for an answer (`argsz`).
    ///   - payload: what is set; must fit into one command.
    /// - Returns: what the answer has behind its fixed part.
    public func feature(_ request: DeviceFeature, _ payload: [UInt8]) throws(ClientFailure) -> [UInt8] {
        guard payload.count <= transferByteCount else { throw .tooMuch }
        return try channel.request(.deviceFeature) { writer in
            writer.append(request)
            // SAFETY: a UInt8 has no padding.
            writer.append(unsafe payload.span.bytes)
        } _: { (body, _) throws(ClientFailure) in
            guard DeviceFeature(body) != nil else { throw .malformed(.deviceFeature) }
            return (DeviceFeature.byteCount..<body.byteCount).map { body.loadByte($0) }
        }
    }

    // MARK: memory

    /// Tells the server of memory: `VFIO_USER_DMA_MAP`.
    /// - Parameter descriptor: the file that it is in, from `request.offset` on; -1 for memory that is reached by
    ///   messages.
    func map(_ request: UserDMAMap, descriptor: Int32) throws(ClientFailure) {
        // The server may ask as soon as it knows, and before we know that it does.
        if descriptor < 0 { service.serve() }
        try channel.request(.dmaMap, passing: descriptor < 0 ? [] : [descriptor]) { writer in
            writer.append(request)
        } _: { (_, _) throws(ClientFailure) in
        }
    }

    /// Takes memory from the server: `VFIO_USER_DMA_UNMAP`. It doesn't reach it any more on return.
    func unmap(_ request: UserDMAUnmap) throws(ClientFailure) {
        try channel.request(.dmaUnmap) { writer in
            writer.append(request)
        } _: { (_, _) throws(ClientFailure) in
        }
    }
}
