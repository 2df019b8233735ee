import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOGuest
import VFIOHost

/// The parts of `vfio demo --guest`: a small virtual machine on a software machine, and what its devices see of its
/// memory while that changes.
struct GuestDemo {
    let machine: DemoMachine
    var story: Story

    var host: SoftwareHost { machine.host }
    var guest: DemoGuest { machine.guest }

    /// Builds the machine.
    /// - Parameter faults: what is to go wrong on it.
    init(_ faults: FaultOptions, _ console: Console) throws {
        story = Story(console)
        machine = try DemoMachine(faults)
    }

    /// Runs all parts.
    mutating func run() throws {
        tellMap()
        let engine = try attach()
        try plug(engine)
        try plugBlocks(engine)
        try translate()
        try trackWrites(engine)
        let far = try move(engine)
        try end(far)
    }

    // MARK: what is checked and told

    /// Ends the demo unless something is as it must be.
    func require(_ condition: Bool, _ failure: @autoclosure () -> String) throws(CommandFailure) {
        if !condition { throw .refused(failure()) }
    }

    /// Has a device do something that the IOMMU must refuse.
    /// - Returns: the IOMMU's record of it.
    func refused(_ what: String, _ body: () throws -> Void) throws -> String {
        let before = host.dmaFaults.count
        try body()
        let faults = host.dmaFaults
        guard faults.count > before, let fault = faults.last else {
            throw CommandFailure.refused("\(what): the IOMMU let it through")
        }
        return fault.words
    }

    /// Has a device do something that the IOMMU must let through.
    func allowed(_ what: String, _ body: () throws -> Void) throws {
        let before = host.dmaFaults.count
        try body()
        let faults = host.dmaFaults
        guard faults.count == before else {
            let cause = machine.failure.map { "; before that: \($0)" } ?? ""
            throw CommandFailure.refused("\(what): the IOMMU refused \(faults.last?.words ?? "it")\(cause)")
        }
    }

    /// How long something took.
    func measured(_ body: () throws -> Void) rethrows -> String {
        let started = Clock.now
        try body()
        return Human.nanoseconds(Clock.now - started)
    }

    /// The mappings of a device's container.
    func mappingCount(_ device: GuestDevice) -> Int { device.container?.iommu.mappingCount ?? 0 }

    static func count(_ number: Int, _ thing: String) -> String {
        "\(Human.grouped(UInt64(number))) \(thing)\(number == 1 ? "" : "s")"
    }

    // MARK: the parts

    private mutating func tellMap() {
        story.say(
            "A virtual machine",
            "RAM of \(Human.bytes(guest.ram.byteCount)) and \(Human.bytes(guest.rom.byteCount)) of firmware; "
                + "its devices aren't there yet")
        story.detail(map(of: guest.space))
    }

    private func map(of space: GuestAddressSpace) -> Table {
        var table = Table(["from", "to", "bytes", "what is there"], rightAligned: [0, 1, 2])
        for section in space.sections {
            let byteCount = section.range.last.rawValue - section.range.first.rawValue + 1
            table.add([
                "\(section.range.first)", "\(section.range.last)", Human.bytes(byteCount),
                section.region.name + (section.isReadOnly ? ", read-only" : ""),
            ])
        }
        return table
    }

    private mutating func attach() throws -> DemoEngine {
        let started = Clock.now
        let device = try machine.attach(0, to: guest.space)
        let time = Human.nanoseconds(Clock.now - started)
        guard let container = device.container else {
            throw CommandFailure.refused("the device isn't in any container")
        }
        story.say(
            "A device",
            "\(device.id), which copies memory, from group \(DemoMachine.groups[0]): given to the guest in \(time)"
        )
        let engine = try guest.addEngine(device, slot: 0)
        for (section, outcome) in container.mapper.outcomes {
            story.detail("\(section.region.name) at \(section.range.first): \(Self.words(outcome, section))")
        }
        story.detail(
            "\(Self.count(container.iommu.mappingCount, "mapping")) of \(Human.bytes(container.iommu.mappedByteCount)); "
                + "\(Human.bytes(host.lockedByteCount)) locked in memory for them")
        let text = "what the guest wrote"
        try guest.write(text, at: 0x1000)
        try allowed("a copy from RAM to RAM") { try engine.copy(text.utf8.count, from: 0x1000, to: 0x2000) }
        let read = try guest.read(text.utf8.count, at: 0x2000)
        try require(read.utf8.elementsEqual(text.utf8), "the device copied \"\(read)\", not \"\(text)\"")
        story.detail(
            "the device copied \"\(text)\" from 0x1000 to 0x2000, where the guest reads it: the same")
        let before = guest.rom.window.load64(0)
        let record = try refused("a write to the firmware") { try engine.put(16, at: DemoGuest.romAddress) }
        try require(guest.rom.window.load64(0) == before, "the firmware has changed")
        story.detail("its write to the firmware was refused: \(record); the firmware hasn't changed")
        return engine
    }

