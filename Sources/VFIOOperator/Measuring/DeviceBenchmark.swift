import LinuxSystem
import VFIO
import VFIOHost

/// How long a host takes for what programs ask of it: requests, registers, memory for DMA, interrupts. On any host, with
/// a device that isn't in use otherwise.
///
/// Nothing that a device keeps is changed: what is written are two registers that get the value they have. Each number
/// comes with something that everybody knows, measured in the same run: how many times as long this takes.
public struct DeviceBenchmark {
    /// Something to compare with.
    public struct Reference: Sendable, Equatable {
        /// What it is: "getpid system call".
        public let name: String
        /// Its median, in nanoseconds.
        public let nanoseconds: Double

        /// Something that took so long.
        public init(name: String, nanoseconds: Double) {
            self.name = name
            self.nanoseconds = nanoseconds
        }
    }

    /// What was measured.
    public struct Result: Sendable, Equatable {
        /// What programs call it: "map-4KiB".
        public let identifier: String
        /// What people call it: "map and unmap 4 KiB".
        public let title: String
        /// From the shortest to the longest, in nanoseconds.
        public let nanoseconds: [Double]
        /// How often it was done for each of these, which is the mean of so many: 1 where a single one can be measured.
        public let batch: Int
        /// What it is compared with; nil if that couldn't be measured.
        public let reference: Reference?

        /// The time that a share of all, 0 to 1, didn't exceed; 0 without any.
        public func quantile(_ share: Double) -> Double {
            Distribution.quantile(share, of: nanoseconds) ?? 0
        }

        /// How many times as long as the reference the median is; nil without a reference.
        public var ratio: Double? {
            guard let reference, reference.nanoseconds > 0 else { return nil }
            return quantile(0.5) / reference.nanoseconds
        }

        /// All the times, to be shown.
        public var distribution: Distribution {
            Distribution(
                title, note: batch > 1 ? "Each time is the mean of \(batch) in a row." : "",
                noun: batch > 1 ? "means" : "times", nanoseconds: nanoseconds,
                reference: reference.map { .init($0.name, nanoseconds: $0.nanoseconds) })
        }
    }

    /// What wasn't measured.
    public struct Omission: Sendable, Equatable {
        /// What people call it.
        public let title: String
        /// Why not, and what would help.
        public let reason: String
    }

    /// A register that may be read as often as one likes.
    public struct Register: Sendable, Equatable {
        /// The region that it is in.
        public var region: RegionIndex
        /// Where it is, in bytes; a multiple of 4.
        public var offset: Int

        /// A register of 32 bits.
        public init(_ region: RegionIndex, at offset: Int) {
            self.region = region
            self.offset = offset
        }
    }

    /// How long each thing is measured, in milliseconds.
    public var milliseconds = 200
    /// The register that is read; nil for one that is known to be harmless, if the device has one.
    public var register: Register?
    /// The most memory that is mapped at once, in bytes.
    public var mostMemory = 1 << 30
    /// Is told what is measured next.
    public var progress: (String) -> Void = { _ in }

    /// What was measured.
    public private(set) var results: [Result] = []
    /// What wasn't.
    public private(set) var omissions: [Omission] = []

    private let device: Device
    private let host: any Host
    private var sampler = Sampler(nanoseconds: 0)
    private var references = BenchmarkReferences(Sampler(nanoseconds: 0))

    /// A benchmark of an open device.
    public init(of device: Device) {
        self.device = device
        host = device.addressSpace.host
    }

    /// Copying 4 KiB within the processor's caches, for a disk's reads to be compared with; nil before ``run()``.
    public private(set) var copyReference: Reference?

    /// Measures everything that can be.
    public mutating func run() {
        sampler = Sampler(nanoseconds: UInt64(max(1, milliseconds)) * 1_000_000)
        // What others are compared with needs a part of the time only: its median is all that is told.
        references = BenchmarkReferences(Sampler(nanoseconds: sampler.nanoseconds / 4))
        measureRequests()
        measureConfiguration()
        measureRegisters()
        for byteCount in [4 << 10, 2 << 20] { measureMapping(byteCount) }
        measureLargestMapping()
        measureInterrupts()
        copyReference = references.copy(byteCount: 4096)
    }

    // MARK: what is measured

    private mutating func take(
        _ identifier: String, _ title: String, against reference: Reference?,
        _ body: (Sampler) throws(VFIOError) -> Sampler.Samples
    ) {
        progress(title)
        do throws(VFIOError) {
            let samples = try body(sampler)
            results.append(
                Result(
                    identifier: identifier, title: title, nanoseconds: samples.nanoseconds,
                    batch: samples.batch, reference: reference))
        } catch {
            omissions.append(Omission(title: title, reason: "\(error)"))
        }
    }

