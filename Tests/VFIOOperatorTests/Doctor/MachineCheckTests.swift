import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("What the doctor says of a machine")
struct MachineCheckTests {
    @Test("a machine on which all is well has nothing but ok, and evidence for each")
    func well() throws {
        let machine = try MadeMachine()
        let findings = machine.doctor().checks()
        for finding in findings {
            #expect(finding.result == .ok, "\(finding)")
            #expect(!finding.evidence.isEmpty, "\(finding)")
        }
        #expect(findings.verdict == .ok)
        #expect(findings.compactMap(\.device) == ["0000:01:00.0", "0000:02:00.0", "0000:02:00.1"])
        #expect(machine.doctor().checks() == findings)
    }

    @Test("an IOMMU that is off is told apart: by the command line, for want of it, by the firmware, unused")
    func iommuOff() throws {
        let machine = try MadeMachine {
            $0 = Inventory(devices: [], groups: [], hasContainers: true, hasIOMMUFD: true)
        }
        machine.remove("sys/class/iommu/dmar0")
        try machine.file("proc/cmdline", "intel_iommu=on,sm_on intel_iommu=off quiet secret=1")
        var finding = try machine.finding("iommu")
        #expect(finding.result == .failed && finding.summary.contains("intel_iommu=off"))
        #expect(!finding.evidence.contains { $0.found.contains("secret") })
        try machine.file("proc/cmdline", "quiet")
        finding = try machine.finding("iommu")
        #expect(
            finding.result == .failed && finding.remedies.first?.advice?.contains("intel_iommu=on") == true)
        try machine.file("proc/cmdline", "quiet intel_iommu=on")
        finding = try machine.finding("iommu")
        #expect(
            finding.summary.contains("DMAR") && finding.remedies.first?.command?.hasPrefix("dmesg") == true)
        machine.remove("sys/firmware/acpi/tables/DMAR")
        finding = try machine.finding("iommu")
        #expect(finding.result == .failed && finding.remedies.first?.advice?.contains("VT-d") == true)
        try machine.file("proc/cpuinfo", "vendor_id\t: AuthenticAMD\nflags\t\t: fpu hypervisor sse\n")
        finding = try machine.finding("iommu")
        #expect(finding.remedies.first?.advice?.contains("virtual machine") == true)
        try machine.folder("sys/class/iommu/dmar0")
        finding = try machine.finding("iommu")
        #expect(finding.result == .failed && finding.summary.contains("no device is behind it"))
    }

    @Test("without a sysfs nobody can tell, and that matters")
    func nothingThere() throws {
        let machine = try MadeMachine()
        var doctor = machine.doctor()
        doctor.roots = SystemRoots(
            sysfs: machine.root + "/none", devices: machine.root + "/none", processes: machine.root + "/none")
        let findings = doctor.checks()
        #expect(findings.first { $0.id == "iommu" }?.result == .undetermined)
        #expect(findings.first { $0.id == "memory-lock" }?.result == .undetermined)
        #expect(findings.first { $0.id == "kernel" }?.result == .undetermined)
        #expect(findings.first { $0.id == "no-iommu" }?.result == .undetermined)
    }

    @Test("groups that can't be listed are undetermined, and so is the device that is asked about")
    func hidden() throws {
        let machine = try MadeMachine()
        try machine.hide("sys/kernel/iommu_groups")
        #expect(try machine.finding("iommu").result == .undetermined)
        #expect(try machine.finding("device", of: MadeMachine.disk).result == .undetermined)
        #expect(machine.doctor().checks().verdict == .undetermined)
    }

    @Test("what passes through for the kernel's own drivers is no fault")
    func translation() throws {
        let machine = try MadeMachine { $0.groups[0].domainType = "identity" }
        #expect(try machine.finding("translation").summary.contains("1 group passed through"))
        let old = try MadeMachine { inventory in
            for index in inventory.groups.indices { inventory.groups[index].domainType = nil }
        }
        #expect(try old.finding("translation").result == .undetermined)
    }

    @Test("interrupts: remapped, not remapped, allowed all the same, and nothing to tell by")
    func interrupts() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("interrupt-remapping").result == .ok)
        try machine.file("proc/interrupts", " 26:  3  PCI-MSI-0000:00:1f.2  0-edge  ahci\n")
        var finding = try machine.finding("interrupt-remapping")
        #expect(
            finding.result == .failed
                && finding.remedies.contains { $0.command?.hasPrefix("modprobe") == true })
        try machine.file("proc/cmdline", "intremap=off")
        #expect(try machine.finding("interrupt-remapping").summary.contains("intremap=off"))
        try machine.file("sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n")
        finding = try machine.finding("interrupt-remapping")
        #expect(finding.result == .warning && finding.summary.hasPrefix("iommufd"))
        try machine.file("sys/module/iommufd/parameters/allow_unsafe_interrupts", "N\n")
        try machine.file("proc/cmdline", "quiet")
        machine.remove("proc/interrupts")
        #expect(try machine.finding("interrupt-remapping").result == .undetermined)
        try machine.file("proc/interrupts", " 26:  3  ITS-PCI-MSIX-0000:01:00.0  0 Edge  nvme\n")
        #expect(try machine.finding("interrupt-remapping").result == .ok)
    }

    @Test("a kernel's version and configuration tell which parts of VFIO it has")
    func kernel() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("kernel").summary.contains("groups, iommufd, device nodes"))
        try machine.file("boot/config-" + MadeMachine.release, "CONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\n")
        var finding = try machine.finding("kernel")
        #expect(finding.result == .ok && finding.summary.contains("CONFIG_IOMMUFD isn't set"))
        machine.remove("boot")
        finding = try machine.finding("kernel")
        #expect(
            finding.summary.contains("groups, iommufd, device nodes") && finding.summary.contains("perhaps"))
        machine.remove("sys/class/misc/iommu")
        #expect(try machine.finding("kernel").summary.contains("without iommufd (not built in)"))
        try machine.file("boot/config-" + MadeMachine.release, "# CONFIG_VFIO is not set\n")
        #expect(try machine.finding("kernel").result == .failed)
        for (release, known) in [
            ("6.1.0-56-amd64", "iommufd (since 6.2)"), ("6.5", "device nodes (since 6.6)"),
        ] {
            try machine.file("proc/sys/kernel/osrelease", release)
            finding = try machine.finding("kernel")
            #expect(finding.result == .ok && finding.summary.contains(known), "\(finding)")
        }
        try machine.file("proc/sys/kernel/osrelease", "2.6.32")
        #expect(try machine.finding("kernel").result == .failed)
        try machine.file("proc/sys/kernel/osrelease", "plan9")
        #expect(try machine.finding("kernel").result == .undetermined)
    }

    @Test("a kernel that has VFIO without device nodes is known by its devices, as Debian's are")
    func kernelWithoutNodes() throws {
        let machine = try MadeMachine { inventory in
            for index in inventory.devices.indices { inventory.devices[index].deviceNode = nil }
            inventory.hasIOMMUFD = false
        }
        machine.remove("boot")
        machine.remove("sys/class/misc/iommu")
        try machine.folder("sys/class/vfio-dev/vfio0")
        let finding = try machine.finding("kernel")
        #expect(
            finding.summary.contains("without iommufd (not built in), device nodes (not built in)"),
            "\(finding)")
    }

    @Test("modules: built in, to be loaded, missing, and nobody knows")
    func modules() throws {
        let machine = try MadeMachine()
        machine.remove("sys/bus/pci/drivers/vfio-pci")
        machine.remove("sys/module")
        var finding = try machine.finding("modules")
        #expect(finding.result == .warning && finding.remedies.first?.command == "sudo modprobe vfio-pci")
        try machine.file(
            "modules/\(MadeMachine.release)/modules.builtin", "kernel/drivers/vfio/pci/vfio-pci.ko\n")
        finding = try machine.finding("modules")
        #expect(finding.result == .warning && finding.summary.hasPrefix("vfio_iommu_type1"))
        try machine.file("modules/\(MadeMachine.release)/modules.dep", "")
        #expect(try machine.finding("modules").result == .failed)
        try machine.file("modules/\(MadeMachine.release)/modules.builtin", "")
        finding = try machine.finding("modules")
        #expect(finding.result == .failed && finding.summary.contains("no vfio-pci"))
        machine.remove("modules")
        #expect(try machine.finding("modules").result == .undetermined)
        try machine.file("proc/sys/kernel/osrelease", "../../etc")
        #expect(try machine.finding("modules").result == .undetermined)
    }

    @Test("nodes: opened, without anything behind them, in another /dev, missing")
    func nodes() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("node-container").evidence.contains { $0.place.hasPrefix("open(") })
        try machine.closeNode("dev/vfio/vfio")
        var finding = try machine.finding("node-container")
        #expect(finding.result == .failed && finding.remedies.first?.command == "sudo modprobe vfio-pci")
        machine.remove("dev/vfio/vfio")
        finding = try machine.finding("node-container")
        #expect(finding.result == .failed && finding.remedies.first?.command?.hasPrefix("docker") == true)
        machine.remove("sys/class/misc/vfio")
        finding = try machine.finding("node-container")
        #expect(finding.result == .ok && finding.summary.contains("/dev/iommu"))
        machine.remove("dev/iommu")
        #expect(try machine.finding("node-container").result == .failed)
        #expect(try machine.finding("node-iommufd").result == .warning)
        machine.remove("sys/class/misc/iommu")
        #expect(try machine.finding("node-iommufd").result == .ok)
    }

    @Test("a node that nothing is behind isn't opened: that would load a module")
    func nodesNotOpened() throws {
        let machine = try MadeMachine()
        machine.remove("sys/class/misc/vfio")
        try machine.closeNode("dev/vfio/vfio")
        let finding = try machine.finding("node-container")
        #expect(!finding.evidence.contains { $0.place.hasPrefix("open(") })
    }

    @Test("no-IOMMU mode: off, on, used before, used now, and unknown")
    func unprotected() throws {
        let machine = try MadeMachine()
        try machine.file("proc/sys/kernel/tainted", "4160\n")
        #expect(try machine.finding("no-iommu").result == .warning)
        try machine.file("proc/sys/kernel/tainted", "4096\n")
        #expect(try machine.finding("no-iommu").result == .ok)
        try machine.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
        #expect(try machine.finding("no-iommu").result == .warning)
        try machine.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n")
        machine.remove("proc/sys/kernel/tainted")
        #expect(try machine.finding("no-iommu").result == .undetermined)
        let used = try MadeMachine { $0.groups[0].isUnprotected = true }
        #expect(try used.finding("no-iommu").summary.contains("(26)"))
    }

    @Test("QEMU: with and without vfio-user-pci, absent, silent")
    func qemu() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("qemu", qemu: machine.root + "/none").result == .ok)
        let program = try script(
            machine, "10.1.2", #"name "vfio-pci", bus PCI\nname "vfio-user-pci", bus PCI"#)
        #expect(try machine.finding("qemu", qemu: program).result == .ok)
        let old = try script(machine, "7.2.22", #"name "vfio-pci", bus PCI"#)
        let finding = try machine.finding("qemu", qemu: old)
        #expect(finding.result == .warning && finding.summary.contains("10.1"))
        #expect(try machine.finding("qemu", qemu: "/bin/true").result == .undetermined)
    }

    /// A program that answers as QEMU does.
    private func script(_ machine: MadeMachine, _ version: String, _ devices: String) throws -> String {
        try machine.file(
            "qemu-" + version,
            "#!/bin/sh\ncase \"$1\" in --version) echo 'QEMU emulator version \(version) (Test)';;"
                + " *) printf '\(devices)\\n';; esac\n")
        #expect(try ChildProcess.run("chmod", ["755", machine.root + "/qemu-" + version]) == 0)
        return machine.root + "/qemu-" + version
    }
}
