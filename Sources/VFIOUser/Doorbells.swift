import DeviceModel
import LinuxSystem
import VFIOABI

/// The eventfds that one client has been given for a device's doorbells, and the memory where it leaves values.
///
/// They are made for each client anew: one that has gone may still have its own.
@safe final class Doorbells {
    // SAFETY: all of it is the connection's thread's.
    private let poller: Poller
    private let model: any DeviceModel
    private var bells: [Bell] = []
    private var page: Page?
    private var events: [Poller.Event] = []
    /// How many bells have a value in the page.
    private var placeCount = 0

    /// A register and its eventfd.
    private final class Bell {
        let register: DoorbellRegister
        let event: EventDescriptor
        /// Where in the page the value is; nil where it isn't known from there.
        let place: Int?

        init(_ register: DoorbellRegister, _ event: consuming EventDescriptor, _ place: Int?) {
            self.register = register
            self.event = event
            self.place = place
        }
    }

    /// Memory where a client leaves values.
    private final class Page {
        let file: Descriptor
        private let mapping: Mapping
        var window: MemoryWindow { mapping.window }

        init() throws(Errno) {
            let file = try MemoryFile.create("doorbells", byteCount: UInt64(pageSize))
            // The client must not cut it off from under us.
            try MemoryFile.sealSize(file)
            mapping = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
            self.file = file
        }
    }

    private static let socketTag = UInt64.max

    /// - Parameter socket: what brings the client's commands.
    init(_ model: any DeviceModel, besides socket: Int32) throws(Errno) {
        poller = try Poller()
        self.model = model
        try poller.add(socket, .readable, tag: Self.socketTag)
    }

    /// `VFIO_USER_DEVICE_GET_REGION_IO_FDS`: what a region has.
    /// - Parameter limit: the most descriptors that go out.
    /// - Returns: descriptors to send along; they stay ours.
    func describe(
        _ request: UserRegionIOFDs, limit: Int, isPort: Bool, _ reply: inout MessageWriter
    ) throws(Errno) -> [Int32] {
        let wanted = model.doorbells.filter { $0.bar == Int(request.index) }
        let needsPage = wanted.contains { $0.value == .latest }
        let own = try make(Array(wanted.prefix(max(limit - (needsPage ? 1 : 0), 0))))
        let size = UserRegionIOFDs.byteCount + own.count * UserRegionIOFD.byteCount
        reply.append(
            UserRegionIOFDs(argsz: UInt32(size), flags: 0, index: request.index, count: UInt32(own.count)))
        guard request.argsz >= UInt32(size) else { return [] }
        var numbers = own.map { $0.event.number }
        for (index, bell) in own.enumerated() {
            var entry = UserRegionIOFD(
                offset: bell.register.offset, size: UInt64(bell.register.width),
                descriptorIndex: UInt32(index),
                flags: isPort ? Self.isPortFlag : 0)
            if let place = bell.place {
                entry.type = Self.shadowType
                entry.shadowDescriptorIndex = UInt32(own.count)
                entry.shadowOffset = UInt64(place)
            }
            if case .only(let value) = bell.register.value {
                entry.flags |= Self.matchesFlag
                entry.dataMatch = value
            }
            reply.append(entry)
        }
        if own.contains(where: { $0.place != nil }), let page { numbers.append(page.file.number) }
        return numbers
    }

    /// `VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW`
    private static var shadowType: UInt32 { 2 }
    /// `KVM_IOEVENTFD_FLAG_DATAMATCH`
    private static var matchesFlag: UInt32 { 1 << 0 }
    /// `KVM_IOEVENTFD_FLAG_PIO`
    private static var isPortFlag: UInt32 { 1 << 1 }

    /// The bells of these registers; those that aren't there yet are made.
    private func make(_ registers: [DoorbellRegister]) throws(Errno) -> [Bell] {
        var own: [Bell] = []
        for register in registers {
            if let bell = bells.first(where: { $0.register == register }) {
                own.append(bell)
                continue
            }
            var place: Int?
            if register.value == .latest {
                if page == nil { page = try Page() }
                guard placeCount < pageSize / 8 else { break }
                place = placeCount * 8
                placeCount += 1
            }
            let bell = Bell(register, try EventDescriptor(isShared: true), place)
            try poller.add(bell.event.number, .readable, tag: UInt64(bells.count))
            bells.append(bell)
            own.append(bell)
        }
        return own
    }

    /// Looks which bells were rung.
    /// - Parameter waits: whether to wait until one is, or the socket has something.
    /// - Returns: whether any was.
    func look(waits: Bool) throws(Errno) -> Bool {
        events.removeAll(keepingCapacity: true)
        _ = try poller.wait(into: &events, milliseconds: waits ? nil : 0)
        return events.contains { $0.tag != Self.socketTag }
    }

    /// Carries out the writes of the bells that ``look(waits:)`` found.
    func ring() {
        for event in events where event.tag != Self.socketTag {
            let bell = bells[Int(event.tag)]
            // The client may have taken it back.
            guard let count = try? bell.event.take(), count > 0 else { continue }
            switch bell.register.value {
            case .only(let value): write(bell.register, value)
            case .any: write(bell.register, 0)
            case .latest:
                guard let page, let place = bell.place else { continue }
                write(bell.register, page.window.loadRegister(place, width: bell.register.width))
            }
        }
    }

    private func write(_ register: DoorbellRegister, _ value: UInt64) {
        model.storeBAR(register.bar, offset: register.offset, width: register.width, value: value)
    }
}
