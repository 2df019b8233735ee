import Foundation
import LinuxSystem
import Testing
import VFIOHost

@Suite("Drivers on the command line")
struct BindCommandTests {
    /// A machine of folders: a disk that nvme drives alone in its group, and two devices in another.
    private func folders() throws -> Scratch {
        let scratch = try Scratch()
        func device(_ address: String, _ driver: String, _ group: Int) -> DeviceRecord {
            DeviceRecord(
                address: PCIAddress(address)!, vendor: 0x1234, device: 0x11e8, classCode: 0x010802,
                driver: DriverRecord(named: driver), group: group)
        }
        let devices = [
            device("0000:01:00.0", "nvme", 26), device("0000:02:00.0", "vfio-pci", 27),
            device("0000:02:00.1", "snd_hda_intel", 27),
        ]
        try SysfsTree.write(
            Inventory(
                devices: devices,
                groups: [26, 27].map { number in
                    GroupRecord(
                        number: number, devices: devices.filter { $0.group == number }.map(\.address))
                }, hasContainers: true, hasIOMMUFD: false), to: scratch.path
        ) { _ in nil }
        return scratch
    }

    private func vfio(in scratch: Scratch, _ arguments: String...) throws -> Outcome {
        let (verb, rest) = (arguments[0], arguments.dropFirst())
        return try VFIOCommandTests.vfio(
            [verb] + rest + [
                "--sysfs", scratch.path + "/sys", "--dev", scratch.path + "/dev", "--proc",
                scratch.path + "/proc", "--state", scratch.path + "/bindings.json",
            ])
    }