    private static func words(_ outcome: DMAMapper.Outcome, _ section: MemorySection) -> String {
        switch outcome {
        case .mapped: section.isReadOnly ? "mapped, the device can read it" : "mapped, the device reaches it"
        case .skipped(.notMemory): "not mapped, since it isn't memory"
        case .skipped(let reason): "not mapped: \(reason)"
        case .unreachable(let error): "can't be mapped: \(error)"
        case .failed(let error): "failed: \(error)"
        case .followed: "mapped in parts, as they come and go"
        }
    }

    private mutating func plug(_ engine: DemoEngine) throws {
        let (place, elsewhere): (UInt64, UInt64) = (4 << 30, 8 << 30)
        let module = try RAMBlock("memory module", byteCount: 32 << 20)
        let region = try MemoryRegion(ram: module, in: guest.memory)
        let text = "what the guest wrote"
        let count = text.utf8.count
        let before = try refused("a write to RAM that isn't there") {
            try engine.copy(count, from: 0x1000, to: place)
        }
        story.say(
            "Memory plugged and unplugged",
            "\(Human.bytes(module.byteCount)) more; before they came, the device was refused \(before)")
        let plugged = try measured { try guest.system.add(region, at: place) }
        try allowed("a write to RAM that was plugged") { try engine.copy(count, from: 0x1000, to: place) }
        let read = try guest.read(count, at: place)
        try require(read.utf8.elementsEqual(text.utf8), "the guest reads \"\(read)\" in the new memory")
        story.detail(
            "plugged at \(Self.hex(place)) in \(plugged): the device's write arrives, the guest reads it")

        let moved = try measured { try region.move(to: elsewhere) }
        try allowed("a write to RAM that was moved") {
            try engine.copy(count, from: 0x1000, to: elsewhere + 0x1000)
        }
        let old = try refused("a write to where RAM was") { try engine.put(count, at: place) }
        story.detail("moved to \(Self.hex(elsewhere)) in \(moved): it arrives there; refused: \(old)")

        let locked = host.lockedByteCount
        let unplugged = try measured { try guest.system.remove(region) }
        let gone = try refused("a write to RAM that was unplugged") { try engine.put(count, at: elsewhere) }
        try require(module.window.load64(0x2000) == 0, "the device has written memory that was unplugged")
        story.detail("unplugged in \(unplugged): refused: \(gone)")
        story.detail(
            "locked in memory: \(Human.bytes(locked)) with it, \(Human.bytes(host.lockedByteCount)) without")
    }

    /// The guest's devices are taken away, where they are now.
    private mutating func end(_ far: FarGuest) throws {
        for engine in far.engines { engine.device.detach() }
        let before = far.machine.host.dmaFaults.count
        try far.engines[0].put(16, at: 0x2000)
        let faults = far.machine.host.dmaFaults
        guard faults.count > before, let fault = faults.last else {
            throw CommandFailure.refused("a device that was taken away has written the guest's memory")
        }
        for machine in [machine, far.machine] {
            try require(machine.devices.containers.isEmpty, "a container is left")
            try require(
                machine.host.lockedByteCount == 0, "\(machine.host.lockedByteCount) bytes are still locked")
        }
        story.say(
            "Taken away",
            "no container, no mapping and no locked memory is left on both machines; refused: \(fault.words)")
    }

    static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
