import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("What goes wrong for a guest on a POWER host")
struct POWERFailureTests {
    /// Hears of failures while the guest runs.
    private final class Failures: Sendable {
        private let all = Box<[VFIOGuestError]>([])
        var heard: @Sendable (DMAMapper.Failure) -> Void {
            { [all] failure in all.change { $0.append(failure.error) } }
        }
        /// What was heard since last time.
        func take() -> [VFIOGuestError] {
            defer { all.value = [] }
            return all.value
        }
    }

    @Test(
        "1.18 each step on the way in may fail, and then nothing is left behind",
        arguments: [SPAPRIOMMU(), SPAPRIOMMU(.pSeries), SPAPRIOMMU(dynamicWindows: 0)])
    func unwinding(iommu: SPAPRIOMMU) throws {
        for failing in 1...60 {
            let machine = try POWERMachine(iommu)
            #expect(machine.table.put(0x5000 | 3, at: 0x1000) == .success)
            machine.block.window.store64(0x5000, 42)
            let devices = machine.devices()
            let token = machine.host.inject(FaultRule(.request(nil, .inputOutput), .nth(UInt64(failing))))
            let fired: Bool
            do {
                let attempt = Result { try devices.attach(GuestMachine.address(0), to: machine.space) }
                fired = (machine.host.faultCount(of: token)?.fired ?? 0) > 0
                // It may come to a device all the same, where the step could be done without, or otherwise.
                if !fired { _ = try attempt.get() }
            }
            machine.host.withdraw(token)
            guard fired else {
                #expect(failing > 8, "the way in has several steps")
                return
            }
            #expect(devices.containers.isEmpty, "step \(failing)")
            #expect(machine.host.core.files.count == 0, "step \(failing)")
            #expect(machine.host.lockedByteCount == 0, "step \(failing)")
            #expect(machine.machine.space.listeners.isEmpty, "step \(failing)")
            #expect(machine.space.listeners.isEmpty && machine.table.notifiers.count == 0, "step \(failing)")
            // All of it can be done at once again.
            let device = try machine.attach(to: devices)
            #expect(machine.read(at: 0x1000) == 42)
            device.takeAway()
        }
        Issue.record("the way in never ends")
    }