    private func json(_ outcome: Outcome) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    @Test("A dry run prints what a shell would be given, and changes nothing")
    func dryRun() throws {
        let scratch = try folders()
        let outcome = try vfio(in: scratch, "bind", "0000:01:00.0", "--dry-run")
        #expect(outcome.code == 0, "\(outcome.errors)")
        let sysfs = scratch.path + "/sys"
        let writes = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            writes == [
                "echo vfio-pci > \(sysfs)/bus/pci/devices/0000:01:00.0/driver_override",
                "echo 0000:01:00.0 > \(sysfs)/bus/pci/drivers/nvme/unbind",
                "echo 0000:01:00.0 > \(sysfs)/bus/pci/drivers/vfio-pci/bind",
            ])
        #expect(outcome.output.contains("# 0000:01:00.0: nvme -> vfio-pci"))
        #expect(try FileSystem.text(of: sysfs + "/bus/pci/devices/0000:01:00.0/driver_override") == "(null)")
        #expect(try FileSystem.text(of: sysfs + "/bus/pci/drivers/nvme/unbind").isEmpty)
        #expect(!FileSystem.exists(scratch.path + "/bindings.json"))
        let report = try json(try vfio(in: scratch, "bind", "0000:01:00.0", "--dry-run", "--json"))
        #expect(report["version"] as? Int == 1)
        #expect(report["dryRun"] as? Bool == true)
        let device = try #require((report["devices"] as? [[String: Any]])?.first)
        #expect(device["outcome"] as? String == "planned")
        #expect(
            (device["steps"] as? [[String: Any]])?.map { $0["shell"] as? String } == writes.map { String($0) }
        )
    }

    @Test("A blocked group is refused with the member that blocks it, and taken whole if asked for")
    func group() throws {
        let scratch = try folders()
        // The member that VFIO drives already is left alone; the other one makes its group of no use.
        let outcome = try vfio(in: scratch, "bind", "0000:02:00.0", "--dry-run")
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("0000:02:00.1 (snd_hda_intel)"))
        #expect(outcome.errors.contains("--whole-group"))
        #expect(outcome.errors.contains("nothing was changed"))
        let whole = try vfio(in: scratch, "bind", "0000:02:00.0", "--dry-run", "--whole-group")
        #expect(whole.code == 0, "\(whole.errors)")
        #expect(whole.output.contains("# 0000:02:00.1: snd_hda_intel -> vfio-pci"))
        #expect(whole.output.contains("# 0000:02:00.0: has vfio-pci already"))
        let report = try json(try vfio(in: scratch, "bind", "0000:02:00.0", "--json"))
        #expect((report["refused"] as? [[String: Any]])?.first?["code"] as? String == "group")
    }

    @Test("Files that take writes and do nothing are found out, and the override is as it was")
    func noEffect() throws {
        let scratch = try folders()
        let outcome = try vfio(in: scratch, "bind", "0000:01:00.0")
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("nvme still has the device"))
        #expect(outcome.errors.contains("0000:01:00.0 is as it was"))
        let attribute = scratch.path + "/sys/bus/pci/devices/0000:01:00.0/driver_override"
        // An empty line is what takes a restriction away; a kernel would write "(null)" then.
        #expect(try FileSystem.text(of: attribute).isEmpty)
        let nothing = try vfio(in: scratch, "restore", "0000:01:00.0")
        #expect(nothing.code == 1)
        #expect(nothing.errors.contains("no change of its driver is remembered"))
    }

    @Test("A write that doesn't come back ends in time, and is said with the process that waits")
    func stuck() throws {
        let scratch = try folders()
        let unbind = scratch.path + "/sys/bus/pci/drivers/nvme/unbind"
        try FileSystem.unlink(unbind)
        // Opening a pipe for writing waits for a reader.
        #expect(try ChildProcess.run("mkfifo", [unbind]) == 0)
        let outcome = try vfio(in: scratch, "unbind", "0000:01:00.0", "--timeout", "0.05")
        #expect(outcome.code == 1)
        #expect(outcome.output.contains("hasn't come back"))
        #expect(outcome.errors.contains("vfio-write"))
        let state = try FileSystem.text(of: scratch.path + "/bindings.json")
        #expect(state.contains("\"step\":\"unbind\""))
        // The process ends with its reader.
        let reader = try Descriptor(opening: unbind, .readWrite)
        _ = consume reader
    }

    @Test("A software machine's devices change drivers, with the nodes that come and go")
    func software() throws {
        let unbound = try VFIOCommandTests.vfio("unbind", "--host", "soft", "0000:01:00.0")
        #expect(unbound.code == 0, "\(unbound.errors)")
        #expect(unbound.output.contains("echo 0000:01:00.0 > /sys/bus/pci/drivers/vfio-pci/unbind"))
        let scratch = try Scratch()
        let machine = try scratch.file(
            "machine.json",
            Data(
                #"{"groups": [{"number": 5, "devices": [{"address": "0000:03:00.0", "model": "edu", "driver": "nvme"}]}]}"#
                    .utf8))
        let bound = try VFIOCommandTests.vfio("bind", "--machine", machine, "0000:03:00.0", "--json")
        #expect(bound.code == 0, "\(bound.errors)")
        let report = try json(bound)
        #expect(report["complete"] as? Bool == true)
        let device = try #require((report["devices"] as? [[String: Any]])?.first)
        #expect((device["before"] as? [String: Any])?["driver"] as? String == "nvme")
        #expect((device["after"] as? [String: Any])?["driver"] as? String == "vfio-pci")
        #expect(
            (device["nodes"] as? [[String: Any]])?.allSatisfy { $0["isThere"] as? Bool == true } == true)
        #expect((device["nodes"] as? [[String: Any]])?.first?["path"] as? String == "/dev/vfio/5")
    }

    @Test("Wrong input is wrong usage; what can't be changed says why")
    func wrongInput() throws {
        #expect(try VFIOCommandTests.vfio("bind").code == 2)
        #expect(try VFIOCommandTests.vfio("bind", "elephant").code == 2)
        #expect(try VFIOCommandTests.vfio("restore").code == 2)
        #expect(try VFIOCommandTests.vfio("restore", "--all", "0000:01:00.0").code == 2)
        #expect(try VFIOCommandTests.vfio("bind", "0000:01:00.0", "--timeout", "0").code == 2)
        let mediated = try VFIOCommandTests.vfio(
            "unbind", "--host", "soft", "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01")
        #expect(mediated.code == 1)
        #expect(mediated.errors.contains("vfio mdev remove"))
        let scratch = try folders()
        let typo = try vfio(in: scratch, "bind", "0000:01:00.0", "--driver", "vfio_pci")
        #expect(typo.code == 1)
        #expect(typo.errors.contains("--driver vfio-pci"))
        let state = try scratch.file("bindings.json", Data("gibberish".utf8))
        let broken = try vfio(in: scratch, "bind", "0000:01:00.0")
        #expect(broken.code == 1)
        #expect(broken.errors.contains(state))
    }
}
