import Crypto
import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe
import NVMeController
import NVMeDriver
import SoftwareHost
import VFIO
import VFIOHost

/// The steps of `vfio demo`, on a software machine with one NVMe disk.
struct Demo {
    private let image: DemoImage
    private let console: Console
    private let host: SoftwareHost
    private let address = PCIAddress(bus: 1, device: 0, function: 0)
    private let group = 26
    private var story: Story

    /// Builds the machine.
    /// - Parameter faults: what is to go wrong on it.
    init(_ image: DemoImage, _ faults: FaultOptions, _ console: Console) throws {
        self.image = image
        self.console = console
        story = Story(console)
        do {
            let file = try FileStore(path: image.path, readOnly: image.isGiven)
            let store: any BlockStore = image.isGiven ? OverlayStore(over: file) : file
            let disk = NVMeController([try NVMeNamespace(store)])
            let (address, group) = (address, group)
            let machine = MachineDescription {
                IOMMU(.type1, pageSizes: [.kib4, .mib2])
                IOMMUGroup(group) { PCIDevice(disk, at: address) }
            }
            host = try SoftwareHost(try faults.added(to: machine))
        } catch let error as BlockStoreError {
            throw CommandFailure.refused(
                "\(error)", remedy: "name a disk image: a file of a whole number of blocks of 512 bytes")
        } catch let error as MachineError {
            throw CommandFailure.refused("\(error)")
        }
    }

    /// Runs all steps.
    mutating func run() throws {
        say(
            "A machine",
            "group \(group) holds an NVMe disk at \(address), bound to vfio-pci; behind it \(image.origin)")
        do {
            let controller = try open()
            let hash = try readAll(controller)
            try writeAndReset(controller, hash)
            try controller.close()
        }
        try reopen()
        let controller = try bringUp()
        try interrupts(controller)
        try refusedDMA(controller)
        try sweep(controller)
        try speakingNVMe { () throws(NVMeError) in try controller.close() }
        say("Closed", "shutdown notified, queues gone, memory unmapped, device reset, group free again")
    }

    private mutating func say(_ title: String, _ text: String) { story.say(title, text) }

    private func detail(_ text: String) { story.detail(text) }

    private func bringUp() throws -> Controller {
        var options = ControllerOptions()
        options.route = .group
        let (address, host, settled) = (address, host, options)
        return try speakingNVMe { () throws(NVMeError) in try Controller(opening: address, on: host, settled)
        }
    }

    /// Where the demo writes: the last 512 blocks.
    private func lastBlocks(_ namespace: Namespace) -> Range<UInt64> {
        namespace.blockCount - min(512, namespace.blockCount)..<namespace.blockCount
    }

    // MARK: the steps

    private mutating func open() throws -> Controller {
        let controller = try bringUp()
        let space = controller.device.addressSpace
        say("Opened", "container and group \(group), type 1 IOMMU, device \(address)")
        detail(
            "addresses for DMA: "
                + space.usableRanges.map { "\($0.first) to \($0.last)" }.joined(separator: " and "))
        let namespace = try controller.defaultNamespace()
        detail(
            "\(controller.identity.modelNumber), NVMe \(controller.version), \(controller.queuePairCount) queue pairs, "
                + "\(controller.interruptCount) interrupts, \(Human.bytes(namespace.byteCount ?? 0))")
        return controller
    }

    private mutating func readAll(_ controller: Controller) throws -> SHA256.Digest {
        let namespace = try controller.defaultNamespace()
        let total = namespace.byteCount ?? 0
        let started = Clock.now
        var device = SHA256()
        try Blocks.read(0..<namespace.blockCount, of: namespace, on: controller) { window, offset in
            // SAFETY: the window is DMA memory that nobody writes while its hash is taken.
            unsafe device.update(bufferPointer: UnsafeRawBufferPointer(window.unsafeBytes))
            console.progress(offset, of: total, "reading")
        }
        console.endProgress()
        let elapsed = Clock.now - started
        let (read, file) = (device.finalize(), try hashOfFile())
        guard read == file else {
            throw CommandFailure.refused("what was read through VFIO isn't what the file holds")
        }
        say(
            "Read",
            "all \(Human.bytes(total)) in \(Human.nanoseconds(elapsed)), through the IOMMU into DMA memory")
        detail("SHA-256 of the device: \(Self.hexadecimal(read))")
        detail("SHA-256 of the file:   \(Self.hexadecimal(file)): the same")
        return file
    }

    private func hashOfFile() throws -> SHA256.Digest {
        let path = image.path
        return try Blocks.opening(path) { () throws(Errno) in
            let file = try Descriptor(opening: path)
            let memory = try Mapping(anonymous: Blocks.chunkByteCount)
            var hash = SHA256()
            var offset: UInt64 = 0
            while true {
                let count = try file.read(at: offset, into: memory.window)
                if count == 0 { return hash.finalize() }
                let part = memory.window.window(at: 0, byteCount: count)
                // SAFETY: the memory is this function's own.
                unsafe hash.update(bufferPointer: UnsafeRawBufferPointer(part.unsafeBytes))
                offset += UInt64(count)
            }
        }
    }

