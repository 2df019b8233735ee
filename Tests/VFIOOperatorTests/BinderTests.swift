import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("Changes of drivers")
struct BinderTests {
    let disk = DeviceID("0000:01:00.0")!
    let card = DeviceID("0000:02:00.0")!

    /// A machine with a disk that nvme drives, and a card without a driver that only e1000e may have.
    private func twoDevices() throws -> (FolderMachine, DriverModel, Binder) {
        let machine = try FolderMachine()
        try machine.function("0000:01:00.0", driver: "nvme", group: 11)
        let card = try machine.function("0000:02:00.0", classCode: "0x020000", group: 12)
        try machine.file(card + "/driver_override", "e1000e\n")
        try machine.mounts("")
        for driver in ["vfio-pci", "e1000e"] {
            try FileSystem.makeFolders(machine.root + "/sys/bus/pci/drivers/" + driver)
        }
        let model = DriverModel(machine)
        return (machine, model, binder(machine, model))
    }

    private func binder(_ machine: FolderMachine, _ model: DriverModel) -> Binder {
        var binder = Binder(
            machine.roots, remembering: BindingStore(machine.root + "/run/vfio/bindings.json"), writer: model)
        binder.nodeMilliseconds = 20
        return binder
    }

    @Test("the writes of a bind are known before, and are those that are made")
    func order() throws {
        let (machine, model, binder) = try twoDevices()
        let plan = try binder.planBinding([disk, card, disk])
        let sysfs = machine.roots.sysfs
        let lines = plan.steps.map { $0.write.shell.split(separator: sysfs).joined(separator: "/sys") }
        #expect(
            lines == [
                "echo vfio-pci > /sys/bus/pci/devices/0000:01:00.0/driver_override",
                "echo 0000:01:00.0 > /sys/bus/pci/drivers/nvme/unbind",
                "echo 0000:01:00.0 > /sys/bus/pci/drivers/vfio-pci/bind",
                "echo vfio-pci > /sys/bus/pci/devices/0000:02:00.0/driver_override",
                "echo 0000:02:00.0 > /sys/bus/pci/drivers/vfio-pci/bind",
            ])
        #expect(model.writes.isEmpty)
        var events: [BindEvent] = []
        let result = try binder.carryOut(plan) { events.append($0) }
        #expect(model.writes == plan.steps.map(\.write))
        #expect(result.isComplete)
        #expect(result.devices.map(\.outcome) == [.done, .done])
        #expect(
            result.devices.flatMap(\.nodes).map(\.path).map { $0.hasSuffix("/dev/vfio/11") } == [true, false])
        #expect(
            events.filter { if case .done = $0 { true } else { false } }
                == plan.steps.map { BindEvent.done($0) })
    }

    @Test("a restore gives back exactly what was: a driver, or none and a restriction")
    func restore() throws {
        let (machine, _, binder) = try twoDevices()
        let before = machine.drivers
        _ = try binder.carryOut(try binder.planBinding([disk, card]))
        #expect(machine.drivers != before)
        #expect(try binder.store.load().map(\.device) == [disk, card])
        let result = try binder.carryOut(try binder.planRestoring(nil))
        #expect(result.isComplete)
        #expect(machine.drivers == before)
        #expect(try binder.store.load().isEmpty)
        #expect(throws: BindRefusal.self) { try binder.planRestoring([disk]) }
    }

    @Test("what a device was before the first of several changes is what is restored")
    func severalChanges() throws {
        let (machine, _, binder) = try twoDevices()
        let before = machine.drivers
        _ = try binder.carryOut(try binder.planUnbinding([disk]))
        #expect(machine.drivers["0000:01:00.0"]?.driver == nil)
        _ = try binder.carryOut(try binder.planBinding([disk]))
        #expect(machine.drivers["0000:01:00.0"]?.driver == "vfio-pci")
        _ = try binder.carryOut(try binder.planRestoring([disk]))
        #expect(machine.drivers == before)
    }

    @Test("a device that has the driver already is left alone, and nothing is remembered of it")
    func unchanged() throws {
        let machine = try FolderMachine()
        try machine.function("0000:01:00.0", driver: "vfio-pci", group: 11)
        try machine.file("dev/vfio/11", "")
        let model = DriverModel(machine)
        let binder = binder(machine, model)
        let result = try binder.carryOut(try binder.planBinding([disk]))
        #expect(result.devices.map(\.outcome) == [.unchanged])
        #expect(result.isComplete)
        #expect(model.writes.isEmpty)
        #expect(try binder.store.load().isEmpty)
    }

    @Test("whichever write fails, all is as it was, and the error names the write", arguments: 0..<5)
    func failureAtEachWrite(index: Int) throws {
        let (machine, model, binder) = try twoDevices()
        let before = machine.drivers
        let plan = try binder.planBinding([disk, card])
        try #require(plan.steps.count == 5)
        model.faults[index] = .fail(.inputOutput)
        let result = try binder.carryOut(plan)
        #expect(result.failure?.step == plan.steps[index])
        #expect(result.failure?.errno == .inputOutput)
        #expect(result.failure?.description.contains(plan.steps[index].write.shell) == true)
        #expect(machine.drivers == before)
        #expect(try binder.store.load().isEmpty)
        #expect(!result.isComplete)
        for device in result.devices {
            #expect(device.outcome == .rolledBack || device.outcome == .unchanged)
        }
    }

    @Test("whichever write of a restore fails, all is as it was, and can be restored later", arguments: 0..<5)
    func failureAtEachWriteBack(index: Int) throws {
        let (machine, model, binder) = try twoDevices()
        let first = machine.drivers
        _ = try binder.carryOut(try binder.planBinding([disk, card]))
        let before = machine.drivers
        let records = try binder.store.load()
        let plan = try binder.planRestoring(nil)
        try #require(plan.steps.count == 5)
        model.faults[model.writes.count + index] = .fail(.inputOutput)
        #expect(try binder.carryOut(plan).failure?.step == plan.steps[index])
        #expect(machine.drivers == before)
        #expect(try binder.store.load() == records)
        #expect(try binder.carryOut(try binder.planRestoring(nil)).isComplete)
        #expect(machine.drivers == first)
    }

    @Test("a write that is taken and has no effect is found out", arguments: [1, 2])
    func silentFailure(index: Int) throws {
        let (machine, model, binder) = try twoDevices()
        let before = machine.drivers
        let plan = try binder.planBinding([disk])
        model.faults[index] = .ignore
        let result = try binder.carryOut(plan)
        #expect(result.failure?.errno == nil)
        #expect(result.failure?.step == plan.steps[index])
        #expect(result.devices.map(\.outcome) == [.rolledBack])
        #expect(machine.drivers == before)
        // A driver that kept the device isn't asked to take it again.
        #expect(model.writes.count == (index == 1 ? 3 : 5))
    }

    @Test("a rollback that fails says what is left to do by hand, and remembers what was")
    func failedRollback() throws {
        let (machine, model, binder) = try twoDevices()
        let plan = try binder.planBinding([disk])
        model.faults[2] = .fail(.noDevice)
        // The restriction is taken away, and nvme doesn't take its disk back.
        model.faults[4] = .fail(.inputOutput)
        var events: [BindEvent] = []
        let result = try binder.carryOut(plan) { events.append($0) }
        let back = BindWrite("0000:01:00.0", to: machine.roots.sysfs + "/bus/pci/drivers/nvme/bind")
        #expect(result.devices.map(\.outcome) == [.stranded([back])])
        #expect(events.contains(.notUndone(back, .inputOutput)))
        #expect(try binder.store.load().map(\.original.driver) == ["nvme"])
        #expect(try binder.carryOut(try binder.planRestoring(nil)).isComplete)
        #expect(machine.drivers["0000:01:00.0"] == DriverState(driver: "nvme", override: nil))
    }

    @Test("a write that doesn't come back holds up nobody else, and a second run finds it")
    func stuckWrite() throws {
        let (machine, model, binder) = try twoDevices()
        let before = machine.drivers
        try machine.process(4711)
        model.faults[1] = .stick(process: 4711)
        let result = try binder.carryOut(try binder.planBinding([disk, card]))
        #expect(result.devices.map(\.outcome) == [.pending(process: 4711), .done])
        #expect(!result.isComplete)
        let pending = BindingRecord.Pending(.unbind, process: 4711, started: 77)
        #expect(try binder.store.load().map(\.pending) == [pending, nil])
        // As long as that process waits, nobody else need wait for the same lock of the kernel.
        #expect(reasons { _ = try binder.planBinding([disk]) }.map(\.code) == [.pending])
        #expect(reasons { _ = try binder.planRestoring(nil) }.map(\.code) == [.pending])
        // Then the unbind comes about.
        try FileSystem.unlink(machine.roots.sysfs + "/bus/pci/devices/0000:01:00.0/driver")
        try machine.process(4711, started: 99)
        #expect(try binder.carryOut(try binder.planBinding([disk])).isComplete)
        #expect(try binder.carryOut(try binder.planRestoring(nil)).isComplete)
        #expect(machine.drivers == before)
    }

    @Test("a node that doesn't appear is said")
    func missingNode() throws {
        let (machine, model, binder) = try twoDevices()
        model.makesNodes = false
        let result = try binder.carryOut(try binder.planBinding([disk]))
        #expect(result.devices.map(\.outcome) == [.done])
        #expect(result.devices.flatMap(\.nodes).map(\.path) == [machine.roots.devices + "/vfio/11"])
        #expect(result.devices.flatMap(\.nodes).map(\.isThere) == [false])
        #expect(!result.isComplete)
    }

    @Test("nothing is written if somebody else was faster, or if nothing can be remembered")
    func changedMeanwhile() throws {
        let (machine, model, binder) = try twoDevices()
        let plan = try binder.planBinding([disk])
        try FileSystem.unlink(machine.roots.sysfs + "/bus/pci/devices/0000:01:00.0/driver")
        #expect(reasons { _ = try binder.carryOut(plan) }.map(\.code) == [.undetermined])
        let other = Binder(
            machine.roots, remembering: BindingStore("/proc/nobody/can/write/here"), writer: model)
        #expect(reasons { _ = try other.carryOut(try other.planBinding([card])) }.map(\.code) == [.state])
        #expect(model.writes.isEmpty)
    }

    @Test("what somebody else has changed since is remembered anew, and said")
    func changedSince() throws {
        let (machine, model, binder) = try twoDevices()
        _ = try binder.carryOut(try binder.planBinding([disk]))
        // Back to nvme, and then to another driver, by hand.
        let folder = machine.roots.sysfs + "/bus/pci/drivers/"
        let attribute = machine.roots.sysfs + "/bus/pci/devices/0000:01:00.0/driver_override"
        for write in [
            BindWrite("0000:01:00.0", to: folder + "vfio-pci/unbind"), BindWrite("e1000e", to: attribute),
            BindWrite("0000:01:00.0", to: folder + "e1000e/bind"),
        ] { #expect(model.write(write, milliseconds: 0) == .done) }
        #expect(try binder.planRestoring([disk]).notes.count == 1)
        _ = try binder.carryOut(try binder.planBinding([disk]))
        #expect(
            try binder.store.load().map(\.original) == [DriverState(driver: "e1000e", override: "e1000e")])
    }

    @Test("what sits at the address of another isn't given its driver")
    func replaced() throws {
        let (machine, _, binder) = try twoDevices()
        _ = try binder.carryOut(try binder.planBinding([disk, card]))
        try machine.file("sys/devices/pci0000:00/0000:01:00.0/device", "0x9999\n")
        #expect(reasons { _ = try binder.planRestoring([disk]) }.map(\.code) == [.replaced])
        // One that is gone is forgotten.
        try FileSystem.unlink(machine.roots.sysfs + "/bus/pci/devices/0000:02:00.0")
        let plan = try binder.planRestoring([card])
        #expect(plan.notes.count == 1)
        _ = try binder.carryOut(plan)
        #expect(try binder.store.load().map(\.device) == [disk])
    }

    /// The reasons with which something is refused.
    private func reasons(_ body: () throws -> Void) -> [BindRefusal.Reason] {
        do {
            try body()
            return []
        } catch {
            return (error as? BindRefusal)?.reasons ?? []
        }
    }
}