    private mutating func measureRequests() {
        let device = device
        take("device-get-info", "VFIO_DEVICE_GET_INFO", against: references.systemCall) {
            (sampler) throws(VFIOError) in
            try sampler.measure { (count) throws(VFIOError) in
                for _ in 0..<count { try device.roundTrip() }
            }
        }
    }

    /// What a message to the host is like: a system call, or a message to a server.
    private var trip: Reference? { host.kind == .vfioUser ? references.socket : references.systemCall }

    private mutating func measureConfiguration() {
        let space = device.configuration
        guard space.byteCount >= 64 else {
            omissions.append(
                Omission(title: "configuration space", reason: "the device isn't a PCI function"))
            return
        }
        take("config-read", "read of configuration space", against: trip) { (sampler) throws(VFIOError) in
            try sampler.measure { (count) throws(VFIOError) in
                for _ in 0..<count { Sampler.keep(UInt64(try space.load32(0))) }
            }
        }
        // Interrupt Line: a note for drivers, which no device looks at, and which gets back what it holds.
        take("config-write", "write of configuration space", against: trip) { (sampler) throws(VFIOError) in
            let line = try space.load8(0x3c)
            return try sampler.measure { (count) throws(VFIOError) in
                for _ in 0..<count { try space.store8(0x3c, line) }
            }
        }
    }

    private mutating func measureRegisters() {
        let isDisk = device.address != nil && (try? device.configuration.classCode) == 0x01_0802
        guard let register = register ?? (isDisk ? Register(.bar0, at: 0) : nil) else {
            omissions.append(
                Omission(
                    title: "registers",
                    reason: "reading a register may change a device; name one that may be read: "
                        + "--register bar0:0x0"))
            return
        }
        if device.address != nil { try? device.setMemoryEnabled(true) }
        measureLoads(register)
        guard isDisk else { return }
        // AQA, the lengths of the admin queues: a controller that is off takes no notice.
        measureStores(Register(.bar0, at: 0x24))
    }

    private func title(_ register: Register) -> String {
        "\(register.region) at 0x\(String(register.offset, radix: 16))"
    }

    private mutating func measureLoads(_ register: Register) {
        let device = device
        let name = title(register)
        take("register-read", "read of \(name) through the host", against: trip) {
            (sampler) throws(VFIOError) in
            let region = try device.region(register.region, mapped: false)
            // A word that can't be read would answer quickly.
            _ = try region.load32(register.offset)
            let word = try region.register32(at: register.offset)
            return sampler.measure { count in
                var sum: UInt32 = 0
                for _ in 0..<count { sum &+= word.load() }
                Sampler.keep(UInt64(sum))
            }
        }
        guard let mapped = mappedWord(register) else { return }
        take("register-read-mapped", "load of \(name), mapped", against: references.memory(isWritten: false))
        {
            (sampler) in
            sampler.measure { count in
                var sum: UInt32 = 0
                for _ in 0..<count { sum &+= mapped.load() }
                Sampler.keep(UInt64(sum))
            }
        }
    }

    private mutating func measureStores(_ register: Register) {
        let device = device
        let name = title(register)
        take("register-write", "write of \(name) through the host", against: trip) {
            (sampler) throws(VFIOError) in
            let word = try device.region(register.region, mapped: false).register32(at: register.offset)
            let value = word.load()
            return sampler.measure { count in
                for _ in 0..<count { word.store(value) }
            }
        }
        guard let mapped = mappedWord(register) else { return }
        take("register-write-mapped", "store to \(name), mapped", against: references.memory(isWritten: true))
        {
            (sampler) in
            let value = mapped.load()
            return sampler.measure { count in
                for _ in 0..<count { mapped.store(value) }
            }
        }
    }

    /// A register that is reached without the host; nil, which is noted, where it isn't.
    private mutating func mappedWord(_ register: Register) -> Register32? {
        let title = "mapped access to \(title(register))"
        do throws(VFIOError) {
            let region = try device.region(register.region)
            if region.window(at: register.offset, byteCount: 4) != nil {
                return try region.register32(at: register.offset)
            }
            let isNew = !omissions.contains { $0.title.hasPrefix("mapped access") }
            if isNew {
                omissions.append(
                    Omission(title: title, reason: "the host doesn't let this part of the device be mapped"))
            }
        } catch {
            omissions.append(Omission(title: title, reason: "\(error)"))
        }
        return nil
    }

    // MARK: memory