    private static func hexadecimal(_ digest: SHA256.Digest) -> String {
        digest.map { VFIOHost.hexadecimal($0, digits: 2) }.joined()
    }

    /// What the demo writes: different in every block.
    private func pattern(_ namespace: Namespace) -> [UInt8] {
        let range = lastBlocks(namespace)
        return (0..<range.count * namespace.blockByteCount).map {
            UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / namespace.blockByteCount)
        }
    }

    private mutating func writeAndReset(_ controller: Controller, _ hash: SHA256.Digest) throws {
        let namespace = try controller.defaultNamespace()
        let range = lastBlocks(namespace)
        let bytes = pattern(namespace)
        try controller.write(blocks: range, from: bytes)
        try controller.flush()
        try controller.reset(throughDevice: true)
        guard try controller.read(blocks: range) == bytes else {
            throw CommandFailure.refused("what was written isn't there after the reset")
        }
        say("Written", "\(Human.bytes(UInt64(bytes.count))) at block \(range.lowerBound), flushed")
        detail("device reset (VFIO_DEVICE_RESET), brought up again, read back: the same")
        if image.isGiven {
            let now = try hashOfFile()
            guard now == hash else { throw CommandFailure.refused("your image has changed") }
            detail("your image hasn't changed: what was written is in memory only")
        }
    }

    private mutating func reopen() throws {
        let controller = try bringUp()
        let namespace = try controller.defaultNamespace()
        guard try controller.read(blocks: lastBlocks(namespace)) == pattern(namespace) else {
            throw CommandFailure.refused("what was written isn't there after closing and opening again")
        }
        try controller.close()
        say("Opened again", "everything was closed and opened anew, read back: the same")
    }

    private mutating func interrupts(_ controller: Controller) throws {
        let count = 16
        let arrived = try countInterrupts(controller, requests: count)
        say("Interrupts", "\(count) reads, one at a time: \(arrived) MSI-X interrupts arrived at an eventfd")
        guard arrived > 0 else { throw CommandFailure.refused("no interrupt arrived") }
    }

    /// Sends reads one by one and waits for each one's interrupt.
    private func countInterrupts(_ controller: Controller, requests: Int) throws -> Int {
        let namespace = try controller.defaultNamespace()
        var pair = try controller.makeQueuePair(entryCount: 8)
        guard let number = pair.interruptDescriptor else {
            throw CommandFailure.refused("the queue has no interrupt")
        }
        let event = try EventDescriptor(duplicating: number)
        let memory = try controller.allocate(byteCount: 4096)
        var arrived = 0
        for _ in 0..<requests {
            _ = try event.take()
            _ = try pair.read(
                0..<UInt64(4096 / namespace.blockByteCount), of: namespace,
                into: memory.segment(at: 0, byteCount: 4096))
            pair.ring()
            if let times = try event.wait(milliseconds: 2000) { arrived += Int(times) }
            while try pair.wait(milliseconds: 0) != nil {}
        }
        return arrived
    }

    private mutating func refusedDMA(_ controller: Controller) throws {
        let namespace = try controller.defaultNamespace()
        let before = host.dmaFaults.count
        let target = IOVA(0x6660_0000_0000)
        var answer = ""
        do throws(NVMeError) {
            try controller.read(
                blocks: 0..<UInt64(4096 / namespace.blockByteCount),
                into: DMASegment(iova: target, byteCount: 4096))
        } catch {
            answer = Self.text(error)
        }
        let faults = host.dmaFaults
        guard faults.count > before, !answer.isEmpty else {
            throw CommandFailure.refused("a DMA to an address that isn't mapped was not refused")
        }
        say("Refused", "a read into \(target), which isn't mapped: the IOMMU let nothing through")
        detail("the disk's answer: \(answer)")
        if let fault = faults.last {
            detail("the IOMMU's record: \(fault.words)")
        }
    }

    // Not inlined: Swift 6.3's optimiser fails on this `switch` inside a typed `catch`.
    @inline(never) private static func text(_ error: NVMeError) -> String {
        error.status.map { "\($0)" } ?? "\(error)"
    }

    private mutating func sweep(_ controller: Controller) throws {
        let namespace = try controller.defaultNamespace()
        say("Queue depths", "random reads of 4 KiB")
        var table = Table(
            ["in flight", "requests/s", "bytes/s", "median", "99 %"], rightAligned: [0, 1, 2, 3, 4])
        let depths = [1, 2, 4, 8, 16, 32, 64]
        for (index, depth) in depths.enumerated() {
            console.progress(UInt64(index), of: UInt64(depths.count), "measuring")
            let measured = try controller.measure(
                Workload(
                    .read, .random, blocksPerRequest: 4096 / namespace.blockByteCount, queueDepth: depth,
                    limit: .milliseconds(250)), of: namespace)
            table.add([
                "\(depth)", Human.grouped(UInt64(measured.requestsPerSecond)),
                Human.bytes(UInt64(measured.bytesPerSecond)),
                Human.nanoseconds(measured.latencies.percentile(50)),
                Human.nanoseconds(measured.latencies.percentile(99)),
            ])
        }
        console.endProgress()
        for line in table.lines { detail(line) }
    }
}
