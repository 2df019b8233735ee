import ArgumentParser
import LinuxSystem
import VFIO
import VFIOABI
import VFIOHost
import VFIOOperator

/// `vfio irq watch DEVICE`: a line for each interrupt.
struct InterruptWatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Enable a device's interrupts and print each that comes.",
        discussion: """
            It ends after --count interrupts, after --seconds, or at the interrupt key, disables the interrupts, closes \
            the device and prints what came. INTx is unmasked after each. What makes the device interrupt is written \
            with --write once all is ready, and what makes it lower its line with --acknowledge. --trigger has the host \
            signal each vector once, a test of the way to this program; without --count and --seconds it ends when all \
            have come. Exit code 1: fewer came than --count or --trigger asked for.
            """)

    @OptionGroup var options: HostOptions
    @OptionGroup var named: NamedDeviceArgument
    @Option(
        help: ArgumentHelp(
            "The kinds, with commas between: intx, msi, msix, err, req, or numbers. The first of msix, msi and intx that there is.",
            valueName: "kinds"))
    var index: [String] = []
    @Option(help: ArgumentHelp("Which vectors, such as 3 or 0-15; all of them.", valueName: "range"))
    var vectors: String?
    @Option(help: ArgumentHelp("End after so many interrupts.", valueName: "n")) var count: UInt64?
    @Option(help: ArgumentHelp("End after so many seconds.", valueName: "s")) var seconds: Double?
    @Flag(help: "Have the host signal each vector once.") var trigger = false
    @Option(
        help: ArgumentHelp(
            "Write a register once the interrupts are enabled, e.g. bar0:0x60=1; more than once for several.",
            valueName: "where=value"))
    var write: [String] = []
    @Option(
        help: ArgumentHelp(
            "Write a register after each interrupt of a line, before it is unmasked.",
            valueName: "where=value"))
    var acknowledge: [String] = []
    @Flag(
        inversion: .prefixedNo,
        help: "Let the device start transactions, which messages (MSI, MSI-X) are; it reaches no memory.")
    var busMaster = true
    @Flag(help: "Print JSON: one document on each line, the summary last.") var json = false

    func validate() throws {
        guard count.map({ $0 > 0 }) ?? true else { throw ValidationError("--count is 1 or more") }
        guard seconds.map({ $0 > 0 && $0 <= 1e6 }) ?? true else {
            throw ValidationError("--seconds is more than 0, and at most 1000000")
        }
    }

    func run() throws {
        let writes = try write.map { try RegisterAssignment($0) }
        let acknowledgements = try acknowledge.map { try RegisterAssignment($0) }
        let range = try vectors.map { try Self.range($0) }
        // Before there are other threads, which would get the signals otherwise.
        let signals = try Self.signals()
        // As soon as it goes, a signal ends the process.
        defer { withExtendedLifetime(signals) {} }
        let id = try named.id()
        let host = try options.makeHost()
        let choice = options.routeChoice
        let registers = try speaking { () throws(VFIOError) in
            try DeviceRegisters(of: id, on: host, choice, roots: nil)
        }
        guard let device = registers.device else { throw CommandFailure.refused("\(id) isn't open") }
        let kinds = try Self.kinds(index, of: device)
        let watch = try speaking { () throws(VFIOError) in
            try InterruptWatch(device, endedBy: signals.number)
        }
        if !acknowledgements.isEmpty {
            watch.acknowledge = { () throws(VFIOError) in
                for each in acknowledgements { try each.carryOut(on: registers) }
            }
        }
        try speaking { () throws(VFIOError) in
            for kind in kinds { try watch.enable(kind, vectors: range) }
        }
        try allowMessages(of: device, kinds)
        let text = InterruptText(device.id.name, json: json)
        text.begin(kinds, range)
        try speaking { () throws(VFIOError) in
            if trigger { try watch.trigger() }
            for each in writes { try each.carryOut(on: registers) }
        }
        let wasInterrupted = try follow(watch, text)
        // A signal that nobody takes ends the process when it isn't held back any more.
        if wasInterrupted { _ = try? signals.take() }
        let elapsed = watch.elapsed
        let sums = watch.sums
        try speaking { () throws(VFIOError) in try watch.end() }
        try text.end(sums, elapsed)
        if !wasInterrupted { try verdict(sums) }
    }

    /// Prints what comes until it is enough.
    /// - Returns: whether a person ended it.
    private func follow(_ watch: InterruptWatch, _ text: InterruptText) throws(CommandFailure) -> Bool {
        let start = watch.elapsed
        // A test waits no longer than a signal can take.
        let time = seconds ?? (trigger && count == nil ? 1 : nil)
        let limit = time.map { UInt64($0 * 1e9) }
        var seen: UInt64 = 0
        while true {
            if let count, seen >= count { return false }
            if trigger, count == nil, seconds == nil, watch.sums.allSatisfy({ $0.total > 0 }) { return false }
            var left: Int?
            if let limit {
                let spent = watch.elapsed - start
                guard spent < limit else { return false }
                left = Int((limit - spent + 999_999) / 1_000_000)
            }
            let wait = left
            let arrivals = try speaking { () throws(VFIOError) in try watch.wait(milliseconds: wait) }
            guard let arrivals else { return true }
            for arrival in arrivals {
                seen += arrival.count
                try text.line(arrival)
            }
        }
    }

    /// Says whether as many came as were asked for.
    private func verdict(_ sums: [InterruptWatch.Sum]) throws(CommandFailure) {
        let total = sums.reduce(0) { $0 + $1.total }
        if let count, total < count {
            throw .refused(
                "\(total) of \(count) interrupts came in the time given; give more --seconds, or see whether the device "
                    + "is set up to send them")
        }
        let missing = sums.filter { $0.total == 0 }
        guard trigger, let first = missing.first else { return }
        throw .refused(
            "\(missing.count) of \(sums.count) vectors didn't come when they were triggered, the first \(first.kind.title) "
                + "\(first.vector); a line that is masked isn't signalled")
    }

    /// Lets messages through.
    private func allowMessages(of device: Device, _ kinds: [InterruptKind]) throws(CommandFailure) {
        guard device.info.flags.contains(.pci),
            kinds.contains(where: { $0.index == .msi || $0.index == .msix })
        else { return }
        guard busMaster, device.route.kind != .unprotected else {
            Console.complain(
                "vfio: the device may not start transactions"
                    + (busMaster ? ", because no IOMMU keeps it from memory" : "")
                    + ": its own messages don't arrive, those that --trigger makes do")
            return
        }
        try speaking { () throws(VFIOError) in try device.setBusMaster(true) }
    }

    private static func signals() throws(CommandFailure) -> SignalDescriptor {
        do throws(Errno) {
            return try SignalDescriptor([.interrupt, .terminate])
        } catch {
            throw .refused("signals can't be waited for: \(error)")
        }
    }

    /// The kinds that were named, or the best one.
    private static func kinds(
        _ words: [String], of device: Device
    ) throws(CommandFailure) -> [InterruptKind] {
        let isPCI = device.info.flags.contains(.pci)
        var kinds: [InterruptKind] = []
        for word in words.flatMap({ $0.split(separator: ",").map(String.init) }) {
            guard let index = InterruptKind.index(word, isPCI: isPCI) else {
                throw .wrongUsage(
                    "\"\(word)\" is no kind of interrupts"
                        + (isPCI
                            ? "; there are intx, msi, msix, err and req"
                            : " of this device; name it by its number"))
            }
            kinds.append(try speaking { () throws(VFIOError) in try device.interruptKind(index) })
        }
        if kinds.isEmpty {
            let all = try speaking { () throws(VFIOError) in try device.interruptKinds() }
            let preferred = isPCI ? [InterruptIndex.msix, .msi, .intx] : all.map(\.index)
            let best = preferred.compactMap { index in all.first { $0.index == index } }.first
            kinds = best.map { [$0] } ?? []
        }
        for kind in kinds where kind.info.count == 0 {
            throw .refused(
                "\(device.id) has no \(kind.title) interrupts; vfio irq list \(device.id) shows which it has")
        }
        guard !kinds.isEmpty else { throw .refused("\(device.id) has no interrupts that could be watched") }
        return kinds
    }

    /// "3" or "0-15"
    private static func range(_ text: String) throws(CommandFailure) -> Range<Int> {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
            .map { RegisterPlace.number($0).flatMap { Int(exactly: $0) } }
        // As many as MSI-X can have.
        if let first = parts.first ?? nil, let last = parts.last ?? nil, parts.count <= 2, first <= last,
            last < 2048
        {
            return first..<last + 1
        }
        throw .wrongUsage(
            "--vectors \"\(text)\" is neither a vector, such as 3, nor a range, such as 0-15, below 2048")
    }
}