    private mutating func measureMapping(_ byteCount: Int) {
        let name = ByteText.of(byteCount)
        let (space, host) = (device.addressSpace, host)
        let reference = host.kind == .vfioUser ? references.socket : references.mapping(byteCount: byteCount)
        take("map-\(name.filter { $0 != " " })", "map and unmap \(name)", against: reference) {
            (sampler) throws(VFIOError) in
            try Self.withMemory(byteCount, of: host) { (window) throws(VFIOError) in
                try sampler.measure { (count) throws(VFIOError) in
                    for _ in 0..<count { try space.map(window).release() }
                }
            }
        }
    }

    /// The largest piece that this process may lock and the machine can spare, up to ``mostMemory``.
    private mutating func measureLargestMapping() {
        var byteCount = mostMemory
        if let spare = Self.availableMemory { byteCount = min(byteCount, spare / 4) }
        // A power of two, which huge pages fit into.
        byteCount = byteCount < 1 ? 0 : 1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)
        var refusal: VFIOError?
        while byteCount >= 4 << 20 {
            let (space, host, length) = (device.addressSpace, host, byteCount)
            do throws(VFIOError) {
                try Self.withMemory(length, of: host) { (window) throws(VFIOError) in
                    try space.map(window).release()
                }
                if let refusal, byteCount < mostMemory {
                    omissions.append(
                        Omission(
                            title: "map and unmap \(ByteText.of(byteCount * 2))", reason: "\(refusal)"))
                }
                return measureMapping(byteCount)
            } catch {
                refusal = error
                byteCount /= 2
            }
        }
        omissions.append(
            Omission(
                title: "map and unmap more than 2 MiB",
                reason: refusal.map { "\($0)" } ?? "there is too little memory to spare"))
    }

    private static func withMemory<R>(
        _ byteCount: Int, of host: any Host, _ body: (MemoryWindow) throws(VFIOError) -> R
    ) throws(VFIOError) -> R {
        let window: MemoryWindow
        do throws(Errno) {
            window = try host.allocateMemory(byteCount: byteCount, pages: .transparentHuge)
        } catch {
            throw VFIOError(
                operation: "allocate \(ByteText.of(byteCount))", object: "the benchmark", errno: error)
        }
        defer { host.freeMemory(window) }
        return try body(window)
    }

    /// What the machine can spare, in bytes.
    private static var availableMemory: Int? {
        guard let text = try? FileSystem.text(of: "/proc/meminfo"),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("MemAvailable:") }),
            let number = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) }), number < 1 << 40
        else { return nil }
        return number * 1024
    }

    // MARK: interrupts

    private mutating func measureInterrupts() {
        let title = "interrupt, from the request to the reader"
        let device = device
        let kinds: [InterruptIndex] = device.address == nil ? [0] : [.msix, .msi]
        let kind = kinds.first { kind in
            guard let info = try? device.interruptInfo(kind) else { return false }
            return info.count > 0 && info.signalsEvents
        }
        guard let kind else {
            let reason =
                device.address == nil
                ? "its first interrupt can't signal an eventfd" : "the device has neither MSI-X nor MSI"
            omissions.append(Omission(title: title, reason: reason))
            return
        }
        progress(title)
        do throws(VFIOError) {
            let (samples, reference) = try interrupts(kind)
            results.append(
                Result(
                    identifier: "interrupt", title: title, nanoseconds: samples.nanoseconds, batch: 1,
                    reference: Reference(name: "eventfd of this process", nanoseconds: reference.median)))
        } catch {
            omissions.append(Omission(title: title, reason: "\(error)"))
        }
    }

    /// Interrupts that the host is asked for, and an eventfd that is signalled without a host.
    private func interrupts(
        _ kind: InterruptIndex
    ) throws(VFIOError) -> (Sampler.Samples, Sampler.Samples) {
        let own: EventBox
        do throws(Errno) {
            own = EventBox(try EventDescriptor())
        } catch {
            throw VFIOError(operation: "make an eventfd", object: "the benchmark", errno: error)
        }
        // Disabled when the last reference goes.
        let enabled = InterruptBox(try device.enableInterrupts(kind, count: 1))
        return try sampler.wakings(
            (enabled.interrupts.descriptor(0), { () throws(VFIOError) in try enabled.interrupts.trigger(0) }),
            (own.event.number, { () throws(VFIOError) in own.event.signal() }))
    }

    /// Interrupts that closures may share.
    private final class InterruptBox {
        let interrupts: Interrupts
        init(_ interrupts: consuming Interrupts) { self.interrupts = interrupts }
    }

    /// An eventfd that closures may share.
    private final class EventBox {
        let event: EventDescriptor
        init(_ event: consuming EventDescriptor) { self.event = event }
    }
}