    @Test("Fault 4: a default window that can't be removed leaves no listener behind")
    func defaultWindow() throws {
        let machine = try POWERMachine()
        machine.host.inject(FaultRule(.request(.spaprTCERemove, .notPermitted), .nth(1)))
        let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach() }
        #expect(error?.errno == .notPermitted && error?.operation.contains("0x0...0x7fffffff") == true)
        #expect(machine.machine.space.listeners.isEmpty && machine.space.listeners.isEmpty)
        #expect(machine.host.lockedByteCount == 0 && machine.host.core.files.count == 0)
        // Changes of the memory meet nobody who has gone.
        try machine.machine.system.add(machine.machine.ram("more", pages: 4), at: 1 << 32)
        #expect(machine.host.lockedByteCount == 0)
        try machine.attach().takeAway()
    }

    @Test(
        "Fault 6: a device's memory outside the windows is unreachable, both when it comes and when it goes")
    func deviceMemory() throws {
        for windows in [0, 2] {
            let machine = try POWERMachine(SPAPRIOMMU(dynamicWindows: windows))
            let failures = Failures()
            let device = try machine.attach(onFailure: failures.heard)
            let block = try POWERMachine.block("BAR", byteCount: pageSize)
            let bar = try MemoryRegion(
                "BAR", .ramDevice(block), byteCount: UInt128(pageSize), in: machine.machine.memory)
            try machine.deviceRoot.add(bar, at: 1 << 40)
            guard case .unreachable(let error) = device.outcome(at: 1 << 40) else {
                Issue.record("it isn't unreachable")
                return
            }
            #expect(error.code == .outsideAperture)
            #expect(!machine.write(1, at: 1 << 40))
            try machine.deviceRoot.remove(bar)
            #expect(failures.take().isEmpty && device.windows.count == 1)
            device.takeAway()
        }
    }

    @Test("Fault 7: what got no window is removed as quietly as if it had never come")
    func noWindow() throws {
        let machine = try POWERMachine()
        let failures = Failures()
        let device = try machine.attach(onFailure: failures.heard)
        let before = machine.host.lockedByteCount
        let (table, region) = try machine.window("wrong place")
        #expect(table.put(3, at: 0) == .success)
        // Where the host's windows begin isn't the guest's to say.
        for _ in 0..<3 {
            try machine.deviceRoot.add(region, at: 1 << 32)
            let errors = failures.take()
            #expect(errors.map(\.code) == [.outsideAperture])
            let text = errors.map(\.description).joined()
            #expect(text.contains("wrong place") && text.contains("0x800000000000000"))
            #expect(device.windows.count == 1 && machine.host.lockedByteCount == before)
            #expect(table.notifiers.count == 0 && !machine.write(1, at: 1 << 32))
            try machine.deviceRoot.remove(region)
            #expect(failures.take().isEmpty)
        }
        // A section that isn't a power of two long, or has all there is, can't have one.
        let memory = machine.machine.memory
        let odd = try MemoryRegion("odd", .iommu(table), byteCount: 3 * 65536, in: memory)
        try machine.deviceRoot.add(odd, at: POWERMachine.second)
        #expect(failures.take().map(\.code) == [.misaligned])
        try machine.deviceRoot.remove(odd)
        let all = try MemoryRegion("all", .iommu(table), byteCount: 1 << 64, in: memory)
        let everything = GuestAddressSpace("everything", showing: all)
        let error = #expect(throws: VFIOGuestError.self) {
            _ = try machine.machine.attach(2, to: machine.devices(), everything)
        }
        #expect(error?.code == .misaligned)
        // Every request may be refused; then it is as before, too, and works the next time.
        machine.host.inject(FaultRule(.request(.spaprTCECreate, .notPermitted), .nth(1)))
        try machine.deviceRoot.add(region, at: POWERMachine.second)
        #expect(failures.take().map(\.errno) == [.notPermitted])
        try machine.deviceRoot.remove(region)
        try machine.deviceRoot.add(region, at: POWERMachine.second)
        #expect(failures.take().isEmpty && machine.write(1, at: POWERMachine.second))
        device.takeAway()
    }

    @Test("1.20 a window can't overlap another one; the error names both")
    func overlap() throws {
        let machine = try POWERMachine()
        let failures = Failures()
        let device = try machine.attach(onFailure: failures.heard)
        // A window stays that the host won't remove.
        machine.host.inject(FaultRule(.request(.spaprTCERemove, .inputOutput), .nth(1)))
        try machine.deviceRoot.remove(machine.region)
        #expect(failures.take().map(\.errno) == [.inputOutput])
        #expect(device.windows.count == 1)
        let (table, region) = try machine.window("late", byteCount: 1 << 20)
        #expect(table.put(3, at: 0) == .success)
        try machine.deviceRoot.add(region, at: 0x10_0000)
        let errors = failures.take()
        #expect(errors.map(\.code) == [.overlap])
        let text = errors.map(\.description).joined()
        #expect(text.contains("0x100000...0x1fffff") && text.contains("0x0...0xffffff"))
        #expect(!machine.write(1, at: 0x10_0000))
        // It goes with the container.
        device.takeAway()
        #expect(machine.host.lockedByteCount == 0)
    }

    @Test("Fault 9: windows that come and go leave no records, and so there is always room for the next")
    func records() throws {
        let machine = try POWERMachine()
        let failures = Failures()
        let device = try machine.attach(onFailure: failures.heard)
        for round in 0..<20 {
            let (_, region) = try machine.window("window \(round)", byteCount: 1 << UInt64(20 + round % 8))
            try machine.deviceRoot.add(region, at: POWERMachine.second)
            #expect(device.windows.count == 2 && device.container?.mapper.windows.count == 2)
            try machine.deviceRoot.remove(region)
            #expect(device.windows.count == 1 && device.container?.mapper.windows.count == 1)
        }
        #expect(failures.take().isEmpty && machine.host.lockedByteCount == machine.lockedAtRest)
        try machine.deviceRoot.remove(machine.region)
        #expect(device.windows.isEmpty && device.container?.mapper.windows.isEmpty == true)
        device.takeAway()
    }

    @Test("1.20 RAM that can't be registered: the device isn't given to the guest, or the VMM hears of it")
    func registration() throws {
        let machine = try POWERMachine(limit: UInt64(POWERMachine.ramByteCount) - 1)
        let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach() }
        #expect(error?.code == .memlockLimit && error?.object.contains("ram") == true)
        #expect(machine.machine.space.listeners.isEmpty && machine.host.lockedByteCount == 0)

        let running = try POWERMachine(limit: 4 << 20)
        let failures = Failures()
        let device = try running.attach(onFailure: failures.heard)
        let before = running.host.lockedByteCount
        let more = try running.machine.ram("more", pages: (4 << 20) / pageSize)
        try running.machine.system.add(more, at: 1 << 32)
        #expect(failures.take().map(\.code) == [.memlockLimit])
        #expect(running.host.lockedByteCount == before)
        // The guest can't be given what isn't registered either.
        #expect(running.table.stuff(3, at: 0, entryCount: 1) == .success && running.write(1, at: 0))
        try running.machine.system.remove(more)
        #expect(failures.take().isEmpty)
        // What takes the place of other RAM needs no more than that did.
        let two = try running.machine.ram("two", pages: (1 << 20) / pageSize)
        try running.machine.system.add(two, at: 1 << 32)
        let three = try running.machine.ram("three", pages: (1 << 20) / pageSize)
        try running.machine.memory.transaction {
            try running.machine.system.remove(two)
            try running.machine.system.add(three, at: 1 << 32)
        }
        #expect(failures.take().isEmpty && running.host.lockedByteCount == before + (1 << 20))
        // And one that the host won't let go of is told, too.
        running.host.inject(FaultRule(.request(.spaprUnregisterMemory, .inputOutput), .nth(1)))
        try running.machine.system.remove(three)
        #expect(failures.take().map(\.errno) == [.inputOutput])
        device.takeAway()
        #expect(running.host.lockedByteCount == 0)
    }
}
