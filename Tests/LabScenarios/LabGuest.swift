import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

/// A guest with nothing in its memory yet, on whatever host the scenario runs.
struct LabGuest {
    let lab: Lab
    let memory = GuestMemory()
    let system: MemoryRegion
    /// What its processors see, and devices that stand behind no IOMMU of its own.
    let space: GuestAddressSpace
    let devices: GuestDevices

    init(
        _ lab: Lab, _ options: DMAMapper.Options = .init(), machine: (any VirtualMachineFiles)? = nil
    ) throws {
        self.lab = lab
        system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: system)
        devices = GuestDevices(on: lab.host, for: memory, lab.choice, options, machine: machine)
    }

    /// RAM that is nowhere yet.
    func ram(_ name: String, pages: Int) throws -> MemoryRegion {
        try MemoryRegion(ram: RAMBlock(name, byteCount: pages * pageSize), in: memory)
    }

    /// RAM in the guest's memory.
    @discardableResult
    func addRAM(_ name: String, pages: Int, at address: UInt64) throws -> MemoryWindow {
        let region = try ram(name, pages: pages)
        try system.add(region, at: address)
        return try window(of: region)
    }

    /// The memory behind a region.
    func window(of region: MemoryRegion) throws -> MemoryWindow {
        guard let block = region.block else { throw Unexpected("\(region) is no memory") }
        return block.window
    }

    /// Gives the guest the edu device.
    /// - Parameter exchange: a page of the guest's RAM, where the device sees it, that the test may use.
    func attachEdu(
        exchange: (MemoryWindow, IOVA), to space: GuestAddressSpace? = nil,
        onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws -> GuestEdu {
        let device = try devices.attach(lab.address, to: space ?? self.space, onFailure: onFailure)
        return try GuestEdu(lab, device, exchange)
    }

    /// What became of each section that the device's container was told of: a line for each.
    func outcomes(_ device: GuestDevice) throws -> [String] {
        guard let container = device.container else { throw Unexpected("no container") }
        return container.mapper.outcomes.map { section, outcome in
            let text =
                switch outcome {
                case .mapped: "mapped"
                case .skipped(let reason): "skipped, \(reason)"
                case .unreachable: "unreachable"
                case .failed(let error): "failed, \(error.code.rawValue)"
                case .followed: "followed"
                }
            return "\(section.region.name) at \(section.range.first): \(text)"
        }
    }

    /// How many mappings there are for a device.
    func mappingCount(_ device: GuestDevice) throws -> Int {
        guard let container = device.container else { throw Unexpected("no container") }
        return container.iommu.mappingCount
    }
}

/// The edu device of a guest, with a page of the guest's RAM through which its buffer is filled and looked at.
struct GuestEdu {
    let device: GuestDevice
    let edu: EduDevice
    private let window: MemoryWindow
    private let iova: IOVA
    /// How much is moved where it doesn't matter how much.
    static let usualByteCount = 256

    init(_ lab: Lab, _ device: GuestDevice, _ exchange: (window: MemoryWindow, iova: IOVA)) throws {
        self.device = device
        edu = try EduDevice(lab, device.device)
        window = exchange.window
        iova = exchange.iova
    }

    private func part(_ byteCount: Int) -> MemoryWindow { window.window(at: 0, byteCount: byteCount) }

    /// Has the device write a pattern.
    func write(_ seed: Int, at address: UInt64, _ byteCount: Int = usualByteCount) throws {
        Pattern.fill(part(byteCount), seed)
        try edu.transfer(.fromMemory, iova, byteCount)
        try edu.transfer(.toMemory, IOVA(address), byteCount)
    }

    /// Has the device read, and gives what it read, or had read before if nothing was let through.
    func read(at address: UInt64, _ byteCount: Int = usualByteCount) throws -> MemoryWindow {
        try edu.transfer(.fromMemory, IOVA(address), byteCount)
        for index in 0..<byteCount { window.store8(index, 0) }
        try edu.transfer(.toMemory, iova, byteCount)
        return part(byteCount)
    }

    /// Ends the scenario unless the device writes to memory at an address.
    func expectWrites(_ memory: MemoryWindow, at address: UInt64, _ seed: Int, _ what: String) throws {
        try write(seed, at: address)
        try Pattern.expect(memory.window(at: 0, byteCount: Self.usualByteCount), seed, "\(what): written")
    }

    /// Ends the scenario if the device writes to memory at an address.
    func expectNoWrites(_ memory: MemoryWindow, at address: UInt64, _ seed: Int, _ what: String) throws {
        try write(seed, at: address)
        try expect(
            !Pattern.hasTraces(memory.window(at: 0, byteCount: Self.usualByteCount), seed),
            "\(what): the device has written it")
    }

    /// Ends the scenario unless the device reads, at an address, all bytes of some memory.
    func expectReads(_ memory: MemoryWindow, at address: UInt64, _ what: String) throws {
        var done = 0
        while done < memory.byteCount {
            let count = min(memory.byteCount - done, EduDevice.mostBytes)
            let read = try read(at: address + UInt64(done), count)
            for index in 0..<count where read.load8(index) != memory.load8(done + index) {
                throw Unexpected(
                    "\(what), byte \(done + index): the device read \(read.load8(index)), not "
                        + "\(memory.load8(done + index))")
            }
            done += count
        }
    }
}
